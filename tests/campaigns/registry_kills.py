"""Writers of the registry that are killed: before each step of each operation, and at any moment while two of them write.

python -m tests.campaigns.registry_kills ROOT OPERATION NUMBER   is killed before its step of that number
python -m tests.campaigns.registry_kills ROOT daemon|command SEED   writes until it is killed
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from config.errors import ArtifactError, FileUnavailable
from strategy.learning.active import ActiveState
from strategy.learning.promotions import told_by
from strategy.learning.registry import Registry
from tests.fakes_registry import FILES, NEW, OLD, accept, make_registry, no_fault, successor

REPOSITORY = Path(__file__).parents[2]
KEEP = 2
SLOT, OTHER = "scalper", "xgboost"
LEGACY = ("scalper.pkl", "lstm_EURUSD.pth")

Operation = Callable[[Registry], object]


def keeping(versions: int, registry: Registry) -> Registry:
    """The same registry under another retention, so that versions are in surplus."""
    return make_registry(registry.root, keep=versions, fault=registry._fault)


OPERATIONS: Mapping[str, Operation] = {
    "publish": lambda registry: keeping(KEEP, registry).publish(successor(registry, SLOT), NEW, accept),
    "publish a shadow": lambda registry: registry.publish(successor(registry, SLOT), NEW, accept, activate=False),
    "promote": lambda registry: registry.promote(SLOT, 1),
    "rollback": lambda registry: registry.rollback(SLOT, to=3),
    "pin": lambda registry: registry.pin(SLOT),
    "prune": lambda registry: keeping(1, registry).prune(),
    "import": lambda registry: registry.set_aside(),
}
"""What is killed. Each can be said again after a kill and then comes to its end."""


class KillAt:
    """Kills the process before its n-th step: no handler, no `finally`, no flush."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, step: str) -> None:
        self.left -= 1
        if self.left < 0:
            psutil.Process().kill()
            threading.Event().wait(30)  # until it takes effect


def prepare(root: Path) -> None:
    """Four versions of one slot, of which the newest serves, one of another, and files of an older installation."""
    registry = make_registry(root, keep=9)
    for _ in range(4):
        registry.publish(successor(registry, SLOT), OLD, accept)
    registry.publish(successor(registry, OTHER), FILES, accept)
    for name in LEGACY:
        (root / name).write_bytes(b"old")


def opened(root: Path, fault: Callable[[str], None] = no_fault) -> Registry:
    """The registry as the operations meet it."""
    return make_registry(root, keep=9, fault=fault)


def steps_of(name: str, root: Path) -> list[str]:
    """The steps that an operation takes, by doing it in a folder of its own."""
    steps: list[str] = []
    prepare(root)
    registry = opened(root, steps.append)
    steps.clear()  # those of opening
    OPERATIONS[name](registry)
    return steps


def killed_at(name: str, number: int, root: Path) -> list[str]:
    """Kills an operation before a step; what is wrong then, and after it was said again."""
    prepare(root)
    before = opened(root).state()
    process = child(root, name, str(number))
    _, said = process.communicate(timeout=120)
    if process.returncode in (0, 1):
        return [f"was not killed: {said.decode()}"]
    wanted = wanted_state(name, root.with_name(f"{root.name}.wanted"))
    problems = problems_of(root) + states_wrong(root, before, wanted)
    with suppress(ArtifactError):  # a pinned slot is not switched
        OPERATIONS[name](opened(root))
    return problems + [f"said again: {problem}" for problem in problems_of(root) + again_wrong(name, root, wanted)]


def wanted_state(name: str, root: Path) -> ActiveState:
    """What the operation comes to where nobody disturbs it."""
    prepare(root)
    OPERATIONS[name](opened(root))
    return opened(root).state()


def states_wrong(root: Path, before: ActiveState, wanted: ActiveState) -> list[str]:
    """Whether what serves is neither the old nor the new."""
    now = pointers(opened(root).state())
    return [] if now in (pointers(before), pointers(wanted)) else [f"{now} is neither {pointers(before)} nor {pointers(wanted)}"]


def again_wrong(name: str, root: Path, wanted: ActiveState) -> list[str]:
    """Whether an operation that was said again came to anything else; a publication has another number then."""
    now, meant = pointers(opened(root).state()), pointers(wanted)
    if name.startswith("publish"):
        return []
    left = [] if name != "prune" else [f"left {n}" for n in opened(root).versions(SLOT) if n.version in (1, 2)]
    set_aside = [] if name != "import" else [f"left {n}" for n in LEGACY if (root / n).exists() or not (root / "legacy" / n).exists()]
    return [*([] if now == meant else [f"{now} is not {meant}"]), *left, *set_aside]


def pointers(state: ActiveState) -> dict[str, tuple[int | None, int | None, bool]]:
    """Slot -> active and previous version and whether it is pinned."""
    return {name: (slot.active, slot.previous, slot.pinned) for name, slot in sorted(state.slots.items())}


def problems_of(root: Path) -> list[str]:
    """What is wrong with a registry that was opened anew: exactly one sound version serves in each slot that has one."""
    registry = opened(root)
    found, refusals = registry.open_active()
    state = registry.state()
    serving = {slot: artifact.manifest.version for slot, artifact in found.items()}
    active = {name: slot.active for name, slot in state.slots.items() if slot.active is not None}
    wrong = [f"refused: {refusal}" for refusal in (*refusals, *registry.verify())]
    wrong += [] if registry.problem is None else [registry.problem]
    wrong += [] if serving == active else [f"{serving} serve, {active} should"]
    wrong += [f"left behind: {path.name}" for path in root.iterdir() if path.suffix == ".tmp"]
    wrong += [f"left in staging: {path.name}" for path in (root / ".staging").glob("*")]
    wrong += [f"nobody's: {name}" for name in registry.legacy() if name not in LEGACY]
    recorded = [entry for slot in state.slots for entry in registry.promotions(slot)]
    wrong += [] if set(told_by(state)) <= set(recorded) else ["the record lacks changes"]
    numbers = [entry.generation for entry in recorded]
    return wrong if len(set(numbers)) == len(numbers) else [*wrong, f"a generation is recorded twice: {sorted(numbers)}"]


# --- two writers at once ------------------------------------------------------------------------


@dataclass
class StormReport:
    """What a storm of writers came to."""

    kills: int
    looks: int
    changes: int
    problems: list[str]


def storm(root: Path, kills: int, seed: int) -> StormReport:
    """A daemon that publishes and a command that switches, pins and prunes; one of them is killed again and again."""
    prepare(root)
    rng, pause = np.random.default_rng(seed), threading.Event()
    running = {name: child(root, name, str(seed)) for name in ("daemon", "command")}
    report, reader = StormReport(0, 0, 0, []), opened(root)
    try:
        while report.kills < kills and not report.problems:
            pause.wait(float(rng.uniform(0.2, 1.5)))
            report.problems += looked(reader, report)
            name = str(rng.choice(list(running)))
            running[name] = replaced(running[name], root, name, seed + report.kills, report)
    finally:
        for process in running.values():
            process.kill()
            process.communicate(timeout=60)
    report.problems += problems_of(root)
    report.changes = opened(root).state().generation
    return report


def replaced(process: subprocess.Popen[bytes], root: Path, name: str, seed: int, report: StormReport) -> subprocess.Popen[bytes]:
    """Kills a writer, sees that it had not failed of itself, and starts another in its place."""
    process.kill()
    _, said = process.communicate(timeout=60)
    if process.returncode in (0, 1):
        report.problems.append(f"{name} ended of itself: {said.decode()}")
    report.kills += 1
    return child(root, name, str(seed))


def looked(reader: Registry, report: StormReport) -> list[str]:
    """A reader beside both writers: at any moment one sound version serves in each slot."""
    report.looks += 1
    found, refusals = reader.open_active()
    missing = [f"{slot} serves nothing" for slot in (SLOT, OTHER) if slot not in found]
    return missing + [f"a reader was refused {refusal}" for refusal in refusals]


def write_as_daemon(root: Path, rng: np.random.Generator) -> None:
    """Publishes now and again, as training does."""
    registry = make_registry(root, keep=KEEP)
    while True:
        slot = SLOT if rng.random() < 0.7 else OTHER
        registry.publish(successor(registry, slot), {**FILES, ".pkl": rng.bytes(5_000)}, accept, activate=bool(rng.random() < 0.8))


def write_as_command(root: Path, rng: np.random.Generator) -> None:
    """Does what a user may; each command opens the registry anew."""
    while True:
        registry = make_registry(root, keep=KEEP)
        with suppress(ArtifactError, FileUnavailable):  # refused: pinned, pruned by the other one, or nothing to go back to
            one_command(registry, rng)


def one_command(registry: Registry, rng: np.random.Generator) -> None:
    """Any of those that change something."""
    slot = SLOT if rng.random() < 0.7 else OTHER
    version = int(rng.choice([info.version for info in registry.versions(slot)]))
    commands: list[Callable[[], object]] = [
        lambda: registry.promote(slot, version),
        lambda: registry.rollback(slot),
        lambda: registry.pin(slot, pinned=bool(rng.random() < 0.5)),
        registry.prune,
        registry.set_aside,
    ]
    commands[int(rng.integers(len(commands)))]()


def child(root: Path, *words: str) -> subprocess.Popen[bytes]:
    """Another process of this module."""
    command = [sys.executable, "-m", "tests.campaigns.registry_kills", str(root), *words]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE)


def main(arguments: list[str]) -> None:
    """See the head of this module."""
    root, what, number = Path(arguments[0]), arguments[1], int(arguments[2])
    if what == "daemon":
        write_as_daemon(root, np.random.default_rng([number, 1]))
    elif what == "command":
        write_as_command(root, np.random.default_rng([number, 2]))
    else:
        killer = KillAt(10**9)
        registry = opened(root, killer)
        killer.left = number
        OPERATIONS[what](registry)


if __name__ == "__main__":
    main(sys.argv[1:])
