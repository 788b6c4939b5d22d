"""A second pool engine, slow and obvious, that replays the shocks of the first.

Every account is an object with a cash balance and a position; carry is paid in cash, every account is looked at in every update, and the pool's
books are kept as a list of payments. Nothing is sorted, summed ahead or compiled, and no rule comes from the package: only its random numbers
(``perpkit.engine.draw``) and its parameter classes do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

import perpkit as pk
from perpkit import pool
from perpkit.engine import CHUNK, draw

DUST = 1e-12
"""Share of open interest below which a loss counts as rounding."""


@dataclass(eq=False)
class Account:
    """One isolated account or a part of one: worth ``cash + side * size * price``."""

    side: float
    size: float
    entry: float
    cash: float
    spare: float
    spare_closed: float
    stop: float | None
    cap: float

    def equity(self, price: float) -> float:
        return self.cash + self.side * self.size * price

    def profit(self, price: float) -> float:
        return self.side * self.size * (price - self.entry)

    @property
    def bankruptcy(self) -> float:
        return -self.cash / (self.side * self.size)


@dataclass
class Replay:
    """What one weekend did: outcomes by name, per unit of open interest, and the worst imbalance of the books in USD."""

    outcome: dict[str, float]
    worst: float


def replay(machine: pk.Pool, accounts: pk.Accounts, closure: pk.Closure, gap: float, seed: int = 1, weekend: int = 0) -> Replay:
    """Run the weekend that ``perpkit.simulate(machine, accounts, closure, gap, rng=seed, weekend=weekend)`` runs."""
    chunk, place = divmod(weekend, CHUNK)
    shocks = draw(seed, chunk, place + 1, np.full(place + 1, float(gap)), closure)
    week = Weekend(machine, accounts, closure, gap)
    week.run(float(shocks.news[-1]), [int(k) for k in shocks.news_at[-1]], shocks.normals[-1])
    return Replay(week.result(), week.worst)


def cushion(margin: pool.PoolMargin, size: float, entry: float, collateral: float) -> float:
    """USD of equity below which the account is liquidated, before the part that follows the oracle."""
    leverage = size * entry / collateral
    if leverage <= margin.leverage_low:
        loss = margin.loss
    elif leverage >= margin.leverage_high:
        loss = margin.loss_high
    else:
        along = (leverage - margin.leverage_low) / (margin.leverage_high - margin.leverage_low)
        loss = margin.loss + along * (margin.loss_high - margin.loss)
    return margin.cushion * size * entry + (1.0 - loss) * collateral


@dataclass
class Weekend:
    """All that changes in a weekend, and the rules that change it."""

    machine: pk.Pool
    population: pk.Accounts
    closure: pk.Closure
    gap: float
    accounts: list[Account] = field(default_factory=list)
    money: dict[str, float] = field(default_factory=dict)
    tally: dict[str, float] = field(default_factory=dict)
    worst: float = 0.0

    def __post_init__(self) -> None:
        m, people = self.machine, self.population
        self.price = people.price
        self.interest = people.open_interest
        self.shut = m.margin_closed or m.margin
        self.money = dict.fromkeys(("longs", "shorts", "pool", "hedge", "street", "protocol", "venue", "informed"), 0.0)
        names = ("shortfall_long", "shortfall_short", "premature", "liquidated_closed", "liquidated_open", "adl_size", "adl_needed", "stopped")
        names = (*names, "guaranteed", "timed", "capped", "cut", "phantom", "phantom_size", "phantom_hours", "deepest", "carried")
        self.tally = dict.fromkeys(names, 0.0)
        self.shown = {1.0: 0.0, -1.0: 0.0}
        for k in range(len(people)):
            self.add(float(people.side[k]), float(people.size[k]), float(people.entry[k]), float(people.collateral[k]))
        self.equity_before = {s: sum(a.equity(self.price) for a in self.accounts if a.side == s) for s in (1.0, -1.0)}
        net = self.net()
        self.pool_size, self.money["pool"] = -net, net * self.price
        self.hedge_size = self.informed_size = 0.0
        self.trade_hedge(self.price)
        self.pool_value = (m.tranches.junior + m.tranches.senior) * self.interest
        self.realised, self.rate = 0.0, m.carry.start
        self.deleveraged: list[tuple[float, float, float, float]] = []
        self.carry_paid = {1.0: 0.0, -1.0: 0.0}
        self.exhausted_at = math.nan
        self.tick, self.last_tick, self.run_size, self.run_first, self.run_length = 0, -2, 0.0, 0.0, 0
        self.best_size, self.best_ratio, self.best_length = 0.0, 0.0, 0
        self.hedge_due: float | None = None
        self.closures = 0
        self.before = self.cash()

    def add(self, side: float, size: float, entry: float, collateral: float) -> None:
        m = self.machine
        equity = collateral + side * size * (self.price - entry)
        if size * self.price > m.overnight_leverage * equity * (1.0 + 1e-12):
            if m.overnight == "close":
                return
            left = m.overnight_leverage * equity / self.price
            collateral += side * (size - left) * (self.price - entry)
            size = left
        shares = [1.0] if m.stop is None or m.stop.share == 1.0 else [m.stop.share, 1.0 - m.stop.share]
        for k, part in enumerate(shares):
            q, c = part * size, part * collateral
            stop = None
            if m.stop is not None and k == 0:
                stop = self.price - side * m.stop.loss * (c + side * q * (self.price - entry)) / q
            cap = entry + side * m.payouts.max_gain * c / q
            self.accounts.append(
                Account(side, q, entry, c - side * q * entry, cushion(m.margin, q, entry, c), cushion(self.shut, q, entry, c), stop, cap)
            )

    # Bookkeeping

    def held(self, side: float) -> float:
        return sum(a.size for a in self.accounts if a.side == side)

    def net(self) -> float:
        return sum(a.side * a.size for a in self.accounts)

    def cash(self) -> float:
        return sum(self.money.values()) + sum(a.cash for a in self.accounts)

    def balance(self) -> None:
        size = self.net() + self.pool_size + self.informed_size
        self.worst = max(self.worst, abs(self.cash() - self.before) + abs(size) * self.price)

    def trade_hedge(self, price: float) -> None:
        traded = self.machine.hedge.share * self.net() - self.hedge_size
        self.hedge_size += traded
        self.money["hedge"] -= traded * price
        self.money["street"] += traded * price

    def result_of_pool(self, price: float) -> float:
        return self.money["pool"] + self.money["hedge"] + (self.pool_size + self.hedge_size) * price

    def close(self, a: Account, size: float, paid: float, protocol: float) -> None:
        """The pool takes over ``size`` shares of the account with their margin."""
        self.closures += 1
        part = size / a.size
        collateral = part * (a.cash + a.side * a.size * a.entry)  # what is left of it after carry
        carry = self.carry_paid[a.side] * size
        self.realised += collateral + carry - paid - protocol
        self.money["pool"] += part * a.cash - paid - protocol
        self.money["longs" if a.side > 0 else "shorts"] += paid
        self.money["protocol"] += protocol
        self.pool_size += a.side * size
        a.cash -= part * a.cash
        a.size -= size
        a.spare, a.spare_closed = (1.0 - part) * a.spare, (1.0 - part) * a.spare_closed
        if a.size <= 1e-15 * size:
            self.accounts = [b for b in self.accounts if b is not a]

    # The clock

    def run(self, news: float, news_at: list[int], normals: np.ndarray) -> None:
        c, m = self.closure, self.machine
        smooth = arrived = other = v = o = 0.0
        step_h, update_h = c.closed_step_s / 3600.0, c.update_s / 3600.0
        sd = c.value.sd * math.sqrt((1.0 - c.value.news_share) / c.closed_steps)
        follow, noise = m.book.follow_closed, m.book.noise_closed
        spread = step_h if follow * step_h < 1e-12 else (1.0 - math.exp(-2.0 * follow * step_h)) / (2.0 * follow)
        self.first_open = c.hours + math.ceil(m.feed.delay_minutes * 60.0 / c.update_s - 1e-9) * update_h
        self.hedge_delay = math.ceil(m.hedge.delay_minutes * 60.0 / c.update_s - 1e-9)
        hot = False
        for k in range(c.closed_steps):
            left = c.closed_steps - k
            smooth += (self.gap - news - smooth) / left + sd * math.sqrt((left - 1) / left) * normals[k, 0]
            arrived += sum(news / c.value.items for at in news_at if at == k)
            new = smooth + arrived
            keep = math.exp(-follow * step_h)
            other = keep * other + (1.0 - keep) * new + noise * math.sqrt(spread) * normals[k, 1]
            new_o = {"none": 0.0, "frozen": 0.0, "live": new, "perp": other}[m.feed.closed]
            parts = c.updates if hot else 1
            hot = False
            for u in range(1, parts + 1):
                along = u / parts
                hours = k * step_h + along * step_h
                hot |= self.update(v + (new - v) * along, o + (new_o - o) * along, hours, closed=True, open_step=-1)
            v, o = new, new_o
            self.end_of_step(v, o, (k + 1) * step_h, step_h, closed=True, last_closed=k + 1 == c.closed_steps, open_step=-1)
        for k in range(c.open_steps):
            v += c.value.open_vol * math.sqrt(update_h) * normals[c.closed_steps + k, 0]
            hours = c.hours + (k + 1) * update_h
            self.update(v, v, hours, closed=False, open_step=k)
            self.end_of_step(v, v, hours, update_h, closed=False, last_closed=False, open_step=k)
        self.end = self.price * math.exp(v)
        for a in list(self.accounts):
            if a.equity(self.end) < 0.0:
                self.tally["shortfall_long" if a.side > 0 else "shortfall_short"] -= a.equity(self.end)
                self.tally["liquidated_open"] += a.size
                self.close(a, a.size, 0.0, 0.0)
        self.watch(self.end, c.hours + c.open_steps * update_h)
        self.balance()

    def acting(self, closed: bool, hours: float) -> bool:
        return self.machine.feed.closed != "none" if closed else hours > self.first_open + 1e-9

    def update(self, v: float, o: float, hours: float, closed: bool, open_step: int) -> bool:
        """One look of the venue at its accounts; whether any was liquidated."""
        self.tick += 1
        if not self.acting(closed, hours):
            return False
        self.tally["deepest"] = max(self.tally["deepest"], abs(o - v))
        closures, price = self.closures, self.price * math.exp(o)
        gone = 0.0
        for side in (1.0, -1.0) if self.held(1.0) >= self.held(-1.0) else (-1.0, 1.0):
            gone += self.exits(side, price, hours, closed)
        if gone > 0.0:
            if self.tick == self.last_tick + 1:
                self.run_length, self.run_size = self.run_length + 1, self.run_size + gone
            else:
                self.run_length, self.run_size, self.run_first = 1, gone, gone
            self.last_tick = self.tick
            self.best_length = max(self.best_length, self.run_length)
            if self.run_size > self.best_size * (1.0 + 1e-9):
                self.best_size, self.best_ratio = self.run_size, self.run_size / self.run_first
        if self.closures > closures:
            self.watch(price, hours)
            self.want_hedge(open_step)
        self.balance()
        return gone > 0.0

    def want_hedge(self, open_step: int) -> None:
        if self.hedge_due is None:
            self.hedge_due = max(open_step, 0) + self.hedge_delay

    def watch(self, price: float, hours: float) -> None:
        t = self.machine.tranches
        result, first = self.result_of_pool(price) + DUST * self.interest, t.junior * self.interest
        if math.isnan(self.exhausted_at) and result < 0.0 and (self.junior(result) <= -first if first else result < -self.pool_value):
            self.exhausted_at = hours

    # What a print closes

    def exits(self, side: float, price: float, hours: float, closed: bool) -> float:
        m = self.machine
        half = m.feed.half_spread_closed if closed else m.feed.half_spread_open
        quote = price * math.exp(-side * half)
        seen = quote if m.feed.trigger == "fill" else price
        margin = self.shut if closed else m.margin
        mine = [a for a in self.accounts if a.side == side]
        paid_share = self.paid_share(side, price)
        reopen = self.price * math.exp(self.gap)
        stopped = [a for a in mine if a.stop is not None and side * seen < side * a.stop]
        if m.stop is not None and m.stop.guaranteed:
            for a in stopped:
                equity = max(a.equity(a.stop), 0.0)
                fee = min(m.fees.close * a.size * a.stop, equity)
                self.tally["guaranteed"] += equity - max(a.equity(quote), 0.0)
                self.tally["stopped"] += a.size
                self.close(a, a.size, equity - fee, (1.0 - m.fees.to_pool) * fee)
            stopped = []
        mine = [a for a in mine if a in self.accounts and a not in stopped]
        for a in mine:
            if side * seen > side * a.cap:
                cut = (1.0 - paid_share) * a.profit(a.cap)
                equity = max(a.equity(a.cap) - cut, 0.0)
                fee = min(m.fees.close * a.size * a.cap, equity)
                self.tally["cut"] += cut
                over = a.size * side * (seen - a.cap)
                self.tally["capped"] += over
                self.shown[side] += cut + over
                self.close(a, a.size, equity - fee, (1.0 - m.fees.to_pool) * fee)
        mine = [a for a in mine if a in self.accounts]
        condemned = [a for a in mine if a.equity(seen) < (a.spare_closed if closed else a.spare) + margin.maintenance * a.size * seen]
        order = sum(a.size for a in stopped) + sum(a.size for a in condemned)
        if order == 0.0:
            return 0.0
        fill = max(quote - side * price * self.impact(side, order * price, price), 0.0)
        gone = 0.0
        for a in [*stopped, *condemned]:
            liquidation = a not in stopped
            equity, size = a.equity(fill), a.size
            fee = min((m.fees.close + (m.fees.liquidation if liquidation else 0.0)) * size * fill, max(equity, 0.0))
            self.tally["shortfall_long" if side > 0 else "shortfall_short"] += max(-equity, 0.0)
            paid = 0.0 if liquidation and m.margin.forfeits else max(equity, 0.0) - fee
            if liquidation:
                gone += size
                self.tally["liquidated_closed" if closed else "liquidated_open"] += size
                before_carry = a.equity(seen) + self.carry_paid[side] * size
                if before_carry >= a.spare + m.margin.maintenance * size * seen:
                    self.tally["timed"] += size
                worth = a.equity(reopen)
            else:
                self.tally["stopped"] += size
            self.close(a, size, paid, (1.0 - m.fees.to_pool) * fee)
            if liquidation and closed and worth > 0.0:
                self.tally["premature"] += size
                refund = m.refund * max(worth - paid, 0.0)
                self.money["venue"] -= refund
                self.money["longs" if side > 0 else "shorts"] += refund
        return gone

    def impact(self, side: float, notional: float, price: float) -> float:
        """Cost as a share of the order."""
        f = self.machine.impact
        skew = self.net() * price
        after = skew - side * notional
        if f.kind == 0:
            return 0.0
        if f.kind == 1:
            return -side * (2.0 * skew - side * notional) / (2.0 * f.scale)
        old, new = abs(skew), abs(after)
        if (skew > 0.0 > after) or (skew < 0.0 < after):
            usd = f.improve * old**f.power_improve - f.worsen * new**f.power_worsen
        elif new < old:
            usd = f.improve * (old**f.power_improve - new**f.power_improve)
        else:
            usd = f.worsen * (old**f.power_worsen - new**f.power_worsen)
        return -max(min(usd / notional, f.most_got), -f.most_paid)

    def side_profit(self, side: float, price: float) -> float:
        return sum(a.profit(price) for a in self.accounts if a.side == side)

    def paid_share(self, side: float, price: float) -> float:
        limit = self.machine.payouts.paid_up_to * self.machine.payouts.side * self.pool_value
        profit = self.side_profit(side, price)
        return min(1.0, limit / profit) if profit > 0.0 else 1.0

    def deleverage(self, side: float, price: float) -> bool:
        p = self.machine.payouts
        behind = p.side * self.pool_value
        profit = self.side_profit(side, price)
        if math.isinf(p.adl_above) or profit <= p.adl_above * behind:
            return False
        winners = [a for a in self.accounts if a.side == side and a.profit(price) > 0.0]
        excess = profit - p.adl_to * behind
        part = min(1.0, excess / sum(a.profit(price) for a in winners))
        paid_share = self.paid_share(side, price)
        for a in winners:
            size = part * a.size
            cut = (1.0 - paid_share) * part * a.profit(price)
            self.tally["cut"] += cut
            self.shown[side] += cut
            self.tally["adl_size"] += size
            self.deleveraged.append((side, size, price, self.carry_paid[side]))
            self.close(a, size, max(part * a.equity(price) - cut, 0.0), 0.0)
        self.tally["adl_needed"] += excess
        return True

    # The rest of a step

    def end_of_step(self, v: float, o: float, hours: float, length: float, closed: bool, last_closed: bool, open_step: int) -> None:
        m, acting = self.machine, self.acting(closed, hours)
        here = self.price * math.exp(o) if acting or not closed else self.price
        worth = self.price * math.exp(v)
        if acting:
            if self.deleverage(1.0, here) | self.deleverage(-1.0, here):
                self.want_hedge(open_step)
        hidden = [a for a in self.accounts if a.equity(worth) < 0.0]
        loss = -sum(a.equity(worth) for a in hidden)
        if loss > DUST * self.interest:
            self.tally["phantom"] = max(self.tally["phantom"], loss)
            self.tally["phantom_size"] = max(self.tally["phantom_size"], sum(a.size for a in hidden))
            self.tally["phantom_hours"] += length
        if m.informed > 0.0 and last_closed:
            self.come(here, worth)
        if m.informed > 0.0 and not closed and acting and self.informed_size != 0.0:
            side = math.copysign(1.0, self.informed_size)
            self.trade_informed(-self.informed_size, here * math.exp(-side * m.feed.half_spread_open), m.fees.close)
        if not closed and self.hedge_due is not None and open_step >= self.hedge_due:
            self.trade_hedge(worth)
            self.hedge_due = None
        if abs(hours - round(hours)) < 1e-9:
            self.charge(here, closed)
            if acting:
                self.watch(here, hours)
        self.balance()

    def come(self, stale: float, worth: float) -> None:
        """Informed traders buy what is worth more than it costs, or sell what is worth less."""
        m = self.machine
        shares = m.informed * self.interest / stale
        ask, bid = stale * math.exp(m.feed.half_spread_closed), stale * math.exp(-m.feed.half_spread_closed)
        sold, bought = worth * math.exp(-m.feed.half_spread_open), worth * math.exp(m.feed.half_spread_open)
        if sold * (1.0 - m.fees.close) > ask * (1.0 + m.fees.open):
            self.trade_informed(shares, ask, m.fees.open)
        elif bid * (1.0 - m.fees.open) > bought * (1.0 + m.fees.close):
            self.trade_informed(-shares, bid, m.fees.open)

    def trade_informed(self, size: float, price: float, rate: float) -> None:
        fee = rate * abs(size) * price
        self.informed_size += size
        self.pool_size -= size
        self.money["informed"] -= size * price + fee
        self.money["pool"] += size * price + self.machine.fees.to_pool * fee
        self.money["protocol"] += (1.0 - self.machine.fees.to_pool) * fee

    def charge(self, price: float, closed: bool) -> None:
        c = self.machine.carry
        if closed and not c.when_closed:
            return
        interest = {s: self.held(s) * price for s in (1.0, -1.0)}
        due, protocol = {}, 0.0
        room = c.reserve * self.machine.payouts.side * self.pool_value
        for s in (1.0, -1.0):
            use = min(interest[s] / room, 1.0)
            borrow = c.base * use
            if use > c.kink:
                borrow += (c.top - c.base) * (use - c.kink) / (1.0 - c.kink)
            borrow *= c.closed_factor if closed else 1.0
            if c.larger_only and interest[s] < interest[-s]:
                borrow = 0.0
            protocol += c.protocol * borrow * interest[s]
            due[s] = c.rollover + borrow
        both = interest[1.0] + interest[-1.0]
        if c.skew_scale is not None:
            skew = max(-1.0, min(1.0, (interest[1.0] - interest[-1.0]) / (c.skew_scale * self.interest)))
        else:
            skew = (interest[1.0] - interest[-1.0]) / both if both else 0.0
        old = self.rate
        resting = abs(skew) <= c.threshold and skew * old >= 0.0
        if c.velocity > 0.0 and not resting:
            self.rate = max(-c.cap, min(c.cap, old + c.velocity * skew))
            if abs(self.rate) < c.floor and skew:
                self.rate = math.copysign(c.floor, skew)
        mean = (old + self.rate) / 2.0
        if c.skew_scale is not None:
            due[1.0] += mean
            due[-1.0] -= mean
        elif interest[1.0] and interest[-1.0]:
            payer = 1.0 if mean >= 0.0 else -1.0
            due[payer] += abs(mean)
            due[-payer] -= abs(mean) * interest[payer] / interest[-payer]
        for a in self.accounts:
            a.cash -= due[a.side] * price * a.size
            self.money["pool"] += due[a.side] * price * a.size
        for s in (1.0, -1.0):
            self.carry_paid[s] += due[s] * price
        self.money["pool"] -= protocol
        self.money["protocol"] += protocol
        if closed:
            self.tally["carried"] += max(abs(due[1.0]), abs(due[-1.0])) * price

    # The reckoning

    def result(self) -> dict[str, float]:
        m, end, t = self.machine, self.end, self.tally
        equity = {s: sum(a.equity(end) for a in self.accounts if a.side == s) for s in (1.0, -1.0)}
        result = self.result_of_pool(end)
        claims, cut = {}, 0.0
        for s in (1.0, -1.0):
            share = 1.0 - self.paid_share(s, end)
            winners = [a for a in self.accounts if a.side == s and a.profit(end) > 0.0]
            lost = share * sum(a.profit(end) for a in winners)
            cut += lost
            claims[s] = max(sum(max(a.profit(end) - self.carry_paid[s] * a.size, 0.0) for a in winners) - lost, 0.0)
        result += cut
        left = sum(claims.values())
        if result < -self.pool_value:
            cut += -self.pool_value - result
            left = max(left + self.pool_value + result, 0.0)
            result = -self.pool_value
        cash = max(min(m.payouts.daily, 1.0) * self.pool_value + self.realised, 0.0)
        unpaid = max(left - cash, 0.0)
        kept = {1.0: 0.0, -1.0: 0.0}
        for side, size, price, carry in self.deleveraged:
            kept[side] += side * size * (end - price) - size * (self.carry_paid[side] - carry)
        usd = dict.fromkeys(pk.POCKETS, 0.0)  # what only a book has stays 0
        for s, name in ((1.0, "longs"), (-1.0, "shorts")):
            frozen = unpaid * claims[s] / sum(claims.values()) if unpaid else 0.0
            usd[name] = equity[s] + self.money[name] - self.equity_before[s] + kept[s] + self.shown[s] - frozen
        usd |= {"adl": -sum(kept.values()), "socialised": -(cut + t["cut"])}
        junior = self.junior(result)
        usd |= {"junior": junior, "senior": result - junior, "hedge": self.money["street"] - self.hedge_size * end}
        usd |= {"protocol": self.money["protocol"], "venue": self.money["venue"]}
        usd |= {"informed": self.money["informed"] + self.informed_size * end, "capped": -t["capped"], "frozen": unpaid}
        self.worst = max(self.worst, abs(sum(usd.values())))
        usd |= {name: t[name] for name in ("shortfall_long", "shortfall_short", "adl_needed", "phantom", "guaranteed")}
        usd |= {"shortfall": t["shortfall_long"] + t["shortfall_short"], "hedge_due": self.money["hedge"] + self.hedge_size * end}
        shares = ("adl_size", "premature", "liquidated_closed", "liquidated_open", "phantom_size", "stopped", "timed")
        found = {name: value / self.interest for name, value in usd.items()} | {name: t[name] * self.price / self.interest for name in shares}
        broken = not math.isnan(self.exhausted_at)
        return found | {
            "exhausted": float(broken), "exhausted_hours": self.exhausted_at, "phantom_hours": t["phantom_hours"], "dislocation": t["deepest"],
            "generations": float(self.best_length), "cascade": self.best_ratio, "funding_closed": t["carried"] / self.price,
        }  # fmt: skip

    def junior(self, result: float) -> float:
        """The junior tranche's part of the pool's result."""
        tranches = self.machine.tranches
        junior, senior = tranches.junior * self.interest, tranches.senior * self.interest
        if tranches.split is not None:
            part = tranches.split * result
        elif result >= 0.0:
            part = result if junior else 0.0
        else:
            part = result
        part = max(part, -junior)
        return max(result + senior, -junior) if result - part < -senior else part


# Random cases


def random_pool(rng: np.random.Generator, accounts: pk.Accounts, cap: float) -> pk.Pool:
    """A pool with every rule drawn at random, which the accounts fit."""

    def maybe(chance: float, value, other):
        return value if rng.random() < chance else other

    interest = accounts.open_interest
    margin = pool.PoolMargin(
        cap, maintenance=maybe(0.4, rng.uniform(0.0, 0.2 / cap), 0.0), cushion=maybe(0.5, rng.uniform(0.0, 0.2 / cap), 0.0),
        loss=maybe(0.5, rng.uniform(0.75, 0.95), 1.0), loss_high=maybe(0.5, rng.uniform(0.7, 0.95), 1.0),
        leverage_low=2.0, leverage_high=maybe(0.5, 6.0, 2.0), forfeits=bool(rng.random() < 0.5),
    )  # fmt: skip
    closed = str(rng.choice(["none", "frozen", "live", "live", "perp", "perp"]))
    above = rng.uniform(0.02, 0.3)
    return pk.Pool(
        feed=pool.Feed(
            closed, maybe(0.7, rng.uniform(0, 0.002), 0.0), maybe(0.7, rng.uniform(0, 0.004), 0.0), float(maybe(0.3, rng.uniform(0, 2), 0.0)),
            str(rng.choice(["mid", "fill"])),
        ),
        impact=[
            pool.no_impact(), pool.skew_impact(interest * rng.uniform(2, 50)),
            pool.imbalance_impact(0.02 / interest, 0.01 / interest, 2.0), pool.imbalance_impact(0.02 / interest, 0.01 / interest, 2.0, 1.0),
        ][rng.integers(4)],
        margin=margin,
        margin_closed=maybe(0.4, pk.replace(margin, cushion=margin.cushion + rng.uniform(0, 0.3 / cap)), None),
        carry=pool.Carry(
            rollover=maybe(0.4, 1e-4, 0.0), base=maybe(0.5, 2e-4, 0.0), top=maybe(0.5, 1e-3, 2e-4), kink=0.3, reserve=rng.uniform(0.5, 2.0),
            larger_only=bool(rng.random() < 0.5), protocol=rng.uniform(0, 0.5), velocity=maybe(0.5, 1e-3, 0.0), start=rng.uniform(-1e-3, 1e-3),
            cap=2e-3, floor=maybe(0.5, 1e-4, 0.0), threshold=maybe(0.5, 0.04, 0.0), skew_scale=maybe(0.3, 0.5, None), closed_factor=1.1,
            when_closed=bool(rng.random() < 0.7),
        ),
        fees=pool.Fees(1e-3 * rng.random(), 1e-3 * rng.random(), maybe(0.5, 3e-3, 0.0), rng.random()),
        stop=maybe(0.5, pool.Stop(rng.uniform(0.2, 0.8), maybe(0.5, 1.0, rng.uniform(0.1, 0.9)), bool(rng.random() < 0.5)), None),
        tranches=pool.Tranches(maybe(0.6, rng.uniform(0.0, 0.05), 0.0), rng.uniform(0.01, 0.5), maybe(0.3, rng.uniform(0, 1), None)),
        hedge=pool.Hedge(maybe(0.5, rng.random(), 0.0), maybe(0.5, rng.uniform(0, 2), 0.0)),
        payouts=pool.Payouts(
            max_gain=maybe(0.5, rng.uniform(0.5, 3.0), math.inf), daily=maybe(0.5, rng.uniform(0.01, 0.3), math.inf),
            adl_above=maybe(0.5, above, math.inf), adl_to=maybe(0.5, above / 2, None) , paid_up_to=maybe(0.5, rng.uniform(0.05, 0.4), math.inf),
            side=rng.uniform(0.3, 1.0),
        ),
        overnight_leverage=maybe(0.4, rng.uniform(3.0, cap), math.inf), overnight=str(rng.choice(["reduce", "close"])),
        refund=maybe(0.3, rng.random(), 0.0),
        informed=maybe(0.5, rng.random(), 0.0) if closed in ("frozen", "perp") else 0.0,
        book=pk.Book(follow_closed=float(rng.choice([0.0, 0.5, 3.0])), noise_closed=0.02 * rng.random()),
    )  # fmt: skip


def random_pool_case(seed: int):
    """A population, a pool, a clock and a gap."""
    rng = np.random.default_rng([7, seed])
    n, cap = int(rng.integers(2, 30)), float(rng.choice([5.0, 10.0, 25.0]))
    side = rng.choice([-1.0, 1.0], n)
    entry = 250.0 * np.exp(rng.choice([0.0, 0.01]) * rng.standard_normal(n))
    size = np.exp(rng.standard_normal(n))
    equity = size * 250.0 / (1.0 + (cap - 1.0) * rng.random(n) * 0.6)
    collateral = equity - side * size * (250.0 - entry)
    accounts = pk.Accounts(side, size, entry, collateral, 250.0)
    closure = pk.Closure(
        hours=float(rng.integers(1, 4)), closed_step_s=60.0, update_s=float(rng.choice([5.0, 10.0])), reopen_minutes=4.0,
        value=pk.Value(news_share=float(rng.choice([0.0, 0.5, 1.0])), sd=0.06, open_vol=0.05 * rng.random()),
    )  # fmt: skip
    return random_pool(rng, accounts, cap), accounts, closure, float(rng.choice([1.0, -1.0]) * rng.gamma(1.5, 0.06))


def two_pools(seeds) -> float:
    """Largest difference between the two engines over random weekends, any outcome, in its own unit."""
    worst = 0.0
    for seed in seeds:
        machine, accounts, closure, gap = random_pool_case(seed)
        fast, slow = pk.simulate(machine, accounts, closure, gap, rng=seed).outcome, replay(machine, accounts, closure, gap, seed=seed).outcome
        for name, value in slow.items():
            if not (math.isnan(value) and math.isnan(fast[name])):
                worst = max(worst, abs(value - fast[name]) if abs(value - fast[name]) >= 0.0 else math.inf)
    return worst
