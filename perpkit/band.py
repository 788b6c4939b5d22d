"""Band: how far the mark may stand from the last reference while there is none."""

from __future__ import annotations

from dataclasses import dataclass

from perpkit._checks import is_whole, share, typed
from perpkit._compile import compiled


@dataclass(frozen=True)
class Band:
    """Mark within ``width`` of an anchor that may move. Build one with :func:`no_band`, :func:`static_band`, :func:`ratchet` or
    :func:`oracle_band`.

    The anchor is the last external price. It moves to the edge once the *oracle* has covered the share ``trigger`` of the way, at most
    ``resets`` times up and as many down, and starts afresh when the reference reopens. With ``follows`` the anchor is the oracle itself.
    """

    width: float
    trigger: float = 0.9
    resets: int = 0
    follows: bool = False

    def __post_init__(self) -> None:
        typed(self)
        if not self.width > 0.0 or 1.0 <= self.width < float("inf"):
            raise ValueError(f"width is a fraction of the anchor, in (0, 1), or infinity for no band; got {self.width!r}")
        share("trigger", self.trigger, "the share of the way to the edge that moves the anchor")
        if self.trigger == 0.0:
            raise ValueError("trigger of 0 would move the anchor at once; give a share above 0")
        if not (is_whole(self.resets) and self.resets >= 0):
            raise ValueError(f"resets counts moves of the anchor a side, 0 or more; got {self.resets!r}")


def no_band() -> Band:
    """The mark may go anywhere."""
    return Band(float("inf"))


def static_band(width: float) -> Band:
    """Fixed limits around the last external price.

    trade.xyz discovery bounds v1 (to 2026-03) and edgeX: one over the market's leverage; Lighter: 0.75 over it (RWA pricing page, 2026-04).
    """
    return Band(width)


def oracle_band(width: float) -> Band:
    """Limits around the oracle, wherever it goes: they bound the mark's lead over the index and not the mark.

    Binance: 3 % at weekends and holidays (support page, 2026-08); Bitget: 3 % (2025-12), 5 % (third party, 2026-09). Here while closed only.
    """
    return Band(width, follows=True)


def ratchet(width: float, trigger: float = 0.9, resets: int = 2) -> Band:
    """Limits that re-anchor (trade.xyz discovery bounds v2, from 2026-03-13)."""
    return Band(width, trigger, resets)


@compiled
def anchor_after(
    anchor: float, ups: float, downs: float, oracle: float, width: float, trigger: float, resets: float
) -> tuple[float, float, float]:
    """Anchor of the band (USD) and its two counters, after the oracle's latest value."""
    if ups < resets and oracle >= anchor * (1.0 + width * trigger):
        return anchor * (1.0 + width), ups + 1.0, downs
    if downs < resets and oracle <= anchor * (1.0 - width * trigger):
        return anchor * (1.0 - width), ups, downs + 1.0
    return anchor, ups, downs


@compiled
def within(price: float, anchor: float, width: float) -> float:
    """``price`` moved inside the band, USD."""
    return min(max(price, anchor * (1.0 - width)), anchor * (1.0 + width))
