"""Pages are read two at a time.

Reading a page runs its code, in a process of its own and mostly on one core, so two at once nearly halve the build on a machine with two.
Sphinx can do it (its option ``-j``); Jupyter Book 1 does not pass the option on. More than two would take the cores from the threads of
``ensemble``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sphinx import builders
from sphinx.application import Sphinx

AT_ONCE = 2
SILENT = "sphinx_multitoc_numbering"
"""Does not declare whether it may be loaded here. It may: it numbers sections after all pages are read, and nothing before."""


def one_each(pages: Sequence[str], processes: int) -> list[Sequence[str]]:
    """A task for each page: Sphinx would share the list out by count, and pages differ a hundredfold in what they cost."""
    return [pages[k : k + 1] for k in range(len(pages))]


def declare(app: Sphinx, *_: object) -> None:
    """Say for the silent extension what it does not say itself."""
    if SILENT in app.extensions:
        app.extensions[SILENT].parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, bool]:
    app.parallel = min(AT_ONCE, os.cpu_count() or 1)
    builders.make_chunks = one_each
    app.connect("env-before-read-docs", declare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
