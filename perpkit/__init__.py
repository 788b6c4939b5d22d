"""perpkit: the engine under *Marking Time*, a report on 24/7 equity perpetual swaps.

The surface is small: a :class:`Machine` (a venue's rules), :class:`Accounts`, a :class:`Closure`; :func:`simulate` one weekend or an
:func:`ensemble` of them; :func:`estimate` what happened. ``theory`` holds closed forms and imports nothing of the engine, so that each can
judge the other.
"""

from perpkit import (
    architectures,
    attack,
    base,
    boundary,
    cascade,
    compare,
    data,
    diagrams,
    discovery,
    drag,
    episodes,
    gaps,
    limits,
    makers,
    nights,
    phase,
    plots,
    pool,
    reference,
    runs,
    studies,
    theory,
    windows,
)
from perpkit.accounts import Accounts, cut_leverage
from perpkit.band import Band, no_band, oracle_band, ratchet, static_band
from perpkit.batch import Batch
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import RuleError, Run, simulate
from perpkit.ensemble import ensemble
from perpkit.estimate import Credible, Estimate, credible, estimate
from perpkit.funding import Funding
from perpkit.kernel import OUTCOMES
from perpkit.ledger import POCKETS, LedgerError
from perpkit.liquidity import Liquidity
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import BasisMark, Blend, ImpactMedian, LastMedian, LocalMedian, Mark, Median, Mid, OracleMark, mark_rule
from perpkit.oracle import (
    Oracle,
    decaying_oracle,
    frozen_oracle,
    impact_oracle,
    last_oracle,
    level_oracle,
    no_oracle,
    proxy_oracle,
)
from perpkit.orders import Misprint, Orders
from perpkit.pool import Pool
from perpkit.reductions import cut_size, reduced
from perpkit.report import Report, give_or_take, printed
from perpkit.sessions import closures
from perpkit.swing import swing
from perpkit.value import Value
from perpkit.venues import BaseCase, base_case, population, populations, rulebook, venue, venue_closure, venues
from perpkit.waterfall import Backstop, Liquidation, limit_only, lp_fund, zero_price

__version__ = "0.1.0"

__all__ = [
    "Accounts", "Backstop", "Band", "BaseCase", "BasisMark", "Batch", "Blend", "Book", "Closure", "Credible", "Estimate", "Funding",
    "ImpactMedian", "LastMedian", "LedgerError", "Liquidation", "Liquidity", "LocalMedian", "Machine", "Margin", "Mark", "Median", "Mid",
    "Misprint", "OUTCOMES", "Oracle", "OracleMark", "Orders", "POCKETS", "Pool", "Report", "RuleError", "Run", "Value", "architectures",
    "attack", "base", "base_case", "boundary", "cascade", "closures", "compare", "credible", "cut_leverage", "cut_size", "data",
    "decaying_oracle", "diagrams", "discovery", "drag", "ensemble", "episodes", "estimate", "frozen_oracle", "gaps", "give_or_take",
    "impact_oracle", "last_oracle", "level_oracle", "limit_only", "lp_fund", "makers", "mark_rule", "no_band", "no_oracle", "oracle_band", "phase",
    "plots", "pool", "population", "populations", "printed", "proxy_oracle", "ratchet", "reduced", "reference", "replace", "rulebook", "runs",
    "simulate", "static_band", "studies", "swing", "theory", "venue", "venue_closure", "venues", "zero_price",
]  # fmt: skip
