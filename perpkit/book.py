"""Book: the traded price, what an order does to it, and how it forgets.

The log price is an anchor that follows what informed flow knows (slowly while the hedge is asleep, at once when the reference prints), plus
the transient impact of forced orders (Obizhaeva and Wang 2013, constant refill rate): an order moves the price by notional over depth; a
share of that joins the anchor and fades only as informed flow corrects it, the rest decays at the refill rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perpkit._checks import not_negative, positive, share, typed
from perpkit._compile import compiled
from perpkit.liquidity import Liquidity


@dataclass(frozen=True)
class Book:
    """Liquidity and informed flow, open and closed.

    The defaults are a plain book to experiment with: without noise and, closed, less than a quarter as deep as that of the base case,
    ``base.book()``, on which every machine of :func:`perpkit.venues.venue` stands.

    Parameters
    ----------
    depth_open, depth_closed : USD of notional that moves the price by one log unit.
    refill_open, refill_closed : decay rate of impact, per hour (ln 2 over the half-life).
    permanent : share of impact that moves the anchor, 0 to 1.
    half_spread_open, half_spread_closed : half the quoted spread, log units.
    follow_closed : speed at which the anchor follows the value nobody prints, per hour; infinity pins it.
    follow_open : speed at which a premium over the printed value fades, per hour; the value itself is followed at once.
    limit : largest distance, log units, that forced orders can push the price; there somebody takes any size. Without it a thin book of USD
        depth lets a short
        squeeze run to infinity. The default is half or double the undisturbed price.
    noise_open, noise_closed : noise of the anchor, log units per square root of an hour.
    carry : if true the anchor follows, while the reference is closed, the price that leaves a buyer no profit after expected funding
        (``arbitrage.py``), and not the value itself. ``follow_closed`` is then how aggressively flow corrects the price.
    capacity : USD that this flow holds for each unit of log return it expects; infinity for deep pockets. Needs ``carry``.
    expects : standard deviation of the news this flow still expects over a whole closure, log units. It matters only where funding has
        corners (clamp, dead zone). Needs ``carry``.
    closed : depth, spread and refill by the hours left until the reference prints; replaces ``depth_closed``, ``half_spread_closed`` and
        ``refill_closed``, which hold throughout when it is None.

    Raises
    ------
    ValueError
        If a depth or capacity is not positive, a rate, spread or noise is negative, ``permanent`` lies outside [0, 1], or ``capacity`` or
        ``expects`` is given without ``carry``.
    """

    depth_open: float = 69e6
    depth_closed: float = 8e6
    refill_open: float = 8.3
    refill_closed: float = 0.7
    permanent: float = 0.0
    half_spread_open: float = 0.0002
    half_spread_closed: float = 0.0005
    follow_open: float = 0.25
    follow_closed: float = 0.1
    noise_open: float = 0.0
    noise_closed: float = 0.0
    limit: float = math.log(2.0)
    carry: bool = False
    capacity: float = math.inf
    expects: float = 0.0
    closed: Liquidity | None = None

    def __post_init__(self) -> None:
        typed(self)
        for name in ("depth_open", "depth_closed"):
            value = getattr(self, name)
            if not value > 0.0:
                raise ValueError(f"{name} is USD per unit log return, above 0 (infinity for no impact); got {value!r}")
        for name in ("refill_open", "refill_closed", "follow_open", "follow_closed"):
            value = getattr(self, name)
            if not value >= 0.0:
                raise ValueError(f"{name} is a rate per hour, 0 or more; got {value!r}")
        if not self.capacity > 0.0:
            raise ValueError(f"capacity is USD per unit log return expected, above 0 (infinity for deep pockets); got {self.capacity!r}")
        for name, none in (("capacity", math.inf), ("expects", 0.0)):
            if getattr(self, name) != none and not self.carry:
                raise ValueError(f"{name} belongs to flow that weighs funding; give carry=True with it, or leave it at {none!r}; got {getattr(self, name)!r}")
        if math.isinf(self.depth_closed) and self.closed is None and math.isfinite(self.capacity):
            raise ValueError(f"limited capacity needs a book it moves, a finite depth_closed; got {self.depth_closed!r} with capacity {self.capacity!r}")
        for name in ("half_spread_open", "half_spread_closed", "noise_open", "noise_closed", "expects"):
            not_negative(name, getattr(self, name), "a log price")
        share("permanent", self.permanent, "the share of impact that stays")
        positive("limit", self.limit, "the largest push of the log price")

    def closed_at(self, hours_left: float) -> tuple[float, float, float]:
        """Depth (USD per log unit), half spread (log units) and refill (per hour) while closed, ``hours_left`` hours before the reopening."""
        if self.closed is None:
            return self.depth_closed, self.half_spread_closed, self.refill_closed
        depth, half_spread, refill = self.closed.at(hours_left)
        return float(depth), float(half_spread), float(refill)


@compiled
def push(notional: float, depth: float, room: float) -> tuple[float, float]:
    """Log move of the price when ``notional`` USD meets ``depth`` USD per unit log return, and the average of the move over the order.

    Linear until the price has moved by ``room``; from there any size is taken. The average is half the move on the linear part.
    """
    move = notional / depth
    room = max(room, 0.0)
    if move <= room:
        return move, 0.5 * move
    return room, room - 0.5 * room * room / move


@compiled
def anchor_path(values, closed_steps, keep_closed, noise_closed, keep_open, noise_open, normals, out) -> None:
    """Log anchor at the end of each step into ``out``, shape (steps,), as it moves when nobody is forced to trade.

    Closed, an exact Ornstein-Uhlenbeck step towards the value: what is left of the distance is ``keep``, the noise has standard deviation
    ``noise``. Once the reference prints, makers reprice with it: the first print closes the distance, and only the premium that noise adds
    from then on fades.
    """
    a = 0.0
    for s in range(closed_steps):
        a = keep_closed * a + ((1.0 - keep_closed) * values[s] + noise_closed * normals[s, 1])
        out[s] = a
    premium = 0.0
    for s in range(closed_steps, len(out)):
        premium = premium * keep_open + noise_open * normals[s, 1]
        out[s] = values[s] + premium


def sweep(prices: Sequence[float], sizes: Sequence[float], quantity: float) -> tuple[float, list[float]]:
    """Average price of taking ``quantity`` from a ladder of resting orders, and what is left of each.

    Orders are consumed in the order given, so a ladder sorted by price and then by time respects price-time priority. Used to turn a
    real book into an impact price.

    Parameters
    ----------
    prices, sizes : the resting orders, best first; USD and share equivalents.
    quantity : share equivalents to take.

    Raises
    ------
    ValueError
        If the ladder is empty, uneven, holds a price or size that is not positive, or is smaller than ``quantity``.
    """
    if len(prices) != len(sizes) or not len(prices):
        raise ValueError(f"a ladder needs as many sizes as prices, at least one; got {len(prices)} prices and {len(sizes)} sizes")
    if min(prices) <= 0 or min(sizes) <= 0:
        raise ValueError(f"prices and sizes are above 0; got prices {list(prices)!r} and sizes {list(sizes)!r}")
    positive("quantity", quantity, "the size of the order")
    left, paid, rest = float(quantity), 0.0, []
    for price, size in zip(prices, sizes, strict=True):
        taken = min(left, size)
        paid += taken * price
        left -= taken
        rest.append(size - taken)
    if left > 0:
        raise ValueError(f"the ladder holds {sum(sizes)!r} and cannot fill {quantity!r}; pass a deeper ladder or a smaller quantity")
    return paid / quantity, rest
