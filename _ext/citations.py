"""The list of references in plain style, with letters after the years of works that a citation by author and year could not tell apart.

Plain style writes a title in small letters from its second on; a name such as BitMEX, US or gTrade is kept as its author spells it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Any

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from sphinx.application import Sphinx


class Lettered(Style):
    """Plain style, years such as 2026a and 2026b where authors and year are the same."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        in_order = self.sort
        self.sort = lambda entries: lettered(in_order(entries))


def lettered(entries: Iterable[Entry]) -> list[Entry]:
    """The same entries, sorted as they come, with letters in the field ``year``, from which list and citations both read it."""
    entries = list(entries)
    alike: dict[tuple, list[Entry]] = {}
    for entry in entries:
        fields = entry.fields
        fields["title"] = spelt(fields.get("title", "").replace("\\$", "$"))  # pybtex leaves an escaped dollar as it stands
        if fields.get("year"):
            fields["year"] = fields["year"].rstrip(string.ascii_lowercase)  # a second call finds the letters of the first
            alike.setdefault((named(entry), fields["year"]), []).append(entry)
    for same in alike.values():
        for letter, entry in zip(string.ascii_lowercase, same if len(same) > 1 else (), strict=False):
            entry.fields["year"] += letter
    return entries


def spelt(title: str) -> str:
    """A title with braces round what must keep its letters: a word with a capital past its first letter, and a first word without one."""

    def kept(word: re.Match) -> str:
        name = re.search(r"[a-z][A-Z]|[A-Z][A-Z0-9]", word[0]) or word.start() == 0 and word[0][0].islower()
        return f"{{{word[0]}}}" if name and word[0][0] != "{" else word[0]

    return re.sub(r"\{[^{}]*\}|[\w\\-]+", kept, title)


def named(entry: Entry) -> tuple[str, ...]:
    """What a citation shows of the authors: one or two surnames, or the first of more."""
    persons = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [" ".join(p.prelast_names + p.last_names) for p in persons]
    return (names[0], "and others") if len(names) > 2 else tuple(names or [entry.fields["title"]])


def setup(app: Sphinx) -> dict[str, bool]:
    register_plugin("pybtex.style.formatting", "lettered", Lettered)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
