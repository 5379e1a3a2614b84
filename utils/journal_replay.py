"""Decides recorded bars once more, with the recorded versions, and finds the first decision that differs.

What is compared is everything that the journal keeps of a decision, to the last bit: price, ATR
and hash of the feature row, every forecast, who was silent and why, side, reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from itertools import chain

from config.errors import SlotError
from config.settings import Settings
from market_data.clock import utc_text
from strategy.active_models import ActiveModels
from strategy.decision import Decision
from strategy.foresight import AmongMany
from strategy.learning.artifact import VerifiedArtifact
from strategy.learning.bundles import load_bundle
from strategy.predictor import Predictor
from strategy.scalping_strategy import NOT_SERVING, STOPPED
from utils.deciding import strategy_of
from utils.market_view import MarketView
from utils.recorded_past import RecordedPast

CAUSES = ("close", "atr", "feature_hash", "versions", "absent", "forecasts")
"""Fields that others follow from, in the order in which a difference is looked for."""

OF_BARS = ("close", "atr", "feature_hash")
"""Fields that no model has a part in."""

MISSED = "missed:"
"""Reasons that begin so belong to bars that nobody decided."""

Slots = Mapping[str, int]
OpenVersion = Callable[[str, int], VerifiedArtifact]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first decision that came out otherwise.

    Attributes:
        field: the first field that differs, causes before what follows from them; dotted inside mappings.
        recorded, now: its values; None where there is none.
        also: the other fields that differ.
    """

    symbol: str
    bar_time: datetime
    field: str
    recorded: object
    now: object
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f"; so do {', '.join(self.also)}" if self.also else ""
        return f"{self.symbol} {utc_text(self.bar_time)}: {self.field} was {self.recorded!r}, is {self.now!r}{more}"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of a replay.

    Attributes:
        decided: recorded decisions that were made again with all their versions.
        in_part: decisions of which price and features alone could be compared, for want of a version.
        missed: recorded bars that nobody had decided; there is nothing to compare.
        versions: slot -> versions that decided again.
        refused: `scalper v3` -> why that version could not.
        differing: how many decisions differ.
        first: the first of them.
    """

    decided: int
    in_part: int
    missed: int
    versions: Mapping[str, tuple[int, ...]]
    refused: Mapping[str, str]
    differing: int
    first: Difference | None

    @property
    def identical(self) -> bool:
        """Whether every decision was made again and none differs; nothing compared is nothing shown."""
        return self.decided > 0 and not self.in_part and not self.differing


def replay(
    recorded: Sequence[Decision], settings: Settings, origin: str, view: MarketView, open_version: OpenVersion, *, timed: bool
) -> ReplayReport:
    """Decides every recorded bar again.

    Args:
        recorded: decisions, oldest first.
        settings: those that the daemon ran with.
        origin: of the home.
        view: of the same source; a simulated one stands where the first decision was made, and is played from there.
        open_version: a version's verified files.
        timed: whether the instants of the decisions can be told exactly; else vetoes, which depend on
            them, are left out of the comparison.

    Raises:
        InsufficientHistory: the source has no bars.
    """
    decided = [decision for decision in recorded if not decision.reason.startswith(MISSED)]
    past = RecordedPast(view, decided, settings)
    models, shelf = ActiveModels(), Shelf(open_version)
    strategy = strategy_of(settings, origin, models)
    tally = _Tally()
    for decision, slots in zip(decided, served(decided), strict=True):
        window = past.window(decision)
        if isinstance(window, str):
            tally.add(Difference(decision.symbol, decision.bar_time, "bars", None, window), whole=True)
            continue
        predictors = shelf.all_of(slots)
        whole = predictors.keys() == slots.keys()
        for asked in _ways(predictors):
            models.replace(asked, _stopped(decision))
            again = strategy.decide(window, past.known(decision), past.decided_at(decision))
            difference = _compared(decision, again, whole=whole, timed=timed)
            if difference is None:
                break
        tally.add(difference, whole=whole)
    return ReplayReport(
        tally.whole, tally.in_part, len(recorded) - len(decided), shelf.used, dict(shelf.refused), tally.differing, tally.first
    )


def _ways(predictors: Mapping[str, Predictor]) -> Iterator[Mapping[str, Predictor]]:
    """The predictors as the loop asks them, and as a replay does that works many bars out at once."""
    yield predictors
    yield {slot: AmongMany(model) for slot, model in predictors.items()}


# --- which versions ----------------------------------------------------------------------------


def served(decisions: Sequence[Decision]) -> list[Slots]:
    """The slots that each decision asked, and their versions.

    A slot that had no forecast is recorded without its version. It has the one of the nearest
    decision that names it: of another symbol at the same bar, or of the bars around it. Where none
    does the slot is left out of the replay, and its absence shows as a difference.
    """
    earlier, later = _nearest(decisions), list(reversed(_nearest(decisions[::-1])))
    return [
        {**{slot: near[slot] for near in (after, before) for slot in _asked(decision) if slot in near}, **decision.versions}
        for decision, before, after in zip(decisions, earlier, later, strict=True)
    ]


def _asked(decision: Decision) -> list[str]:
    """The absent slots that had a version, which said nothing."""
    return [slot for slot, why in decision.absent.items() if why != NOT_SERVING and not why.startswith(STOPPED)]


def _stopped(decision: Decision) -> dict[str, str]:
    """The slots whose version was stopped then, and why: a fact of that hour, like the versions."""
    return {slot: why.removeprefix(STOPPED) for slot, why in decision.absent.items() if why.startswith(STOPPED)}


def _nearest(decisions: Iterable[Decision]) -> list[Slots]:
    """For each decision the newest version of every slot that it or an earlier one names."""
    known: dict[str, int] = {}
    found: list[Slots] = []
    for decision in decisions:
        known = {**known, **decision.versions}
        found.append(known)
    return found


@dataclass(slots=True)
class Shelf:
    """Versions, each loaded once.

    Attributes:
        refused: `scalper v3` -> why it could not be loaded: pruned, altered, of another library.
    """

    open_version: OpenVersion
    refused: dict[str, str] = field(default_factory=dict)
    _loaded: dict[tuple[str, int], Predictor] = field(default_factory=dict)

    @property
    def used(self) -> dict[str, tuple[int, ...]]:
        """Slot -> versions that were loaded."""
        slots = sorted({slot for slot, _ in self._loaded})
        return {name: tuple(sorted(version for slot, version in self._loaded if slot == name)) for name in slots}

    def all_of(self, slots: Slots) -> dict[str, Predictor]:
        """Slot -> predictor, without those that cannot be loaded."""
        found = {slot: self._version(slot, version) for slot, version in slots.items()}
        return {slot: predictor for slot, predictor in found.items() if predictor is not None}

    def _version(self, slot: str, version: int) -> Predictor | None:
        name = f"{slot} v{version}"
        if name not in self.refused and (slot, version) not in self._loaded:
            try:
                self._loaded[slot, version] = load_bundle(self.open_version(slot, version))
            except SlotError as error:
                self.refused[name] = str(error)
        return self._loaded.get((slot, version))


# --- what differs ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    whole: int = 0
    in_part: int = 0
    differing: int = 0
    first: Difference | None = None

    def add(self, difference: Difference | None, *, whole: bool) -> None:
        self.whole += whole
        self.in_part += not whole
        self.differing += difference is not None
        self.first = self.first or difference


def _compared(recorded: Decision, again: Decision, *, whole: bool, timed: bool) -> Difference | None:
    was, now = (_flat(decision, timed=timed) for decision in (recorded, again))
    names = dict.fromkeys(chain(was, now)) if whole else OF_BARS
    differ = [name for name in names if was.get(name) != now.get(name)]
    if not differ:
        return None
    name = differ[0]
    return Difference(recorded.symbol, recorded.bar_time, name, was.get(name), now.get(name), tuple(differ[1:]))


def _flat(decision: Decision, *, timed: bool) -> dict[str, object]:
    """A decision's fields as plain values by dotted name, causes first."""
    rest = [part.name for part in fields(Decision) if part.name not in (*CAUSES, "symbol", "bar_time")]
    flat: dict[str, object] = {}
    for name in (*CAUSES, *rest):
        flat |= _leaves(name, getattr(decision, name))
    return flat if timed else _without_veto(flat)


def _leaves(name: str, value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        return {leaf: found for key in sorted(value) for leaf, found in _leaves(f"{name}.{key}", value[key]).items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f"{name}.{part.name}": getattr(value, part.name) for part in fields(value)}
    return {name: value}


def _without_veto(flat: Mapping[str, object]) -> dict[str, object]:
    """What the models said, whatever a filter made of it."""
    verdict = str(flat["reason"]).rpartition("; was: ")[2]
    return {name: value for name, value in flat.items() if name not in ("side", "expected_r")} | {"reason": verdict}
