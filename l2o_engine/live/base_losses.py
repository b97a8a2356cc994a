"""The base chart's losses of a run that is watched: made in a thread, by the newest checkpoint.

What the run does must not wait for them to be told: loading what computes them takes seconds.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import monotonic

from l2o_engine.backends.choose import choose
from l2o_engine.live.pipeline import curves_of
from l2o_engine.meta.learner import Backend
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Curves, Event, Notice, ShowDraws
from l2o_engine.runs.folder import Run
from l2o_engine.training.trainer import Trainer, make_trainer

_CURVES_SECONDS = 3.0
_AT_ONCE_SECONDS = 0.1  # once all is loaded, curves take less


class BaseLosses:
    """Makes the base chart's curves of a run that is watched. Close it when done.

    Parameters
    ----------
    run
        The run's folder.
    are_wanted
        Whether from the start, rather than from the first :meth:`show` on.
    """

    def __init__(self, run: Run, *, are_wanted: bool) -> None:
        self._run = run
        self._are_wanted = are_wanted
        self._shown = ShowDraws()
        self._is_newer = True  # whether there may be a checkpoint that the curves have not been made of
        self._due = 0.0
        self._maker: ThreadPoolExecutor | None = None
        self._making: Future[Curves | Notice] | None = None
        self._backend: Backend | None = None
        self._trainers: dict[int, Trainer] = {}

    def close(self) -> None:
        """Make no more."""
        if self._maker:
            self._maker.shutdown(wait=False, cancel_futures=True)

    def note_checkpoint(self) -> None:
        """Take notice that there may be a newer checkpoint."""
        self._is_newer = True

    def show(self, shown: ShowDraws) -> Iterator[Event]:
        """Tell the curves of other problems, as soon as they are made."""
        self._shown, self._are_wanted = shown, True
        if self._run.latest_checkpoint() is None:
            yield Notice("the base losses come with the first checkpoint")
            return
        self._is_newer, self._due = True, 0.0
        if self._making is not None:  # of what was asked before
            self._making.cancel()
            self._making = None
        yield from self.refresh()

    def refresh(self) -> Iterator[Event]:
        """Tell the base losses that were made, and have them made anew if they are due."""
        yield from self._made()
        is_due = self._are_wanted and self._is_newer and monotonic() >= self._due
        if self._making is None and is_due and self._run.latest_checkpoint() is not None:
            self._is_newer, self._due = False, monotonic() + _CURVES_SECONDS
            self._maker = self._maker or ThreadPoolExecutor(1, "l2o-base-losses")
            self._making = self._maker.submit(self._make, self._shown)
            wait([self._making], _AT_ONCE_SECONDS)
            yield from self._made()

    def _made(self) -> Iterator[Event]:
        if self._making is not None and self._making.done():
            made, self._making = self._making.result(), None
            yield made

    # In the thread.

    def _make(self, shown: ShowDraws) -> Curves | Notice:
        """Return the curves, or why there are none: a backend that cannot be had does not end the watching."""
        try:
            preset = self._run.preset()
            seed = preset.seeds[0] if shown.seed is None else shown.seed
            if seed not in self._trainers:  # whose series of tasks is its own
                self._backend = self._backend or _backend_for_a_look(preset)
                self._trainers[seed] = make_trainer(preset.experiment, self._backend, seed)
            checkpoint = self._run.checkpoint()
            base = curves_of(self._trainers[seed], shown, checkpoint.trainers[seed])
        except Exception as error:  # noqa: BLE001 (a backend that cannot be had, a damaged checkpoint, …)
            return Notice(f"there are no base losses: {error}")
        return Curves(shown.first, checkpoint.iteration, base.losses, seed, base.held_out, base.looks)


def _backend_for_a_look(preset: Preset) -> Backend | None:
    """Return what computes a few curves soonest: nobody compiles a kernel for a look."""
    if not preset.learns:
        return None
    choice = choose(preset.experiment, "auto")
    if choice.to_compile:
        choice = choose(preset.experiment, "torch")
    return choice.load()[0]
