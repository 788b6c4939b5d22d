"""Numbers and tables of the book: what is recorded, what is shown, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perpkit._typeset import myst_table, typeset
from perpkit.estimate import Estimate
from perpkit.report import FOLDER, Report, give_or_take, printed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def numbers(folder: Path) -> list[dict]:
    return json.loads((folder / "one.json").read_text("utf-8"))["numbers"]


def test_a_number_is_recorded_and_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Report("one").number("loss", np.float64(5.0), unit="USD/share", se=np.float32(0.25), n=np.int64(10), show_se=True)
    assert numbers(folder) == [{"name": "loss", "value": 5.0, "unit": "USD/share", "se": 0.25, "n": 10, "chapter": "one"}]
    assert capsys.readouterr().out == "loss: 5.00\u00a0±\u00a00.25 USD/share\n"


@pytest.mark.parametrize(
    ("value", "se", "fmt", "printed"),
    [
        (2.51, 0.038, "{:.1f}", "2.51 ± 0.04"),
        (0.0321, 0.0019, "{:.2f}", "0.032 ± 0.002"),
        (65.3, 0.35, "{:,.0f}", "65.3 ± 0.3"),
        (-0.004, 0.2, "{:+.1f}", "0.0 ± 0.2"),
        (-1234.5, 10.0, "{:,.0f}", "−1,234 ± 10"),
        (0.512, 0.0004, "{:.1%}", "51.20 ± 0.04%"),
        (0.0, 0.0, "{:+.1f}", "0"),
        (2.5, 0.0, "{:.1f}", "2.5 ± 0"),
        (3e-9, 1e-9, "{:.2g}", "3\u00a0×\u00a010⁻⁹ ± 1\u00a0×\u00a010⁻⁹"),
    ],
)
def test_an_error_is_never_shown_as_nothing_unless_it_is(value, se, fmt, printed, capsys: pytest.CaptureFixture[str]) -> None:
    printed = printed.replace(" ", "\u00a0")
    assert give_or_take(value, fmt, se=se) == printed
    assert give_or_take(Estimate(value / 100, se / 100, 10, 0.0), fmt, 100) == printed
    Report("one").number("x", value, fmt, se=se, show_se=True)
    assert capsys.readouterr().out == f"x: {printed}\n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: printed(math.inf), "value must be finite"),
        (lambda: give_or_take(1.0), "needs its standard error"),
        (lambda: give_or_take(1.0, se=-0.5), "0 or more; got -0.5"),
        (lambda: give_or_take(Estimate(math.nan, 1.0, 2, 0.0)), "value must be finite"),
    ],
)
def test_a_pair_that_cannot_be_shown_is_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    Report("one").number("loss", 5.0)
    assert list(tmp_path.iterdir()) == []


def test_the_record_is_the_same_bytes_each_time_and_past_the_last_bits(folder: Path) -> None:
    Report("one").number("x", 0.1 + 0.2)
    first = (folder / "one.json").read_bytes()
    Report("one").number("x", 0.3)  # differs from the first in the last bit only
    assert (folder / "one.json").read_bytes() == first
    assert numbers(folder)[0]["value"] == 0.3


def test_integers_stay_integers(folder: Path) -> None:
    report = Report("one")
    report.number("weekends", np.int64(828), "{:,}")
    report.number("steps", np.array(26), "{}")
    assert [type(e["value"]) for e in numbers(folder)] == [int, int]


def test_words_are_not_results(folder: Path) -> None:
    Report("one").text("day", "21 December 2025")
    record = json.loads((folder / "one.json").read_text("utf-8"))
    assert record["numbers"] == []
    assert record["texts"] == {"day": "21 December 2025"}


def test_a_name_stands_for_one_thing() -> None:
    report = Report("one")
    report.number("loss", 5.0)
    report.number("loss", 5.0)
    with pytest.raises(ValueError, match="'loss' is already reported"):
        report.number("loss", 5.01)
    with pytest.raises(ValueError, match="'loss' is already reported"):
        report.text("loss", "five")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda r: r.number("x", math.nan), "x must be finite.*nan"),
        (lambda r: r.number("x", -math.inf), "x must be finite.*-inf"),
        (lambda r: r.number("x", np.array([1.0, 2.0])), "x is one real number.*ndarray"),
        (lambda r: r.number("x", "5"), "x is one real number.*'5'"),
        (lambda r: r.number("x", True), "x is one real number.*True"),
        (lambda r: r.number("x", 1 + 2j), "x is one real number"),
        (lambda r: r.number("x", 1.0, se=-0.1), "standard error is 0 or more; got -0.1"),
        (lambda r: r.number("x", 1.0, se=math.nan), "x, se must be finite"),
        (lambda r: r.number("x", 1.0, show_se=True), "show_se needs a standard error"),
        (lambda r: r.number("x", 1.0, n=0), "n counts draws.*got 0"),
        (lambda r: r.number("x", 1.0, n=1.5), "n counts draws.*got 1.5"),
        (lambda r: r.number("x", 1.0, "{:d}"), "fmt is a format of one number.*{:d}"),
        (lambda r: r.number("x", 1.0, "five"), "fmt must show the number; 'five'"),
        (lambda r: r.number("a b", 1.0), "a name has letters.*'a b'"),
        (lambda r: r.number("a:b", 1.0), "a name has letters.*'a:b'"),
        (lambda r: r.text("x", " "), "x stands for words; got ' '"),
        (lambda r: Report("chapters/one"), "chapter is the chapter's file name.*'chapters/one'"),
    ],
)
def test_what_cannot_be_reported_is_refused_by_name(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call(Report("one"))


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("-17.50", "−17.50"),
        ("-0.00", "0.00"),
        ("+0.0", "0.0"),
        ("+0.5", "+0.5"),
        ("1.2e-05", "1.2\u00a0×\u00a010⁻⁵"),
        ("-3e+10", "−3\u00a0×\u00a010¹⁰"),
        ("-1.0%", "−1.0%"),
        ("1,234", "1,234"),
    ],
)
def test_numbers_are_typeset(plain: str, printed: str) -> None:
    assert typeset(plain) == printed


FRAME = pd.DataFrame({"rule": ["a|b", "$w P$ *x*"], "loss, USD": [-17.5, np.nan], "n": [1000, 2], "hit": [True, False]})


def test_a_table_is_a_labelled_myst_table() -> None:
    text = myst_table("one", FRAME, "Rules at $g$.", "tbl-rules", {"loss, USD": "{:.2f}"}, frozenset())
    assert text.splitlines() == [
        ":::{table} Rules at $g$.",
        ":name: tbl-rules",
        "",
        "| rule | loss, USD | n | hit |",
        "| :--- | ---: | ---: | :--- |",
        "| a\\|b | −17.50 | 1,000 | yes |",
        "| $w P$ \\*x\\* | – | 2 | no |",
        ":::",
    ]


def test_columns_of_numbers_are_set_to_the_right_and_others_to_the_left() -> None:
    frame = pd.DataFrame({"a": ["1.2 ± 0.3", "–"], "b": ["−3%", "1,000"], "c": ["2 × 10⁻³", "4"], "d": ["2010-07-02", "1"], "e": [3.0, math.inf]})
    assert myst_table("one", frame, "Numbers.", "tbl-numbers", {}, frozenset()).splitlines()[4] == "| ---: | ---: | ---: | :--- | ---: |"


def test_an_interval_is_a_number_that_does_not_break() -> None:
    cells = ["2.28 (1.01 to 4.11)", "0.5% (−0.1% to 11.25%)", "–"]
    frame = pd.DataFrame({"a": cells, "b": ["12.25 to 1,443.75", "3–7", "∞"], "c": ["2 × 10⁻³ ± 1 × 10⁻³", "4", "see (1 to 2) and 3 to 4"]})
    rows = myst_table("one", frame, "Numbers.", "tbl-numbers", {}, frozenset()).splitlines()
    assert rows[4] == "| ---: | ---: | :--- |"
    assert rows[5] == "| 2.28 (1.01 to 4.11) | 12.25 to 1,443.75 | 2 × 10⁻³ ± 1 × 10⁻³ |".replace(" ", "\u00a0").replace("\u00a0|", " |").replace("|\u00a0", "| ")
    assert "see (1 to 2) and 3 to 4" in rows[7]


@pytest.mark.parametrize(
    ("fmt", "value", "shown"),
    [("{:.0f}", -1074.2, "−1,074"), ("{:+.1f}", 2892.0, "+2,892.0"), ("{:,.0f}", 1255, "1,255"), ("{:#.2g}", 1.0, "1.0"), ("{:#.2g}", 12.0, "12"), ("{:d}", 2025, "2025")],
)
def test_thousands_and_trailing_zeros(fmt: str, value: float, shown: str) -> None:
    assert printed(value, fmt) == shown


def test_a_table_prints_outside_a_book(capsys: pytest.CaptureFixture[str]) -> None:
    Report("one").table(FRAME.set_index("rule"), "Rules.", "tbl-rules")
    assert capsys.readouterr().out.startswith("Rules.\n")


@pytest.mark.parametrize(
    ("frame", "more", "said"),
    [
        (FRAME.iloc[:0], {}, "needs a DataFrame with rows"),
        (FRAME["n"], {}, "needs a DataFrame with rows; got Series"),
        (FRAME.set_index(pd.Index(["x", "y"])), {}, "the index has no name"),
        (FRAME.rename(columns={"n": " "}), {}, "every column needs a header"),
        (FRAME.rename(columns={"n": "hit"}), {}, "every column needs a header of its own; got 'hit'"),
        (FRAME, {"formats": {"gain": "{}"}}, "no column named 'gain'"),
        (FRAME, {"markup": ["gain"]}, "no column named 'gain'"),
        (FRAME, {"formats": {"n": "{:.1q}"}}, "column 'n': fmt is a format"),
        (FRAME, {"name": "rules"}, "a table's label is 'tbl-'.*'rules'"),
        (FRAME, {"caption": ""}, "a caption is one line"),
    ],
)
def test_what_cannot_be_a_table_is_refused_by_name(frame: pd.DataFrame, more: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Report("one").table(frame, **{"caption": "Rules.", "name": "tbl-rules", **more})


def test_a_short_text_stays_on_one_line() -> None:
    frame = pd.DataFrame({"rule": ["cap of 20x", "the cap of leverage of October"], "$x$": ["$a + b$", "$c$"]})
    rows = myst_table("one", frame, "Caps.", "tbl-caps", {}, frozenset()).splitlines()
    assert "cap\u00a0of\u00a020x | $a + b$" in rows[5]
    assert "the cap of leverage of October" in rows[6]
    assert "HIP\u20113\u00a0defaults" in myst_table("one", pd.DataFrame({"rule": ["HIP-3 defaults"]}), "Rules.", "tbl-rules", {}, frozenset())
