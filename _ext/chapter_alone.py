"""A chapter built by itself may point at chapters that are not there.

``make.py chapter`` builds one page with warnings as errors, and names the page in the variable ``PERPKIT_CHAPTER``. A warning about an
unresolved reference is then dropped, and counted as a note, when what it names is another chapter, a label of one, or a public name of
``perpkit``. A reference found nowhere still fails, and so does a cell. What another chapter reports is known only when it runs: of text glued
from there the page is checked here and the name in the full book, which never comes here.
"""

from __future__ import annotations

import logging
import os
import pkgutil
import re
from pathlib import Path

from sphinx.application import Sphinx

REFERENCES = {"ref", "myst", "mystnb"}
LABELS = re.compile(r"\b(?:fig|tbl|eq)-[\w-]+|^\(([\w.-]+)\)=|^\$\$ *\(([\w.-]+)\)", re.MULTILINE)
QUOTED = re.compile(r"['\"`]([^'\"`\s]+)['\"`]|(?:found|document|label): ?([^'\"`\s]+)")


def words_of_other_chapters(source: Path, chapter: str) -> set[str]:
    """The labels in the other chapters, and the names of those chapters."""
    words: set[str] = set()
    for page in sorted((source / "chapters").rglob("*.md")):
        name = page.relative_to(source).with_suffix("").as_posix()
        if name != chapter:
            words |= {name, name.removeprefix("chapters/"), page.stem, page.name}
            words.update(m[1] or m[2] or m[0] for m in LABELS.finditer(page.read_text("utf-8")))
    return words


def is_public(name: str) -> bool:
    """Whether ``name`` is something of ``perpkit``, such as ``perpkit.mark.Blend``."""
    if name.split(".")[0] != "perpkit":
        return False
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError, ValueError):
        return False
    return True


class Elsewhere(logging.Filter):
    """Drops warnings about references that other chapters, or the API page, would resolve."""

    def __init__(self, words: set[str]) -> None:
        super().__init__()
        self.words = words
        self.dropped: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or str(getattr(record, "type", "")).split(".")[0] not in REFERENCES:
            return True
        if getattr(record, "subtype", "") == "exec":  # a traceback quotes words too
            return True
        named = {(a or b).lstrip("./") for a, b in QUOTED.findall(record.getMessage())}
        elsewhere = {n for n in named if n in self.words or is_public(n)}
        self.dropped |= elsewhere
        return not elsewhere


def setup(app: Sphinx) -> dict[str, bool]:
    chapter = os.environ.get("PERPKIT_CHAPTER")
    if chapter:
        elsewhere = Elsewhere(words_of_other_chapters(Path(app.srcdir), chapter))
        for handler in logging.getLogger("sphinx").handlers:
            handler.filters.insert(0, elsewhere)  # before the filter that counts warnings and the one that raises

        def report(app: Sphinx, error: Exception | None) -> None:
            if elsewhere.dropped:
                print("references to other chapters, resolved in the full book only:", ", ".join(sorted(elsewhere.dropped)))

        app.connect("build-finished", report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
