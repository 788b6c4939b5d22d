"""Reads the pages of a built site and finds what is broken in them. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "object": "data", "video": "src", "audio": "src"}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest", "preconnect", "dns-prefetch"}
COMPUTED_IMAGE = re.compile(r"[0-9a-f]{64}\.(svg|png)")
CSS_ADDRESS = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""")


@dataclass
class Figure:
    """One ``<figure>``: its images as (address, alternative text), and its caption."""

    images: list[tuple[str, str]] = field(default_factory=list)
    caption: str = ""


class Page(HTMLParser):
    """One page: ids, links, what it fetches, its figures and tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.double_ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[tuple[str, str]] = []
        self.images_without_alt: list[str] = []
        self.loose_images: list[str] = []
        self.figures: dict[str, Figure] = {}
        self.tables: dict[str, str] = {}
        self._figures: list[Figure] = []
        self._table: list[str] = []
        self._caption: str | None = None
        self._article = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if "id" in a:
            (self.double_ids.append if a["id"] in self.ids else self.ids.add)(a["id"])
        if tag == "a" and "name" in a:
            self.ids.add(a["name"])
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        elif tag == "link" and FETCHED_LINKS & set(a.get("rel", "").lower().split()):
            self.fetched.append((tag, a.get("href", "")))
        elif tag in FETCHED and a.get(FETCHED[tag]):
            self.fetched.append((tag, a[FETCHED[tag]]))
        if tag == "article":
            self._article += 1
        elif tag == "figure":
            self._figures.append(Figure())
            self.figures[a.get("id", "")] = self._figures[-1]
        elif tag == "table":
            self._table.append(a.get("id", ""))
        elif tag in ("figcaption", "caption"):
            self._caption = ""
        elif tag == "img":
            self._image(a)

    def _image(self, a: dict[str, str]) -> None:
        src, alt = a.get("src", ""), a.get("alt", "").strip()
        if not alt or alt.endswith(Path(src).name):  # Sphinx falls back to the address
            self.images_without_alt.append(src)
        if self._figures:
            self._figures[-1].images.append((src, alt))
        elif self._article:
            self.loose_images.append(src)

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._article -= 1
        elif tag == "figure" and self._figures:
            self._figures.pop()
        elif tag == "table" and self._table:
            self._table.pop()
        elif tag == "figcaption" and self._figures:
            self._figures[-1].caption, self._caption = self._caption or "", None
        elif tag == "caption" and self._table:
            self.tables[self._table[-1]], self._caption = self._caption or "", None

    def handle_data(self, data: str) -> None:
        if self._caption is not None:
            self._caption += data


def read_site(html: Path) -> dict[str, Page]:
    """Every page of a built site by its path, the theme's own files left out."""
    paths = sorted(p for p in html.rglob("*.html") if "_static" not in p.relative_to(html).parts)
    return {p.relative_to(html).as_posix(): Page(p.read_text("utf-8")) for p in paths}


def site_problems(html: Path, site: dict[str, Page]) -> list[str]:
    """Broken local links, ids used twice, images without words, files drawn elsewhere, and anything fetched from a network."""
    found = [] if site else [f"{html} has no page"]
    for name, page in site.items():
        found += [f"{name}: {p}" for p in _page_problems(html, site, name, page)]
    for sheet in sorted(html.rglob("*.css")):
        found += [f"{sheet.relative_to(html)}: fetches {u}" for u in CSS_ADDRESS.findall(sheet.read_text("utf-8", "replace"))]
    return found


def _page_problems(html: Path, site: dict[str, Page], name: str, page: Page) -> Iterator[str]:
    for tag, address in page.fetched:
        if urlsplit(address).netloc:
            yield f"<{tag}> fetches {address}"
    for address in page.links + [a for _, a in page.fetched]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (html / name).parent / unquote(parts.path) if parts.path else html / name
        if not target.exists():
            yield f"broken link {address}"
            continue
        there = site.get(target.resolve().relative_to(html.resolve()).as_posix()) if target.resolve().is_relative_to(html.resolve()) else None
        if parts.fragment and there is not None and unquote(parts.fragment) not in there.ids:
            yield f"broken anchor {address}"
    yield from (f"the id {i!r} is used twice" for i in sorted(set(page.double_ids)))
    yield from (f"the image {src} has no alt text" for src in page.images_without_alt)
    for figure in page.figures.values():
        for src, _ in figure.images:
            if "_images/" in src and not COMPUTED_IMAGE.fullmatch(Path(src).name):
                yield f"the image {src} is a file drawn elsewhere; figures are drawn by code cells"
