"""Impact: what an order's size costs where there is no book, as a formula over the pool's open interest."""

from __future__ import annotations

from dataclasses import dataclass

from perpkit._checks import not_negative, positive, typed
from perpkit._compile import compiled

NO_IMPACT, SKEW, IMBALANCE = 0, 1, 2


@dataclass(frozen=True)
class Impact:
    """Build one with :func:`no_impact`, :func:`skew_impact` or :func:`imbalance_impact`. Amounts in USD."""

    kind: int = NO_IMPACT
    scale: float = 1.0
    worsen: float = 0.0
    improve: float = 0.0
    power_worsen: float = 2.0
    power_improve: float = 2.0
    most_paid: float = 1.0
    most_got: float = 1.0

    def __post_init__(self) -> None:
        typed(self)
        if self.kind not in (NO_IMPACT, SKEW, IMBALANCE):
            raise ValueError(f"kind is impact.NO_IMPACT, impact.SKEW or impact.IMBALANCE; got {self.kind!r}")
        positive("scale", self.scale, "USD of skew")
        for name in ("worsen", "improve", "power_worsen", "power_improve", "most_paid", "most_got"):
            not_negative(name, getattr(self, name), "part of the impact formula")
        if self.improve > self.worsen or self.power_improve > self.power_worsen:
            raise ValueError(
                f"improving the balance must not pay more than worsening it costs: improve {self.improve!r} against worsen {self.worsen!r}, "
                f"powers {self.power_improve!r} and {self.power_worsen!r}; lower the former"
            )


def no_impact() -> Impact:
    """Any size fills at the oracle's bid or ask (GMX v1, Ostium, stocks on gTrade)."""
    return Impact()


def skew_impact(scale: float) -> Impact:
    """Fill at ``P (1 + (2 K + n) / (2 Q))``, K the traders' net position, n the signed order, Q the ``scale``, all in USD (Synthetix v3)."""
    return Impact(SKEW, scale=scale)


def imbalance_impact(
    worsen: float, improve: float, power: float = 2.0, power_improve: float | None = None, most_paid: float = 0.005, most_got: float = 0.004
) -> Impact:
    """A charge of ``f |D0^e - D1^e|`` USD on the move of the imbalance D from D0 to D1, paid back where D falls (GMX v2).

    Parameters
    ----------
    worsen, improve : factor f where the order makes D larger or smaller; USD in, USD out.
    power, power_improve : exponent e of each; the same by default.
    most_paid, most_got : caps, as shares of the order.
    """
    return Impact(
        IMBALANCE,
        worsen=worsen,
        improve=improve,
        power_worsen=power,
        power_improve=power if power_improve is None else power_improve,
        most_paid=most_paid,
        most_got=most_got,
    )


@compiled
def closing_cost(
    kind: float, scale: float, worsen: float, improve: float, power_worsen: float, power_improve: float, most_paid: float, most_got: float,
    longs: float, shorts: float, sign: float, notional: float,
) -> float:  # fmt: skip
    """Cost of closing ``notional`` of the side of ``sign``, as a share of it; negative where the trader is paid. ``longs`` and ``shorts`` are
    the open interest before. All USD."""
    if kind == NO_IMPACT or notional <= 0.0:
        return 0.0
    skew = longs - shorts
    after = skew - sign * notional
    if kind == SKEW:
        return -sign * (skew + after) / (2.0 * scale)
    d0, d1 = abs(skew), abs(after)
    if skew * after < 0.0:  # the other side becomes the larger
        gain = improve * d0**power_improve - worsen * d1**power_worsen
    elif d1 < d0:
        gain = improve * (d0**power_improve - d1**power_improve)
    else:
        gain = -worsen * (d1**power_worsen - d0**power_worsen)
    return -min(max(gain / notional, -most_paid), most_got)
