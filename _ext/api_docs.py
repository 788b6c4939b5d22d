"""API pages from the docstrings of this project.

Two things autodoc does not know: compiled functions, of which it should show the Python function under Numba's dispatcher, and our short
form of a parameter, ``name : what it is``, whose text NumPy's convention would take for a type.
"""

from __future__ import annotations

import re
from typing import Any

from numba.core.dispatcher import Dispatcher
from sphinx.application import Sphinx
from sphinx.ext.autodoc import FunctionDocumenter

PARAMETER = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.+)")
RULER = re.compile(r"-{3,}")


class CompiledDocumenter(FunctionDocumenter):
    """Documents ``numba.njit`` functions with the signature and docstring of their interpreted twin."""

    objtype = "compiled"
    directivetype = "function"
    priority = FunctionDocumenter.priority + 10

    @classmethod
    def can_document_member(cls, member: Any, membername: str, isattr: bool, parent: Any) -> bool:
        return isinstance(member, Dispatcher)

    def import_object(self, raiseerror: bool = False) -> bool:
        found = super().import_object(raiseerror)
        if found and isinstance(self.object, Dispatcher):
            self.object = self.object.py_func
        return found


def spread_parameters(lines: list[str]) -> list[str]:
    """Under "Parameters", ``name : text`` becomes ``name`` and an indented text."""
    spread: list[str] = []
    inside = False
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and RULER.fullmatch(lines[i + 1].strip()):
            inside = line.strip() == "Parameters"
        match = PARAMETER.fullmatch(line) if inside else None
        spread += [match[1], f"    {match[2]}"] if match else [line]
    return spread


def read_short_form(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before Napoleon reads the docstring, bring it to the form it knows."""
    lines[:] = spread_parameters(lines)


def skip_field_numbers(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what ``typing.NamedTuple`` writes about its fields ("Alias for field number 0")."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_autodocumenter(CompiledDocumenter)
    app.connect("autodoc-process-docstring", read_short_form, priority=100)
    app.connect("autodoc-skip-member", skip_field_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
