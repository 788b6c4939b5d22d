"""The same weekends in NumPy: arrays over weekends, a Python loop over time.

This is how the simulation would be written without a compiler, and the yardstick for what the compiler buys. It is also another account of the
rules; ``tests/test_benchmarks.py`` holds it and the kernel together.

Left out: partial liquidation, the backstop vault and auto-deleveraging, whose state differs from weekend to weekend and does not vectorise; mark
rules other than the median; the arbitrage-free anchor (``book.carry``); venues without a closed oracle. A machine that has one of them is refused.
Everything else is here, hot minutes too: the weekends in which somebody was forced in the last minute are gathered and stepped at the update cadence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy_accounts import Side, cash, hidden, sell, set_limits
from paces import paces

from perpkit import value
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.machine import Machine
from perpkit.mark import MEDIAN
from perpkit.oracle import IMPACT_EMA, NONE

OUTCOMES = (
    "longs", "shorts", "makers", "backstop", "insurance", "adl", "socialised", "venue", "shortfall", "shortfall_long", "shortfall_short",
    "exhausted", "exhausted_hours", "adl_needed", "adl_size", "premature", "liquidated_closed", "liquidated_open", "phantom", "phantom_size", "phantom_hours",
    "dislocation", "generations", "cascade", "funding_closed",
)  # fmt: skip
"""All of the engine's but its ledger check, which is done here on the hour and at the end."""
FORGOTTEN = 1e-15
"""Log price below which the remains of an order are nothing, as in the engine."""
_STATE = (
    "oracle", "mark", "anchor", "basis", "premium_sum", "ups", "downs", "impact", "shift", "funding", "lowest", "highest", "v_low", "v_high",
    "dislocation", "tick", "last_tick", "run_length", "run_size", "run_first", "best_length", "best_size", "best_first", "fund", "socialised",
    "maker_cash", "maker_size", "trader_cash", "shortfall", "premature", "liquidated_closed", "liquidated_open", "exhausted", "exhausted_hours",
    "first", "forced",
)  # fmt: skip
_PAIRS = ("trader_cash", "shortfall", "premature", "liquidated_closed", "liquidated_open", "first")


def run(
    machine: Machine,
    accounts: Accounts,
    closure: Closure,
    gaps: np.ndarray,
    news: np.ndarray,
    news_at: np.ndarray,
    normals: Callable[[int], np.ndarray],
) -> dict[str, np.ndarray]:
    """Run one weekend for each gap.

    Parameters
    ----------
    machine, accounts, closure : as for ``perpkit.ensemble``.
    gaps, news : log gap and the part of it that arrives as news, shape (weekends,).
    news_at : step in which each item of news arrives, shape (weekends, items).
    normals : function of the step that gives its standard normals, shape (2, weekends): for the value and for the anchor.

    Returns
    -------
    dict
        One array of shape (weekends,) for each name of ``OUTCOMES``, in the engine's units.

    Raises
    ------
    ValueError
        If the machine has a rule that is left out here.
    """
    refuse(machine)
    return _Weekends(machine, accounts, closure, gaps, news, news_at).run(normals)


def refuse(machine: Machine) -> None:
    """Raise ``ValueError`` if the machine has a rule that is left out here."""
    if machine.mark.code != MEDIAN:
        raise ValueError("the engine's rivals know the median mark only; give the machine pk.Median()")
    if math.isfinite(machine.liquidation.partial_threshold) or machine.backstop.capacity > 0.0 or machine.adl != "none":
        raise ValueError(
            "the engine's rivals have no partial liquidation, backstop or ADL; set partial_threshold to infinity, capacity to 0 and adl to 'none'"
        )
    if machine.oracle.kind == NONE or machine.book.carry:
        raise ValueError("the engine's rivals need a closed oracle and an anchor that follows the value; give the machine one, and carry=False")


def _median(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _step_towards(price: np.ndarray, target: np.ndarray, down: float, up: float) -> np.ndarray:
    return np.minimum(np.maximum(target, price * down), price * up)


def _fade(left: np.ndarray, keep: float) -> np.ndarray:
    left = left * keep
    return np.where(np.abs(left) > FORGOTTEN, left, 0.0)


class _Weekends:
    """The state of all weekends, ``at``, and what moves it."""

    def __init__(self, machine, accounts, closure, gaps, news, news_at) -> None:
        self.machine, self.closure, self.gaps, self.news = machine, closure, gaps, news
        self.price, self.interest = accounts.price, accounts.open_interest
        self.m, self.dust = machine.margin.maintenance, 1e-12 * accounts.open_interest
        self.sides = Side(accounts, 1.0), Side(accounts, -1.0)
        self.reopen = self.price * np.exp(gaps)
        self.coarse, self.hot, self.open = paces(machine, closure)
        order = np.argsort(news_at, axis=None, kind="stable")
        self.news_path, self.items = order // news_at.shape[1], news_at.shape[1]
        self.news_cut = np.searchsorted(news_at.ravel()[order], np.arange(closure.closed_steps + 1))
        n = len(gaps)
        at = SimpleNamespace(**{name: np.zeros((2, n) if name in _PAIRS else n) for name in _STATE})
        at.first = np.zeros((2, n), dtype=np.int64)
        at.forced = np.zeros(n, dtype=bool)
        at.oracle[:] = at.mark[:] = at.anchor[:] = self.price
        at.last_tick[:] = -2.0
        at.exhausted_hours[:] = np.nan
        at.fund[:] = machine.insurance * self.interest
        at.maker_size[:] = self.sides[1].q[-1] - self.sides[0].q[-1]
        at.maker_cash[:] = -at.maker_size * self.price
        self.at, self.traded = at, np.full(n, self.price)
        self.worst_hidden, self.hidden_size, self.hidden_hours, self.paid = (np.zeros(n) for _ in range(4))
        set_limits(self.sides, at, self.price, self.m)
        self.started = cash(self.sides, self.at)

    def run(self, normals) -> dict[str, np.ndarray]:
        closure, at, n = self.closure, self.at, len(self.gaps)
        shut, updates = closure.closed_steps, closure.updates
        an_hour = round(3600.0 / closure.update_s)
        pull, noise = value.bridge(closure.value, shut)
        open_noise = closure.value.open_vol * math.sqrt(closure.update_s / 3600.0)
        target, item = self.gaps - self.news, self.news / self.items
        smooth, jumps, v, a, premium = (np.zeros(n) for _ in range(5))
        for s in range(shut + closure.open_steps):
            z_value, z_anchor = normals(s)
            closed = s < shut
            v_before, a_before = v, a
            if closed:
                smooth = smooth + (pull[s] * (target - smooth) + noise[s] * z_value)
                for path in self.news_path[self.news_cut[s] : self.news_cut[s + 1]]:
                    jumps[path] += item[path]
                v = smooth + jumps
                a = v + (a - v) * self.coarse.keep_anchor + self.coarse.noise * z_anchor
                done, row = (s + 1) * updates, self.coarse
            else:
                v = v + open_noise * z_value
                premium = premium * self.open.keep_anchor + self.open.noise * z_anchor
                a = v + premium
                done, row = shut * updates + s - shut + 1, self.open
            hours = done * closure.update_s / 3600.0
            busy = np.flatnonzero(at.forced) if closed else ()
            at.forced[:] = False
            part = self.gather(busy) if len(busy) else None
            self.traded = self.update(at, slice(None), v, a, row, hours)
            if part is not None:  # what the coarse step made of these is overwritten
                self.hot_minute(part, busy, v_before, v, a_before, a, s)
            self.look_for_hidden(v, row)
            if done % an_hour == 0:
                self.pay_funding(closed)
        return self.outcomes(v)

    def hot_minute(self, part, busy, v0, v1, a0, a1, s) -> None:
        """A closed step of the weekends ``busy``, whose state before it is ``part``, at the update cadence.

        Value and anchor move on a straight line from end to end.
        """
        updates = self.closure.updates
        forced = np.zeros(len(busy), dtype=bool)
        for k in range(updates):
            if k + 1 == updates:
                v, a = v1[busy], a1[busy]
            else:
                share = (k + 1.0) / updates
                v, a = v0[busy] + (v1[busy] - v0[busy]) * share, a0[busy] + (a1[busy] - a0[busy]) * share
            part.forced[:] = False
            self.traded[busy] = self.update(part, busy, v, a, self.hot, (s * updates + k + 1) * self.closure.update_s / 3600.0)
            forced |= part.forced
        part.forced[:] = forced
        self.scatter(part, busy)

    def gather(self, rows) -> SimpleNamespace:
        return SimpleNamespace(**{name: array[..., rows] for name, array in vars(self.at).items()})

    def scatter(self, part, rows) -> None:
        for name, array in vars(self.at).items():
            array[..., rows] = getattr(part, name)

    def update(self, at, rows, v, a, row, hours) -> np.ndarray:
        """One mark update of the weekends ``rows``, whose state is ``at``; the traded price."""
        machine, band = self.machine, self.machine.band
        log_price = a
        if at.impact.any() or at.shift.any():
            at.impact, at.shift = _fade(at.impact, row.keep_impact), _fade(at.shift, row.keep_anchor)
            log_price = a + (at.impact + at.shift)
        traded = self.price * np.exp(log_price)
        bid, ask = traded * row.impact_bid, traded * row.impact_ask
        if not row.shut:
            at.oracle = _step_towards(at.oracle, self.price * np.exp(v), row.oracle_down, row.oracle_up)
        elif machine.oracle.kind == IMPACT_EMA:
            beyond = np.maximum(bid - at.oracle, 0.0) - np.maximum(at.oracle - ask, 0.0)
            at.oracle = _step_towards(at.oracle, at.oracle + row.oracle_gain * beyond, row.oracle_down, row.oracle_up)
        if machine.funding.premium == "impact-mid":
            premium = 0.5 * (bid + ask) / at.oracle - 1.0
        else:
            premium = (np.maximum(bid - at.oracle, 0.0) - np.maximum(at.oracle - ask, 0.0)) / at.oracle
        at.premium_sum = at.premium_sum + premium * row.hours
        at.dislocation = np.maximum(at.dislocation, np.abs(log_price - v))
        at.basis = at.basis + row.basis_gain * (traded - at.oracle - at.basis)
        local = _median(traded * row.bid, traded * row.ask, traded)
        at.mark = _step_towards(at.mark, _median(at.oracle, at.oracle + at.basis, local), row.mark_down, row.mark_up)
        if row.shut and math.isfinite(band.width):
            if band.resets:
                up = (at.ups < band.resets) & (at.oracle >= at.anchor * (1.0 + band.width * band.trigger))
                down = ~up & (at.downs < band.resets) & (at.oracle <= at.anchor * (1.0 - band.width * band.trigger))
                if up.any() or down.any():
                    at.anchor = at.anchor * np.where(up, 1.0 + band.width, np.where(down, 1.0 - band.width, 1.0))
                    at.ups, at.downs = at.ups + up, at.downs + down
            at.mark = np.minimum(np.maximum(at.mark, at.anchor * (1.0 - band.width)), at.anchor * (1.0 + band.width))
        at.tick = at.tick + 1.0
        condemned = (at.mark < at.lowest) | (at.mark > at.highest)
        if condemned.any():
            who = np.flatnonzero(condemned)
            everyone = np.arange(len(self.gaps))[rows]
            gone = 0.0
            for me in range(2):
                gone = gone + sell(me, self.sides, machine, at, who, traded, at.mark[who], self.m, row, self.reopen[everyone[who]], hours, self.dust)
            who, gone = who[gone > 0.0], gone[gone > 0.0]
            follows = at.tick[who] == at.last_tick[who] + 1.0
            at.run_length[who] = np.where(follows, at.run_length[who] + 1.0, 1.0)
            at.run_size[who] = np.where(follows, at.run_size[who] + gone, gone)
            at.run_first[who] = np.where(at.run_length[who] == 1.0, gone, at.run_first[who])
            at.last_tick[who] = at.tick[who]
            at.best_length[who] = np.maximum(at.best_length[who], at.run_length[who])
            deeper = at.run_size[who] > at.best_size[who]
            at.best_size[who] = np.where(deeper, at.run_size[who], at.best_size[who])
            at.best_first[who] = np.where(deeper, at.run_first[who], at.best_first[who])
            at.dislocation[who] = np.maximum(at.dislocation[who], np.abs(np.log(traded[who] / self.price) - v[who]))
            at.forced[who] = True
            set_limits(self.sides, at, self.price, self.m, who)
        return traded

    def look_for_hidden(self, v, row) -> None:
        """Negative equity of open accounts at the value, where there is any."""
        at = self.at
        who = np.flatnonzero((v < at.v_low) | (v > at.v_high))
        if len(who):
            loss, held = hidden(self.sides, at, who, self.price * np.exp(v[who]))
            seen = loss > self.dust
            who, loss, held = who[seen], loss[seen], held[seen]
            self.worst_hidden[who] = np.maximum(self.worst_hidden[who], loss)
            self.hidden_size[who] = np.maximum(self.hidden_size[who], held)
            self.hidden_hours[who] += row.hours

    def pay_funding(self, closed: bool) -> None:
        at, rule = self.at, self.machine.funding
        if rule.when_closed or not closed:
            mean = at.premium_sum
            rate = mean + np.clip(rule.interest_8h - mean, -rule.clamp_8h, rule.clamp_8h)
            rate = np.clip(rule.multiplier * rate / 8.0, -rule.cap_per_hour, rule.cap_per_hour)
            at.maker_cash -= at.maker_size * rate * at.oracle
            at.funding += rate * at.oracle
            if closed:
                self.paid += np.abs(rate) * at.oracle
            set_limits(self.sides, at, self.price, self.m)
            self.balance()
        at.premium_sum = np.zeros(len(self.gaps))

    def balance(self) -> None:
        worst = np.abs(cash(self.sides, self.at) - self.started).max()
        if not worst <= 1e-9 * self.interest:
            raise ArithmeticError(f"the NumPy twin's ledger is out by {worst:.3g} USD")

    def outcomes(self, v) -> dict[str, np.ndarray]:
        at, n = self.at, len(self.gaps)
        worth = self.price * np.exp(v)
        hours = self.closure.hours + self.closure.open_steps * self.open.hours
        for me in range(2):  # whoever is left without equity is closed now
            sell(me, self.sides, self.machine, at, np.arange(n), self.traded, worth, 0.0, self.open, self.reopen, hours, self.dust)
        self.balance()
        out = {}
        for me, (name, side) in enumerate(zip(("longs", "shorts"), self.sides, strict=True)):
            first, sign = at.first[me], side.sign
            open_equity = sign * (worth - at.funding) * (side.q[-1] - side.q[first]) - (side.qb[-1] - side.qb[first])
            out[name] = open_equity + at.trader_cash[me] - (sign * self.price * side.q[-1] - side.qb[-1])
        out |= {"makers": at.maker_cash + at.maker_size * worth, "socialised": at.socialised}
        out["insurance"] = at.fund - self.machine.insurance * self.interest
        out |= {"shortfall_long": at.shortfall[0], "shortfall_short": at.shortfall[1], "shortfall": at.shortfall.sum(0), "phantom": self.worst_hidden}
        shares = {"premature": at.premature.sum(0), "liquidated_closed": at.liquidated_closed.sum(0), "liquidated_open": at.liquidated_open.sum(0)}
        out |= {name: size * self.price for name, size in (shares | {"phantom_size": self.hidden_size}).items()}
        out = {name: usd / self.interest for name, usd in out.items()}
        out |= dict.fromkeys(("backstop", "adl", "venue", "adl_needed", "adl_size"), np.zeros(n))
        cascade = np.where(at.best_first > 0.0, at.best_size / np.where(at.best_first > 0.0, at.best_first, 1.0), 0.0)
        out |= {"exhausted": at.exhausted, "exhausted_hours": at.exhausted_hours, "phantom_hours": self.hidden_hours, "dislocation": at.dislocation}
        return out | {"generations": at.best_length, "cascade": cascade, "funding_closed": self.paid / self.price}
