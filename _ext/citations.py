"""The list of references in plain style, with letters after the years of works that a citation by author and year could not tell apart."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence

from pybtex.database import BibliographyData, Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from pybtex.style import FormattedEntry
from sphinx.application import Sphinx


class Lettered(Style):
    """Plain style, years such as 2026a and 2026b where authors and year are the same."""

    def format_entries(self, entries: Sequence[Entry], bib_data: BibliographyData | None = None) -> Iterator[FormattedEntry]:
        alike: dict[tuple, list[Entry]] = {}
        for entry in self.sort(entries):
            entry.fields["year"] = entry.fields.get("year", "").rstrip(string.ascii_lowercase)  # a second build may find the letters of the first
            entry.fields["title"] = entry.fields.get("title", "").replace("\\$", "$")  # which pybtex leaves as it stands
            if entry.fields["year"]:
                alike.setdefault((named(entry), entry.fields["year"]), []).append(entry)
        for same in alike.values():
            for letter, entry in zip(string.ascii_lowercase, same if len(same) > 1 else (), strict=False):
                entry.fields["year"] += letter
        yield from super().format_entries(entries, bib_data)


def named(entry: Entry) -> tuple[str, ...]:
    """What a citation shows of the authors: one or two surnames, or the first of more."""
    persons = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [" ".join(p.prelast_names + p.last_names) for p in persons]
    return (names[0], "and others") if len(names) > 2 else tuple(names or [entry.fields["title"]])


def setup(app: Sphinx) -> dict[str, bool]:
    register_plugin("pybtex.style.formatting", "lettered", Lettered)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
