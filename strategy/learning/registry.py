"""The model registry: publishes versions, says which one serves, and puts the old one back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from filelock import FileLock, Timeout
from loguru import logger

from config.errors import ArtifactError, FileUnavailable, ScalperError
from market_data.clock import Clock, utc_text
from market_data.files import Wait, pause
from strategy.learning import catalogue, lifecycle
from strategy.learning.active import ActiveFile, ActiveState, Event, Fault, SlotState
from strategy.learning.artifact import Draft, Manifest, VerifiedArtifact, check_case, check_draft, manifest_of
from strategy.learning.catalogue import VersionInfo
from strategy.learning.lifecycle import LifeRules, Move
from strategy.learning.promotions import Promotion, PromotionLog, told_by
from strategy.learning.store import ArtifactStore, Refusal

_LOCK_SECONDS = 60.0
_LOOKS = 3
_REMEDY = "see `models list` and `models log`, and choose with `models promote` or `models pin` where they do not say what you want"


class Registry:
    """Versions of every slot in one folder, and the pointer to those that serve.

    Any number of threads and processes may read without a lock: they meet the state before a
    change or the one after. Writers take turns by a file lock, which dies with its process. A
    version's files travel as bytes, so that what was verified is what is opened.

    Args:
        root: the home's `models/`; created where it is missing.
        origin: the home's origin; versions of another are refused.
        key: the home's signing key.
        keep_versions: how many of the newest versions of a slot `prune` leaves.
        clock: dates the history.
        fault: is told each step of a write before it is taken; tests stop the process there.
        wait: waits the seconds it is given, while another program holds a file.
        rules: which stages a published version passes through.

    Raises:
        FileUnavailable: the folder cannot be created.
    """

    def __init__(
        self,
        root: Path,
        *,
        origin: str,
        key: bytes,
        keep_versions: int,
        clock: Clock,
        fault: Fault = lambda step: None,
        wait: Wait = pause,
        rules: LifeRules = LifeRules(),  # noqa: B008  # frozen: one default for all is safe
    ) -> None:
        self.rules = rules
        self.root, self._origin, self._key, self._keep, self._clock, self._fault = root, origin, key, keep_versions, clock, fault
        self._store = ArtifactStore(root, origin=origin, key=key, wait=wait, fault=fault)
        self._at_once = ArtifactStore(root, origin=origin, key=key, wait=lambda seconds: None, fault=fault)
        self._log = PromotionLog(root, wait=wait, fault=fault)
        self._file = ActiveFile(root, self._rebuilt, wait=wait, fault=fault)
        self._mended: str | None = None
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileUnavailable(str(root), f"cannot be created ({error})") from error
        # A writer at work cleans for itself, and what cannot be written can still be read.
        with suppress(Timeout, FileUnavailable), self._locked(timeout=0.0):
            self._settled()
            self._file.repair_mirror()

    # Reading.

    def state(self) -> ActiveState:
        """The state in force; cheap enough to ask once a bar.

        Where `active.json` is damaged this is the newest sound state known, never an empty one
        in its stead; `problem` then says so, and the next writer writes it down again.
        """
        return self._file.read().state

    @property
    def problem(self) -> str | None:
        """What is wrong with `active.json`, if anything is."""
        return self._file.read().problem

    def open(self, slot: str, version: int) -> VerifiedArtifact:
        """A version's files, each of them checked.

        Raises:
            ArtifactError: a file is missing, cut short, altered, unsigned, or of another key or origin; it is named.
        """
        found = self._store.examine(slot, version)
        if isinstance(found, Refusal):
            raise ArtifactError(str(found))
        return found

    def serving(self, slot: str) -> int | None:
        """The version that a slot serves: the active one, or the one that stands in for it; None where there is none."""
        found, _ = catalogue.open_slot(self._store, slot, self.state().slot(slot))
        return None if found is None else found.manifest.version

    def open_active(
        self, held: Mapping[str, Manifest] = MappingProxyType({}), patient: bool = True
    ) -> tuple[dict[str, VerifiedArtifact], tuple[Refusal, ...]]:
        """What serves in each slot, and everything that was refused on the way.

        Where the active version is refused, the newest older one that served before and still
        verifies takes its place; a version that never served is no stand-in.

        Args:
            held: by slot, of the version that the caller has open. Where it is to serve on it is not read again, comes
                without its files, and so outlives a damage or another program's grip on them.
            patient: False waits for no file that another program holds; it is then refused as unreadable.
        """
        store = self._store if patient else self._at_once
        for _ in range(_LOOKS):
            state = self.state()
            found, refusals = catalogue.open_slots(store, state, held)
            if not refusals or self.state() == state:  # else a writer has moved on, and may have pruned: look again
                break
        return found, (*_pointer_refusal(self.problem), *refusals)

    def versions(self, slot: str | None = None) -> tuple[VersionInfo, ...]:
        """Every version on disk or pointed at, by slot, oldest first; then files without a manifest.

        Args:
            slot: only this one, and no legacy files.
        """
        state = self.state()
        infos = tuple(
            catalogue.describe(self._store, state, name, n) for name, n in catalogue.known(self._store, state) if slot in (None, name)
        )
        return infos if slot is not None else (*infos, *catalogue.describe_legacy(self._store))

    def verify(self) -> tuple[Refusal, ...]:
        """Checks `active.json`, as it was before this registry mended it, and every version; empty when all is well."""
        results = (self._store.examine(name, n) for name, n in catalogue.known(self._store, self.state()))
        return (*_pointer_refusal(self._mended or self.problem), *(r for r in results if isinstance(r, Refusal)))

    def promotions(self, slot: str) -> tuple[Promotion, ...]:
        """Every change of a slot on record, oldest first, however long ago."""
        newest = (*self._log.entries(), *told_by(self.state()))  # a killed writer may not have come to its line
        return tuple(dict.fromkeys(entry for entry in newest if entry.slot == slot))

    def outdated(self) -> tuple[Refusal, ...]:
        """Active versions that were made with other libraries than those installed: their slots need a retrain."""
        return catalogue.outdated(self._store, self.state())

    def legacy(self) -> tuple[str, ...]:
        """Files of an older installation that `set_aside` would move."""
        return catalogue.legacy(self._store, self.state())

    # Writing.

    def publish(
        self,
        draft: Draft,
        files: Mapping[str, bytes],
        check: Callable[[VerifiedArtifact], None],
        activate: bool = True,
        unproven: bool = False,
    ) -> Manifest:
        """Gives a model a number, writes it, proves it by reading it back, and lets it serve.

        Args:
            draft: what the trainer says of it.
            files: contents by suffix.
            check: loads what was read back and compares its golden rows; raises where they differ.
            activate: False leaves the slot as it is. Where it is pinned, on probation, in shadow or cooling
                down, the candidate waits in any case.
            unproven: it lacks rows to be compared on, and stays in shadow until there are some. So does a candidate
                whose parent no longer serves: somebody has changed the slot while it was trained.

        Returns:
            The manifest as it stands on disk.

        Raises:
            ArtifactError: names, origin or content are unfit, or `check` refused. The number is spent.
            FileUnavailable: a file could not be written or replaced; what served goes on serving.
        """
        check_draft(draft, files, self._origin)
        with self._writing() as state:
            check_case(draft.slot, {*state.slots, *self._store.numbers()})
            state, version = self._reserve(state, draft.slot)
            manifest = self._prove(draft, version, files, check)
            self._store.place(manifest, self._store.staging / manifest.stem)
            self._point(state, manifest, activate, unproven)
            self._prune(self.state())
        return manifest

    def promote(self, slot: str, version: int) -> ActiveState:
        """Makes a version the active one, at once and for good: an order ends every trial.

        Where the version is active and votes, it is settled; nothing changes where nothing was tried or waited.

        Raises:
            ArtifactError: the version does not verify, or the slot is pinned.
            FileUnavailable: `active.json` cannot be replaced; the old version goes on serving.
        """
        return self._switch(slot, version, "promoted")

    def rollback(self, slot: str, to: int | None = None) -> ActiveState:
        """Puts the previous version back; what served becomes the previous.

        A second call changes nothing: it does not bring back what was rolled back from.

        Args:
            slot: where.
            to: the version meant, where it is not the previous one.

        Raises:
            ArtifactError: there is no previous version, it does not verify, or the slot is pinned.
            FileUnavailable: `active.json` cannot be replaced; the old version goes on serving.
        """
        return self._switch(slot, to, "rolled back")

    def move(self, slot: str, rule: Callable[[SlotState], Move | None]) -> bool:
        """One step of a slot's life, decided under the lock on the state as it is by then.

        Args:
            slot: where.
            rule: of `strategy.learning.lifecycle`; None means that it does not apply any more.

        Returns:
            Whether the slot changed.

        Raises:
            ArtifactError: the version that should serve does not verify.
            FileUnavailable: `active.json` cannot be replaced; what served goes on serving.
        """
        with self._writing() as state:
            move = rule(state.slot(slot))
            if move is None:
                return False
            if move.activates:
                self.open(slot, move.version)
            self._make(state, slot, move)
            return True

    def pin(self, slot: str, pinned: bool = True) -> ActiveState:
        """Keeps the active version whatever is published, or ends that.

        Raises:
            ArtifactError: nothing is active in the slot.
            FileUnavailable: `active.json` cannot be replaced.
        """
        with self._writing() as state:
            held = state.slot(slot)
            if held.active is None:
                raise ArtifactError(f"slot {slot} has no active version to pin; see `models list`")
            if held.pinned != pinned:
                self._save(state, slot, "pinned" if pinned else "unpinned", replace(held, pinned=pinned), held.active)
            return self.state()

    def prune(self, dry_run: bool = False) -> tuple[str, ...]:
        """Deletes versions beyond the newest `keep_versions`; never the active, previous or pinned one.

        Args:
            dry_run: only say what would be deleted.

        Returns:
            Names of the files deleted, or that would be. One that another program holds open stays for the next time.
        """
        if dry_run:
            return tuple(
                path.name for slot, n in catalogue.surplus(self._store, self.state(), self._keep) for path in self._store.files_of(slot, n)
            )
        with self._writing() as state:
            return self._prune(state)

    def set_aside(self) -> tuple[str, ...]:
        """Moves the files of an older installation, which are never loaded, into `legacy/`.

        Returns:
            Where they are now.

        Raises:
            FileUnavailable: a file could not be moved; those before it were.
        """
        with self._writing() as state:
            return self._store.set_aside(catalogue.legacy(self._store, state))

    # Steps of a write; the lock is held.

    @contextmanager
    def _writing(self) -> Iterator[ActiveState]:
        try:
            with self._locked(_LOCK_SECONDS):
                yield self._settled()
        except Timeout as error:
            reason = f"held by another process for {_LOCK_SECONDS:.0f} s; wait for its work to end, or end it"
            raise FileUnavailable(str(self.root / ".lock"), reason) from error

    @contextmanager
    def _locked(self, timeout: float) -> Iterator[None]:
        try:
            lock = FileLock(self.root / ".lock").acquire(timeout=timeout)
        except Timeout:
            raise  # an OSError too, but one that callers tell apart
        except OSError as error:
            raise FileUnavailable(str(self.root / ".lock"), f"cannot be locked ({error}); check the folder's permissions") from error
        with lock:
            yield

    def _settled(self) -> ActiveState:
        """The state to start from, after what a killed writer or a damaged `active.json` left was put right."""
        self._store.clean()
        reading = self._file.read()
        if reading.problem is not None:
            self._file.set_aside()
            self._file.write(catalogue.recovered(self._store, reading.state, self._log.last_generation(), utc_text(self._clock.now())))
            told = f"{reading.problem}; it was written anew"
            self._mended = self._mended or told
            logger.warning("models: {}; {}", told, _REMEDY)
        self._log.complete(self.state())
        return self.state()

    def _rebuilt(self) -> ActiveState:
        return replace(catalogue.rebuilt(self._store, self._log.entries()), generation=self._log.last_generation())

    def _reserve(self, state: ActiveState, slot: str) -> tuple[ActiveState, int]:
        """Spends a number before anything bears it; generation and history stay, for nothing served has changed."""
        held = state.slot(slot)
        version = max(held.next_version, self._store.highest(slot) + 1)
        state = state.with_slot(slot, replace(held, next_version=version + 1))
        self._file.write(state)
        return state, version

    def _prove(self, draft: Draft, version: int, files: Mapping[str, bytes], check: Callable[[VerifiedArtifact], None]) -> Manifest:
        """Stages a version and has it read back and checked: what is served is what was persisted."""
        folder = self._store.stage(manifest_of(draft, version, files).signed(self._key), files)
        self._fault("read back")
        found = self._store.examine(draft.slot, version, folder)
        try:
            if isinstance(found, Refusal):
                raise ArtifactError(f"just written and already unfit: {found}")  # one path cleans up for both
            check(found)
        except ScalperError:
            self._store.clean()
            raise
        return found.manifest

    def _point(self, state: ActiveState, manifest: Manifest, activate: bool, unproven: bool) -> None:
        slot, held = manifest.slot, state.slot(manifest.slot)
        if not activate:
            self._save(state, slot, "published", held, manifest.version)
            return
        doubt = lifecycle.overtaken(held, manifest.parent, self.serving(slot))
        move = lifecycle.admitted(held, manifest.version, self.rules, self._clock.now(), unproven=unproven or bool(doubt))
        self._make(state, slot, replace(move, reason=move.reason or doubt))

    def _make(self, state: ActiveState, slot: str, move: Move) -> None:
        after = self._relieved(slot, move.after, move.version) if move.activates else move.after
        if move.event == "promoted":
            after = lifecycle.on_probation(after, state.slot(slot), self.rules, self._clock.now())
        self._save(state, slot, move.event, after, move.version, move.reason)

    def _switch(self, slot: str, version: int | None, event: Event) -> ActiveState:
        with self._writing() as state:
            held = state.slot(slot)
            target = version if version is not None else lifecycle.rollback_target(slot, held)
            if target == held.active and (held.stopped is None or event == "rolled back"):
                if event == "rolled back" or lifecycle.ordered(held) == held:
                    return state
                event = "settled"  # another "promoted" would hide that the slot was rolled back
            if held.pinned:
                raise ArtifactError(f"slot {slot} is pinned to version {held.active}; `models unpin {slot}` first")
            self.open(slot, target)
            after = lifecycle.ordered(self._relieved(slot, held, target))
            self._save(state, slot, event, replace(after, next_version=max(held.next_version, target + 1)), target)
            return self.state()

    def _relieved(self, name: str, slot: SlotState, version: int) -> SlotState:
        """The slot with `version` active, and as previous the one that truly served until now.

        That is not the active one where its files were refused and an older version stood in.
        """
        if version == slot.active:  # it was stopped, and votes again
            return slot
        served = self.serving(name)
        return replace(slot, active=version, previous=slot.active if served in (None, version) else served)

    def _save(self, state: ActiveState, slot: str, event: Event, after: SlotState, version: int, reason: str = "") -> None:
        self._file.write(state.changed(slot, event, utc_text(self._clock.now()), after, version, reason))
        self._log.complete(self.state())

    def _prune(self, state: ActiveState) -> tuple[str, ...]:
        return tuple(name for slot, n in catalogue.surplus(self._store, state, self._keep) for name in self._store.remove(slot, n))


def _pointer_refusal(problem: str | None) -> tuple[Refusal, ...]:
    return () if problem is None else (Refusal("", None, "active.json", problem),)
