"""The gate around the book: what it must catch in sources, records and built pages, and what the built site must be in a browser."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import api_docs
import chapter_alone
import check_book
import citations
import colophon
import pytest
import site_pages
import typography
from docutils import nodes
from docutils.utils import new_document
from pybtex.database import parse_string

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"

DRAWN = f"{hashlib.sha256(b'a drawing').hexdigest()}.svg"

SOURCE = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3}
---

# A chapter

```{code-cell} ipython3
---
mystnb:
  figure: {name: fig-walk, caption: The mark walks.}
  image: {alt: Two lines; one falls in steps and one at once.}
---
results = pk.Report("one")
results.number("loss", 5.0)
results.text("day", "Monday")
results.table(frame, "Rules.", "tbl-rules")
```

The loss is {glue:text}`loss` on {glue:text}`day`.
"""

PAGE = f"""<html><head><link rel="stylesheet" href="book.css"><script src="book.js"></script></head><body><article>
<a href="#end">down</a> <a href="two.html#there">over</a> <a href="https://example.org/">out</a>
<figure id="fig-walk"><img src="_images/{DRAWN}" alt="Two lines."><figcaption><p>The mark walks.</p></figcaption></figure>
<table id="tbl-rules"><caption>Rules.</caption><tr><td>1</td></tr></table>
<p id="end"></p></article></body></html>"""


def record(name: str = "one", **changes) -> dict:
    number = {"name": "loss", "value": 5.0, "unit": "USD/share", "se": None, "n": None, "chapter": name}
    return {"chapter": name, "numbers": [number], "texts": {"day": "Monday"}, "tables": ["tbl-rules"], **changes}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A sound site of two pages."""
    html = tmp_path / "html"
    (html / "_images").mkdir(parents=True)
    (html / "_images" / DRAWN).write_text("<svg/>", "utf-8")
    (html / "book.css").write_text("p { color: red; }", "utf-8")
    (html / "book.js").write_text("", "utf-8")
    (html / "one.html").write_text(PAGE, "utf-8")
    (html / "two.html").write_text('<html><body><article><h1 id="there">Two</h1></article></body></html>', "utf-8")
    return html


def problems(html: Path) -> list[str]:
    return site_pages.site_problems(html, site_pages.read_site(html))


def test_a_sound_site_has_no_problem(site: Path) -> None:
    assert problems(site) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('href="two.html#there"', 'href="three.html"', "broken link three.html"),
        ('href="two.html#there"', 'href="two.html#nowhere"', "broken anchor two.html#nowhere"),
        ('href="#end"', 'href="#nowhere"', "broken anchor #nowhere"),
        ('href="book.css"', 'href="lost.css"', "broken link lost.css"),
        ('alt="Two lines."', 'alt=" "', "has no alt text"),
        ('alt="Two lines."', f'alt="../_images/{DRAWN}"', "has no alt text"),
        ('src="book.js"', 'src="https://cdn.example.org/book.js"', "<script> fetches https://cdn.example.org/book.js"),
        ('href="book.css"', 'href="//fonts.example.org/a.css"', "<link> fetches //fonts.example.org/a.css"),
        (f'src="_images/{DRAWN}"', 'src="https://example.org/a.svg"', "<img> fetches https://example.org/a.svg"),
        ('id="end"', 'id="fig-walk"', "the id 'fig-walk' is used twice"),
    ],
)
def test_a_planted_fault_is_named(site: Path, old: str, new: str, said: str) -> None:
    assert old in PAGE
    (site / "one.html").write_text(PAGE.replace(old, new), "utf-8")
    assert any(said in p and p.startswith("one.html") for p in problems(site)), problems(site)


def test_a_stylesheet_may_not_fetch(site: Path) -> None:
    (site / "book.css").write_text("@import url('https://fonts.example.org/a.css');", "utf-8")
    assert problems(site) == ["book.css: fetches https://fonts.example.org/a.css"]


def test_a_picture_drawn_elsewhere_is_named(site: Path) -> None:
    (site / "_images" / "photo.png").write_bytes(b"")
    (site / "one.html").write_text(PAGE.replace(DRAWN, "photo.png"), "utf-8")
    assert any("drawn elsewhere" in p for p in problems(site))


def test_an_empty_site_is_not_sound(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path} has no page"]


def test_the_source_names_what_must_be_there() -> None:
    source = check_book.read_source("chapters/one", SOURCE)
    assert source.problems == []
    assert (source.figures, source.tables, source.numbers) == (["fig-walk"], ["tbl-rules"], ["loss"])
    assert source.glued == [("one", "loss"), ("one", "day")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: fig-walk, ", "", "a figure is named ''"),
        ("name: fig-walk", "name: Walk", "a figure is named 'Walk'"),
        ("caption: The mark walks.", "caption: ''", "figure fig-walk has no caption"),
        ("image: {alt: Two lines; one falls in steps and one at once.}", "image: {width: 50%}", "figure fig-walk has no alt text"),
        ("alt: Two lines; one falls in steps and one at once.", "alt: The mark walks.", "figure fig-walk has no alt text of its own"),
        ('Report("one")', 'Report("two")', "reports as 'two'; write Report('one')"),
        ('results.number("loss", 5.0)', 'glue("loss", 5.0)', "glues 'loss' past the record"),
        ('results.number("loss", 5.0)', "%matplotlib inline", "is not plain Python"),
        ("The loss is", "![a picture](drawn.png) The loss is", "shows a picture file"),
        ("on {glue", "5\n% of all on {glue", "a line of text begins with '%'"),
    ],
)
def test_a_fault_in_a_source_is_named_before_the_build(old: str, new: str, said: str) -> None:
    assert old in SOURCE
    found = check_book.read_source("chapters/one", SOURCE.replace(old, new)).problems
    assert any(said in p for p in found), found


def test_a_whole_chapter_passes() -> None:
    source = check_book.read_source("chapters/one", SOURCE)
    assert check_book.page_problems(source, site_pages.Page(PAGE)) == []
    assert check_book.result_problems([source], {"one": record()}) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id="fig-walk"', 'id="other"', "figure fig-walk is not on the page"),
        ("<p>The mark walks.</p>", "", "figure fig-walk has no caption"),
        ("<img ", "<i ", "figure fig-walk has no image"),
        ('id="tbl-rules"', 'id="other"', "table tbl-rules is not on the page"),
        ('<figure id="fig-walk">', "<figure>", "a figure has no label"),
        ('<p id="end">', '<p id="end"><img src="b.svg" alt="b">', "the image b.svg stands outside a figure"),
    ],
)
def test_what_the_page_lacks_is_named(old: str, new: str, said: str) -> None:
    assert old in PAGE
    found = check_book.page_problems(check_book.read_source("chapters/one", SOURCE), site_pages.Page(PAGE.replace(old, new)))
    assert any(said in p for p in found), found


def test_a_page_that_was_not_built_is_named() -> None:
    assert check_book.page_problems(check_book.Source("chapters/one"), None) == ["chapters/one: the page was not built"]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({}, "chapters/one: wrote no record"),
        ({"one": record(numbers=[])}, "chapters/one: the number 'loss' is missing from the results"),
        ({"one": record(numbers=[])}, "chapters/one: prose shows 'loss', which one did not report"),
        ({"one": record(texts={})}, "chapters/one: prose shows 'day', which one did not report"),
        ({"one": record(), "two": record("two")}, "a record was left by 'two', which is not a page of the book"),
    ],
)
def test_a_missing_result_is_named(records: dict, said: str) -> None:
    assert said in check_book.result_problems([check_book.read_source("chapters/one", SOURCE)], records)


def test_a_number_of_another_page_must_be_reported_there() -> None:
    one = check_book.read_source("chapters/one", SOURCE)
    index = check_book.read_source("chapters/index", SOURCE.split("```{code-cell}")[0] + "It is {glue:text}`one.md::gone:s`.\n")
    assert index.glued == [("one", "gone")]
    assert check_book.result_problems([index, one], {"one": record()}) == ["chapters/index: prose shows 'gone', which one did not report"]


def test_results_are_merged_by_name_and_a_fork_may_keep_its_names() -> None:
    other = record("two", numbers=[{"name": "gap", "value": 1, "unit": None, "se": None, "n": None, "chapter": "two"}])
    assert [e["name"] for e in check_book.merged({"one": record(), "two": other})] == ["gap", "loss"]
    assert [(e["name"], e["chapter"]) for e in check_book.merged({"two": record("two"), "one": record()})] == [("loss", "one"), ("loss", "two")]


def test_text_is_glued_from_a_chapter_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "two.md").write_text("# Two\n", "utf-8")
    (tmp_path / "one.md").write_text("# One\n\n{glue:text}`two.md::a` {glue:text}`no-such.md::b`\n", "utf-8")
    assert check_book.read_sources(tmp_path, ["one"])[1] == ["one: prose shows 'b' of 'no-such', which is no chapter"]


def whole_book(tmp_path: Path, site: Path, records: dict[str, dict]) -> tuple[list[str], Path]:
    (tmp_path / "one.md").write_text(SOURCE, "utf-8")
    folder = tmp_path / "records"
    folder.mkdir()
    for name, content in records.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return check_book.check_site(tmp_path, site, folder, ["one"])[0], site / "results.json"


def test_a_whole_book_gets_its_results(tmp_path: Path, site: Path) -> None:
    found, results = whole_book(tmp_path, site, {"one": record()})
    assert found == []
    assert json.loads(results.read_text("utf-8")) == record()["numbers"]


def test_a_book_that_is_not_whole_gets_none(tmp_path: Path, site: Path) -> None:
    found, results = whole_book(tmp_path, site, {})
    assert found
    assert not results.exists()


def test_pages_are_read_from_any_depth_of_the_contents() -> None:
    toc = "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n    - file: c\n- chapters:\n  - file: d\n"
    assert check_book.toc_pages(toc) == ["a", "b", "c", "d"]


def test_a_page_of_the_contents_must_exist(tmp_path: Path) -> None:
    assert check_book.read_sources(tmp_path, ["lost"])[1] == ["lost.md is named in _toc.yml and does not exist"]


def test_a_label_belongs_to_one_place(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text(SOURCE, "utf-8")
    (tmp_path / "two.md").write_text(SOURCE.replace('"one"', '"two"').replace("fig-walk", "fig-run"), "utf-8")
    assert check_book.read_sources(tmp_path, ["one", "two"])[1] == ["one and two: the label 'tbl-rules' is used twice; rename one"]


def test_what_a_cell_wrote_to_stderr_is_quoted(tmp_path: Path) -> None:
    cell = {"source": ["import it\n", "more"], "outputs": [{"name": "stderr", "text": ["Watch", " out\n"]}, {"name": "stdout", "text": ["fine"]}]}
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": [cell, {"source": []}]}), "utf-8")
    assert check_book.written_to_stderr(tmp_path) == ["one, the cell beginning 'import it', wrote to stderr:\nWatch out"]


def warning(text: str, kind: str = "ref", subtype: str = "") -> logging.LogRecord:
    made = logging.LogRecord("sphinx", logging.WARNING, "", 0, text, (), None)
    made.type, made.subtype = kind, subtype
    return made


def test_a_chapter_alone_may_point_elsewhere_but_not_nowhere(tmp_path: Path) -> None:
    (tmp_path / "chapters" / "more").mkdir(parents=True)
    (tmp_path / "chapters" / "more" / "three.md").write_text("# Three\n", "utf-8")
    (tmp_path / "chapters" / "one.md").write_text("(sec-mine)=\n# One\n", "utf-8")
    (tmp_path / "chapters" / "two.md").write_text("(sec-there)=\n# Two\n\nNowhere in `TSLA`.\n\n$$ x $$ (eq-x)\n", "utf-8")
    elsewhere = chapter_alone.Elsewhere(chapter_alone.words_of_other_chapters(tmp_path, "chapters/one"))
    assert not elsewhere.filter(warning("undefined label: 'sec-there'"))
    assert not elsewhere.filter(warning("unknown document: 'two'"))
    assert not elsewhere.filter(warning("unknown document: '../more/three'"))
    assert not elsewhere.filter(warning("py:class reference target not found: perpkit.report.Report"))
    assert not elsewhere.filter(warning("Glue reference 'loss' not found in doc 'chapters/two'", kind="mystnb", subtype="glue_ref"))
    assert elsewhere.filter(warning("undefined label: 'sec-mine'"))
    assert elsewhere.filter(warning("unknown document: 'nowhere'"))
    assert elsewhere.filter(warning("No key 'los' found (use `path::key`, to glue from another document)", kind="mystnb", subtype="glue"))
    assert elsewhere.filter(warning("Executing notebook failed: KeyError: 'two'", kind="mystnb", subtype="exec"))
    assert elsewhere.filter(warning("py:class reference target not found: perpkit.report.Reporter"))
    assert elsewhere.filter(warning("Duplicate name 'sec-there'", kind="docutils"))


def test_the_lock_speaks_for_the_running_python() -> None:
    lock = """numpy==2.4.6 ; python_full_version < '3.0' \\
    --hash=sha256:aa
numpy==2.5.5 ; python_full_version >= '3.0' \\
    --hash=sha256:bb
    # via perpkit (pyproject.toml)
tqdm==4.70.1 \\
    --hash=sha256:cc
"""
    assert colophon.locked(lock) == {"numpy": "2.5.5", "tqdm": "4.70.1"}


def test_the_short_form_of_a_parameter_is_its_description() -> None:
    lines = ["Head.", "", "Parameters", "----------", "depth : USD a log unit,", "    open.", "a, b : two", "", "Raises", "------", "ValueError : no"]
    assert api_docs.spread_parameters(lines)[4:8] == ["depth", "    USD a log unit,", "    open.", "a, b"]
    assert api_docs.spread_parameters(lines)[-1] == "ValueError : no"


def test_what_is_returned_in_prose_is_one_field_and_a_value_with_its_text_stays() -> None:
    prose = ["Cut.", "", "Returns", "-------", "DataFrame, index ``part``. ``n``: times;", "``se`` of it.", "", "More.", "", "Raises", "------", "ValueError", "    no"]
    gathered = api_docs.gather_returns(prose)
    assert gathered[2:8] == ["", "", ":returns: DataFrame, index ``part``. ``n``: times;", "    ``se`` of it.", "", "    More."]
    assert gathered[9:] == prose[9:]
    for body in (["xarray.Dataset", "    of floats."], ["sides : float, shape (2, n)"]):
        kept = ["Cut.", "", "Returns", "-------", *body]
        assert api_docs.gather_returns(kept) == kept


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ("", "5% of 5 % and 5\n% of it", "5_% of 5_% and 5_% of it"),
        ("3.5", "% a week, 100%25", "_% a week, 100%25"),
        ("of ", "% and 7 bp, 1,800 s, 8 h shut", "% and 7_bp, 1,800_s, 8_h shut"),
        ("", "2 such, 3 hours, 4 s-shaped, 0.61 ± 0.02", "2 such, 3 hours, 4 s-shaped, 0.61_±_0.02"),
        ("", "on 2025-12-19, in 2025-12; no 2310-11771", "on 2025~12~19, in 2025~12; no 2310-11771"),
    ],
)
def test_what_belongs_together_stays_together(before: str, text: str, after: str) -> None:
    assert typography.kept_together(text, before) == after.replace("_", "\u00a0").replace("~", "\u2011")


def test_a_header_begins_with_a_capital_unless_it_is_a_name() -> None:
    heads = ["stock", "half-life of it", "index’s clock", "loss (bp)", "a dollar grew to", "trade.xyz", "edgeX", "n", "elpd", "df", "p-value", "Stock", "$x$"]
    assert [typography.capitalised(h) for h in heads] == ["Stock", "Half-life of it", "Index’s clock", "Loss (bp)", "A dollar grew to", *heads[5:]]


def test_typography_spares_code_and_formulas_and_reads_across_pasted_numbers() -> None:
    page = new_document("page")
    page += nodes.paragraph("", "", nodes.inline("", "5", classes=["pasted-text"]), nodes.Text("% of it"))
    page += nodes.paragraph("", "", nodes.Text("% alone, "), nodes.literal("", "5% on 2025-12-19"), nodes.math("", "3"), nodes.Text(" bp"))
    page += nodes.image(alt="5% fall")
    typography.set_page(SimpleNamespace(builder=SimpleNamespace(format="html")), page, "page")
    assert [p.astext() for p in page[:2]] == ["5\u00a0% of it", "% alone, 5% on 2025-12-193\u00a0bp"]
    assert page[2]["alt"] == "5\u00a0% fall"


def test_works_of_one_author_and_year_get_letters() -> None:
    text = "".join(f"@misc{{k{i}, author = {{{a}}}, title = {{{t}}}, year = {{{y}}}}}\n" for i, (a, t, y) in enumerate((
        ("{trade.xyz}", "Oracle", 2026), ("{trade.xyz}", "Mark, {\\$3M}", 2026), ("{trade.xyz}", "Oracle", 2025),
        ("Angel, A. and Berg, B. and Cole, C.", "One", 2020), ("Angel, A. and Dorn, D. and Eich, E.", "Two", 2020), ("Angel, A.", "Three", 2020),
    )))  # fmt: skip
    works = parse_string(text, "bibtex").entries
    for _ in range(2):
        found = {e.key: str(e.text).replace("<newblock>", " ") for e in citations.Lettered().format_entries(works.values())}
        assert [works[f"k{i}"].fields["year"] for i in range(6)] == ["2026b", "2026a", "2025", "2020a", "2020b", "2020"]
    assert found["k1"] == "trade.xyz. Mark, $3M. 2026a."


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("BitMEX reveals: US rules of HIP-3", "{BitMEX} reveals: {US} rules of {HIP-3}"),
        ("gTrade: A Theory of Non-Trading Days in {Hong Kong US}", "{gTrade}: A Theory of Non-Trading Days in {Hong Kong US}"),
        ("avantis\\_trader\\_sdk: fees", "{avantis\\_trader\\_sdk}: fees"),
    ],
)
def test_names_in_titles_keep_their_letters(title: str, kept: str) -> None:
    assert citations.spelt(title) == citations.spelt(kept) == kept


def load_make():
    spec = importlib.util.spec_from_file_location("make", ROOT / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    return make


def test_an_unknown_chapter_is_answered_with_the_choices() -> None:
    with pytest.raises(SystemExit, match=r"make.py: no-such is not a chapter\. Chapters: .*appendix/colophon"):
        load_make().chapter_page("no-such")


def test_an_unknown_command_is_answered_with_the_commands() -> None:
    with pytest.raises(SystemExit, match=r"(?s)unknown command 'boook'.*make\.py book.*make\.py test"):
        load_make().main(["boook"])


def test_pages_read_at_once_fail_the_build_each_with_its_reason(tmp_path: Path) -> None:
    """Two of seven pages are bad, one in its code and one in its references: both are named, with the traceback, and the build fails."""
    for folder in ("_ext", "_static"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "references.bib"):
        shutil.copy(ROOT / name, tmp_path)
    pages = {f"page{k}": f"# Page {k}\n" for k in range(7)}
    pages["page2"] = SOURCE.split("# A chapter")[0] + "# Page 2\n\n```{code-cell} ipython3\n1 / 0\n```\n"
    pages["page4"] += "\nSee {numref}`fig-nowhere`.\n"
    for name, text in pages.items():
        (tmp_path / f"{name}.md").write_text(text, "utf-8")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page0\nchapters:\n" + "".join(f"- file: page{k}\n" for k in range(1, 7)), "utf-8")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "-W", "-n", "--keep-going", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode and "serial read" not in said
    assert "page2.md: WARNING: Executing notebook failed" in said and "division by zero" in said
    assert "page4.md:3: WARNING" in said and "fig-nowhere" in said


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.glob("chapters/**/*.html"))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.mark.skipif(not PAGES, reason="there is no built site; python3 make.py book makes one")
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_reads_from_a_folder_on_a_desk_and_on_a_phone(theme: str) -> None:
    """Formulas typeset and uncut, nothing fetched, no script error, no sideways scrolling of a page, and the page in the theme asked for. A
    table scrolls on a phone only, in its own box, if no cell holds a sentence; a leading column stays in sight and the caption says so."""
    sync_api = pytest.importorskip("playwright.sync_api")
    wrong: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=theme)
            page.on("request", lambda r: wrong.append(f"asked for {r.url}") if r.url.split(":")[0] not in ("file", "data", "blob") else None)
            page.on("requestfailed", lambda r: wrong.append(f"did not get {r.url}"))
            page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type == "error" else None)
            page.on("pageerror", lambda e: wrong.append(f"script: {e}"))
            for name in PAGES:
                page.goto((HTML / name).as_uri())
                if page.locator(".math").count():
                    page.wait_for_selector("mjx-container", timeout=20_000)
                seen = page.evaluate(
                    """() => ({
                        theme: document.documentElement.dataset.theme,
                        untypeset: document.querySelectorAll("mjx-merror").length,
                        clipped: [...document.querySelectorAll('mjx-container[display="true"]')].filter((f) => f.scrollWidth > f.clientWidth + 1).length,
                        over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                        wide: [...document.querySelectorAll(".bd-article table.table")].filter((t) => {
                            const told = () => getComputedStyle(t.caption || t, "::after").content.includes("scrolls sideways");
                            const held = () => [...t.rows].every((r) => getComputedStyle(r.cells[0]).position === "sticky");
                            const figures = () => [...t.querySelectorAll(".cell-value")].every((c) => c.textContent.length <= 40);
                            const mayScroll = () => innerWidth < 577 && getComputedStyle(t.parentElement).overflowX === "auto";
                            return t.scrollWidth > t.parentElement.clientWidth + 1 && !(mayScroll() && figures() && held() && told());
                        }).map((t) => t.id),
                    })"""
                )
                if seen != {"theme": theme, "untypeset": 0, "clipped": 0, "over": 0, "wide": []}:
                    wrong.append(f"{name} at {width}: {seen}")
            page.close()
        browser.close()
    assert not wrong, "\n".join(wrong)
