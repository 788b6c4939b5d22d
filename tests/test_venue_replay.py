"""Every venue's rules twice: the machine of each preset against the slow engines, on a weekend that liquidates at nearly all of them."""

import math

import numpy as np
import pytest
import slow_engine
import slow_pool
from test_replay import differences

from perpkit import data, pool, studies
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.engine import simulate
from perpkit.value import Value
from perpkit.venues import venue, venues

SETS = [tuple(row) for row in venues()[["name", "market", "asof"]].itertuples(index=False) if row[1] != "NVDA"]  # NVDA's rules are TSLA's
CLOSURE = Closure(hours=6.0, reopen_minutes=6.0, value=Value(news_share=1.0, news_hours=(2.5,)))
FALL = math.log(0.88)


def weekend(name, market, asof):
    machine = venue(name, market, asof)
    return machine, Accounts.sample(80, rng=4, leverage_median=6.0, max_leverage=machine.margin.max_leverage, open_interest=4.5e6)


@pytest.mark.parametrize("name, market, asof", SETS)
def test_a_preset_to_the_cent(name, market, asof):
    machine, people = weekend(name, market, asof)
    run = simulate(machine, people, CLOSURE, gap=FALL, rng=2)
    if not isinstance(machine, pool.Pool):
        assert differences(run, slow_engine.replay(machine, people, CLOSURE, FALL, seed=2)) == []
        return
    slow = slow_pool.replay(machine, people, CLOSURE, FALL, seed=2)
    written = [k for k in pool.kernel.WRITTEN if k != "imbalance"]
    np.testing.assert_allclose([run.outcome[k] for k in written], [slow.outcome[k] for k in written], rtol=1e-9, atol=1e-9)
    assert slow.worst <= 1e-9 * people.open_interest


def test_that_weekend_liquidates_at_most_of_them():
    gone = {row: simulate(*weekend(*row), CLOSURE, gap=FALL, rng=2).outcome for row in SETS}
    assert sum(x["liquidated_closed"] + x["liquidated_open"] > 0.0 for x in gone.values()) >= len(SETS) - 2


def test_the_study_takes_a_stock_and_a_market_of_the_readers_choice():
    table = data.load("weekend_gaps_megacaps")
    few = table[table["symbol"] == "AAPL"].head(3)
    ens = studies.replay("AAPL", repeats=1, market="TSLA", table=few)
    assert list(ens["gap"].values) == list(few["gap"]) and list(ens["machine"].values) == list(studies.eras("TSLA"))
    with pytest.raises(ValueError, match="'trade-xyz' has no market 'AAPL' here"):
        studies.replay("AAPL", table=few)
