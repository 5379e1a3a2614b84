"""The gate: every rule a candidate must pass before it may serve, each a small function with its figures.

Profiles: `strict` applies every rule; `threshold` applies the accuracy floor of the trees and the
loss floor of the BiLSTM alone, which proves nothing about profit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.settings import GateSettings
from market_data.bars import FloatArray
from strategy.ensemble import combine_many, weights_of
from strategy.learning.bundles import skill_of
from strategy.learning.case import Case, Peer
from strategy.learning.evidence import direction_gain, direction_skill, log_loss_gain, mean, recalls, tables, trade_figures
from strategy.learning.lookahead import Examination, told
from strategy.learning.recipes import Candidate, class_probabilities, side_result
from strategy.learning.validation import lower_bound
from strategy.predictor import Forecasts

SEED = 20_260_101
"""Seed of every bootstrap: a verdict does not depend on the hour at which it was asked for."""

COMPARE_CONFIDENCE = 0.95
"""One-sided confidence of the bound that is reported with the comparison; the mean decides."""

MAX_CALIBRATION_GAP = 0.2
"""Largest difference between a mean forecast probability and the frequency it stands for; volatility alone moves the flat share by 0.15."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found.

    Attributes:
        rule: its name.
        passed: whether the candidate may go on.
        detail: the figures and by how much it passed or failed.
    """

    rule: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """The verdict on a candidate, as it is logged, journalled and stored in the manifest.

    Attributes:
        metrics: one figure a name.
        evidence: tables by symbol, by fold and by outcome, as JSON values.
    """

    passed: bool
    profile: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    metrics: Mapping[str, float]
    evidence: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def summary(self) -> str:
        """One line: the verdict and, if it failed, why."""
        return f"passed the {self.profile} gate" if self.passed else "; ".join(self.reasons)


Rule = Callable[[Case], Finding]


def _verdict(rule: str, passed: object, detail: str) -> Finding:
    return Finding(rule, bool(passed), detail)


def finite(case: Case) -> Finding:
    """Every forecast is a number, and they are not all the same."""
    values = case.candidate.forecasts.expected_r
    spread = float(np.ptp(values)) if np.isfinite(values).all() else 0.0
    return _verdict("finite", spread > 1e-9, f"forecasts span {spread:.4f} R")


def enough_sides(case: Case) -> Finding:
    """The model takes a side often enough to be judged."""
    sides, least = int(case.taken.sum()), case.settings.min_directional_rows
    return _verdict("directional rows", sides >= least, f"{sides} of {len(case.final)} final rows, {least} needed")


def accuracy_floor(case: Case) -> Finding:
    """Share of directional rows after which price moved to the predicted side over the horizon."""
    accuracy, least = _accuracy(case), case.settings.min_accuracy
    return _verdict("accuracy", accuracy >= least, f"accuracy {accuracy:.3f}, floor {least:.3f} ({accuracy - least:+.3f})")


def validation_loss(case: Case) -> Finding:
    """Held-out loss over the loss of the trivial forecast."""
    return _validation_loss(case.candidate, case.settings)


def _validation_loss(candidate: Candidate, settings: GateSettings) -> Finding:
    ratio, most = candidate.val_loss_ratio, settings.max_val_loss
    return _verdict("validation loss", ratio < most, f"validation loss {ratio:.4f} of the trivial one, must be below {most:.4f}")


def beats_zero_return(case: Case) -> Finding:
    """The predicted return is closer to what came than zero is, in the final window."""
    ratio = _zero_ratio(case)
    return _verdict("zero return", ratio < 1.0, f"final squared error {ratio:.4f} of predicting zero, must be below 1")


def beats_priors(case: Case) -> Finding:
    """On rows that reached a target, the log-loss of its side is below that of the shares of the rows that taught.

    The flat outcome is left out: its share follows volatility, which a model of pure noise forecasts well, and a
    good one may have learned in another week.
    """
    gain = _direction_gain(case)
    return _verdict("log-loss", gain > 0, f"log-loss of the side {gain:+.4f} nats a row better than class priors, must be above 0")


def expectancy(case: Case) -> Finding:
    """Net R per directional row: the lower bound, at the level that the budget grants, is above the minimum."""
    found, alpha, least = case.expectancy, case.grant.alpha, case.settings.min_expectancy_r
    if alpha <= 0.0:
        return _verdict("expectancy", False, f"net {found.value:+.3f} R a trade, not tested: nothing of the budget was spent on it")
    bound = found.lower(alpha)
    sure = f"lower bound at level {alpha:.2g} {bound:+.3f} R"
    return _verdict("expectancy", bound > least, f"net {found.value:+.3f} R a trade, {sure}, must exceed {least:+.3f} R")


def trade_expectancy(case: Case) -> Finding:
    """Net R of the trades that would have been made, one position at a time."""
    figures, least = trade_figures(case.final, case.side), case.settings.min_expectancy_r
    net, count = figures["trade_expectancy_r"], int(figures["trades"])
    return _verdict("trades", net > least, f"net {net:+.3f} R over {count} trades one at a time, must exceed {least:+.3f} R")


def recipe_expectancy(case: Case) -> Finding:
    """The recipe made money on the held rows as well, which models of other fits judged."""
    return _recipe_expectancy(case.candidate, case.settings)


def _recipe_expectancy(candidate: Candidate, settings: GateSettings) -> Finding:
    held, least = candidate.held, settings.min_expectancy_r
    taken = candidate.held_forecasts.expected_r >= candidate.inference.threshold
    net = mean(side_result(held, candidate.held_forecasts.side)[taken])
    return _verdict("recipe", net > least, f"net {net:+.3f} R on {int(taken.sum())} held rows, must exceed {least:+.3f} R")


def worth_testing(candidate: Candidate, settings: GateSettings) -> bool:
    """Whether the candidate's older rows speak for it; if not, no budget is spent on looking at the newest.

    This reads nothing of the final window: the level of the test must not depend on its outcome.
    """
    found = [_recipe_expectancy(candidate, settings)]
    if candidate.kind == "lstm":
        found.append(_validation_loss(candidate, settings))
    return all(finding.passed for finding in found)


def calibrated(case: Case) -> Finding:
    """Mean probabilities agree with frequencies."""
    gap = _calibration_gap(case)
    return _verdict("calibration", gap <= MAX_CALIBRATION_GAP, f"largest gap {gap:.3f}, at most {MAX_CALIBRATION_GAP:.2f}")


def new_evidence(case: Case) -> Finding:
    """Enough final rows that no tested try of the slot was judged by."""
    unseen, least = case.grant.unseen, case.settings.min_new_rows
    return _verdict("new evidence", unseen >= least, f"{unseen} final rows no earlier try has seen, {least} needed")


def beats_champion(case: Case) -> Finding:
    """On rows that taught neither model, the candidate makes at least what the champion makes."""
    if case.champion is None:
        return _verdict("champion", True, "no champion serves")
    clean = _unseen(case, case.champion) & (case.final.time > case.candidate.train_end + case.candidate.block_seconds // 2)
    blocks = len(np.unique(case.block[clean]))
    if blocks < case.settings.min_compare_blocks:
        return _too_few_blocks(case, blocks)
    ours = np.where(case.taken, case.result, 0.0)[clean]
    theirs = _peer_result(case, case.champion)[clean]
    gain = float((ours - theirs).mean())
    bound = lower_bound(ours - theirs, case.block[clean], COMPARE_CONFIDENCE, case.settings.gate_resamples, SEED)
    figures = f"{gain:+.4f} R a row against the champion over {blocks} clean blocks, {COMPARE_CONFIDENCE:.0%} lower bound {bound:+.4f}"
    return _verdict("champion", gain >= 0, f"{figures}, must not be below 0")


def _too_few_blocks(case: Case, blocks: int) -> Finding:
    same = case.champion is not None and case.champion.recipe == case.recipe
    detail = f"{blocks} clean blocks, {case.settings.min_compare_blocks} needed to compare: "
    return _verdict("champion", True, detail + ("same recipe, a refresh" if same else UNPROVEN))


UNPROVEN = "changed recipe, it stays in shadow until there are"
"""How the rule's words end where a candidate passed without the comparison; a manifest keeps them."""


def unproven(report: GateReport) -> bool:
    """Whether the candidate passed without having been compared with the champion of another recipe."""
    return unproven_by(report.as_json())


def unproven_by(told: Mapping[str, Any]) -> bool:
    """The same of a report as a manifest holds it; an older one, without findings, says nothing of the kind."""
    return any(found["rule"] == "champion" and found["detail"].endswith(UNPROVEN) for found in told.get("findings", ()))


def in_ensemble(case: Case) -> Finding:
    """The trades of the vote with the candidate in its slot make money in the final window.

    Peers are silent on rows that taught them: what they know by heart would lend the vote a profit.
    """
    voters = {name: (_silenced(peer.forecasts, _unseen(case, peer)), peer.threshold) for name, peer in case.others.items()}
    voters[case.slot] = (_admitted(case), case.candidate.inference.threshold)
    votes = {name: forecasts for name, (forecasts, _) in voters.items()}
    thresholds = {name: threshold for name, (_, threshold) in voters.items()}
    skills = {name: peer.skill for name, peer in case.others.items()} | {case.slot: _skill(case)}
    weights = weights_of(skills, case.filters.ensemble_weights)
    side = np.where(case.open_rows, combine_many(votes, thresholds, min(case.filters.min_votes, len(votes)), weights), 0)
    figures, least = trade_figures(case.final, side), case.settings.min_expectancy_r
    net, count = figures["trade_expectancy_r"], int(figures["trades"])
    return _verdict("ensemble", net > least, f"net {net:+.3f} R over {count} trades by vote of {sorted(voters)}")


def _admitted(case: Case) -> Forecasts:
    """The candidate's forecasts, silent on the symbols for which it will not vote."""
    names = passing_symbols(case)
    admitted = np.isin(np.array(case.final.symbols), names)[case.final.symbol] if names else np.ones(len(case.final), dtype=np.bool_)
    return _silenced(case.candidate.forecasts, admitted)


def _unseen(case: Case, peer: Peer) -> NDArray[np.bool_]:
    """Final rows that begin a label's length after the last label that taught a peer."""
    return np.asarray(case.final.time > peer.train_end + case.candidate.block_seconds // 2)


def _silenced(said: Forecasts, speaks: NDArray[np.bool_]) -> Forecasts:
    return replace(said, expected_r=np.where(speaks, said.expected_r, -np.inf))


LEAST_SYMBOL_ROWS = 30


def passing_symbols(case: Case) -> tuple[str, ...]:
    """The symbols whose own final rows speak for the candidate; it votes for no others.

    With one symbol the rules have judged it already. With several, `strict` asks each for net
    expectancy above the minimum on at least LEAST_SYMBOL_ROWS directional rows, `threshold` for
    nothing more.
    """
    names = case.final.symbols
    if len(names) == 1 or case.settings.gate_profile == "threshold":
        return names
    return tuple(name for index, name in enumerate(names) if _symbol_passes(case, index))


def _symbol_passes(case: Case, index: int) -> bool:
    rows = case.taken & (case.final.symbol == index)
    return int(rows.sum()) >= LEAST_SYMBOL_ROWS and mean(case.result[rows]) > case.settings.min_expectancy_r


def some_symbol(case: Case) -> Finding:
    """At least one symbol's own evidence speaks for the candidate."""
    names = passing_symbols(case)
    return _verdict("symbols", names, f"own evidence of {', '.join(names) or 'no symbol'} out of {', '.join(case.final.symbols)}")


STRICT: tuple[Rule, ...] = (
    finite,
    enough_sides,
    accuracy_floor,
    validation_loss,
    beats_priors,
    expectancy,
    trade_expectancy,
    recipe_expectancy,
    calibrated,
    new_evidence,
    beats_champion,
    in_ensemble,
    some_symbol,
)


def rules_for(profile: str, kind: str) -> tuple[Rule, ...]:
    """The rules of a profile for a kind of model, in the order in which they are reported."""
    if profile == "threshold":
        return (finite, validation_loss) if kind == "lstm" else (finite, enough_sides, accuracy_floor)
    return (*STRICT, beats_zero_return) if kind == "lstm" else tuple(rule for rule in STRICT if rule is not validation_loss)


def with_latency(report: GateReport, milliseconds: float, most: float) -> GateReport:
    """The report with the last rule: one forecast, by the artifact as it will be served, fits the loop's time.

    The measured time stays out of the report: two replays must leave the same records.
    """
    fits = milliseconds <= most
    return _with(report, Finding("latency", fits, f"forecast {'within' if fits else 'slower than'} {most:g} ms"))


def with_causality(report: GateReport, examinations: Sequence[Examination]) -> GateReport:
    """The report with the rule `causal`, of every profile: nothing that taught or judged has read the future."""
    return _with(report, Finding("causal", *told(examinations)))


def _with(report: GateReport, finding: Finding) -> GateReport:
    reasons = report.reasons if finding.passed else (*report.reasons, f"{finding.rule}: {finding.detail}")
    return replace(report, passed=report.passed and finding.passed, reasons=reasons, findings=(*report.findings, finding))


def judge(case: Case) -> GateReport:
    """Applies every rule of the profile; none is skipped because another failed."""
    findings = tuple(rule(case) for rule in rules_for(case.settings.gate_profile, case.candidate.kind))
    reasons = tuple(f"{finding.rule}: {finding.detail}" for finding in findings if not finding.passed)
    return GateReport(not reasons, case.settings.gate_profile, reasons, findings, metrics_of(case), tables(case.candidate, case.side))


def metrics_of(case: Case) -> dict[str, float]:
    """The figures of the final window, for the manifest and the reports."""
    taken, result, expected = case.taken, case.result, case.expectancy
    figures = {
        "final_rows": len(case.final),
        "directional_rows": int(taken.sum()),
        "accuracy": _accuracy(case),
        "direction_skill": direction_skill(case.candidate),
        "expectancy_r": expected.value,
        "expectancy_lower_r": expected.lower(case.grant.alpha) if case.grant.alpha > 0 else float("nan"),
        "expectancy_error_r": expected.error,
        "p_value": expected.p_value(case.settings.min_expectancy_r),
        "alpha": case.grant.alpha,
        "win_rate": mean((result[taken] > 0).astype(np.float64)),
        "direction_gain": _direction_gain(case),
        "log_loss_gain": float(_log_loss_gain(case).mean()),
        "val_loss_ratio": case.candidate.val_loss_ratio,
        "calibration_gap": _calibration_gap(case),
        "threshold_r": case.candidate.inference.threshold,
        **recalls(case.candidate),
        **trade_figures(case.final, case.side),
    }
    if case.candidate.kind == "lstm":
        figures["zero_loss_ratio"] = _zero_ratio(case)
    return _rounded(figures)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 9 if name == "p_value" else 6) for name, value in figures.items() if np.isfinite(value)}


def _skill(case: Case) -> float:
    """The candidate's skill as its manifest will state it."""
    return skill_of(_rounded({"expectancy_r": case.expectancy.value, "expectancy_error_r": case.expectancy.error}))


def _accuracy(case: Case) -> float:
    return mean((np.sign(case.final.forward) == case.candidate.forecasts.side)[case.taken].astype(np.float64))


def _zero_ratio(case: Case) -> float:
    return float(((case.candidate.raw_final[:, 0] - case.final.forward) ** 2).mean() / (case.final.forward**2).mean())


def _direction_gain(case: Case) -> float:
    return mean(direction_gain(case.final, class_probabilities(case.candidate.forecasts), case.candidate.priors))


def _log_loss_gain(case: Case) -> FloatArray:
    return log_loss_gain(case.final, class_probabilities(case.candidate.forecasts), case.candidate.priors)


def _calibration_gap(case: Case) -> float:
    frequency = np.bincount(case.final.kind, minlength=3) / len(case.final)
    return float(np.abs(class_probabilities(case.candidate.forecasts).mean(axis=0) - frequency).max())


def _peer_result(case: Case, peer: Peer) -> FloatArray:
    result = side_result(case.final, peer.forecasts.side)
    return np.where(peer.forecasts.expected_r >= peer.threshold, result, 0.0)
