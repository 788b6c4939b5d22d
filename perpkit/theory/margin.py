"""Prices at which an isolated position is liquidated and bankrupt, and how much of it must go.

Equity of a position of one share is ``entry / leverage + side (mark - entry) - side funding``; it is liquidated when equity falls below
``maintenance * mark``. Prices in USD, leverage at the entry price, maintenance as a share of notional at the mark.
"""

from __future__ import annotations

import numpy as np

from perpkit.theory._check import checked, finite, inside, not_negative, plain, positive, sign_of


def _maintenance(value) -> np.ndarray:
    return checked("maintenance", value, lambda x: (x >= 0) & (x < 1), "is a share of notional, in [0, 1)")


def bankruptcy_price(entry, leverage, side: str = "long", funding=0.0):
    """Mark at which equity is zero, USD; ``funding`` is USD a share a long has paid (a short received) since entry. Never below 0."""
    sign = sign_of(side)
    start = positive("entry", entry, "the entry price in USD")
    geared = positive("leverage", leverage, "notional over collateral at entry")
    return plain(np.maximum(0.0, start * (1.0 - sign / geared) + finite("funding", funding, "USD a share")))


def liquidation_price(entry, leverage, maintenance, side: str = "long", funding=0.0):
    """Mark at which equity equals maintenance, USD: bankruptcy price over ``1 - maintenance`` for a long, ``1 + maintenance`` for a
    short."""
    zero = np.asarray(bankruptcy_price(entry, leverage, side, funding))
    return plain(zero / (1.0 - sign_of(side) * _maintenance(maintenance)))


def zero_price(mark, maintenance, equity, requirement, side: str = "long"):
    """Price at which selling any part of a position leaves equity over maintenance as it was, USD.

    ``mark (1 - side maintenance equity / requirement)`` with the position's rate ``maintenance``, the account's ``equity`` and its whole
    maintenance ``requirement`` in USD (Lighter, liquidations page, read 2026-10). A trade of d shares there changes equity by
    ``side d (price - mark)`` and the requirement by ``-maintenance mark d``, in the proportion of the two. With one position the
    requirement is ``maintenance * mark * size``, and the zero price its bankruptcy price.
    """
    needed = positive("requirement", requirement, "the maintenance requirement in USD")
    ratio = finite("equity", equity, "USD") / needed
    return plain(positive("mark", mark, "the mark in USD") * (1.0 - sign_of(side) * _maintenance(maintenance) * ratio))


def protected_leverage(bound, maintenance, side: str = "long"):
    """Largest leverage at entry that cannot be liquidated while the mark stays within ``bound`` of the entry price.

    A long is safe iff ``leverage < 1 / (1 - (1 - b)(1 - m))``, a short iff ``leverage < 1 / ((1 + b)(1 + m) - 1)``. ``bound`` is the
    furthest adverse move of the mark as a share of the entry (for a ratchet, its whole range); funding is left out. Derived here.
    """
    sign = sign_of(side)
    width = inside("bound", bound, "the furthest adverse move of the mark, a share")
    return plain(1.0 / (sign * (1.0 - (1.0 - sign * width) * (1.0 - sign * _maintenance(maintenance)))))


def partial_liquidation(size, price, equity, maintenance, impact=0.0, mark_share=0.0):
    """Shares to close, at impact cost, so that the rest meets maintenance: one position, numbers only.

    Closing ``d`` shares moves the book by ``impact * d`` USD and costs ``impact * d^2 / 2``. What is left must satisfy
    ``equity - impact d^2 / 2 - s impact d (size - d) >= maintenance (price - s impact d)(size - d)`` for a long, where ``s = mark_share``
    is the part of the book's move that the mark follows; a short is the mirror with the mark moving up. With s = 0 this is the root of
    ``(impact / 2) d^2 - maintenance price d + (maintenance price size - equity) = 0`` (Chitra, arXiv:2512.01112).

    Parameters
    ----------
    size
        Shares held, positive for a long, negative for a short.
    price
        Mark in USD.
    equity
        Equity of the position in USD.
    maintenance
        Share of notional, in (0, 1).
    impact
        USD of price move a share closed.
    mark_share
        Share of that move the mark follows, in [0, 1].

    Returns
    -------
    float
        Shares to close: 0 if maintenance is met, all of them if no part restores it.
    """
    held = float(finite("size", size, "shares, positive for a long"))
    mark = float(positive("price", price, "the mark in USD"))
    worth = float(finite("equity", equity, "USD"))
    rate = float(inside("maintenance", maintenance, "a share of notional"))
    slope = float(not_negative("impact", impact, "USD a share closed"))
    follow = float(checked("mark_share", mark_share, lambda x: (x >= 0) & (x <= 1), "is the share of impact the mark follows, in [0, 1]"))
    sign, quantity = (1.0 if held > 0 else -1.0), abs(held)
    lacking = rate * mark * quantity - worth
    if quantity == 0 or lacking <= 0:
        return 0.0
    # Lacking margin a d^2 + b d + c; a short's mark rises, so its maintenance grows where a long's shrinks.
    echo = follow * slope * (1.0 - sign * rate)
    a, b = 0.5 * slope - echo, echo * quantity - rate * mark
    inside_root = b * b - 4.0 * a * lacking
    below = -b + np.sqrt(max(inside_root, 0.0))
    # This form of the first root keeps its digits as the impact goes to zero.
    if inside_root < 0 or below <= 0:
        return quantity
    return min(quantity, float(2.0 * lacking / below))
