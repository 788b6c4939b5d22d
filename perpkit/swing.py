"""Swing: how much what is not known about a venue matters.

Every assumption of a rulebook names what might be there instead. Each alternative is run alone, everything else as it stands, on the same
weekends. A swing says what an assumption does within the alternatives that were thought of, and nothing of two assumptions together.
"""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import xarray as xr

from perpkit import _rulebook, _words
from perpkit._rulebook import ASSUMED, Values
from perpkit.clock import Closure
from perpkit.ensemble import GapLaw, ensemble
from perpkit.estimate import estimate
from perpkit.venues import build, clock_of, populations, rulebook

STANDS = "as it stands"


def swing(
    name: str,
    market: str = "TSLA",
    asof: str | datetime.date | None = None,
    gaps: GapLaw | np.ndarray = (-0.128, 0.113),
    n: int = 32,
    rng: int = 1,
    accounts: int = 2_000,
    outcome: str = "shortfall",
) -> pd.DataFrame:
    """What each alternative to each assumption of a venue's rules does to an outcome, one at a time.

    Parameters
    ----------
    name, market, asof : as for :func:`perpkit.venues.venue`.
    gaps, n, rng : weekends, as for :func:`perpkit.ensemble`; by default a fall and a rise of 12 %, 16 times each.
    accounts : size of the population, drawn at the leverage cap of each alternative.
    outcome : what is compared, a share of open interest.

    Returns
    -------
    DataFrame, one row an alternative: ``rule``, ``what`` (in words), ``value`` (assumed), ``instead`` (in words), ``stands`` (the outcome
    with the assumption), ``change`` (with the alternative, less that), ``se`` of the change.

    Raises
    ------
    ValueError
        As :func:`perpkit.venues.venue`, and if an alternative gives no machine.
    """
    table = rulebook(name, market, asof)
    values = _rulebook.values(name, market, asof)
    closure = clock_of(values)
    units = _rulebook.units() | {rule: unit for rule, unit in table["unit"].items() if unit}

    def run(machines: dict, over: Closure):
        return ensemble(machines, populations(machines, accounts, rng), over, gaps, n=n, rng=rng, outcomes=[outcome])[outcome]

    rows, machines, others = [], {STANDS: build(name, market, values)}, {}
    for rule, row in table[(table["grade"] == ASSUMED) & (table.index != "from")].iterrows():
        for other in row["instead"]:
            label = f"{rule} {len(rows)}"
            changed = other if isinstance(other, dict) else {rule: other}
            new = Values(f"{values.where}, {label}", values | changed)
            machine, over = build(name, market, new), clock_of(new)
            if over == closure:
                machines[label] = machine
            else:
                others[label] = machine, over
            rows.append((rule, row["what"], row["value"], _words.instead(rule, other, units), label))
    together = run(machines, closure)
    stands = together.sel(machine=STANDS)
    done = []
    for rule, what, value, instead, label in rows:
        if label in machines:
            change, se = _mean(together.sel(machine=label) - stands)
        else:
            machine, over = others[label]
            alone = run({STANDS: machine}, over).isel(machine=0)
            (new, of_new), (old, of_old) = _mean(alone), _mean(stands)
            change, se = new - old, float(np.hypot(of_new, of_old))  # other steps, so other shocks
        done.append((rule, what, value, instead, float(stands.mean()), change, se))
    return pd.DataFrame(done, columns=["rule", "what", "value", "instead", "stands", "change", "se"])


def _mean(x: xr.DataArray) -> tuple[float, float]:
    """Mean and standard error. A few given gaps run many times each are strata: what is left is the error of the runs."""
    distinct = np.unique(x["gap"].values)
    if 2 * len(distinct) > x.size:
        of_law = estimate(x)
        return of_law.value, of_law.se
    groups = [x.values[x["gap"].values == gap] for gap in distinct]
    weights = np.array([len(g) for g in groups]) / x.size
    return float(x.mean()), float(np.sqrt(sum(w**2 * g.var(ddof=1) / len(g) for w, g in zip(weights, groups, strict=True))))
