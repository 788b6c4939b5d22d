"""No dollar appears or vanishes: ten thousand random weekends, a planted leak, a state machine on the waterfall, and the interpreted twin."""

from __future__ import annotations

import inspect
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slow_engine import NEWER, random_accounts, random_case, random_closure, random_gap, random_machine, random_outside, replay, with_newer_rules

import perpkit as pk
from perpkit import (
    band,
    batch,
    book,
    deleverage,
    funding,
    ledger,
    limited,
    liquidation,
    margin,
    mark,
    oracle,
    orders,
    refund,
    settlement,
    value,
    waterfall,
)
from perpkit.engine import Tables
from perpkit.ledger import ANCHOR as SHIFT
from perpkit.ledger import (
    BACKSTOP_USED,
    DIRTY,
    EVENT_FIELDS,
    EVENTS,
    FIRST_ALIVE,
    FUND,
    IMPACT,
    MAKER_CASH,
    PENDING,
    SOCIALISED,
    STATE,
    TRADER_CASH,
)
from perpkit.margin import ALL_Q, ALL_QB, BETA, ENTRY, IS_LARGE, SIZE, SMALL_Q, SMALL_QB

HERE = Path(__file__).parent
TOLERANCE = 1e-9
"""Share of open interest."""


# --- random weekends -------------------------------------------------------------------------------------------------------------------


def test_ten_thousand_random_weekends_balance():
    """400 random machines, 25 weekends each. ``imbalance`` is the worst of all steps; the pockets are added up from balances, not from flows."""
    weekends, forced, traded = 0, 0, 0
    for group in range(40):
        rng = np.random.default_rng([1, group])
        machines, accounts = {}, {}
        for k in range(10):
            accounts[str(k)], rules = random_accounts(rng)
            machines[str(k)] = random_machine(rng, accounts[str(k)], rules)
            if k % 2:
                machines[str(k)] = with_newer_rules(rng.spawn(1)[0], machines[str(k)])
        gaps = np.array([random_gap(rng) for _ in range(25)])
        closure = random_closure(rng)
        orders = {name: random_outside(10 * group + int(name), people, closure).get("orders", pk.Orders()) for name, people in accounts.items()}
        ens = pk.ensemble(machines, accounts, closure, gaps, rng=group, orders=orders)
        pockets = sum(ens[name].values for name in pk.POCKETS)
        assert ens.imbalance.values.max() <= TOLERANCE
        assert np.abs(pockets).max() <= TOLERANCE
        weekends += pockets.size
        forced += int((ens.liquidated_closed + ens.liquidated_open > 0.0).sum())
        traded += int((ens.attacker != 0.0).sum())
    assert weekends == 10_000
    assert forced > 3_000 and traded > 3_000  # otherwise too little happened to lose money


def test_books_balance_at_every_step_in_both_engines():
    for seed in (*range(40), *range(NEWER, NEWER + 40)):
        machine, accounts, closure, gap = random_case(seed)
        outside = random_outside(seed, accounts, closure)
        run = pk.simulate(machine, accounts, closure, gap, rng=seed, **outside)
        slow = replay(machine, accounts, closure, gap, seed=seed, **outside)
        interest = accounts.open_interest
        assert run.path.imbalance.max() <= TOLERANCE * interest
        assert max(slow.path["imbalance"]) <= TOLERANCE * interest
        assert abs(run.ledger.sum()) <= TOLERANCE * interest


# --- the interpreted package, in a process of its own -----------------------------------------------------------------------------------


def interpreted(script: str) -> dict:
    """What a script prints as JSON when nothing is compiled."""
    paths = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LEAK = """
import json, math
import perpkit as pk
from perpkit import ledger, limited, liquidation, orders, refund

book = pk.Book(depth_closed=2e5, depth_open=1e6, noise_closed=0.02, follow_closed=2.0, permanent=0.3)
machine = pk.Machine(
    mark=pk.Mid(), insurance=0.002, adl="pro-rata", book=book, backstop=pk.Backstop(0.03),
    liquidation=pk.Liquidation(partial_threshold=4e3, fee=0.002, cooldown_s=30.0), refund=0.5,
)
if LIMITED:
    machine = pk.replace(machine, liquidation=pk.zero_price(fee=0.002), backstop=pk.lp_fund(0.002, 0.3, 0.67))
accounts = pk.Accounts.sample(n=40, rng=2, leverage_median=12.0, open_interest=1e5)
closure = pk.Closure(hours=1.0, reopen_minutes=5.0)
honest, state = ledger.credit, {"calls": 0, "leak": 0}

def credit(st, pocket, amount):
    state["calls"] += 1
    honest(st, pocket, amount - 0.01 if state["calls"] == state["leak"] else amount)

def weekend(leak):
    state.update(calls=0, leak=leak)
    return pk.simulate(machine, accounts, closure, gap=-0.15, rng=4, orders=pk.Orders((0.2,), (2e4,), (0.6, 1.05), position=-1e4))

ledger.credit = liquidation.credit = limited.credit = refund.credit = orders.credit = credit
run = weekend(0)
payments = state["calls"]
noticed = 0
for leak in range(1, payments + 1):
    try:
        weekend(leak)
    except pk.LedgerError:
        noticed += 1
print(json.dumps({"payments": payments, "noticed": noticed, "kinds": sorted(set(run.events.kind)), "balance": float(run.ledger.sum())}))
"""


@pytest.mark.parametrize(
    ("limits", "kinds"),
    [(False, {"liquidation", "partial", "backstop", "adl", "insurance", "order"}), (True, {"liquidation", "backstop", "adl", "order"})],
)
def test_one_cent_lost_in_any_payment_is_noticed(limits, kinds):
    found = interpreted(f"LIMITED = {limits}" + LEAK)
    assert found["payments"] > 20
    assert kinds <= set(found["kinds"])
    assert abs(found["balance"]) < 1e-4  # the same weekend without a leak is in order
    assert found["noticed"] == found["payments"]


TWIN_SEEDS = (12, 16, 34, 82, 97, 101, 115, 147, 148)
TWIN = f"""
import json
import perpkit as pk
from slow_engine import random_case
outcomes = {{}}
for seed in {TWIN_SEEDS}:
    outcomes[seed] = pk.simulate(*random_case(seed, 0.5), rng=seed).outcome.to_dict()
print(json.dumps(outcomes))
"""


def test_the_interpreted_engine_equals_the_compiled_one():
    found, forced, custom = interpreted(TWIN), 0, 0
    for seed in TWIN_SEEDS:
        case = random_case(seed, 0.5)
        compiled = pk.simulate(*case, rng=seed).outcome
        twin = [found[str(seed)][name] for name in compiled.index]
        np.testing.assert_allclose(twin, compiled.values, rtol=1e-12, atol=1e-12, err_msg=f"seed {seed}")
        forced += compiled["liquidated_closed"] + compiled["liquidated_open"] > 0.0
        custom += case[0].mark.function is not None
    assert forced == len(TWIN_SEEDS)
    assert custom >= 1


# --- every compiled rule and its interpreted twin ---------------------------------------------------------------------------------------


def _prices(r: np.random.Generator, n: int) -> list[float]:
    return [float(x) for x in 250.0 * np.exp(r.normal(0.0, 0.05, n))]


def _table(r: np.random.Generator) -> np.ndarray:
    table = np.zeros((margin.ROWS, 13))
    table[BETA, :12], table[SIZE, :12] = np.sort(r.normal(200.0, 30.0, 12))[::-1], r.exponential(5.0, 12)
    table[IS_LARGE, :12] = r.random(12) < 0.3
    table[BETA, 12] = -math.inf
    return table


_LIMITS = Tables(pk.Machine(book=pk.Book(permanent=0.3)), pk.Accounts.sample(2), pk.Closure(1.0)).rules


def _walk(r: np.random.Generator) -> tuple:
    n, closed = 30, 20
    target, news, at = r.normal(0, 0.05), r.normal(0, 0.05), np.sort(r.integers(0, closed, 3))
    pull, noise = value.bridge(pk.Value(), closed)
    return target, news, at, pull, noise, 0.01, r.normal(size=(n, 2)), np.zeros(n)


def _averaged(r: np.random.Generator, code: int) -> tuple:
    second = 0.5 + r.random() if code == mark.IMPACT_MEDIAN else float(r.integers(0, 2))
    params = np.array([0.5 + r.random(), second, 0.0])
    return code, *_prices(r, 5), r.normal(), *_prices(r, 2), 10.0 * r.random(), r.normal(0.0, 1e-3), bool(r.random() < 0.5), params


def _sent(r: np.random.Generator) -> tuple:
    state = np.zeros(STATE)
    state[[IMPACT, SHIFT]], state[ledger.ATTACKER_SIZE] = r.normal(0.0, 0.1, 2), r.normal(0.0, 1e3)
    return state, _LIMITS, r.normal(0.0, 1e6), r.choice([0.0, 0.5, 1.0]), 250.0, r.exponential(1e7), 0.0005, 1.0, np.zeros((2, len(EVENT_FIELDS)))


def _sorted_table(r: np.random.Generator) -> np.ndarray:
    table = _table(r)
    table[ENTRY] = 250.0 * np.exp(r.normal(0.0, 0.2, 13))
    margin.prefix_sums.py_func(table)
    return table


def _sums(r: np.random.Generator) -> tuple:
    table = _sorted_table(r)
    start, stop = sorted(r.integers(0, 13, 2))
    return table[BETA], table[ALL_Q], table[ALL_QB], int(start), int(stop)


def _sold(r: np.random.Generator) -> tuple:
    """A side with its four edges and two single accounts, as an order of it is settled."""
    edges = [int(e) for e in sorted(r.integers(0, 13, 4))]
    return _sorted_table(r), *edges, r.random(), np.column_stack([r.exponential(5.0, 3), r.normal(200.0, 30.0, 3)]), 2


RULES = {
    book.push: lambda r: (r.exponential(1e6), r.choice([math.inf, r.exponential(1e6)]), r.normal(0.5, 0.5)),
    book.anchor_path: lambda r: (r.normal(0, 0.05, 30), 20, r.random(), 0.01, r.random(), 0.02, r.normal(size=(30, 2)), np.zeros(30)),
    value.value_path: _walk,
    mark.middle: lambda r: _prices(r, 3),
    mark.median_of_three: lambda r: (*_prices(r, 1), r.normal(), *_prices(r, 1)),
    mark.target_mark: lambda r: (int(r.integers(0, 4)), *_prices(r, 4), r.normal(), np.array([r.random(), 0.0])),
    mark.clamped_basis: lambda r: (*_prices(r, 2), 0.02),
    mark.averaged_mark: lambda r: _averaged(r, int(r.integers(5, 9))),
    batch.batch_ends: lambda r: (10.0 * r.random(), r.random(), r.choice([0.0, r.random()]), *np.sort(10.0 * r.random(2))),
    refund.harm_of: lambda r: _prices(r, 3),
    refund.harm: lambda r: (*_sums(r), r.normal(200.0, 30.0), r.choice([-math.inf, r.normal(200.0, 30.0)])),
    refund.pay_refunds: lambda r: (r.random(STATE), r.random()),
    settlement.above: lambda r: (*_sums(r), r.normal(200.0, 30.0)),
    settlement.losses: lambda r: (*_sold(r), r.normal(200.0, 30.0)),
    settlement.proceeds: lambda r: (*_sold(r), *np.sort(r.normal(200.0, 30.0, 2)), r.random(), r.random()),
    settlement._range: lambda r: (*_sums(r), *np.sort(r.normal(200.0, 30.0, 2)), r.random(), r.random()),
    limited.fillable: lambda r: (
        r.exponential(5.0), *_prices(r, 1), r.normal(240.0, 20.0), float(r.choice([-1.0, 1.0])), r.choice([math.inf, 1e4]), 1e-3, r.random()
    ),
    deleverage.copy_table: lambda r: (_table(r), np.zeros((margin.ROWS, 13))),
    deleverage.ranking: lambda r: (
        _sorted_table(r), int(r.integers(0, 12)), float(r.choice([-1.0, 1.0])), *_prices(r, 1), r.normal(), int(r.integers(1, 4))
    ),
    deleverage.cross: lambda r: (_sorted_table(r), r.permutation(12)[:7], r.normal(200.0, 30.0), int(r.integers(1, 4)), r.exponential(10.0)),
    deleverage.close_winners: lambda r: (
        _sorted_table(r), np.zeros((margin.ROWS, 13)), False, int(r.integers(0, 12)), float(r.choice([-1.0, 1.0])), *_prices(r, 1), r.normal(),
        r.normal(200.0, 30.0), int(r.integers(1, 4)), r.exponential(10.0),
    ),
    deleverage.spared_share: lambda r: (
        *_sold(r), 60.0, 30.0 * r.random(), *_prices(r, 1), 1.0, r.normal(), 1e5, 1e-3, 0.3, r.exponential(10.0)
    ),
    band.anchor_after: lambda r: (*_prices(r, 1), float(r.integers(0, 3)), float(r.integers(0, 3)), *_prices(r, 1), 0.03, 0.9, 2.0),
    band.within: lambda r: (*_prices(r, 2), 0.02),
    oracle.impact_difference: lambda r: _prices(r, 3),
    oracle.closed_target: lambda r: (float(r.integers(0, 7)), *_prices(r, 1), r.random(), *_prices(r, 5), r.random(), *_prices(r, 1)),
    oracle.step_towards: lambda r: (*_prices(r, 2), 0.99, 1.01),
    funding.premium: lambda r: (int(r.integers(0, 2)), *_prices(r, 3)),
    funding.hourly_rate: lambda r: (r.normal(0, 1e-3), 1e-4, 5e-4, 0.5, 1e-4),
    orders.send: _sent,
    orders.walk: lambda r: (
        float(r.choice([-1.0, 1.0])), r.choice([0.0, r.exponential(1e4)]), r.exponential(1e6), 250.0,
        r.choice([math.inf, r.exponential(1e7)]), r.normal(0.3, 0.3),
    ),
    margin.prefix_sums: lambda r: (_table(r),),
    margin.first_not_above: lambda r: (np.sort(r.normal(size=20))[::-1].copy(), int(r.integers(0, 20)), r.normal()),
    margin.maintenance_level: lambda r: (float(r.choice([-1.0, 1.0])), *_prices(r, 1), r.normal(), 0.025),
    waterfall.adl_index: lambda r: (r.exponential(5.0, 9), r.normal(0.0, 0.2, 9)),
    waterfall.adl_queue: lambda r: (r.integers(0, 4, 9).astype(float), r.exponential(5.0, 9), r.exponential(30.0)),
    waterfall.adl_pro_rata: lambda r: (r.exponential(5.0, 9) * (r.random() < 0.9), r.exponential(30.0)),
}


def test_no_compiled_rule_is_left_out():
    modules = (band, batch, book, deleverage, funding, margin, mark, oracle, orders, refund, settlement, value, waterfall)
    found = {f for m in modules for _, f in inspect.getmembers(m) if hasattr(f, "py_func") and f.py_func.__module__ == m.__name__}
    assert found | {limited.fillable} == set(RULES)


@pytest.mark.parametrize("compiled", RULES, ids=lambda f: f"{f.py_func.__module__}.{f.py_func.__name__}")
def test_a_compiled_rule_equals_its_interpreted_twin(compiled):
    for trial in range(100):
        results = []
        for function in (compiled, compiled.py_func):
            arguments = RULES[compiled](np.random.default_rng(trial))
            returned = function(*arguments)
            results.append([np.asarray(returned, dtype=float)] if returned is not None else [a for a in arguments if isinstance(a, np.ndarray)])
        for one, other in zip(*results, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-14, atol=0.0)


# --- the waterfall, driven by hand ------------------------------------------------------------------------------------------------------

LOG = {name: column for column, name in enumerate(EVENT_FIELDS)}
ADL_EVENT = liquidation.KINDS.index("adl")


def entered_long_ago(a: pk.Accounts, rng: np.random.Generator) -> pk.Accounts:
    """The same accounts with entries far from the last print and the same equity at it: profit and solvency come apart."""
    equity = a.collateral + a.side * a.size * (a.price - a.entry)
    entry = a.price * np.exp(rng.normal(0.0, 0.3, len(a)))
    return pk.Accounts(a.side, a.size, entry, np.maximum(equity - a.side * a.size * (a.price - entry), 1e-3 * a.size * a.price), a.price)


class Waterfall(RuleBasedStateMachine):
    """Marks move, funding is paid, accounts are condemned and closed, in any order; the economics must hold after each."""

    @initialize(
        seed=st.integers(0, 10**6),
        adl=st.sampled_from(sorted(waterfall.ADL)),
        insurance=st.sampled_from([0.0, 0.0, 0.001]),
        sliced=st.booleans(),
        veterans=st.booleans(),
    )
    def friday(self, seed: int, adl: str, insurance: float, sliced: bool, veterans: bool) -> None:
        rng = np.random.default_rng([7, seed])
        self.accounts, rules = random_accounts(rng)
        if veterans:
            self.accounts = entered_long_ago(self.accounts, rng)
        machine = pk.replace(random_machine(rng, self.accounts, rules), adl=adl, insurance=insurance)
        if sliced:
            least = self.accounts.size.min() * self.accounts.price
            machine = pk.replace(machine, liquidation=pk.Liquidation(0.5 * least, 0.3, 30.0, fee=0.05), backstop=pk.Backstop(0.0))
        self.machine = machine
        tables = Tables(self.machine, self.accounts, pk.Closure(hours=1.0))
        self.sides, self.works, self.large, self.rules = tables.sides, tables.works, tables.large, tables.rules
        self.pending, self.single = tables.pending, tables.single
        self.price, self.interest = self.accounts.price, self.accounts.open_interest
        self.cent = TOLERANCE * self.interest
        self.st = np.zeros(STATE)
        self.hours, self.paid, self.mark, self.free = 0.0, 0.0, self.price, 0.0
        shares, entry = 0.1 * self.interest / self.price, 0.9 * self.price
        ledger.open_books(self.sides, self.works, self.pending, self.st, self.price, self.rules.fund, shares, entry)

    def table(self, me: int) -> np.ndarray:
        return (self.works if self.st[DIRTY + me] else self.sides)[me]

    def open_accounts(self, me: int) -> list[tuple[float, float]]:
        """Size and beta of the accounts of a side that were never condemned."""
        table = self.table(me)
        first = int(self.st[FIRST_ALIVE + me])
        return [(q, b) for q, b in zip(table[SIZE, first:-1], table[BETA, first:-1], strict=True) if q > 0.0]

    def watched(self, me: int) -> list[tuple[float, float]]:
        """Size and beta of the accounts of a side that were sold in part."""
        return [(q, b) for q, b, *_ in self.pending[me, : int(self.st[PENDING + me])]]

    def full_pass(self, closed: bool, final: bool = False) -> None:
        machine, book_ = self.machine, self.machine.book
        depth, half_spread = (book_.depth_closed, book_.half_spread_closed) if closed else (book_.depth_open, book_.half_spread_open)
        maintenance = 0.0 if final else machine.margin.maintenance
        for me in range(2):
            before, held = self.st.copy(), self.open_accounts(me) + self.watched(me)
            sizes = [self.table(side)[SIZE].copy() for side in range(2)]
            self.st[EVENTS] = 0.0
            events = np.zeros((50, len(EVENT_FIELDS)))
            traded = self.price * math.exp(self.free + self.st[IMPACT] + self.st[SHIFT])
            after = liquidation.liquidate(
                me, self.sides, self.works, self.large, self.pending, self.single, self.st, self.rules, traded, self.mark, self.paid, maintenance,
                depth, half_spread, self.price * 0.97, self.hours, closed, final, events,
            )  # fmt: skip
            log = events[: int(self.st[EVENTS])]
            assert after == pytest.approx(self.price * math.exp(self.free + self.st[IMPACT] + self.st[SHIFT]), rel=1e-12)
            self.nobody_over_collected(me, before, log)
            self.the_fund_is_spent_before_winners_give_more(log)
            self.slices_leave_what_they_must(me, held, log)
            self.winners_keep_their_equity(1 - me, before, sizes[1 - me], log)
        for me in range(2):
            sign = 1.0 - 2.0 * me
            y = sign * (self.mark - self.paid)
            for size, beta in self.open_accounts(me):
                assert size * (y - beta) >= size * maintenance * self.mark - self.cent, "an account below maintenance survived the pass"
            if final:
                for size, beta in self.watched(me):
                    assert size * (y - beta) >= -self.cent, "a watched account without equity survived the last pass"

    def nobody_over_collected(self, me: int, before: np.ndarray, log: np.ndarray) -> None:
        st_ = self.st
        assert st_[TRADER_CASH + me] >= before[TRADER_CASH + me] - self.cent, "a fee took more than was left"
        collected = st_[FUND] - before[FUND]
        notional = abs(st_[MAKER_CASH] - before[MAKER_CASH])
        assert collected <= self.machine.liquidation.fee * notional + self.cent, "fees exceed their share of the notional sold"
        if st_[SOCIALISED] < before[SOCIALISED] - self.cent:
            # Only a fund that pays all it has may leave losses to everybody; what it holds now are the fees of this very order.
            assert log[log[:, LOG["kind"]] == liquidation.INSURANCE, LOG["loss"]].sum() == pytest.approx(before[FUND], abs=self.cent)

    def the_fund_is_spent_before_winners_give_more(self, log: np.ndarray) -> None:
        """Deleveraging is sized so that the fund pays all it has."""
        if (log[:, LOG["kind"]] == ADL_EVENT).any() and self.machine.liquidation.fee == 0.0:
            assert self.st[FUND] <= self.cent, "winners gave what the fund could have paid"

    def slices_leave_what_they_must(self, me: int, held: list[tuple[float, float]], log: np.ndarray) -> None:
        """A slice takes its share of the size; its fee takes no more than the equity at the fill."""
        partial = log[log[:, LOG["kind"]] == liquidation.PARTIAL]
        rows = self.pending[me, : int(self.st[PENDING + me])]
        fresh = rows[rows[:, 2] == self.hours]
        if not len(partial):
            return
        y = (1.0 - 2.0 * me) * (partial[0, LOG["price"]] - self.paid)
        for size, beta, *_ in fresh:
            whole, was = min(held, key=lambda qb: abs(qb[0] * (1.0 - self.machine.liquidation.partial_share) - size))
            assert size == pytest.approx(whole * (1.0 - self.machine.liquidation.partial_share), rel=1e-9)
            assert size * (y - beta) >= min(whole * (y - was), 0.0) - self.cent, "the fee of a slice took more than was left"

    def winners_keep_their_equity(self, them: int, before: np.ndarray, sizes: np.ndarray, log: np.ndarray) -> None:
        table, sign = self.table(them), 1.0 - 2.0 * them
        taken = sizes - table[SIZE]
        assert (taken >= 0.0).all() and (table[SIZE] >= 0.0).all()
        deleveraged = log[log[:, LOG["kind"]] == ADL_EVENT]
        assert len(deleveraged) <= 1
        if not len(deleveraged):
            assert not taken.any()
            assert self.st[TRADER_CASH + them] == before[TRADER_CASH + them]
            return
        exit_y = sign * (deleveraged[0, LOG["price"]] - self.paid)
        hit = np.flatnonzero(taken)
        assert hit.min() >= before[FIRST_ALIVE + them], "a condemned account was used as a winner"
        assert taken.sum() == pytest.approx(deleveraged[0, LOG["size"]], rel=1e-9)
        assert self.machine.adl == "crossing" or (sign * (self.mark - table[ENTRY, hit]) > 0.0).all(), "a loser was deleveraged"
        assert (exit_y - table[BETA, hit] >= -1e-9 * self.price).all(), "a winner was closed below its bankruptcy price"
        owed = (taken[hit] * (exit_y - table[BETA, hit])).sum()
        assert self.st[TRADER_CASH + them] - before[TRADER_CASH + them] == pytest.approx(owed, rel=1e-6, abs=self.cent)

    @rule(mark=st.floats(-0.3, 0.3), premium=st.floats(-0.03, 0.03), seconds=st.sampled_from([3.0, 60.0, 3600.0]), closed=st.booleans())
    def mark_moves(self, mark: float, premium: float, seconds: float, closed: bool) -> None:
        self.mark, self.free, self.hours = self.price * math.exp(mark), mark + premium, self.hours + seconds / 3600.0
        self.full_pass(closed)

    @rule(step=st.floats(-0.02, 0.02), closed=st.booleans())
    def mark_creeps(self, step: float, closed: bool) -> None:
        self.mark, self.free, self.hours = self.mark * math.exp(step), self.free + step, self.hours + 3.0 / 3600.0
        self.full_pass(closed)

    @rule(closed=st.booleans())
    def mark_stays(self, closed: bool) -> None:
        self.hours += 3.0 / 3600.0
        self.full_pass(closed)

    @rule(rate=st.floats(-0.04, 0.04))
    def funding_is_paid(self, rate: float) -> None:
        ledger.pay_funding(self.st, rate * self.mark)
        self.paid += rate * self.mark

    @rule(keep=st.floats(0.0, 1.0))
    def impact_decays(self, keep: float) -> None:
        self.st[IMPACT] *= keep

    @precondition(lambda self: self.hours > 0.0)
    @rule(worth=st.floats(-0.3, 0.3))
    def window_ends(self, worth: float) -> None:
        self.mark = self.price * math.exp(worth)
        self.full_pass(closed=False, final=True)

    @invariant()
    def books_balance(self) -> None:
        if hasattr(self, "st"):
            error = ledger.imbalance(self.sides, self.works, self.pending, self.st, self.paid, self.price)
            assert error <= self.cent
            money = np.zeros(len(ledger.POCKETS))
            ledger.pockets(self.sides, self.works, self.pending, self.st, self.paid, self.price, self.mark, self.rules.fund, money)
            assert abs(money.sum()) <= self.cent

    @invariant()
    def last_resorts_stay_within_bounds(self) -> None:
        if hasattr(self, "st"):
            assert self.st[FUND] >= 0.0
            assert self.st[SOCIALISED] <= 0.0
            assert self.st[BACKSTOP_USED] <= self.rules.backstop_shares * (1.0 + 1e-12)

    @invariant()
    def prefix_sums_add_up(self) -> None:
        if hasattr(self, "st"):
            for me in range(2):
                table = self.table(me)
                size, beta = table[SIZE, :-1], np.where(table[SIZE, :-1] > 0.0, table[BETA, :-1], 0.0)
                small = size * (1.0 - table[IS_LARGE, :-1])
                assert (table[BETA, 1:] <= table[BETA, :-1]).all()
                for row, terms in ((ALL_Q, size), (ALL_QB, size * beta), (SMALL_Q, small), (SMALL_QB, small * beta)):
                    np.testing.assert_allclose(table[row, 1:], np.cumsum(terms), rtol=1e-9, atol=1e-9 * np.abs(terms).sum())


TestWaterfall = Waterfall.TestCase
TestWaterfall.settings = settings(max_examples=300, stateful_step_count=25, deadline=None, derandomize=True, database=None)
