"""What the pages still need: MathJax inside the site, so that the book reads from a folder with no network, and a list of references that a
screen reader takes for a list.

The package ``sphinx-mathjax-offline`` holds all of MathJax (24 MB). A page needs one script and its fonts (2 MB), which are copied
next to the theme's own files; ``mathjax_path`` in ``_config.yml`` points there.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

SCRIPT = "tex-chtml-full.js"
FONTS = "output/chtml/fonts/woff-v2"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """After a successful HTML build, put the script and its fonts under ``_static/mathjax``."""
    if error is not None or app.builder.format != "html":
        return
    package = find_spec("sphinx-mathjax-offline")
    source = Path(package.submodule_search_locations[0], "static", "mathjax")
    target = Path(app.outdir, "_static", "mathjax")
    shutil.copytree(source / FONTS, target / FONTS, dirs_exist_ok=True)
    shutil.copyfile(source / SCRIPT, target / SCRIPT)


def mend_references(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """An entry of a list of references is an item of that list; the role docutils gives it is deprecated and breaks the list."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", copy_mathjax)
    app.connect("html-page-context", mend_references)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
