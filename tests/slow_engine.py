"""A second engine, slow and obvious, that replays the shocks of the first.

Every account is an object with a cash balance and a position, and is visited at every update. There is no prefix sum, no shared coordinate and no
compiled code; funding is paid in cash. Only the random numbers (``perpkit.engine.draw``), the parameter classes and the points of one table come from
the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize

from perpkit import mark as marks
from perpkit import oracle as oracles
from perpkit.accounts import Accounts
from perpkit.arbitrage import DISTANCE
from perpkit.band import no_band, oracle_band, ratchet, static_band
from perpkit.batch import Batch
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import CHUNK, draw
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import BasisMark, Blend, ImpactMedian, LastMedian, LocalMedian, Median, Mid, OracleMark
from perpkit.oracle import decaying_oracle, frozen_oracle, impact_oracle, last_oracle, level_oracle, no_oracle, proxy_oracle
from perpkit.orders import Misprint, Orders
from perpkit.value import Value
from perpkit.waterfall import Backstop, Liquidation, lp_fund

DUST = 1e-12
"""Share of open interest below which a loss or an overdraft counts as rounding."""


@dataclass
class Account:
    """One isolated margin account: worth ``cash + side * size * price`` at a price."""

    number: int
    side: float
    size: float
    entry: float
    cash: float
    large: bool
    condemned: bool = False
    watched: bool = False
    condemned_at: float = math.nan
    rank: int = 0
    sliced_at: float = math.nan

    def equity(self, price: float) -> float:
        return self.cash + self.side * self.size * price

    @property
    def bankruptcy(self) -> float:
        """Price at which nothing is left, funding paid so far included."""
        return -self.cash / (self.side * self.size)


@dataclass
class Replay:
    """What one weekend did: ``outcome`` by name, ``path`` by name (a list with one entry a step), ``ledger`` by pocket in USD."""

    outcome: dict[str, float]
    path: dict[str, list[float]]
    ledger: dict[str, float]
    orders: list[tuple[float, float, int]]
    """Time, shares liquidated and generation of each update with forced orders, the end of the window left out."""


@dataclass
class Sale:
    """An account sold whole in the order of this update: ``share`` of it, which falls when winners take part of it."""

    account: Account
    share: float


@dataclass
class Pace:
    """What depends on the length of an update and on whether the reference is closed."""

    hours: float
    updates: int
    closed: bool
    follow: float
    noise: float
    refill: float
    half_spread: float
    depth: float


@dataclass
class Runs:
    """Consecutive updates with liquidations."""

    length: int = 0
    size: float = 0.0
    first: float = 0.0
    longest: int = 0
    largest: float = 0.0
    ratio: float = 0.0

    def add(self, shares: float) -> None:
        if shares <= 0.0:
            self.length, self.size = 0, 0.0
            return
        if self.length == 0:
            self.first = shares
        self.length += 1
        self.size += shares
        self.longest = max(self.longest, self.length)
        if self.size > self.largest * (1.0 + 1e-9):
            self.largest, self.ratio = self.size, self.size / self.first


def replay(
    machine: Machine, accounts: Accounts, closure: Closure, gap: float, seed: int = 1, weekend: int = 0, orders: Orders | None = None, misprints=()
) -> Replay:
    """Run the weekend that ``perpkit.simulate`` runs with the same arguments, ``seed`` for ``rng``."""
    chunk, place = divmod(weekend, CHUNK)
    shocks = draw(seed, chunk, place + 1, np.full(place + 1, float(gap)), closure, proxy=machine.oracle.kind == oracles.PROXY)
    week = Weekend(machine, accounts, closure, gap, orders or Orders(), misprints)
    own = shocks.proxy[-1] if len(shocks.proxy) else []
    return week.run(float(shocks.news[-1]), [int(k) for k in shocks.news_at[-1]], shocks.normals[-1], [float(z) for z in own])


@dataclass
class Flow:
    """Informed flow that weighs funding: holds a long to the reference's return in its head, hour by hour, and pays no more than that leaves.

    ``later[h]`` is what a long is worth when hour h ends, per unit of oracle, at the distances of the package's table; between them a straight
    line, as there. Roots of whole tables are bisected, all at a time.
    """

    machine: Machine
    paces: list[Pace]
    shares: list[float]
    counts: list[int]
    charged: list[bool]
    tau: float
    later: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, week: Weekend) -> Flow | None:
        machine, closure = week.machine, week.closure
        book = machine.book
        if not book.carry or machine.oracle.kind == oracles.NONE or (math.isinf(book.capacity) and not machine.funding.when_closed):
            return None
        an_hour, left, counts = round(3600.0 / closure.closed_step_s), closure.closed_steps, []
        while left > 0:
            counts.append(min(an_hour, left))
            left -= counts[-1]
        charged = [machine.funding.when_closed] * len(counts)
        if counts[-1] < an_hour:
            charged[-1] = len(counts) <= closure.hours + closure.reopen_minutes / 60.0
        paces = [week.paces(float(h))[0] for h in range(len(counts))]
        shares = [1.0 if math.isinf(book.capacity) else 1.0 / (1.0 + pace.depth / book.capacity) for pace in paces]
        flow = cls(machine, paces, shares, counts, charged, week.oracle_tau())
        value, flow.later = 1.0 + DISTANCE, {len(counts) - 1: 1.0 + DISTANCE}
        for h in reversed(range(1, len(counts))):
            price = flow.solved(np.ones_like(value), value, 0.0, counts[h], h)
            worth = flow.worth(price, np.ones_like(value), value, 0.0, counts[h], h)
            if book.expects > 0.0:
                sd = book.expects * math.sqrt(counts[h - 1] / closure.closed_steps)
                z, weight = np.polynomial.hermite_e.hermegauss(7)
                news = np.exp(sd * z - sd * sd / 2.0)
                worth = sum(w * flow.line(value * move - 1.0, worth) for w, move in zip(weight / weight.sum(), news, strict=True))
            flow.later[h - 1] = worth
        return flow

    @staticmethod
    def line(x, table):
        """Linear interpolation, and the last slope beyond either end."""
        inside = np.interp(x, DISTANCE, table)
        slopes = np.diff(table) / np.diff(DISTANCE)
        return inside + slopes[0] * np.minimum(x - DISTANCE[0], 0.0) + slopes[-1] * np.maximum(x - DISTANCE[-1], 0.0)

    def worth(self, price, oracle, value, sampled, count: int, hour: int):
        """USD of a long at ``price`` if that is the price to the end of the hour, ``count`` steps away. Numbers or arrays."""
        machine, pace = self.machine, self.paces[hour]
        rule, funding = machine.oracle, machine.funding
        wide = pace.half_spread + machine.impact_notional / pace.depth
        bid, ask = price * math.exp(-wide), price * math.exp(wide)
        update = pace.hours / pace.updates
        weight = 1.0 - math.exp(-min(update, rule.cap * self.tau) / self.tau) ** pace.updates if self.tau < math.inf else 0.0
        lowest, highest = ((1.0 - rule.step) ** pace.updates, (1.0 + rule.step) ** pace.updates) if rule.step < 1.0 else (0.0, math.inf)

        smaller, larger = (min, max) if isinstance(price, float) else (np.minimum, np.maximum)

        def beyond(oracle):
            return larger(bid - oracle, 0.0) + smaller(ask - oracle, 0.0)

        average = sampled
        for _ in range(count):
            if rule.kind == oracles.IMPACT_EMA:
                pulled = weight * beyond(oracle)
            elif rule.kind in (oracles.LEVEL, oracles.DECAYING):
                pulled = weight * ((bid + ask) / 2.0 - oracle)
            elif rule.kind == oracles.LAST:
                pulled = weight * (price - oracle)
            else:
                pulled = 0.0 * oracle
            oracle = smaller(larger(oracle + pulled, oracle * lowest), oracle * highest)
            average = average + pace.hours * ((bid + ask) / 2.0 / oracle - 1.0 if funding.premium == "impact-mid" else beyond(oracle) / oracle)
        pull = np.clip(funding.interest_8h - average, -funding.clamp_8h, funding.clamp_8h)
        rate = np.clip(funding.multiplier * (average + pull) / 8.0, -funding.cap_per_hour, funding.cap_per_hour)
        return oracle * (self.line(value / oracle - 1.0, self.later[hour]) - rate * self.charged[hour])

    def solved(self, oracle, value, sampled, count: int, hour: int):
        """The price, by bisection: what stands the share of the way from the oracle to worth."""
        low, high = np.zeros_like(oracle), 4.0 * np.maximum(oracle, value)
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = middle > oracle + self.shares[hour] * (self.worth(middle, oracle, value, sampled, count, hour) - oracle)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return 0.5 * (low + high)

    def price(self, oracle: float, value: float, sampled: float, step: int) -> float:
        hour = step // self.counts[0]
        left = self.counts[hour] - (step - hour * self.counts[0])
        oracle, value, sampled, share = float(oracle), float(value), float(sampled), self.shares[hour]
        return optimize.brentq(
            lambda price: price - oracle - share * (float(self.worth(price, oracle, value, sampled, left, hour)) - oracle),
            0.0, 4.0 * max(oracle, value), xtol=1e-12, rtol=1e-15,
        )  # fmt: skip


@dataclass
class Weekend:
    """All that changes in a weekend, and the rules that change it."""

    machine: Machine
    population: Accounts
    closure: Closure
    gap: float
    outside: Orders = Orders()
    misprints: tuple[Misprint, ...] = ()
    accounts: list[Account] = field(default_factory=list)
    wallet: dict[float, float] = field(default_factory=lambda: {1.0: 0.0, -1.0: 0.0})
    path: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        people = self.population
        self.price = people.price
        self.open_interest = people.open_interest
        for j in range(len(people.side)):
            side, size, entry = float(people.side[j]), float(people.size[j]), float(people.entry[j])
            large = size * self.price > self.machine.liquidation.partial_threshold
            self.accounts.append(Account(j, side, size, entry, float(people.collateral[j]) - side * size * entry, large))
        net = sum(a.side * a.size for a in self.accounts)
        # A trader from outside bought his position from the makers before.
        held, paid = self.outside.position / self.price, self.outside.entry or self.price
        self.outsider_size, self.outsider_cash = held, -held * paid
        self.maker_size, self.maker_cash = -net - held, net * self.price + held * paid
        self.waiting = sorted(zip(self.outside.hours, self.outside.notional, strict=True))
        self.closings = sorted(self.outside.close_hours)
        self.vault_size = self.vault_cash = 0.0
        self.room = self.machine.backstop.capacity * self.open_interest / self.price
        self.fund = self.fund_at_start = self.machine.insurance * self.open_interest
        self.socialised = self.venue = 0.0
        self.claims = {1.0: 0.0, -1.0: 0.0}
        self.forgone: list[tuple[float, float, float, float]] = []
        self.v = self.anchor = self.shift = self.impact = 0.0
        self.oracle = self.mark = self.band_anchor = self.price
        self.ups = self.downs = 0
        self.basis = self.premium_sum = self.rate = self.funding_paid = 0.0
        self.internal = self.average = self.price
        self.turns = math.inf
        self.guess = self.blur = 0.0
        self.memory = np.zeros(marks.MEMORY)
        self.equity_at_start = {s: sum(a.equity(self.price) for a in self.accounts if a.side == s) for s in (1.0, -1.0)}
        self.wealth_at_start = self.wealth(0.0)
        self.shortfall = {1.0: 0.0, -1.0: 0.0}
        self.premature = self.liquidated_closed = self.liquidated_open = 0.0
        self.adl_size = self.adl_needed = 0.0
        self.exhausted_at = math.nan
        self.phantom_most = self.phantom_size = self.phantom_hours = self.dislocation = self.funding_closed = self.worst = 0.0
        self.runs = Runs()
        self.orders: list[tuple[float, float, int]] = []

    # The clock

    def run(self, news: float, news_at: list[int], normals: np.ndarray, own: list[float]) -> Replay:
        closure = self.closure
        smooth, arrived, premium, hot = 0.0, 0.0, 0.0, False
        self.flow = Flow.of(self)
        step_hours = closure.closed_step_s / 3600.0
        step_sd = closure.value.sd * math.sqrt((1.0 - closure.value.news_share) / closure.closed_steps)
        for k in range(closure.closed_steps):
            left = closure.closed_steps - k
            smooth += (self.gap - news - smooth) / left + step_sd * math.sqrt((left - 1) / left) * normals[k, 0]
            arrived += sum(news / closure.value.items for at in news_at if at == k)
            old, new = self.v, smooth + arrived
            start, end = k * step_hours, (k + 1) * step_hours
            coarse, fine, opened = self.paces(start)
            before = self.liquidated_closed
            guess = self.guess, self.proxy(new, own[k] if own else 0.0)
            here, there = self.anchor, self.followed(coarse, new, k, coarse.noise * normals[k, 1])
            if hot:
                for u in range(1, closure.updates + 1):
                    self.v = old + (new - old) * u / closure.updates
                    self.anchor = here + (there - here) * u / closure.updates
                    self.guess = guess[0] + (guess[1] - guess[0]) * u / closure.updates
                    self.update(fine, start + u * fine.hours)
            else:
                self.v, self.anchor, self.guess = new, there, guess[1]
                self.update(coarse, end)
            hot = self.liquidated_closed > before
            hot |= self.finish_step(coarse, end, step_hours)
        for k in range(closure.open_steps):
            z = normals[closure.closed_steps + k]
            end = closure.hours + (k + 1) * opened.hours
            self.v += closure.value.open_vol * math.sqrt(opened.hours) * z[0]
            # The print closes the distance at once; what noise adds from then on fades.
            premium = premium * math.exp(-opened.follow * opened.hours) + opened.noise * z[1]
            self.anchor = self.v + premium + sum(bad.followed * bad.size for bad in self.wrong(end))
            self.update(opened, end)
            self.finish_step(opened, end, opened.hours)
        value = self.value
        for side in (1.0, -1.0):
            self.close_out(side, value, 0.0, opened, end, last=True)
        self.settle_up(value)
        self.worst = max(self.worst, self.imbalance())
        return Replay(self.outcome(), self.path, self.ledger(), self.orders)

    def shown(self, since_close: float) -> tuple[float, float, float]:
        """Refill, half spread and depth of the closed book: what makers show in the middle of this clock hour, or of what is left of it."""
        book = self.machine.book
        if book.closed is None:
            return book.refill_closed, book.half_spread_closed, book.depth_closed
        hour = math.floor(since_close + 1e-9)
        ahead = self.closure.hours - (hour + min(hour + 1, self.closure.hours)) / 2.0
        rows = list(zip(book.closed.hours_left, book.closed.refill, book.closed.half_spread, book.closed.depth))
        below = [row for row in rows if row[0] <= ahead] or [rows[0]]
        above = [row for row in rows if row[0] > ahead] or [rows[-1]]
        (x, *low), (y, *high) = below[-1], above[0]
        part = (ahead - x) / (y - x) if y != x and x <= ahead <= y else 0.0
        return tuple(a + part * (b - a) for a, b in zip(low, high))

    def paces(self, since_close: float) -> tuple[Pace, Pace, Pace]:
        """An update of a quiet closed step, of a hot closed step, and of an open step, ``since_close`` hours after the close."""
        book, closure = self.machine.book, self.closure

        def noise(sd: float, follow: float, hours: float) -> float:
            if follow == 0.0:
                return sd * math.sqrt(hours)
            return sd * math.sqrt((1.0 - math.exp(-2.0 * follow * hours)) / (2.0 * follow))

        step, update = closure.closed_step_s / 3600.0, closure.update_s / 3600.0
        still, live = noise(book.noise_closed, book.follow_closed, step), noise(book.noise_open, book.follow_open, update)
        shut = (book.follow_closed, still, *self.shown(since_close))
        live = (book.follow_open, live, book.refill_open, book.half_spread_open, book.depth_open)
        return Pace(step, closure.updates, True, *shut), Pace(update, 1, True, *shut), Pace(update, 1, False, *live)

    @property
    def traded(self) -> float:
        return self.price * math.exp(self.anchor + self.shift + self.impact)

    @property
    def value(self) -> float:
        return self.price * math.exp(self.v)

    # One update

    def followed(self, pace: Pace, value: float, step: int, shock: float) -> float:
        """Where informed flow and noise take the anchor in one closed step, were nobody forced to trade."""
        known = value
        if self.flow is not None:
            known = math.log(self.flow.price(self.oracle, self.price * math.exp(value), self.premium_sum, step) / self.price)
        return known + (self.anchor - known) * math.exp(-pace.follow * pace.hours) + shock

    def update(self, pace: Pace, now: float) -> None:
        machine = self.machine
        # What orders left for good is forgotten only as informed flow pulls the price back; the rest refills.
        self.shift *= math.exp(-pace.follow * pace.hours)
        self.impact *= math.exp(-pace.refill * pace.hours)
        traded = self.traded
        wide = pace.half_spread + machine.impact_notional / pace.depth
        bid, ask = traded * math.exp(-pace.half_spread), traded * math.exp(pace.half_spread)
        impact_bid, impact_ask = traded * math.exp(-wide), traded * math.exp(wide)
        self.publish(pace, now, impact_bid, impact_ask)
        self.premium_sum += self.premium(impact_bid, impact_ask) * pace.hours
        self.dislocation = max(self.dislocation, abs(math.log(traded / self.price) - self.v))
        liquidated = 0.0
        silent = pace.closed and machine.oracle.kind == oracles.NONE
        if not silent:
            apart, followed = traded - self.oracle, traded
            if machine.mark.code == marks.IMPACT_MEDIAN:
                followed = (impact_bid + impact_ask) / 2.0
                most = machine.mark.params[0] * self.oracle
                apart = sorted([-most, followed - self.oracle, most])[1]
            self.basis += (1.0 - math.exp(-pace.hours * 3600.0 / machine.mark.basis_s)) * (apart - self.basis)
            keep = math.exp(-pace.hours * 3600.0 / machine.mark.average_s)
            self.average = keep * self.average + (1.0 - keep) * followed
            self.set_mark(pace, now, marks.Quotes(bid, ask, traded, traded, impact_bid, impact_ask))
            if self.batch_ends(pace, now):
                self.turns = machine.batch.cap
                for side in (1.0, -1.0):
                    liquidated += self.close_out(side, self.mark, machine.margin.maintenance, pace, now)
        self.runs.add(liquidated)
        if liquidated > 0.0:
            self.orders.append((now, liquidated, self.runs.length - 1))
        self.dislocation = max(self.dislocation, abs(math.log(self.traded / self.price) - self.v))
        self.worst = max(self.worst, self.imbalance())

    def wrong(self, now: float) -> list[Misprint]:
        """Bad prints that are the newest at this time."""
        return [bad for bad in self.misprints if bad.start + 1e-9 < now <= bad.end + 1e-9]

    def oracle_tau(self) -> float:
        """Time constant of the closed oracle in hours: nights may have one of their own."""
        rule = self.machine.oracle
        return rule.night_tau if rule.night_tau is not None and self.closure.hours < 24.0 else rule.tau

    def proxy(self, value: float, z: float) -> float:
        """What a correlated instrument says of the log value at the end of a closed step."""
        rule = self.machine.oracle
        if rule.kind != oracles.PROXY:
            return 0.0
        # What it does not explain has variance r2 (1 - r2) of the gap's over the closure.
        self.blur += z * self.closure.value.sd * math.sqrt(rule.r2 * (1.0 - rule.r2) / self.closure.closed_steps)
        return rule.r2 * value + self.blur

    def publish(self, pace: Pace, now: float, impact_bid: float, impact_ask: float) -> None:
        rule, tau = self.machine.oracle, self.oracle_tau()
        counted = min(self.closure.update_s / 3600.0, rule.cap * tau)
        weight = 1.0 - math.exp(-counted / tau) ** pace.updates if tau < math.inf else 0.0
        middle = (impact_bid + impact_ask) / 2.0
        if not pace.closed:
            printed = self.value * math.exp(sum(bad.size for bad in self.wrong(now)))
            self.oracle = self.clamped(self.oracle, printed, rule.step, pace.updates)
            return
        if rule.kind == oracles.IMPACT_EMA:
            target = self.oracle + weight * self.beyond(impact_bid, impact_ask)
        elif rule.kind == oracles.LEVEL:
            target = (1.0 - weight) * self.oracle + weight * middle
        elif rule.kind == oracles.LAST:
            target = (1.0 - weight) * self.oracle + weight * self.traded
        elif rule.kind == oracles.DECAYING:
            self.internal = (1.0 - weight) * self.internal + weight * middle
            stale = math.exp(-now / rule.weight_tau)
            target = stale * self.price + (1.0 - stale) * self.internal
        elif rule.kind == oracles.PROXY:
            target = self.price * math.exp(self.guess)
        else:
            return
        if rule.wall < math.inf:
            target = sorted([self.price * (1.0 - rule.wall), target, self.price * (1.0 + rule.wall)])[1]
        self.oracle = self.clamped(self.oracle, target, rule.step, pace.updates)

    def beyond(self, impact_bid: float, impact_ask: float) -> float:
        """Distance of the impact prices from the oracle; none while the oracle stands between them."""
        if impact_bid > self.oracle:
            return impact_bid - self.oracle
        if impact_ask < self.oracle:
            return impact_ask - self.oracle
        return 0.0

    @staticmethod
    def clamped(old: float, target: float, step: float, updates: int) -> float:
        if math.isinf(step):
            return target
        return min(max(target, old * (1.0 - step) ** updates), old * (1.0 + step) ** updates)

    def premium(self, impact_bid: float, impact_ask: float) -> float:
        if self.machine.funding.premium == "impact-mid":
            return (impact_bid + impact_ask) / 2.0 / self.oracle - 1.0
        return self.beyond(impact_bid, impact_ask) / self.oracle

    def set_mark(self, pace: Pace, now: float, quotes: marks.Quotes) -> None:
        rule, band = self.machine.mark, self.machine.band
        if rule.code == marks.ORACLE:
            target = self.oracle
        elif rule.code == marks.MID:
            target = quotes.mid
        elif rule.code == marks.BLEND:
            target = rule.params[0] * quotes.mid + (1.0 - rule.params[0]) * self.oracle
        elif rule.code == marks.MEDIAN:
            local = sorted([quotes.bid, quotes.ask, quotes.last])[1]
            target = sorted([self.oracle, self.oracle + self.basis, local])[1]
        elif rule.code == marks.LOCAL_MEDIAN:
            local = sorted([quotes.bid, quotes.ask, quotes.last])[1]
            target = sorted([self.oracle + self.basis, local, self.average])[1]
        elif rule.code == marks.IMPACT_MEDIAN:
            stale = math.exp(-now / rule.params[1])
            third = stale * self.price + (1.0 - stale) * self.average if pace.closed else self.oracle
            target = sorted([(quotes.impact_bid + quotes.impact_ask) / 2.0, self.oracle + self.basis, third])[1]
        elif rule.code == marks.LAST_MEDIAN:
            interval, alone = rule.params
            to_go = (math.floor((now + 1e-9) / interval) + 1.0) * interval - now
            recent = self.average if pace.closed else quotes.last
            target = sorted([self.oracle * (1.0 + self.rate * to_go), self.oracle + self.basis, recent])[1]
            if pace.closed and alone:
                target = self.average
        elif rule.code == marks.BASIS:
            target = self.oracle + self.basis
        else:
            state = marks.State(self.mark, self.basis, pace.hours * 3600.0, float(pace.closed), self.memory)
            target = rule.function(quotes, self.oracle, state, np.array(rule.params))
        self.mark = self.clamped(self.mark, target, self.machine.mark_step, pace.updates)
        if pace.closed and band.width < math.inf:
            if self.ups < band.resets and self.oracle >= self.band_anchor * (1.0 + band.width * band.trigger):
                self.band_anchor, self.ups = self.band_anchor * (1.0 + band.width), self.ups + 1
            elif self.downs < band.resets and self.oracle <= self.band_anchor * (1.0 - band.width * band.trigger):
                self.band_anchor, self.downs = self.band_anchor * (1.0 - band.width), self.downs + 1
            centre = self.oracle if band.follows else self.band_anchor
            low, high = centre * (1.0 - band.width), centre * (1.0 + band.width)
            self.mark = min(max(self.mark, low), high)

    def batch_ends(self, pace: Pace, now: float) -> bool:
        """Whether a batch of liquidations ends with this update; none does while the sequencer stands still."""
        batch = self.machine.batch
        if batch.halt is not None and batch.halt[0] - 1e-9 <= now < batch.halt[1] - 1e-9:
            return False
        if batch.interval_s == 0.0:
            return True
        second = round(now * 3600.0, 3)
        before = round((now - pace.hours) * 3600.0, 3)
        return any(before < k * batch.interval_s <= second for k in range(int(before // batch.interval_s), int(second // batch.interval_s) + 1))

    def close_out(self, side: float, mark: float, maintenance: float, pace: Pace, now: float, last: bool = False) -> float:
        if self.machine.liquidation.orders == "market":
            return self.liquidate(side, mark, maintenance, pace, now, last)
        return self.liquidate_one_by_one(side, mark, maintenance, pace, now, last)

    def settle_up(self, value: float) -> None:
        """After the last pass: a fund owes no more than it owns, and a venue may pay back what it closed too early."""
        owes = -(self.machine.backstop.equity * self.open_interest + self.vault_cash + self.vault_size * value)
        if owes > 0.0:
            self.vault_cash += owes
            self.socialised -= owes
        for side, claim in self.claims.items():
            self.wallet[side] += self.machine.refund * claim
            self.venue -= self.machine.refund * claim

    # Liquidation of one side at one update

    def liquidate(self, side: float, mark: float, maintenance: float, pace: Pace, now: float, last: bool = False) -> float:
        """Shares liquidated. ``last`` is the pass at the end of the window: value for mark, no vault, no slices."""
        sales, slices, vaulted = self.sort_out(side, mark, maintenance, now, last)
        if not sales and not slices and not vaulted:
            return 0.0
        touched = sum(share * a.size for a, share in vaulted)
        touched += sum(sale.share * sale.account.size for sale in sales) + sum(part for _, part in slices)
        if pace.closed:
            self.liquidated_closed += touched
            self.count_premature(sales, slices, vaulted)
        else:
            self.liquidated_open += touched
        self.claim(pace, [(account, share * account.size, None) for account, share in vaulted])
        for account, share in vaulted:
            self.vault_size += side * share * account.size
            self.vault_cash += share * account.cash
        self.sell(side, mark, sales, slices, pace, now)
        sold_whole = {sale.account.number for sale in sales}
        for account in [a for a, _ in vaulted] + [sale.account for sale in sales]:
            account.size = account.cash = 0.0
            account.watched = False
        for account, _ in slices:
            assert account.number not in sold_whole
            account.watched, account.sliced_at = True, now
        return touched

    def sort_out(self, side: float, mark: float, maintenance: float, now: float, last: bool):
        """Who goes to the book whole, in part, or to the vault: lists of sales, (account, shares) and (account, share of it)."""
        rules, vault = self.machine.liquidation, self.machine.backstop
        sales: list[Sale] = []
        slices: list[tuple[Account, float]] = []
        vaulted: list[tuple[Account, float]] = []

        def below(account: Account) -> bool:
            return account.equity(mark) < maintenance * account.size * mark

        def for_the_vault(account: Account) -> bool:
            return 0.0 <= account.equity(mark) < vault.threshold * maintenance * account.size * mark

        seen_before = [a for a in self.accounts if a.side == side and a.watched]
        fresh = [a for a in self.accounts if a.side == side and not a.condemned and a.size > 0.0 and below(a)]
        turns = math.inf if last else self.turns
        if len(fresh) > turns:
            fresh = sorted(fresh, key=lambda a: (-side * a.bankruptcy, a.number))[: int(turns)]
        turns -= len(fresh)
        room = 0.0 if last else self.room
        candidates = [a for a in fresh if for_the_vault(a)] if room > 0.0 else []
        wanted = sum(a.size for a in candidates)
        share = 1.0 if wanted <= room else room / wanted
        for account in candidates:
            vaulted.append((account, share))
            if share < 1.0:
                sales.append(Sale(account, 1.0 - share))
        room = max(room - wanted, 0.0)
        # Nearest to its bankruptcy price first; only the order in which the vault's last room is offered depends on it.
        for rank, account in enumerate(sorted(fresh, key=lambda a: (-side * a.bankruptcy, a.number))):
            account.condemned, account.condemned_at, account.rank = True, now, rank
            if account in candidates:
                continue
            if account.large and rules.partial_share < 1.0 and account.equity(mark) >= 0.0 and not last:
                slices.append((account, rules.partial_share * account.size))
            else:
                sales.append(Sale(account, 1.0))
        for account in sorted(seen_before, key=lambda a: (a.condemned_at, a.rank)):
            if not below(account) or turns < 1:
                continue
            turns -= 1
            recent = now - account.sliced_at <= rules.cooldown_s / 3600.0 + 1e-9
            if for_the_vault(account) and account.size <= room:
                vaulted.append((account, 1.0))
                room -= account.size
            elif last or account.equity(mark) < 0.0 or recent or account.size * self.price <= rules.partial_threshold:
                sales.append(Sale(account, 1.0))
            else:
                slices.append((account, rules.partial_share * account.size))
        if not last:
            self.room, self.turns = room, turns
        return sales, slices, vaulted

    # The same with limits: one account after another

    def liquidate_one_by_one(self, side: float, mark: float, maintenance: float, pace: Pace, now: float, last: bool) -> float:
        """Shares that left accounts of this side: sold within the limit, taken over by the fund, or closed against winners."""
        rules, gone = self.machine.liquidation, 0.0

        def below(a: Account) -> bool:
            return a.size > 0.0 and a.equity(mark) < maintenance * a.size * mark

        turns = math.inf if last else self.turns
        waiting = sorted((a for a in self.accounts if a.side == side and a.watched and a.size > 0.0), key=lambda a: (a.condemned_at, a.rank))
        fresh = [a for a in self.accounts if a.side == side and not a.condemned and below(a)]
        fresh.sort(key=lambda a: (-side * a.bankruptcy, a.number))
        fresh = fresh[: int(min(turns, len(fresh)))]
        turns -= len(fresh)
        for rank, a in enumerate(fresh):
            a.condemned = a.watched = True
            a.condemned_at, a.rank = now, rank
        for a in waiting + fresh:
            if not below(a):
                continue
            if a in waiting:
                if turns < 1:
                    continue
                turns -= 1
            if not last:
                self.turns = turns
            gone += self.treat(a, mark, maintenance, pace, now, last, rules)
        if not last:
            self.turns = turns
        return gone

    def treat(self, a: Account, mark: float, maintenance: float, pace: Pace, now: float, last: bool, rules: Liquidation) -> float:
        """One account: the book as far as its limit, then the fund, then winners; at the end of the window the book at any price."""
        side, before, refused, loss_price = a.side, a.size, False, mark
        if not last:
            worst = -math.inf * side
            if pace.closed and rules.order_band < math.inf:
                worst = self.price * (1.0 - side * rules.order_band)
            if rules.orders == "zero-price":
                worst = max(worst, a.bankruptcy) if side > 0 else min(worst, a.bankruptcy)
            part = self.within(a.size, worst, side, pace)
            if part > 0.0:
                fill = self.average_fill(part, side, pace)
                loss = -a.equity(fill) if part == a.size else 0.0
                refused = self.machine.adl != "none" and loss - self.fund > DUST * self.open_interest
                if refused:
                    loss_price = fill
                else:
                    self.sell_some(a, part, fill, pace, now)
        if a.size > 0.0 and a.equity(mark) < self.machine.backstop.threshold * maintenance * a.size * mark and self.fund_takes(a, mark):
            self.left(a, a.size, None, pace)
            self.shortfall[side] += max(-a.equity(mark), 0.0)
            self.vault_size += side * a.size
            self.vault_cash += a.cash
            self.room -= a.size
            a.size = a.cash = 0.0
        owed = -a.equity(mark)
        if a.size > 0.0 and (refused or owed > 0.0) and not (last and owed - self.fund <= DUST * self.open_interest):
            self.exhausted_at = now if math.isnan(self.exhausted_at) else self.exhausted_at
            if self.machine.adl != "none":
                self.hand_over(a, mark, loss_price, pace)
        if a.size > 0.0 and last:
            self.sell_some(a, a.size, self.average_fill(a.size, side, pace), pace, now)
        a.watched = a.size > 0.0
        return before - a.size

    def left_to_push(self, side: float) -> float:
        return max(self.machine.book.limit + side * (self.impact + self.shift), 0.0)

    def within(self, size: float, worst: float, side: float, pace: Pace) -> float:
        """How much of an order fills before the price it has pushed the book to is worse than ``worst``."""
        if side > 0 and worst <= 0.0 or math.isinf(worst):
            return size
        if worst <= 0.0 or side * (self.traded * math.exp(-side * pace.half_spread) - worst) < 0.0:
            return 0.0
        reach = abs(math.log(self.traded / worst)) - pace.half_spread
        if math.isinf(pace.depth) or reach >= self.left_to_push(side):
            return size
        part = reach * pace.depth / self.traded
        return size if part >= size * (1.0 - 1e-9) else part if part > 1e-9 * size else 0.0

    def average_fill(self, quantity: float, side: float, pace: Pace) -> float:
        push, room = quantity * self.traded / pace.depth, self.left_to_push(side)
        average = push / 2.0 if push <= room else (room / 2.0 * room + room * (push - room)) / push
        return self.traded * math.exp(-side * (pace.half_spread + average))

    def left(self, a: Account, shares: float, fill: float | None, pace: Pace) -> None:
        """Count shares that leave an account, before they do."""
        if pace.closed:
            self.liquidated_closed += shares
            self.premature += shares if a.equity(self.price * math.exp(self.gap)) > 0.0 else 0.0
        else:
            self.liquidated_open += shares
        self.claim(pace, [(a, shares, fill)])

    def sell_some(self, a: Account, part: float, fill: float, pace: Pace, now: float) -> None:
        side, moved = a.side, min(part * self.traded / pace.depth, self.left_to_push(a.side))
        self.left(a, part, fill, pace)
        fee = min(self.machine.liquidation.fee * fill * part, max(a.equity(fill), 0.0))
        a.cash += side * part * fill - fee
        self.vault_cash += fee
        self.maker_size += side * part
        self.maker_cash -= side * part * fill
        self.impact -= side * (1.0 - self.machine.book.permanent) * moved
        self.shift -= side * self.machine.book.permanent * moved
        if part < a.size:
            a.size -= part
            return
        a.size, cash, a.cash = 0.0, a.cash, 0.0
        if cash < 0.0:
            paid = min(-cash, self.fund)
            if -cash - paid > DUST * self.open_interest and math.isnan(self.exhausted_at):
                self.exhausted_at = now
            self.shortfall[side] -= cash
            self.fund -= paid
            self.socialised -= -cash - paid
        else:
            self.wallet[side] += cash

    def fund_takes(self, a: Account, mark: float) -> bool:
        rules = self.machine.backstop
        held = self.vault_size + a.side * a.size
        own = rules.equity * self.open_interest + self.vault_cash + self.vault_size * mark + a.equity(mark)
        return a.size <= self.room and own >= rules.margin * abs(held) * mark

    def hand_over(self, a: Account, mark: float, loss_price: float, pace: Pace) -> None:
        """Close the account against winners at its own zero price, where that is not beyond theirs."""
        exit_price = a.bankruptcy
        others = [w for w in self.accounts if w.side == -a.side and not w.condemned and w.size > 0.0 and self.wins(w, mark)]
        others = [w for w in others if w.side * (exit_price - w.bankruptcy) >= 0.0]
        others.sort(key=lambda w: (-w.side * w.bankruptcy, w.number))
        others.sort(key=lambda w: self.priority(w, mark), reverse=True)
        capacity, wanted = sum(w.size for w in others), a.size
        took = 0.0
        for w in others:
            closed = min(w.size, wanted - took) if self.machine.adl != "pro-rata" else w.size * min(wanted / capacity, 1.0)
            if closed <= 0.0:
                continue
            part = closed / w.size
            self.wallet[w.side] += part * w.equity(exit_price)
            self.forgone.append((w.side, closed, exit_price, self.funding_paid))
            w.cash -= part * w.cash
            w.size -= closed
            took += closed
        if took > 0.0:
            loss = -took / a.size * a.equity(loss_price)
            self.left(a, took, None, pace)
            self.adl_needed += loss
            self.shortfall[a.side] += loss
            self.adl_size += took
            a.cash *= 1.0 - took / a.size
            a.size = a.size - took if took < a.size * (1.0 - 1e-9) else 0.0
            if a.size == 0.0:
                a.cash = 0.0

    def claim(self, pace: Pace, left: list[tuple[Account, float, float | None]]) -> None:
        """What accounts lose against the reopening value: the shares of each that left, and at what price; None leaves nothing at all."""
        if not pace.closed:
            return
        reopening = self.price * math.exp(self.gap)
        for account, shares, fill in left:
            worth = account.equity(reopening) / account.size
            if worth > 0.0:
                kept = max(account.equity(fill) / account.size, 0.0) if fill is not None else 0.0
                self.claims[account.side] += shares * max(worth - kept, 0.0)

    def count_premature(self, sales, slices, vaulted) -> None:
        reopening = self.price * math.exp(self.gap)
        for account, shares in [(s.account, s.share * s.account.size) for s in sales] + slices + [(a, share * a.size) for a, share in vaulted]:
            if account.equity(reopening) > 0.0:
                self.premature += shares

    def sell(self, side: float, mark: float, sales: list[Sale], slices, pace: Pace, now: float) -> None:
        """Send the order, after winners have been closed against the part of it that nobody can pay for."""
        traded = self.traded
        shares = sum(sale.share * sale.account.size for sale in sales) + sum(part for _, part in slices)
        if shares <= 0.0:
            return

        # Orders push the price no further than the limit from where it would be without any.
        room = max(self.machine.book.limit + side * (self.impact + self.shift), 0.0)

        def fill_of(quantity: float) -> float:
            push = quantity * traded / pace.depth
            average = push / 2.0 if push <= room else (room / 2.0 * room + room * (push - room)) / push
            return traded * math.exp(-side * (pace.half_spread + average))

        fill = fill_of(shares)
        losers = [sale for sale in sales if sale.account.equity(fill) < 0.0]
        loss = -sum(sale.share * sale.account.equity(fill) for sale in losers)
        self.shortfall[side] += loss
        if loss - self.fund > DUST * self.open_interest:
            if math.isnan(self.exhausted_at):
                self.exhausted_at = now
            if self.machine.adl != "none":
                self.adl_needed += loss - self.fund
                taken = self.deleverage(side, mark, losers, self.share_to_spare(losers, shares, fill_of), pace)
                shares -= taken
                fill = fill_of(shares)
        self.claim(pace, [(sale.account, sale.share * sale.account.size, fill) for sale in sales] + [(a, part, fill) for a, part in slices])
        self.settle(side, fill, sales, slices)
        self.maker_size += side * shares
        self.maker_cash -= side * shares * fill
        moved = min(shares * traded / pace.depth, room)
        self.impact -= side * (1.0 - self.machine.book.permanent) * moved
        self.shift -= side * self.machine.book.permanent * moved

    def share_to_spare(self, losers: list[Sale], shares: float, fill_of) -> float:
        """Part of the losers that must stay out of the order for the fund to cover the rest at the fill of the smaller order."""
        size = sum(sale.share * sale.account.size for sale in losers)

        def missing(part: float) -> float:
            fill = fill_of(shares - part * size)
            owed = sum(max(-sale.share * sale.account.equity(fill), 0.0) for sale in losers)
            return (1.0 - part) * owed - self.fund - DUST * self.open_interest

        return optimize.brentq(missing, 0.0, 1.0, xtol=1e-16, rtol=1e-15)

    def deleverage(self, side: float, mark: float, losers: list[Sale], spared: float, pace: Pace) -> float:
        """Close losers against winners at the losers' mean bankruptcy price; the shares closed."""
        size = sum(sale.share * sale.account.size for sale in losers)
        wanted = spared * size
        exit_price = sum(sale.share * sale.account.size * sale.account.bankruptcy for sale in losers) / size
        winners = [
            a
            for a in self.accounts
            if a.side == -side and not a.condemned and a.size > 0.0 and self.wins(a, mark) and a.equity(exit_price) >= 0.0
        ]
        # Liquidation priority: the account nearest to its bankruptcy price first.
        winners.sort(key=lambda a: (-a.side * a.bankruptcy, a.number))
        if self.machine.adl != "pro-rata":
            winners.sort(key=lambda a: self.priority(a, mark), reverse=True)
        capacity = sum(a.size for a in winners)
        left, taken = wanted, min(wanted, capacity)
        for account in winners:
            closed = account.size * (taken / capacity) if self.machine.adl == "pro-rata" else min(left, account.size)
            if closed <= 0.0:
                continue
            part = closed / account.size
            paid = part * account.equity(exit_price)
            assert paid >= 0.0
            self.wallet[account.side] += paid
            self.forgone.append((account.side, closed, exit_price, self.funding_paid))
            account.cash -= part * account.cash
            account.size -= closed
            left -= closed
        self.claim(pace, [(sale.account, taken / size * sale.share * sale.account.size, None) for sale in losers])
        for sale in losers:
            # This part leaves at its own bankruptcy price: nothing to receive, nothing to pay.
            sale.share *= 1.0 - taken / size
        self.adl_size += taken
        return taken

    def wins(self, a: Account, mark: float) -> bool:
        """Whether an account may be closed as a winner at this mark."""
        return self.machine.adl == "crossing" or a.side * (mark - a.entry) > 0.0

    @staticmethod
    def priority(a: Account, mark: float) -> float:
        """Leverage times profit, at least zero."""
        return mark / max(a.equity(mark) / a.size, 1e-12 * mark) * max(a.side * (mark - a.entry) / a.entry, 0.0)

    def settle(self, side: float, fill: float, sales: list[Sale], slices) -> None:
        """Give traders what is left, let the fund pay what is missing, and only then collect the fees."""
        fee, fees, loss = self.machine.liquidation.fee, 0.0, 0.0
        for sale in sales:
            equity = sale.share * sale.account.equity(fill)
            if equity < 0.0:
                loss -= equity
                continue
            cost = min(fee * fill * sale.share * sale.account.size, equity)
            self.wallet[side] += equity - cost
            fees += cost
        for account, part in slices:
            cost = min(fee * fill * part, max(account.equity(fill), 0.0))
            account.cash += side * part * fill - cost
            account.size -= part
            fees += cost
        paid = min(loss, self.fund)
        self.fund -= paid
        self.socialised -= loss - paid
        self.fund += fees

    # Hours, books, results

    def serve(self, pace: Pace, now: float) -> bool:
        """Close what is due and trade what the outsider has sent by now; whether there was anything to do."""
        share, due = 1.0, False
        while self.closings and self.closings[0] <= now + 1e-9:
            share *= 1.0 - 1.0 / len(self.closings)
            self.closings.pop(0)
            due = True
        if due:
            self.deal(pace, shares=(share - 1.0) * self.outsider_size)
        usd = 0.0
        while self.waiting and self.waiting[0][0] <= now + 1e-9:
            usd += self.waiting.pop(0)[1]
        if usd != 0.0:
            self.deal(pace, usd=usd)
        return due or usd != 0.0

    def deal(self, pace: Pace, shares: float = 0.0, usd: float = 0.0) -> None:
        """Trade a signed number of shares, or of USD, at the prices a book shows that moves by USD over depth."""
        way = math.copysign(1.0, shares or usd)
        start = self.traded
        room = max(self.machine.book.limit - way * (self.impact + self.shift), 0.0)
        if pace.depth == math.inf:
            size = abs(shares) or abs(usd) / start
            moved, cash = 0.0, size * start
        else:
            # Shares within reach of the limit: the integral of D / p along the log price.
            reach = pace.depth / start * way * (1.0 - math.exp(-way * room))
            if shares:
                size = abs(shares)
                # 1/p falls by q/D while buying q and rises while selling.
                moved = room if size >= reach else way * -math.log(1.0 - way * size * start / pace.depth)
                cash = pace.depth * moved + max(size - reach, 0.0) * start * math.exp(way * room)
            else:
                cash = abs(usd)
                moved = min(cash / pace.depth, room)
                size = pace.depth / start * way * (1.0 - math.exp(-way * moved)) + (cash - pace.depth * moved) / (start * math.exp(way * room))
        cash *= math.exp(way * pace.half_spread)
        self.outsider_size += way * size
        self.outsider_cash -= way * cash
        self.maker_size -= way * size
        self.maker_cash += way * cash
        self.impact += way * (1.0 - self.machine.book.permanent) * moved
        self.shift += way * self.machine.book.permanent * moved
        self.dislocation = max(self.dislocation, abs(math.log(self.traded / self.price) - self.v))

    def finish_step(self, pace: Pace, end: float, hours: float) -> bool:
        """Count what is hidden, pay funding on the hour, serve orders from outside and write the path; whether there was an order."""
        value, closed = self.value, pace.closed
        hole, held = self.underwater(value)
        if hole > DUST * self.open_interest:
            self.phantom_most, self.phantom_size = max(self.phantom_most, hole), max(self.phantom_size, held)
            self.phantom_hours += hours
        if abs(end - round(end)) < 1e-7:
            rule, rate = self.machine.funding, 0.0
            if not closed or (rule.when_closed and self.machine.oracle.kind != oracles.NONE):
                average = self.premium_sum
                raw = average + min(max(rule.interest_8h - average, -rule.clamp_8h), rule.clamp_8h)
                rate = min(max(rule.multiplier * raw / 8.0, -rule.cap_per_hour), rule.cap_per_hour)
            self.premium_sum, self.rate = 0.0, rate
            self.pay_funding(rate * self.oracle)
            if closed:
                self.funding_closed += abs(rate) * self.oracle / self.price
        served = self.serve(pace, end)
        hole, held = self.underwater(value)
        wide = pace.half_spread + self.machine.impact_notional / pace.depth
        imbalance = self.imbalance()
        self.worst = max(self.worst, imbalance)
        liquidated = (self.liquidated_closed + self.liquidated_open) * self.price / self.open_interest
        row = {
            "V": value,
            "P": self.traded,
            "O": self.oracle,
            "M": self.mark,
            "f": self.rate,
            "impact_bid": self.traded * math.exp(-wide),
            "impact_ask": self.traded * math.exp(wide),
            "liquidated": liquidated,
            "fund": self.fund,
            "phantom": hole / self.open_interest,
            "phantom_size": held * self.price / self.open_interest,
            "funding_paid": self.funding_paid,
            "imbalance": imbalance,
            "attacker_size": self.outsider_size,
            "attacker_cash": self.outsider_cash,
        }
        for name, number in row.items():
            self.path.setdefault(name, []).append(number)
        return served

    def underwater(self, value: float) -> tuple[float, float]:
        """Negative equity at the value (USD) of accounts still open, and the shares they hold."""
        owing = [a for a in self.accounts if a.equity(value) < 0.0]
        return -sum(a.equity(value) for a in owing), sum(a.size for a in owing)

    def pay_funding(self, per_share: float) -> None:
        for account in self.accounts:
            account.cash -= account.side * account.size * per_share
        self.maker_cash -= self.maker_size * per_share
        self.vault_cash -= self.vault_size * per_share
        self.outsider_cash -= self.outsider_size * per_share
        self.funding_paid += per_share

    def wealth(self, price: float) -> float:
        """Everything everybody owns at a price, USD."""
        open_accounts = sum(a.equity(price) for a in self.accounts)
        makers, vault = self.maker_cash + self.maker_size * price, self.vault_cash + self.vault_size * price
        outsider = self.outsider_cash + self.outsider_size * price
        return open_accounts + sum(self.wallet.values()) + makers + vault + outsider + self.fund + self.socialised + self.venue

    def imbalance(self) -> float:
        size = sum(a.side * a.size for a in self.accounts) + self.maker_size + self.vault_size + self.outsider_size
        return abs(self.wealth(0.0) - self.wealth_at_start) + abs(size) * self.price

    def ledger(self) -> dict[str, float]:
        value = self.value
        gave = {side: 0.0 for side in (1.0, -1.0)}
        for side, size, price, funding in self.forgone:
            gave[side] += side * size * ((value - self.funding_paid) - (price - funding))
        change = {
            side: sum(a.equity(value) for a in self.accounts if a.side == side) + self.wallet[side] - self.equity_at_start[side] + gave[side]
            for side in (1.0, -1.0)
        }
        return {
            "longs": change[1.0],
            "shorts": change[-1.0],
            "makers": self.maker_cash + self.maker_size * value,
            "backstop": self.vault_cash + self.vault_size * value,
            "insurance": self.fund - self.fund_at_start,
            "adl": -sum(gave.values()),
            "socialised": self.socialised,
            "venue": self.venue,
            "attacker": self.outsider_cash + self.outsider_size * value,
        }

    def outcome(self) -> dict[str, float]:
        per = 1.0 / self.open_interest
        shares = self.price * per
        found = {pocket: usd * per for pocket, usd in self.ledger().items()}
        found |= {
            "shortfall": sum(self.shortfall.values()) * per,
            "shortfall_long": self.shortfall[1.0] * per,
            "shortfall_short": self.shortfall[-1.0] * per,
            "exhausted": float(not math.isnan(self.exhausted_at)),
            "exhausted_hours": self.exhausted_at,
            "adl_needed": self.adl_needed * per,
            "adl_size": self.adl_size * shares,
            "premature": self.premature * shares,
            "liquidated_closed": self.liquidated_closed * shares,
            "liquidated_open": self.liquidated_open * shares,
            "phantom": self.phantom_most * per,
            "phantom_size": self.phantom_size * shares,
            "phantom_hours": self.phantom_hours,
            "dislocation": self.dislocation,
            "generations": float(self.runs.longest),
            "cascade": self.runs.ratio,
            "funding_closed": self.funding_closed,
            "imbalance": self.worst * per,
        }
        return found


# Random valid cases


@marks.mark_rule
def leaning(quotes, oracle, state, params):
    """Oracle plus a bounded, slowly remembered premium; leans on the bid while closed. Uses every field a reader's rule may use."""
    weight = 1.0 - math.exp(-state.seconds / params[0])
    state.memory[0] += weight * (quotes.mid / oracle - 1.0 - state.memory[0])
    bounded = min(max(state.memory[0], -params[1]), params[1])
    local = quotes.impact_bid if state.closed > 0.5 else 0.5 * (quotes.bid + quotes.impact_ask)
    return 0.5 * oracle * (1.0 + bounded) + 0.3 * local + 0.1 * state.mark + 0.1 * (oracle + state.basis)


MARKS = (
    OracleMark(),
    Mid(),
    Median(),
    Median(),
    Median(15.0),
    Median(1500.0),
    Blend(0.2),
    Blend(0.7),
    leaning(300.0, 0.05),
    leaning(600.0, 0.1),
)
"""Made once: each is compiled once."""


NEWER = 20_000


def random_case(seed: int, hours: float | None = None) -> tuple:
    """A random valid (machine, accounts, closure, gap): every rule is at work in some of them, singly or together.

    Populations are small and closures short, so that the slow engine stays usable; ``hours`` fixes the closure. Seeds from ``NEWER`` on draw
    from every rule of every venue, those below only from the first ones, so that they stay what they were.
    """
    rng = np.random.default_rng([20251221, seed])
    people, margin = random_accounts(rng)
    machine = random_machine(rng, people, margin)
    if seed >= NEWER:
        machine = with_newer_rules(rng.spawn(1)[0], machine)
    return machine, people, random_closure(rng, hours), random_gap(rng)


def pick(rng: np.random.Generator, *options):
    return options[rng.integers(len(options))]


def informed(u: float, depth: float) -> dict:
    """Fields of a book whose flow may weigh funding, be limited, and expect more news, all from one uniform number."""
    if u >= 0.3:
        return {"carry": False}
    limited = u < 0.12 and math.isfinite(depth)
    return {"carry": True, "capacity": (0.2 + 30.0 * u) * depth if limited else math.inf, "expects": 0.02 if 0.06 < u < 0.2 else 0.0}


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def random_gap(rng: np.random.Generator) -> float:
    return pick(rng, rng.uniform(-0.25, 0.25), rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.25), rng.normal(0.0, 0.03))


def random_closure(rng: np.random.Generator, hours: float | None = None) -> Closure:
    hours = hours or pick(rng, 0.5, 1.0, 1.5, 2.0, 2.0, 3.0, 6.0)
    closed_step_s, update_s = pick(rng, (60.0, 3.0), (60.0, 3.0), (60.0, 6.0), (300.0, 15.0), (60.0, 60.0), (120.0, 2.5))
    share = pick(rng, 0.0, 0.5, rng.uniform(), 1.0)
    news = pick(rng, {"news_count": int(rng.integers(1, 5))}, {"news_hours": tuple(np.sort(rng.uniform(0.0, hours, rng.integers(1, 4))))})
    value = Value(news_share=share, sd=between(rng, 0.005, 0.05), open_vol=pick(rng, 0.0, rng.uniform(0.0, 0.03)), **news)
    return Closure(hours, closed_step_s, update_s, float(pick(rng, 5, 5, 15, 35, 65)), value)


def random_outside(seed: int, people: Accounts, closure: Closure) -> dict:
    """Orders and misprints for the case of a seed: none in every second one, and seldom a misprint."""
    rng = np.random.default_rng([20260727, seed])
    if seed % 2:
        return {}
    last, interest = closure.times[-1], people.open_interest
    count = int(rng.integers(0, 6))
    hours = rng.uniform(0.0, last, count)
    closing = pick(rng, (), (), tuple(rng.uniform(0.0, last, rng.integers(1, 4))), (closure.hours, last))
    entry = pick(rng, None, people.price * math.exp(rng.normal(0.0, 0.02)))
    held = pick(rng, 0.0, rng.normal(0.0, 0.1) * interest)
    sizes = rng.normal(0.0, between(rng, 1e-3, 0.3), count) * interest
    found = {"orders": Orders(tuple(hours), tuple(sizes), closing, held, entry)}
    if seed % 4 == 0:
        start = rng.uniform(closure.hours, 0.5 * (closure.hours + last))
        found["misprints"] = (Misprint(start, rng.uniform(start, last), rng.normal(0.0, 0.1), pick(rng, 0.0, 1.0, rng.uniform())),)
    return found


def random_accounts(rng: np.random.Generator) -> tuple[Accounts, Margin]:
    max_leverage = pick(rng, 3.0, 10.0, 20.0, 50.0)
    margin = Margin(max_leverage, pick(rng, None, None, between(rng, 0.1, 1.0) / max_leverage))
    price = pick(rng, 250.0, 7.5, 1800.0)
    if rng.random() < 0.3:
        sampled = Accounts.sample(int(2 * rng.integers(1, 31)), rng, max_leverage=max_leverage, open_interest=between(rng, 1e5, 1e8), price=price)
        return sampled, margin
    n = int(rng.integers(1, 61))
    side = np.where(rng.random(n) < pick(rng, 0.5, 0.5, 0.3, 0.8, 1.0), 1.0, -1.0)
    size = np.exp(rng.normal(rng.uniform(0.0, 8.0), pick(rng, 0.1, 1.0, 2.0), n))
    entry = price * np.exp(rng.normal(0.0, pick(rng, 0.0, 0.05, 0.3), n))
    equity = size * price * margin.maintenance * (1.0 + np.exp(rng.normal(0.5, pick(rng, 0.05, 1.0), n)))
    collateral = equity - side * size * (price - entry)
    # A winner may have taken its margin out against its profit, but something must be posted.
    return Accounts(side, size, entry, np.maximum(collateral, 1e-3 * size * price), price), margin


def random_machine(rng: np.random.Generator, people: Accounts, margin: Margin) -> Machine:
    interest = people.open_interest
    step = pick(rng, math.inf, 0.005, between(rng, 1e-3, 0.05))
    oracle = pick(rng, frozen_oracle(step), no_oracle(step), impact_oracle(between(rng, 0.05, 8.0), pick(rng, 0.1, 0.001, 1.0), step))
    width = rng.uniform(0.01, 0.15)
    band = pick(rng, no_band(), static_band(width), ratchet(width, rng.uniform(0.3, 1.0), int(rng.integers(1, 4))))
    funding = Funding(
        premium=pick(rng, "dead-zone", "impact-mid"),
        interest_8h=pick(rng, 0.0, 1e-4, -1e-3),
        clamp_8h=pick(rng, 0.0, 5e-4),
        multiplier=pick(rng, 0.0, 0.5, 1.0, 8.0),
        cap_per_hour=pick(rng, 0.04, 0.001),
        when_closed=bool(rng.random() < 0.7),
    )
    notional = np.quantile(people.size, rng.uniform()) * people.price
    threshold, fee = pick(rng, math.inf, notional, 0.2 * notional, 0.01 * notional), pick(rng, 0.0, 0.005, 0.05)
    share, cooldown_s = pick(rng, 0.2, 0.5, 1.0, rng.uniform(0.05, 0.95)), pick(rng, 0.0, 30.0, 31.0, 100.0, 600.0)
    depth_open = pick(rng, math.inf, interest * between(rng, 0.3, 30.0))
    depth_closed = pick(rng, math.inf, interest * between(rng, 0.1, 6.0), interest * between(rng, 0.1, 6.0))
    if fee > 0.0 and math.inf in (depth_open, depth_closed):
        # At a price that stands still, a fee that takes all leaves a sliced account on the very edge of bankruptcy, and rounding decides its side.
        threshold = math.inf
    book = Book(
        depth_open=depth_open,
        depth_closed=depth_closed,
        refill_open=pick(rng, 0.0, 8.3, math.inf),
        refill_closed=pick(rng, 0.0, 0.7, between(rng, 0.1, 10.0)),
        permanent=pick(rng, 0.0, rng.uniform(), 1.0),
            half_spread_open=pick(rng, 0.0, 0.0002),
        half_spread_closed=pick(rng, 0.0, 0.0005, 0.005),
        follow_open=pick(rng, 0.0, 20.0, math.inf),
        follow_closed=pick(rng, 0.0, 0.1, between(rng, 0.2, 20.0), math.inf),
        noise_open=pick(rng, 0.0, 0.01),
        noise_closed=pick(rng, 0.0, 0.01, 0.03),
        **informed(rng.random(), depth_closed),
        limit=pick(rng, math.log(2.0), between(rng, 0.02, 1.5)),
    )
    return Machine(
        name="random",
        oracle=oracle,
        mark=pick(rng, *MARKS),
        mark_step=pick(rng, math.inf, 0.005, between(rng, 1e-3, 0.05)),
        band=band,
        funding=funding,
        margin=margin,
        liquidation=Liquidation(threshold, share, cooldown_s, fee),
        backstop=Backstop(pick(rng, 0.0, 0.01, 0.1, 2.0), pick(rng, 2.0 / 3.0, 0.2, 1.0)),
        insurance=pick(rng, 0.0, 1e-4, 0.005, 0.1),
        adl=pick(rng, "none", "queue", "pro-rata"),
        impact_notional=interest * between(rng, 1e-6, 1e-2),
        book=book,
    )


NEWER_MARKS = (
    LocalMedian(),
    LocalMedian(600.0, 30.0),
    ImpactMedian(),
    ImpactMedian(0.02, 60.0, 600.0, 1800.0),
    LastMedian(),
    LastMedian(300.0, 600.0, 1.0),
    LastMedian(600.0, alone=True),
    BasisMark(60.0),
)


def with_newer_rules(rng: np.random.Generator, machine: Machine) -> Machine:
    """The machine with some of its rules replaced by those that venues other than trade.xyz brought in."""
    step, tau, wall = machine.oracle.step, between(rng, 0.05, 8.0), pick(rng, math.inf, math.inf, rng.uniform(0.01, 0.15))
    oracle = pick(
        rng,
        machine.oracle,
        impact_oracle(tau, pick(rng, 0.1, 0.001, 1.0), step, wall),
        level_oracle(tau, pick(rng, None, between(rng, 0.05, 8.0)), step, wall),
        last_oracle(tau, step, wall),
        decaying_oracle(tau, between(rng, 0.01, 1.0), step, wall),
        proxy_oracle(pick(rng, 0.0, rng.uniform(), 1.0), step, wall),
    )
    band = pick(rng, machine.band, machine.band, oracle_band(rng.uniform(0.005, 0.1)))
    orders = pick(rng, "market", "market", "limit", "zero-price", "zero-price")
    interval_s, cap = pick(rng, 0.0, 0.0, 30.0, 900.0), pick(rng, math.inf, math.inf, 1.0, 5.0)
    start = rng.uniform(0.0, 2.0)
    liquidation, backstop = machine.liquidation, machine.backstop
    if orders != "market":
        liquidation = Liquidation(fee=liquidation.fee, orders=orders, order_band=pick(rng, math.inf, rng.uniform(0.005, 0.1)))
        fund = lp_fund(pick(rng, 0.0, 0.005, 0.1), pick(rng, 0.0, 0.05, 0.5), pick(rng, 2.0 / 3.0, 0.2, 1.0), pick(rng, 1.0, 0.3))
        backstop = pick(rng, backstop, fund, fund)
    return replace(
        machine,
        oracle=oracle,
        band=band,
        mark=pick(rng, machine.mark, *NEWER_MARKS),
        liquidation=liquidation,
        backstop=backstop,
        adl=pick(rng, machine.adl, "crossing"),
        batch=Batch(interval_s, cap, pick(rng, None, None, (start, start + rng.uniform(0.0, 1.0)))),
        refund=pick(rng, 0.0, 0.0, rng.uniform(), 1.0),
    )
