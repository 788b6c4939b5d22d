"""What built the book: versions from the lock, the machine, seconds a page.

Two directives. ``{lock-versions}`` makes a table of the packages that ``requirements.lock`` pins for this Python and warns, which stops the
build, when something else is installed. ``{build-record}`` leaves a mark that is replaced while the page is written: only then have all
pages run, and what is put there stays out of the search index, so that two builds differ in that page and nowhere else.
"""

from __future__ import annotations

import html
import json
import os
import platform
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numba
from docutils import nodes
from docutils.parsers.rst import directives
from llvmlite.binding import get_host_cpu_name
from myst_nb.sphinx_ import NbMetadataCollector
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOG = logging.getLogger(__name__)
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$", re.MULTILINE)
MARK = "<!-- build record -->"


def locked(lock: str) -> dict[str, str]:
    """Name and version of every pin in the text of a lock that applies to this Python and platform."""
    return {canonicalize_name(name): version for name, version, marker in PIN.findall(lock) if not marker or Marker(marker).evaluate()}


def direct(pyproject: str) -> set[str]:
    """Names of the packages that the text of ``pyproject.toml`` asks for itself."""
    project = tomllib.loads(pyproject)["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    return {canonicalize_name(Requirement(w).name) for w in wanted}


def installed_version(name: str) -> str:
    """Version of an installed package, or words saying that there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "no version"


def table(head: list[str], rows: list[list[str]], classes: list[str]) -> nodes.table:
    """A docutils table of plain text."""

    def row(cells: list[str]) -> nodes.row:
        return nodes.row("", *[nodes.entry("", nodes.paragraph(text=c)) for c in cells])

    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    group += nodes.thead("", row(head))
    group += nodes.tbody("", *map(row, rows))
    return nodes.table("", group, classes=["colwidths-auto", *classes])


class LockVersions(SphinxDirective):
    """``{lock-versions}`` lists the packages asked for; with ``:others:``, the packages those bring along."""

    option_spec: ClassVar = {"others": directives.flag}

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        for name in ("requirements.lock", "pyproject.toml"):
            self.env.note_dependency(str(root / name))
        pins = locked((root / "requirements.lock").read_text("utf-8"))
        asked = direct((root / "pyproject.toml").read_text("utf-8"))
        wanted = {n: v for n, v in sorted(pins.items()) if (n in asked) != ("others" in self.options)}
        for name, version in wanted.items():
            installed = installed_version(name)
            if installed != version:
                LOG.warning(
                    "requirements.lock says %s %s and %s is installed; run `python3 make.py book`, or lock again with `python3 make.py lock`",
                    name,
                    version,
                    installed,
                    location=self.get_location(),
                )
        return [table(["Package", "Version"], [[n, v] for n, v in wanted.items()], ["versions"])]


class BuildRecord(SphinxDirective):
    """``{build-record}``: the machine and the seconds each page took."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", MARK, format="html")]


def machine() -> dict[str, str]:
    """What the numbers of a build may depend on: no host name, no path."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Platform": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver()) or 'C library not named'}",
        "CPUs": f"{os.cpu_count()}, of which usable {usable}",
        "Code compiled for": f"{get_host_cpu_name()} (LLVM's name of the processor)",
        "Numba threads": str(numba.config.NUMBA_NUM_THREADS),
    }


def seconds(app: Sphinx) -> dict[str, float]:
    """Seconds each executed page took to run, by page."""
    runs = {page: data.get("exec_data") for page, data in NbMetadataCollector.get_doc_data(app.env).items()}
    return {page: run["runtime"] for page, run in sorted(runs.items()) if run and run["runtime"] is not None}


def rows_as_html(head: list[str], rows: list[list[str]]) -> str:
    """An HTML table in the theme's classes; cells are HTML already."""

    def line(tag: str, cells: list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{c}</{tag}>" for c in cells) + "</tr>"

    body = "\n".join(line("td", r) for r in rows)
    head_and_body = f"<thead>{line('th', head)}</thead><tbody>\n{body}\n</tbody>"
    return f'<div class="pst-scrollable-table-container"><table class="table record">{head_and_body}</table></div>'


def fill_record(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Put machine and times in the place of the mark."""
    if MARK not in context.get("body", ""):
        return
    spent = seconds(app)
    here = [[html.escape(k), html.escape(v)] for k, v in machine().items()]
    pages = [
        [f'<a href="{app.builder.get_relative_uri(pagename, p)}">{html.escape(app.env.titles[p].astext())}</a>', f"{s:.1f}"] for p, s in spent.items()
    ]
    pages.append(["All pages", f"{sum(spent.values()):.1f}"])
    record = rows_as_html(["Machine", "This build"], here) + rows_as_html(["Page", "Seconds to run its code"], pages)
    context["body"] = context["body"].replace(MARK, record)


def write_seconds(app: Sphinx, error: Exception | None) -> None:
    """Leave the times beside the site for ``make.py`` to print."""
    if error is None and app.builder.format == "html":
        Path(app.outdir).parent.joinpath("seconds.json").write_text(json.dumps(seconds(app), indent=1), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("lock-versions", LockVersions)
    app.add_directive("build-record", BuildRecord)
    app.connect("html-page-context", fill_record)
    app.connect("build-finished", write_seconds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
