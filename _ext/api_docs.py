"""API pages from the docstrings of this project.

Two things autodoc does not know: compiled functions, of which it should show the Python function under Numba's dispatcher, and our short
forms: of a parameter, ``name : what it is``, whose text NumPy's convention would take for a type, and of what is returned, one paragraph, which
it would take for as many values as lines.
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


def gather_returns(lines: list[str]) -> list[str]:
    """Under "Returns", a paragraph of prose becomes one field; a value with an indented text, or ``name : text``, stays as it is."""
    heads = [i for i in range(len(lines) - 1) if RULER.fullmatch(lines[i + 1].strip())]
    gathered = list(lines)
    for head in reversed(heads):
        end = next((i for i in heads if i > head), len(lines))
        body = lines[head + 2 : end]
        prose = [line for line in body if line.strip()]
        if lines[head].strip() == "Returns" and prose and not any(line.startswith(" ") for line in prose) and not PARAMETER.fullmatch(prose[0]):
            # Two empty lines end the section before, as Napoleon reads it.
            gathered[head:end] = ["", "", f":returns: {prose[0]}", *(f"    {line}" if line.strip() else "" for line in body[body.index(prose[0]) + 1 :])]
    return gathered


def read_short_form(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before Napoleon reads the docstring, bring it to the form it knows."""
    lines[:] = spread_parameters(gather_returns(lines))


def skip_field_numbers(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what ``typing.NamedTuple`` writes about its fields ("Alias for field number 0")."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_autodocumenter(CompiledDocumenter)
    app.connect("autodoc-process-docstring", read_short_form, priority=100)
    app.connect("autodoc-skip-member", skip_field_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
