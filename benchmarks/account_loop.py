"""The same weekends with every account visited at every step.

The design of the nearest public simulator, dex-sim (github.com/pedroargento/dex-sim, read 2026-10): arrays of accounts, paths compiled by Numba,
and at every step one equity computed for each account. Written from that description; no line is theirs. It has the rules of this venue and not of
theirs, so that both sides of the comparison do the same work but for the search.

Left out, as in ``numpy_twin.py``: partial liquidation, backstop, ADL, other marks than the median, the arbitrage-free anchor. Also left out: the
phantom measures, which would need a second equity for each account.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy_twin import refuse
from paces import Pace, paces

from perpkit import value
from perpkit._compile import compiled
from perpkit.accounts import Accounts
from perpkit.band import anchor_after, within
from perpkit.clock import Closure
from perpkit.engine import Shocks
from perpkit.funding import PREMIA, hourly_rate, premium
from perpkit.machine import Machine
from perpkit.mark import median_of_three, middle
from perpkit.oracle import impact_difference, step_towards

OUTCOMES = ("insurance", "socialised", "shortfall", "premature", "liquidated_closed", "liquidated_open", "dislocation", "funding_closed")
FORGOTTEN = 1e-15


class Rules(NamedTuple):
    """Scalars of one machine."""

    price: float
    maintenance: float
    fee: float
    permanent: float
    limit: float
    band_width: float
    band_trigger: float
    band_resets: float
    premium: int
    interest_8h: float
    clamp_8h: float
    multiplier: float
    cap_per_hour: float
    when_closed: bool
    fund: float


def prepare(machine: Machine, accounts: Accounts, closure: Closure) -> tuple:
    """What :func:`weekends` needs besides the shocks; raises ``ValueError`` if the machine has a rule left out here."""
    refuse(machine)
    book, band, funding = machine.book, machine.band, machine.funding
    rules = Rules(
        float(accounts.price), float(machine.margin.maintenance), float(machine.liquidation.fee), float(book.permanent), float(book.limit),
        float(band.width), float(band.trigger), float(band.resets), PREMIA[funding.premium], float(funding.interest_8h), float(funding.clamp_8h),
        float(funding.multiplier), float(funding.cap_per_hour), bool(funding.when_closed), float(machine.insurance * accounts.open_interest),
    )  # fmt: skip
    pull, noise = value.bridge(closure.value, closure.closed_steps)
    open_noise = closure.value.open_vol * math.sqrt(closure.update_s / 3600.0)
    steps = (pull, noise, open_noise, closure.updates, round(3600.0 / closure.update_s), closure.closed_steps)
    people = tuple(np.array(x) for x in (accounts.side, accounts.size, accounts.entry, accounts.collateral))
    return rules, paces(machine, closure), steps, people


def run(prepared: tuple, shocks: Shocks) -> np.ndarray:
    """Run the weekends of ``shocks``; shape (weekends, len(OUTCOMES)), USD and shares (see :func:`in_units`)."""
    out = np.zeros((len(shocks.gaps), len(OUTCOMES)))
    weekends(*prepared, *shocks[:4], out)
    return out


def in_units(out: np.ndarray, accounts: Accounts) -> dict[str, np.ndarray]:
    """Outcomes by name, in the engine's units."""
    scale = np.full(len(OUTCOMES), 1.0 / accounts.open_interest)
    scale[3:6] *= accounts.price
    scale[6], scale[7] = 1.0, 1.0 / accounts.price
    return dict(zip(OUTCOMES, (out * scale).T, strict=True))


@compiled
def weekends(rules: Rules, rows: tuple[Pace, Pace, Pace], steps, people, gaps, news, news_at, normals, out) -> None:
    """Run weekends one after another."""
    pull, bridge_noise, open_noise, updates, updates_an_hour, n_closed = steps
    side, size, entry, collateral = people
    items = news_at.shape[1]
    alive = np.empty(len(side), dtype=np.bool_)
    condemned = np.empty(len(side), dtype=np.int64)
    for w in range(len(gaps)):
        alive[:] = True
        tally = np.zeros(10)  # OUTCOMES, then impact and shift of the book
        oracle = mark = anchor = traded = rules.price
        basis = funding = premium_sum = ups = downs = smooth = jumps = v = a = above = 0.0
        reopen = rules.price * math.exp(gaps[w])
        arrived, hot = 0, False
        for s in range(normals.shape[1]):
            closed = s < n_closed
            v_before, a_before = v, a
            if closed:
                smooth += pull[s] * (gaps[w] - news[w] - smooth) + bridge_noise[s] * normals[w, s, 0]
                while arrived < items and news_at[w, arrived] == s:
                    jumps += news[w] / items
                    arrived += 1
                v = smooth + jumps
                a = v + (a - v) * rows[0].keep_anchor + rows[0].noise * normals[w, s, 1]
            else:
                v += open_noise * normals[w, s, 0]
                above = above * rows[2].keep_anchor + rows[2].noise * normals[w, s, 1]
                a = v + above
            row = rows[1] if closed and hot else (rows[0] if closed else rows[2])
            count = updates if closed and hot else 1
            hot = False
            for k in range(count):
                part = (k + 1.0) / count
                v_now = v if k + 1 == count else v_before + (v - v_before) * part
                a_now = a if k + 1 == count else a_before + (a - a_before) * part
                # The book, the oracle, the premium, the mark.
                tally[8], tally[9] = _fade(tally[8], row.keep_impact), _fade(tally[9], row.keep_anchor)
                log_price = a_now + (tally[8] + tally[9])
                traded = rules.price * math.exp(log_price)
                impact_bid, impact_ask = traded * row.impact_bid, traded * row.impact_ask
                if closed:
                    target = oracle + row.oracle_gain * impact_difference(oracle, impact_bid, impact_ask)
                else:
                    target = rules.price * math.exp(v_now)
                oracle = step_towards(oracle, target, row.oracle_down, row.oracle_up)
                premium_sum += premium(rules.premium, oracle, impact_bid, impact_ask) * row.hours
                tally[6] = max(tally[6], abs(log_price - v_now))
                basis += row.basis_gain * (traded - oracle - basis)
                wanted = median_of_three(oracle, basis, middle(traded * row.bid, traded * row.ask, traded))
                mark = step_towards(mark, wanted, row.mark_down, row.mark_up)
                if closed:
                    anchor, ups, downs = anchor_after(anchor, ups, downs, oracle, rules.band_width, rules.band_trigger, rules.band_resets)
                    mark = within(mark, anchor, rules.band_width)
                # The accounts, all of them.
                found = below(alive, side, size, entry, collateral, mark, funding, rules.maintenance, condemned)
                if found > 0:
                    hot = True
                    for sign in (1.0, -1.0):
                        traded = _sell(
                            sign, found, condemned, alive, side, size, entry, collateral, traded, funding, row, rules, closed, reopen, tally
                        )
                    tally[6] = max(tally[6], abs(math.log(traded / rules.price) - v_now))
            done = (s + 1) * updates if closed else n_closed * updates + s - n_closed + 1
            if done % updates_an_hour == 0:
                if rules.when_closed or not closed:
                    rate = hourly_rate(premium_sum, rules.interest_8h, rules.clamp_8h, rules.multiplier, rules.cap_per_hour)
                    funding += rate * oracle
                    if closed:
                        tally[7] += abs(rate) * oracle
                premium_sum = 0.0
        found = below(alive, side, size, entry, collateral, rules.price * math.exp(v), funding, 0.0, condemned)
        for sign in (1.0, -1.0):
            traded = _sell(sign, found, condemned, alive, side, size, entry, collateral, traded, funding, rows[2], rules, False, reopen, tally)
        out[w, :] = tally[:8]


@compiled
def _fade(left: float, keep: float) -> float:
    left *= keep
    return left if abs(left) > FORGOTTEN else 0.0


@compiled
def below(alive, side, size, entry, collateral, mark, funding, maintenance, condemned) -> int:
    """Visit every account; those below maintenance into ``condemned``, their number back."""
    found = 0
    for j in range(len(side)):
        if alive[j]:
            equity = collateral[j] + side[j] * size[j] * (mark - entry[j] - funding)
            if equity < maintenance * size[j] * mark:
                condemned[found] = j
                found += 1
    return found


@compiled
def _sell(sign, found, condemned, alive, side, size, entry, collateral, traded, funding, row, rules, closed, reopen, tally) -> float:
    """Sell the condemned of one side in one order, and settle account by account; the traded price afterwards."""
    sold = 0.0
    for p in range(found):
        if side[condemned[p]] == sign:
            sold += size[condemned[p]]
    if sold == 0.0:
        return traded
    move = sold * traded / row.depth
    room = max(rules.limit + sign * (tally[8] + tally[9]), 0.0)
    average = 0.5 * move if move <= room else room - 0.5 * room * room / move
    move = min(move, room)
    fill = traded * math.exp(-sign * (row.half_spread + average))
    fees = owed = 0.0
    for p in range(found):
        j = condemned[p]
        if side[j] != sign:
            continue
        alive[j] = False
        equity = collateral[j] + sign * size[j] * (fill - entry[j] - funding)
        fees += min(rules.fee * fill * size[j], max(equity, 0.0))
        owed += max(-equity, 0.0)
        if closed:
            tally[4] += size[j]
            if collateral[j] + sign * size[j] * (reopen - entry[j] - funding) >= 0.0:
                tally[3] += size[j]
        else:
            tally[5] += size[j]
    paid = min(max(rules.fund + tally[0], 0.0), owed)
    tally[0] += fees - paid
    tally[1] -= owed - paid
    tally[2] += owed
    tally[8] -= sign * (1.0 - rules.permanent) * move
    tally[9] -= sign * rules.permanent * move
    return traded * math.exp(-sign * move)
