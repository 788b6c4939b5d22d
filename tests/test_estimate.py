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
    attrs = {"sampling": sampling, "record": list(law.record), "cycle": n, "seed": "1"}
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


SAMPLE = np.array([-0.2, -0.15, -0.1, -0.05] + [0.03 * k for k in range(16)])


@pytest.fixture(scope="module")
def again():
    """Twenty weekends gone through fifty times and one more."""
    return pk.ensemble(pk.base_case().machine, pk.Accounts.sample(100, rng=1), pk.Closure(1.0, reopen_minutes=5), SAMPLE, n=1001, rng=1)


def test_a_sample_gone_through_again_stays_a_sample(again):
    x = again["shortfall"].isel(machine=0)
    found, whole = pk.estimate(x), pk.estimate(x.isel(weekend=slice(1000)))
    assert found.n == whole.n == 20 and found.value == float(x.mean())
    assert whole.se == pytest.approx(x.values[:1000].reshape(-1, 20).mean(axis=0).std(ddof=1) / 20**0.5, rel=1e-12)
    assert found.se == pytest.approx(whole.se, rel=0.05)


def test_clusters_of_unequal_size_cover():
    """Ten gaps of 3 to 8 runs, some without a value, whose runs agree in most: 1,000 such samples against the spread of their means."""
    rng = np.random.default_rng(2)
    own, noise = rng.standard_normal((1000, 10)), 0.3 * rng.standard_normal((1000, 80))
    x = np.tile(own, 8) + noise
    x[:, rng.random(80) < 0.3] = np.nan
    found = [pk.estimate(xr.DataArray(row, dims="weekend", attrs={"sampling": "given", "cycle": 10})) for row in x]
    assert {e.n for e in found} == {10}
    values = np.array([e.value for e in found])
    assert values == pytest.approx(np.nanmean(x, axis=1))
    assert np.mean([e.se**2 for e in found]) == pytest.approx(values.var(), rel=0.15)
    alone = pk.estimate(xr.DataArray(x[0], dims="weekend", attrs={"cycle": 1}))
    assert alone.n == np.isfinite(x[0]).sum() and alone.se == pytest.approx(np.nanstd(x[0], ddof=1) / alone.n**0.5)


def test_an_array_has_no_record(again):
    found = pk.estimate(again["shortfall"].isel(machine=0))
    assert np.isnan(found.tail_share) and "record" not in str(found)


def test_a_pair_of_different_shocks_is_refused(again):
    machine, accounts = pk.base_case().machine, pk.Accounts.sample(100, rng=1)

    def other(hours=1, gaps=SAMPLE, rng=1):
        ens = pk.ensemble(machine, accounts, pk.Closure(hours, reopen_minutes=5), gaps, n=40, rng=rng)
        return ens["shortfall"].isel(machine=0)

    x = again["shortfall"].isel(machine=0, weekend=slice(40))
    assert pk.estimate(x, minus=other()).value == 0.0
    for minus, what in ((other(rng=2), "seed"), (other(hours=2.0), "closure"), (other(gaps=SAMPLE / 2), "gaps"), (x.drop_vars("gap"), "gaps")):
        with pytest.raises(ValueError, match=f"common shocks; {what} differ"):
            pk.estimate(x, minus=minus)
    with pytest.raises(ValueError, match="the same weekends"):
        pk.estimate(x, minus=x[:-1])


def test_one_machine_needs_no_selection_and_several_are_named(again):
    one = again.isel(machine=[0])["shortfall"]
    assert pk.estimate(one) == pk.estimate(one.isel(machine=0)) and pk.estimate(one, minus=one).value == 0.0
    x = drawn(Mixture(MEANS, SDS))
    assert credible(x.expand_dims("machine"), Mixture(MEANS, SDS)).draws == pytest.approx(credible(x, Mixture(MEANS, SDS)).draws, rel=0.0)
    two = xr.concat([one, one], "machine").assign_coords(machine=["old", "new"])
    with pytest.raises(ValueError, match=r"outcome holds 2 machines; select one of 'old', 'new', as ens\['shortfall'\].sel\(machine='old'\)"):
        pk.estimate(two)
    with pytest.raises(ValueError, match="minus holds 2 machines"):
        pk.estimate(one, minus=two)
    with pytest.raises(ValueError, match="outcome is one outcome of an ensemble and not the whole of it; give one"):
        pk.estimate(again)


def test_a_share_of_nothing_has_no_sign():
    assert str(pk.Estimate(1.0, 0.1, 9, -0.001)).endswith(", 0% beyond the record)")
