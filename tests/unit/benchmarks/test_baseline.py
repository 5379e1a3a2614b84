"""Figures on file, and a change told from noise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.benchmarks import baseline
from tests.benchmarks.baseline import compared, compared_pairs
from tests.benchmarks.harness import Figure
from tests.benchmarks.results import Run, load, save
from tests.benchmarks.table import comparison, table

HERE, ELSEWHERE = {"processor": "this one"}, {"processor": "another"}


def run_of(values, *, machine=HERE, **more):
    """A run that measured one figure as often as there are values."""
    return Run(machine, tuple(Figure("figure_us", value, "us", "a thing", **more) for value in values))


def around(centre, scatter, count=9, seed=0):
    return (centre * (1.0 + scatter * np.random.default_rng(seed).standard_normal(count))).tolist()


def verdict(before, now):
    return compared(before, now)[0].verdict


def test_what_is_written_is_read_and_the_keys_stand_at_the_top(tmp_path):
    run = Run(HERE, (Figure("a_us", 3.14159265, "us", "a", limit=2.0, budget=4.0), Figure("b", 2.0, "x", "b", at_least=True, note="why")))
    run = run.with_figure(Figure("nothing_us", 0.0, "us", "a wait"))
    run = run.with_figure(Figure("a_us", 5.0, "us", "a", limit=4.0, budget=4.0))
    save(run, tmp_path / "figures.json")
    told = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert (told["a_us"], told["b"], told["machine"]) == (4.0708, 2.0, HERE)
    again = load(tmp_path / "figures.json")
    assert [figure.key for figure in again.figures()] == ["a_us", "b", "nothing_us"]
    assert again.figures()[2].value == 0.0
    assert (again.figures()[0].limit, again.figures()[0].verdict, again.figures()[1].at_least) == (3.0, "over", True)


@pytest.mark.parametrize(("now", "expected"), [(1.0, "same"), (1.05, "same"), (1.4, "slower"), (0.6, "faster")])
def test_a_change_beyond_the_scatter_counts(now, expected):
    assert verdict(run_of(around(100.0, 0.03)), run_of(around(100.0 * now, 0.03, seed=1))) == expected


def test_a_change_within_the_scatter_does_not():
    assert verdict(run_of(around(100.0, 0.4, 5)), run_of(around(130.0, 0.4, 5, seed=1))) == "same"


def test_of_a_rate_less_is_worse():
    before, now = run_of(around(100.0, 0.02), at_least=True), run_of(around(50.0, 0.02), at_least=True)
    assert verdict(before, now) == "slower"


def test_a_busy_machine_that_slows_the_kernels_alike_is_no_regression():
    before = run_of(around(100.0, 0.02), limit=50.0)
    assert verdict(before, run_of(around(300.0, 0.02), limit=150.0)) == "same"
    assert verdict(before, run_of(around(300.0, 0.02), limit=100.0)) == "slower"


def test_figures_of_another_machine_compare_by_their_ratios_alone():
    elsewhere = run_of(around(100.0, 0.02), machine=ELSEWHERE)
    assert verdict(elsewhere, run_of(around(500.0, 0.02))) == "not compared"
    assert verdict(run_of(around(100.0, 0.02), machine=ELSEWHERE, limit=50.0), run_of(around(500.0, 0.02), limit=50.0)) == "slower"


def test_one_measurement_leaves_the_noise_to_be_assumed():
    assert verdict(run_of([100.0]), run_of([150.0])) == "same"
    assert verdict(run_of([100.0]), run_of([200.0])) == "slower"


@pytest.mark.parametrize(("times", "expected"), [(1.0, "same"), (1.3, "slower"), (0.7, "faster")])
def test_pairs_find_a_shift_that_the_machines_own_changes_hide(monkeypatch, tmp_path, times, expected):
    """The machine is up to four times slower from pair to pair; both checkouts meet the same one."""
    calls, noise = [], np.random.default_rng(3)
    pace = np.repeat(np.exp(np.linspace(0.0, np.log(4.0), 8)), 2)

    def measured(folder, arguments):
        calls.append(folder)
        value = pace[len(calls) - 1] * np.exp(0.05 * noise.standard_normal()) * (1.0 if folder == tmp_path else times)
        return run_of([value])

    monkeypatch.setattr(baseline, "_run", measured)
    changes = compared_pairs(tmp_path, ["--quick"], 8)
    assert [change.verdict for change in changes] == [expected]
    assert len(calls) == 16 and calls.count(tmp_path) == 8
    assert [calls[turn] == tmp_path for turn in range(0, 16, 2)].count(True) == 4, "each goes first in half of the pairs"


def test_the_table_says_what_was_missed_and_by_what_it_is_bounded():
    text = table([Figure("p50_us", 900.0, "us", "a decision", reference=27_000.0, reference_is="plain code", limit=600.0, budget=800.0)])
    head, line, _, remark = text.splitlines()
    assert head.split()[0] == "figure"
    assert line.split() == ["p50_us", "900", "us", "27,000", "30x", "600", "1.5x", "<=", "800", "us", "over", "a", "decision"]
    assert remark == "p50_us: naive: plain code"
    assert "slower" in comparison(compared(run_of([1.0]), run_of([9.0])))


def test_a_wait_of_nothing_can_be_compared():
    assert verdict(run_of([0.0] * 3), run_of([0.0] * 3)) == "same"
    assert verdict(run_of([0.0] * 3), run_of([1.0] * 3)) == "slower"
