"""perpkit: the engine under *Marking Time*, a report on 24/7 equity perpetual swaps.

The surface is small: a :class:`Machine` (a venue's rules), :class:`Accounts`, a :class:`Closure`; :func:`simulate` one weekend or an
:func:`ensemble` of them; :func:`estimate` what happened. ``theory`` holds closed forms and imports nothing of the engine, so that each can
judge the other.
"""

from perpkit import base, data, gaps, limits, nights, plots, runs, studies, theory, windows
from perpkit.accounts import Accounts
from perpkit.band import Band, no_band, ratchet, static_band
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import Run, simulate
from perpkit.ensemble import ensemble
from perpkit.estimate import Credible, Estimate, credible, estimate
from perpkit.funding import Funding
from perpkit.kernel import OUTCOMES
from perpkit.ledger import POCKETS, LedgerError
from perpkit.liquidity import Liquidity
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Blend, Mark, Median, Mid, OracleMark, mark_rule
from perpkit.oracle import Oracle, frozen_oracle, impact_oracle, no_oracle
from perpkit.report import Report
from perpkit.sessions import closures
from perpkit.value import Value
from perpkit.venues import BaseCase, base_case, rulebook, venue, venues
from perpkit.waterfall import Backstop, Liquidation

__version__ = "0.1.0"

__all__ = [
    "OUTCOMES", "POCKETS", "Accounts", "Backstop", "Band", "BaseCase", "Blend", "Book", "Closure", "Credible", "Estimate", "Funding",
    "LedgerError", "Liquidation", "Liquidity", "Machine", "Margin", "Mark", "Median", "Mid", "Oracle", "OracleMark", "Report", "Run", "Value", "base",
    "base_case", "closures", "credible", "data", "ensemble", "estimate", "frozen_oracle", "gaps", "impact_oracle", "mark_rule", "no_band",
    "no_oracle", "plots", "ratchet", "replace", "rulebook", "runs", "simulate", "static_band", "studies", "theory", "venue", "venues",
]  # fmt: skip
