"""Closed forms that the simulator is judged by, and that judge it. Nothing here imports the simulator.

``pricing`` and ``closure``: what a perpetual is worth with its reference live, and closed. ``control``: funding as a loop. ``margin`` and
``marks``: prices and updates to a liquidation. ``losslaws`` and ``gaploss``: the loss beyond margin. ``passage``: triggers reached and
overshot. ``options``: what a day costs with a clock instead. ``branching``: how far a liquidation spreads. ``manipulation``: what moving an
oracle costs. ``reserves``: funds and haircuts.

Units: USD, shares, hours, rates per hour, log returns, unless a docstring says otherwise.
"""

from perpkit.theory.branching import Cascade, amplification, cascade
from perpkit.theory.closure import keep_ratio, pass_through, pass_through_limit
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
from perpkit.theory.gaploss import expected_shortfall, shortfall, stale_option
from perpkit.theory.losslaws import (
    gpd_shortfall,
    kou_shortfall,
    laplace_shortfall,
    lognormal_shortfall,
    merton_shortfall,
    normal_shortfall,
    pareto_shortfall,
    t_expected_shortfall,
    t_shortfall,
)
from perpkit.theory.manipulation import DragCost, average_price_factor, constant_product_cost, drag_cost, hold_cost
from perpkit.theory.margin import bankruptcy_price, liquidation_price, partial_liquidation, protected_leverage
from perpkit.theory.marks import (
    ClampWalk,
    RatchetRange,
    clamp_updates,
    clamp_walk,
    clamped_mark,
    ema_drag_hours,
    ema_half_life,
    ema_noise_ratio,
    ratchet_range,
)
from perpkit.theory.options import option_delta, option_price, touch_and_recover
from perpkit.theory.passage import MONITORING, hit_probability, kou_overshoot, monitoring_overshoot, twap_noise_variance, twap_shortfall
from perpkit.theory.pricing import HOURS_PER_YEAR, clamp_rest_premium, idle_premium, payoff_funding, perpetual_basis, perpetual_ratio
from perpkit.theory.reserves import Haircut, cover, haircut_level, newsvendor_fund, queue_excess, ruin_probability

__all__ = [
    "Cascade", "ClampWalk", "DragCost", "HOURS_PER_YEAR", "Haircut", "LoopThresholds", "MONITORING", "RatchetRange", "amplification",
    "average_price_factor", "averaging_root", "averaging_thresholds", "bankruptcy_price", "basis_variance", "cascade",
    "clamp_rest_premium", "clamp_updates", "clamp_walk", "clamped_mark", "common_volatility", "constant_product_cost", "cover",
    "delay_response", "delay_root", "delay_thresholds", "drag_cost", "ema_drag_hours", "ema_half_life", "ema_noise_ratio",
    "expected_shortfall", "funding_response", "gpd_shortfall", "haircut_level", "hit_probability", "hold_cost", "idle_premium",
    "keep_ratio", "kou_overshoot", "kou_shortfall", "laplace_shortfall", "liquidation_price", "lognormal_shortfall", "merton_shortfall",
    "monitoring_overshoot", "newsvendor_fund", "normal_shortfall", "option_delta", "option_price", "pareto_shortfall",
    "partial_liquidation", "pass_through", "pass_through_limit", "payoff_funding", "perpetual_basis", "perpetual_ratio",
    "protected_leverage", "queue_excess", "ratchet_range", "ruin_probability", "shortfall", "stale_option", "t_expected_shortfall",
    "t_shortfall", "touch_and_recover", "twap_noise_variance", "twap_shortfall",
]
