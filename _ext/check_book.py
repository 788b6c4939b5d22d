"""What a finished book must hold: pages, figures, tables, results, sound links. Run by ``make.py`` around Sphinx, which sees none of it.

A build can end well and still be wrong: an empty site, a figure that was not drawn, a number glued round the record, a picture fetched from a
network. The expectation is read from the sources (``_toc.yml`` and the chapters), the finding from the built files and from what the
chapters recorded while they ran.

    python _ext/check_book.py sources [PAGE ...]              before the build: what can be seen wrong without running anything
    python _ext/check_book.py site HTML RECORDS [PAGE ...]    after it: what is missing; writes results.json into a whole site
    python _ext/check_book.py stderr NOTEBOOKS                after a failure: what cells wrote to stderr, which the log does not quote

Pages are named as in _toc.yml; none given means all of them.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import jupytext
import yaml
from site_pages import Page, read_site, site_problems

GLUE = re.compile(r"\{glue:text\}`(?:([^`:]+)::)?([^`:]+)(?::[^`]*)?`")
LABEL = re.compile(r"^[ \t]*:name:[ \t]*((?:fig|tbl)-\S+)", re.MULTILINE)
DRAWN_ELSEWHERE = re.compile(r"^[`:]{3,}\{(?:figure|image)\}|!\[[^\]]*\]\(|<img\b", re.MULTILINE)
COMMENT = re.compile(r"^[ \t]*%.*", re.MULTILINE)
FIGURE_NAME = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")


@dataclass
class Source:
    """What one chapter's source promises."""

    page: str
    figures: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    glued: list[tuple[str, str]] = field(default_factory=list)
    """(name of the page the text comes from, name of the text)"""
    reports: bool = False
    problems: list[str] = field(default_factory=list)


def toc_pages(toc: str) -> list[str]:
    """Every page of the text of a ``_toc.yml``, the root first."""
    found: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            found.extend(node[k] for k in ("root", "file") if k in node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(yaml.safe_load(toc))
    return found


def read_source(page: str, text: str) -> Source:
    """The promises of a chapter: labels of figures and tables, names of numbers, names that its prose uses."""
    source = Source(page)
    stem = page.rsplit("/", 1)[-1]
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        if cell.cell_type == "code":
            _read_code(source, stem, cell.source, cell.metadata.get("mystnb") or {})
        else:
            source.glued += [(Path(doc).stem if doc else stem, name) for doc, name in GLUE.findall(cell.source)]
            for name in LABEL.findall(cell.source):
                (source.figures if name.startswith("fig-") else source.tables).append(name)
            for line in COMMENT.findall(cell.source):
                source.problems.append(f"a line of text begins with '%', so that MyST drops it as a comment: {line.strip()[:60]!r}; break it elsewhere")
            if DRAWN_ELSEWHERE.search(cell.source):
                source.problems.append("shows a picture file; figures are drawn by code cells of the chapter")
    return source


def _read_code(source: Source, stem: str, code: str, options: dict) -> None:
    figure = options.get("figure")
    if figure is not None:
        name, alt = str(figure.get("name", "")), str((options.get("image") or {}).get("alt", "")).strip()
        if not FIGURE_NAME.fullmatch(name):
            source.problems.append(f"a figure is named {name!r}; names are 'fig-' and lower-case words joined by hyphens")
        if not str(figure.get("caption", "")).strip():
            source.problems.append(f"figure {name} has no caption")
        if not alt or alt == str(figure.get("caption", "")).strip():
            source.problems.append(f"figure {name} has no alt text of its own (mystnb: image: alt)")
        source.figures.append(name)
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        source.problems.append(f"a code cell is not plain Python ({error.msg}: {str(error.text).strip()!r})")
        return
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if called == "Report":
            source.reports = True
            if first != stem:
                source.problems.append(f"reports as {first!r}; write Report({stem!r})")
        elif called == "glue":
            source.problems.append(f"glues {first!r} past the record; use Report.number or Report.text")
        elif called == "number" and isinstance(first, str):
            source.numbers.append(first)
        elif called == "table":
            by_key = {k.arg: k.value for k in call.keywords}
            name = by_key.get("name", call.args[2] if len(call.args) > 2 else None)
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                source.tables.append(name.value)


def page_problems(source: Source, built: Page | None) -> list[str]:
    """Figures and tables the source promises and the built page lacks, and figures nobody can refer to or hear."""
    if built is None:
        return [f"{source.page}: the page was not built"]
    found: list[str] = []
    for name in source.figures:
        figure = built.figures.get(name)
        if figure is None:
            found.append(f"figure {name} is not on the page")
        elif not figure.images:
            found.append(f"figure {name} has no image")
        elif not figure.caption.strip():
            found.append(f"figure {name} has no caption")
    if "" in built.figures:
        found.append("a figure has no label: give its cell mystnb: figure: name")
    found += [f"table {name} is not on the page" for name in source.tables if not built.tables.get(name, "").strip()]
    found += [f"the image {src} stands outside a figure: give its cell a caption and a name" for src in built.loose_images]
    return [f"{source.page}: {p}" for p in found]


def result_problems(sources: Iterable[Source], records: dict[str, dict]) -> list[str]:
    """Numbers that a source promises or prose uses and that no chapter recorded."""
    sources = list(sources)
    found: list[str] = []
    stems = {s.page.rsplit("/", 1)[-1] for s in sources}
    for source in sources:
        stem = source.page.rsplit("/", 1)[-1]
        if source.reports and stem not in records and source.numbers:
            found.append(f"{source.page}: wrote no record")
        kept = {e["name"] for e in records.get(stem, {}).get("numbers", [])}
        found += [f"{source.page}: the number {name!r} is missing from the results" for name in source.numbers if name not in kept]
        for origin, name in source.glued:
            record = records.get(origin, {})
            if origin in stems and name not in {e["name"] for e in record.get("numbers", [])} | set(record.get("texts", {})):
                found.append(f"{source.page}: prose shows {name!r}, which {origin} did not report")
    found += [f"a record was left by {r!r}, which is not a page of the book" for r in records if r not in stems]
    return found


def merged(records: dict[str, dict]) -> list[dict]:
    """All numbers, sorted by name and chapter. Two chapters may use one name, such as a chapter and its fork: each number says whose it is."""
    return sorted((e for r in records.values() for e in r["numbers"]), key=lambda e: (e["name"], e["chapter"]))


def read_records(folder: Path) -> dict[str, dict]:
    """The records the chapters left, by chapter."""
    return {p.stem: json.loads(p.read_text("utf-8")) for p in sorted(folder.glob("*.json"))}


def read_sources(root: Path, pages: list[str]) -> tuple[list[Source], list[str]]:
    """The promises of every page, and what is wrong with them as they stand."""
    missing = [f"{page}.md is named in _toc.yml and does not exist" for page in pages if not (root / f"{page}.md").is_file()]
    if missing:
        return [], missing
    sources = [read_source(page, (root / f"{page}.md").read_text("utf-8")) for page in pages]
    known = {p.stem for p in root.rglob("chapters/**/*.md")} | {page.rsplit("/", 1)[-1] for page in pages}
    lost = [f"{s.page}: prose shows {name!r} of {origin!r}, which is no chapter" for s in sources for origin, name in s.glued if origin not in known]
    return sources, [f"{s.page}: {p}" for s in sources for p in s.problems] + lost + label_problems(sources)


def label_problems(sources: Iterable[Source]) -> list[str]:
    """Labels of figures and tables that more than one place promises: a reference could not say which is meant."""
    owners: dict[str, list[str]] = {}
    for source in sources:
        for name in (*source.figures, *source.tables):
            owners.setdefault(name, []).append(source.page)
    return [f"{' and '.join(pages)}: the label {name!r} is used twice; rename one" for name, pages in owners.items() if len(pages) > 1]


def check_site(root: Path, html: Path, folder: Path, pages: list[str]) -> tuple[list[str], str]:
    """All problems of a built book, and a line that counts what is in it. Writes ``results.json`` into the site when it is whole."""
    site = read_site(html)
    sources, problems = read_sources(root, pages)
    records = read_records(folder)
    entries = merged(records)
    for source in sources:
        problems += page_problems(source, site.get(f"{source.page}.html"))
    problems += result_problems(sources, records)
    problems += site_problems(html, site)
    if not problems:
        (html / "results.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", "utf-8")
    figures, tables = sum(len(s.figures) for s in sources), sum(len(s.tables) for s in sources)
    counts = f"pages {len(pages)}, figures {figures}, tables {tables}, results {len(entries)}"
    return problems, f"{counts}; nothing missing, links, labels and alt texts sound"


def written_to_stderr(folder: Path) -> list[str]:
    """What the cells of executed notebooks wrote to stderr, with the page and the start of the cell."""
    found = []
    for path in sorted(folder.rglob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            texts = ["".join(o["text"]).strip() for o in cell.get("outputs", []) if o.get("name") == "stderr"]
            start = "".join(cell["source"]).strip().split("\n")[0]
            found += [f"{path.relative_to(folder).with_suffix('')}, the cell beginning {start!r}, wrote to stderr:\n{t}" for t in texts]
    return found


def main(arguments: list[str]) -> int:
    root = Path(__file__).resolve().parent.parent
    what, *rest = arguments
    if what == "stderr":
        print(*written_to_stderr(Path(rest[0])), sep="\n", file=sys.stderr)
        return 0
    paths, pages = (rest[:2], rest[2:]) if what == "site" else ([], rest)
    pages = pages or toc_pages((root / "_toc.yml").read_text("utf-8"))
    if what == "site":
        problems, line = check_site(root, Path(paths[0]), Path(paths[1]), pages)
    else:
        problems, line = read_sources(root, pages)[1], ""
    if problems:
        print(f"The book is not whole; {len(problems)} to mend:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    if line:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
