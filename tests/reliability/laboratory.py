"""The laboratory: small experiments, undisturbed runs of them, and what is found when something is done to others."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic

from tests.reliability import book
from tests.reliability.book import Entry
from tests.reliability.faults import Fault
from tests.reliability.outcome import NOTHING_LOST, Experiment, Loss, differences, finish, loss_of, place_of, status_of
from tests.reliability.program import Process, Start

_TINY = (
    "log30",
    "--set=network.hidden=3",
    "--set=network.layers=1",
    "--set=unroll.steps=4",
    "--set=report.baseline_draws=5",
)
_EACH = "--set=run.checkpoint_seconds=0"  # a checkpoint wherever one is due, whatever the clock says
_FUSED = (_EACH, "--backend=fused", "--iterations=30000", "--set=report.every=5000", "--set=run.checkpoint_every=3000")
_TORCH = (_EACH, "--backend=torch", "--iterations=120", "--set=report.every=20", "--set=run.checkpoint_every=15")
EXPERIMENTS = {
    "fused": (*_TINY, *_FUSED),
    "fused, 3 seeds": (*_TINY, *_FUSED, "--seeds=3"),
    "torch": (*_TINY, *_TORCH),
    "torch, 2 seeds": (*_TINY, *_TORCH, "--seeds=2"),
    "torch, in mid-episode": (  # of three, which begin and end at different meta-iterations
        *(option for option in _TINY if "steps" not in option),
        *_TORCH,
        "--set=unroll.steps=28",
        "--set=unroll.truncation=4",
        "--set=unroll.shortest=8",
        "--set=unroll.staggered=true",
        "--set=meta.batch=3",
        "--set=problem.noise=0.1",
        '--set=inputs={kind="rnnprop"}',
    ),
    "torch, stage by stage": (  # one replicate is ended by its validations, the other goes through five stages
        *(option for option in _TINY if "steps" not in option),
        *_TORCH,
        "--seeds=2",
        "--set=unroll.steps=8",
        "--set=unroll.truncation=4",
        "--set=unroll.staggered=true",
        "--set=meta.batch=2",
        "--set=meta.learning_rate=3e-3",
        '--set=inputs={kind="rnnprop"}',
        "--set=augmentation={scaling=1.0, companion=2}",
        "--set=validation={every=1, tasks=3}",
        "--set=curriculum.stages=[12, 16, 20, 24, 28, 32]",
        "--set=imitation.probability=0.3",
    ),
    "torch, long": (
        *_TINY,
        "--backend=torch",
        "--iterations=1200",
        "--set=report.every=100",
        "--set=run.checkpoint_every=50",
    ),
    "baselines": ("baselines", _EACH, "--iterations=2000", "--set=report.every=500", "--set=run.checkpoint_every=300"),
}
NAMES = (
    "fused",
    "fused, 3 seeds",
    "torch",
    "torch, 2 seeds",
    "torch, in mid-episode",
    "torch, stage by stage",
    "baselines",
)


class Laboratory:
    """Starts runs, does something to them, and finds out what came of it.

    Parameters
    ----------
    start
        Starts the program.
    folder
        Where everything is kept; what went well is removed at once.

    Attributes
    ----------
    wrong
        What went wrong so far.
    test
        The test that works here, as pytest names it.
    """

    def __init__(self, start: Start, folder: Path) -> None:
        self.start = start
        self.test = ""
        self.wrong: list[str] = []
        self._folder = folder
        self._numbers = count()
        self._experiments: dict[str, Experiment] = {}

    def new(self) -> Path:
        """Return the path of a new run, in a folder of its own that is there."""
        parent = self._folder / str(next(self._numbers))
        parent.mkdir()
        return parent / "run"

    def streams(self, folder: Path) -> Path:
        """Return a new folder's path, beside a run's, for the streams of a process."""
        return folder.parent / f"streams{next(self._numbers)}"

    def run(
        self,
        experiment: Experiment,
        folder: Path,
        on: Sequence[Fault] = (),
        *more: str,
        terminal: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a run."""
        quiet = () if terminal else ("--quiet",)
        args = ("run", *experiment.args, *quiet, "--run-dir", str(folder), *more)
        return self.start(*args, folder=self.streams(folder), on=on, terminal=terminal, env=env)

    def resume(self, folder: Path, on: Sequence[Fault] = (), *, terminal: bool = False) -> Process:
        """Start to go on with a run."""
        quiet = () if terminal else ("--quiet",)
        return self.start("resume", folder, *quiet, folder=self.streams(folder), on=on, terminal=terminal)

    def experiment(self, name: str) -> Experiment:
        """Return one of EXPERIMENTS, and run it once undisturbed."""
        if name not in self._experiments:
            for _ in range(2):  # the first may have a kernel to compile
                folder, began = self.new(), monotonic()
                experiment = Experiment(EXPERIMENTS[name], folder)
                process = self.run(experiment, folder)
                assert process.wait() == 0, process.err
                self._experiments[name] = replace(experiment, seconds=monotonic() - began)
        return self._experiments[name]

    def settle(
        self,
        process: Process,
        experiment: Experiment,
        folder: Path,
        *,
        fault: str,
        how: str,
        place: str = "",
        loss: Loss | None = None,
        also: Iterable[str] = (),
    ) -> None:
        """Go on with a run that something was done to, compare it with the undisturbed one, and keep what was found.

        Parameters
        ----------
        process
            What drove the run; it is over.
        experiment
            What was trained.
        folder
            The run's folder.
        fault, how, place
            What was done; the place is where a fault has struck, if none is given.
        loss
            What is lost; what the folder says now, if not given.
        also
            What is wrong already.
        """
        place = place or place_of(process, folder)
        loss = loss or loss_of(folder)
        wrong = [*also, *process.complaints, *finish(self.start, experiment, folder, self.streams)]
        if status_of(folder) == "finished":
            wrong += differences(folder, experiment.undisturbed)
        self.keep(fault, how, place, wrong, loss)
        if not wrong and folder.parent.parent == self._folder:
            shutil.rmtree(folder.parent)

    def keep(self, fault: str, how: str, place: str, wrong: Sequence[str], loss: Loss = NOTHING_LOST) -> None:
        """Keep what was found; nothing wrong is survived."""
        said = "; ".join(wrong)
        book.note(Entry(fault, how, place, said, loss.rows, round(loss.seconds, 3), self.test))
        if said:
            self.wrong.append(f"{fault}, {place}: {said}")
