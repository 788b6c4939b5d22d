"""Typography that no author should have to remember: what belongs together stays on one line, and is written one way on every page.

Applied to the words of a page once they all stand there, pasted results included; code and formulas are left alone.

- ``5%`` and ``5 %`` become ``5 %`` with a space that does not break, in alternative texts of images too;
- a number is not parted from its unit, nor a value from its error;
- a date such as 2025-12-19 does not break at its hyphens;
- the header of a table's column begins with a capital letter, unless it begins with a symbol or a name.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

UNITS = ("bp", "h", "s", "ms", "min", "USD", "USDC", "MB", "GB", "kB")
SYMBOLS = {"bp", "df", "elpd", "se"}
APART = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw, nodes.comment, addnodes.desc_signature)
RULES = (
    (re.compile(r"(?<=\d)[ \n\u00a0]?%(?!\w)"), "\u00a0%"),
    (re.compile(rf"(?<=\d)[ \n](?=(?:{'|'.join(UNITS)})(?![\w-]))"), "\u00a0"),
    (re.compile(r"(?<=\d)[ \n]±[ \n](?=\d)"), "\u00a0±\u00a0"),
    (re.compile(r"(?<![\w./:-])((?:19|20)\d\d)-([01]\d)(?:-([0-3]\d))?(?![\w/-])"), lambda m: "\u2011".join(filter(None, m.groups()))),
)


def kept_together(text: str, before: str = "") -> str:
    """``text`` as it is set after ``before``."""
    start = before[-1:]
    text = start + text
    for pattern, new in RULES:
        text = pattern.sub(new, text)
    return text[len(start) :]


def capitalised(header: str) -> str:
    """A header with a capital letter if it begins with an ordinary word."""
    word = re.match(r"a(?= )|[a-z]{2,}(?:[’\'-][a-z]+)*(?=$|[\s,;:(])", header)
    return header if word is None or word[0] in SYMBOLS else header[0].upper() + header[1:]


def block(node: nodes.Node) -> nodes.Node:
    """The paragraph, title or cell that a text stands in."""
    node = node.parent
    while isinstance(node, (nodes.Inline, nodes.Text)):
        node = node.parent
    return node


def set_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Apply the rules to one page."""
    if app.builder.format != "html":
        return
    for head in doctree.findall(nodes.thead):
        for cell in head.findall(nodes.entry):
            first = next(iter(cell.findall(nodes.Text)), None)
            if first is not None and not within(first):
                first.parent.replace(first, nodes.Text(capitalised(first.astext())))
    last, place = "", None
    for text in list(doctree.findall(nodes.Text)):
        here, words = block(text), text.astext()
        if not within(text) and "://" not in words:
            new = kept_together(words, last if here is place else "")
            if new != words:
                text.parent.replace(text, nodes.Text(new))
        last, place = words, here
    for image in doctree.findall(nodes.image):
        if image.get("alt"):
            image["alt"] = kept_together(image["alt"])


def within(text: nodes.Text) -> bool:
    """Whether a text is code or a formula."""
    node = text.parent
    while node is not None:
        if isinstance(node, APART):
            return True
        node = node.parent
    return False


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", set_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
