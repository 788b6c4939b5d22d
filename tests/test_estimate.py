"""Estimates: errors that are honest, and one run reweighted to every draw of a posterior."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import perpkit as pk
from perpkit.estimate import credible


class Mixture:
    """Equal mixture of Normals, with what ``credible`` asks of a predictive law."""

    name = "mixture"
    record = (-0.05, 0.05)

    def __init__(self, means, sds):
        self.parts = stats.norm(np.asarray(means)[:, None], np.asarray(sds)[:, None])

    def cdf(self, x):
        return self.parts.cdf(np.atleast_1d(x)).mean(axis=0)

    def members_logpdf(self, x):
        return self.parts.logpdf(np.atleast_1d(x))

    def logpdf(self, x):
        return np.log(np.exp(self.members_logpdf(x)).mean(axis=0))

    def quantile(self, p):
        grid = np.linspace(-0.6, 0.6, 400_001)
        return np.interp(p, self.cdf(grid), grid)


MEANS, SDS = np.linspace(-0.004, 0.004, 9), np.linspace(0.015, 0.035, 9)


def drawn(law, n=4096, sampling="stratified", seed=1):
    """An outcome ``(L - 5 %)+`` of ``n`` gaps of ``law``, labelled as an ensemble labels it."""
    strata = (np.arange(n) + np.random.default_rng(seed).random(n)) / n
    gap = law.quantile(strata)
    attrs = {"sampling": sampling, "record": list(law.record), "distinct": n, "seed": "1"}
    return xr.DataArray(
        np.maximum(-np.expm1(gap) - 0.05, 0.0), dims="weekend", coords={"weekend": np.arange(n), "gap": ("weekend", gap)}, attrs=attrs, name="shortfall"
    )


def test_every_member_gets_its_own_mean():
    law = Mixture(MEANS, SDS)
    result = credible(drawn(law), law, level=0.8)
    exact = np.array([pk.theory.shortfall(stats.norm(m, s), 0.05) for m, s in zip(MEANS, SDS, strict=True)])
    assert result.draws == pytest.approx(exact, rel=0.03)
    assert result.value == pytest.approx(exact.mean(), rel=0.02)
    assert result.low == pytest.approx(np.quantile(exact, 0.1), rel=0.03) and result.high == pytest.approx(np.quantile(exact, 0.9), rel=0.03)
    assert 0.0 < result.tail_share <= 1.0 and "80% interval" in str(result)


def test_the_difference_of_two_machines_is_reweighted_as_one():
    law = Mixture(MEANS, SDS)
    x = drawn(law)
    half = (x * 0.5).assign_attrs(x.attrs)
    assert credible(x, law, minus=half).draws == pytest.approx(0.5 * credible(x, law).draws, rel=1e-12)


def test_gaps_of_another_law_are_refused():
    law, other = Mixture(MEANS, SDS), Mixture(MEANS, 1.05 * SDS)
    with pytest.raises(ValueError, match="not drawn from 'mixture'"):
        credible(drawn(other), law)
    with pytest.raises(ValueError, match="these are given"):
        credible(drawn(law, sampling="given"), law)


def test_bad_requests_say_what_is_wrong():
    law = Mixture(MEANS, SDS)
    with pytest.raises(ValueError, match="level is a share between 0 and 1; got 90"):
        credible(drawn(law), law, level=90)
    holed = drawn(law)
    holed[7] = np.nan
    with pytest.raises(ValueError, match="no value in 1 of 4096 weekends"):
        credible(holed, law)


def test_sobol_gaps_have_the_error_of_strata():
    law = Mixture(MEANS, SDS)
    strata, sobol = drawn(law), drawn(law, sampling="sobol")
    independent = drawn(law, sampling="independent")
    assert pk.estimate(strata).se == pk.estimate(sobol).se < 0.1 * pk.estimate(independent).se
