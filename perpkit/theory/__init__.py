"""Closed forms that the simulator is judged by, and that judge it. Nothing here imports the simulator.

``pricing`` and ``closure``: what a perpetual is worth with its reference live, and closed; ``clamped``: closed, under funding as venues
write it, and ``expecting`` more news; ``reopening``: what its price then says. ``control``: funding as a loop. ``margin`` and ``marks``:
prices and updates to a liquidation. ``losslaws`` and ``gaploss``: the loss beyond margin. ``passage``: triggers reached and overshot.
``options``: what a day costs with a clock instead. ``triggers``, ``reproduction`` and ``spreading``: who is liquidated where, how much that
brings about, and where it ends; ``branching`` and ``counting``: the law of its size, and n from what was seen; ``makers``: depth and spread
of who cannot hedge. ``manipulation``: what moving an oracle costs; ``drag`` and ``frontier``: at best; ``filters``: and a mark.
``reserves``: funds and haircuts.

Units: USD, shares, hours, rates per hour, log returns, unless a docstring says otherwise.
"""

from perpkit.theory.branching import Cascade, amplification, borel_tanner, cascade, mixed_variance
from perpkit.theory.clamped import ClampedPath, keep_ratio_clamped, pass_through_clamped
from perpkit.theory.closure import (
    carried_share,
    keep_hours,
    keep_ratio,
    pass_through,
    pass_through_limit,
    pass_through_paid,
    pass_through_pieces,
    pass_through_varying,
)
from perpkit.theory.control import (
    LoopThresholds,
    averaging_root,
    averaging_thresholds,
    basis_variance,
    common_volatility,
    delay_response,
    delay_root,
    delay_thresholds,
    funding_response,
)
from perpkit.theory.counting import (
    EpisodeReading,
    ReproductionEstimate,
    SizeTest,
    dispersion_reproduction,
    estimate_reproduction,
    read_episode,
    size_test,
)
from perpkit.theory.drag import DragSchedule, best_drag
from perpkit.theory.expecting import ExpectedPrice, pass_through_expecting
from perpkit.theory.filters import (
    BASIS_HOURS,
    LIGHTER_CLAMP,
    LIGHTER_HOURS,
    MarkDrag,
    RatchetDrag,
    clamped_median_rise,
    mark_drag,
    median_push,
    median_rise,
    ratchet_drag,
    step_clamp_rise,
)
from perpkit.theory.frontier import DragFrontier, drag_frontier, farming_hours, harvest_bound, harvest_frontier
from perpkit.theory.gaploss import expected_shortfall, shortfall, stale_option
from perpkit.theory.losslaws import (
    gpd_shortfall,
    kou_shortfall,
    laplace_shortfall,
    lognormal_shortfall,
    merton_shortfall,
    normal_shortfall,
    t_expected_shortfall,
    t_shortfall,
)
from perpkit.theory.makers import (
    Maker,
    MakerQuotes,
    certainty_equivalent,
    concession,
    depth_cap,
    free_entry,
    gap_variance,
    headcount_depth,
    maker_aversion,
    maker_quotes,
    offered_size,
    reservation_shift,
)
from perpkit.theory.manipulation import (
    DragCost,
    ScheduleCost,
    average_price_factor,
    constant_product_cost,
    drag_cost,
    hold_cost,
    schedule_cost,
)
from perpkit.theory.margin import bankruptcy_price, liquidation_price, partial_liquidation, protected_leverage, zero_price
from perpkit.theory.marks import (
    ClampWalk,
    RatchetRange,
    clamp_updates,
    clamp_walk,
    ema_drag_hours,
    ema_half_life,
    ema_noise_ratio,
    ratchet_range,
)
from perpkit.theory.options import option_delta, option_price, touch_and_recover
from perpkit.theory.passage import MONITORING, hit_probability, kou_overshoot, monitoring_overshoot, twap_noise_variance
from perpkit.theory.pools import (
    constant_product_shortfall,
    pool_capture,
    pool_liquidation_distance,
    skew_hours,
    uncovered,
)
from perpkit.theory.pricing import HOURS_PER_YEAR, clamp_rest_premium, idle_premium, payoff_funding, perpetual_basis, perpetual_ratio
from perpkit.theory.reproduction import (
    Feedback,
    Valley,
    affordable_weight,
    critical_depth,
    critical_reproduction,
    equivalent_weight,
    phantom_loss,
    phantom_weight,
    reanchor_hours,
    reproduction_number,
    valley,
)
from perpkit.theory.reopening import FlowReading, ReopeningRegression, read_regression, reopening_regression
from perpkit.theory.reserves import Haircut, adjustment_coefficient, cover, haircut_level, newsvendor_fund, queue_excess, ruin_probability
from perpkit.theory.spreading import Settled, Tipping, Unfolding, effective_reproduction, settle, tipping, unfold
from perpkit.theory.tiers import tiered_maintenance
from perpkit.theory.triggers import EvenDensity, LeverageLaw, Triggers, account_triggers, slice_shift, sliced

__all__ = [
    "BASIS_HOURS", "Cascade", "ClampWalk", "ClampedPath", "DragCost", "DragFrontier", "DragSchedule", "EpisodeReading", "EvenDensity",
    "ExpectedPrice", "Feedback", "FlowReading", "HOURS_PER_YEAR", "Haircut", "LIGHTER_CLAMP", "LIGHTER_HOURS", "LeverageLaw", "LoopThresholds",
    "MONITORING", "Maker", "MakerQuotes", "MarkDrag", "RatchetDrag", "RatchetRange", "ReopeningRegression", "ReproductionEstimate", "ScheduleCost",
    "Settled", "SizeTest", "Tipping", "Triggers", "Unfolding", "Valley", "account_triggers", "adjustment_coefficient", "affordable_weight",
    "amplification", "average_price_factor", "averaging_root", "averaging_thresholds", "bankruptcy_price", "basis_variance", "best_drag",
    "borel_tanner", "carried_share", "cascade", "certainty_equivalent", "clamp_rest_premium", "clamp_updates", "clamp_walk", "clamped_median_rise",
    "common_volatility", "concession", "constant_product_cost", "constant_product_shortfall", "cover", "critical_depth", "critical_reproduction",
    "delay_response", "delay_root", "delay_thresholds", "depth_cap", "dispersion_reproduction", "drag_cost", "drag_frontier",
    "effective_reproduction", "ema_drag_hours", "ema_half_life", "ema_noise_ratio", "equivalent_weight", "estimate_reproduction",
    "expected_shortfall", "farming_hours", "free_entry", "funding_response", "gap_variance", "gpd_shortfall", "haircut_level", "harvest_bound",
    "harvest_frontier", "headcount_depth", "hit_probability", "hold_cost", "idle_premium", "keep_hours", "keep_ratio", "keep_ratio_clamped",
    "kou_overshoot", "kou_shortfall", "laplace_shortfall", "liquidation_price", "lognormal_shortfall", "maker_aversion", "maker_quotes",
    "mark_drag", "median_push", "median_rise", "merton_shortfall", "mixed_variance", "monitoring_overshoot", "newsvendor_fund", "normal_shortfall",
    "offered_size", "option_delta", "option_price", "partial_liquidation", "pass_through", "pass_through_clamped", "pass_through_expecting",
    "pass_through_limit", "pass_through_paid", "pass_through_pieces", "pass_through_varying", "payoff_funding", "perpetual_basis",
    "perpetual_ratio", "phantom_loss", "phantom_weight", "pool_capture", "pool_liquidation_distance", "protected_leverage", "queue_excess",
    "ratchet_drag", "ratchet_range", "read_episode", "read_regression", "reanchor_hours", "reopening_regression", "reproduction_number",
    "reservation_shift", "ruin_probability", "schedule_cost", "settle", "shortfall", "size_test", "skew_hours", "slice_shift", "sliced",
    "stale_option", "step_clamp_rise", "t_expected_shortfall", "t_shortfall", "tiered_maintenance", "tipping", "touch_and_recover",
    "twap_noise_variance", "uncovered", "unfold", "valley", "zero_price",
]
