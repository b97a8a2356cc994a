"""Who watches a training from a script or a notebook: what an observer is, and the bar, which is one."""

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Ended, Event, Extended, NewRows, Preparing, Started
from l2o_engine.records.rows import ReportWindow
from l2o_engine.records.statistics import spread_of
from l2o_engine.support.progress import Bar


class Observer(Protocol):
    """Watches a training: ``l2o.train("log30", watch=observer)``.

    It is told in the thread that called ``train``, in order, and while the training goes on elsewhere: it may take its
    time, but for an observer that falls far behind the training waits. Inherit from this class, and what you leave out
    does nothing. One that raises an exception is told nothing more; a warning says so, and the training goes on.
    """

    @property
    def wants_curves(self) -> bool:
        """Whether it is told as well what is made for pictures alone; asked once, before it begins.

        That is the past of a run that is gone on with, and :class:`~l2o_engine.records.events.Curves`, the base losses,
        for which up to a tenth of the training's time is taken.
        """
        return False

    def begin(self, preset: Preset) -> None:
        """Be told what is about to be trained: the effective preset."""
        return

    def tell(self, event: Event) -> None:
        """Be told what happens: see :mod:`l2o_engine.records.events`."""
        return

    def end(self) -> None:
        """Be told that nothing more comes, however the training ended."""
        return


class ProgressBar(Observer):
    """How far a run is: a bar of its meta-iterations, with the mean log10 of the last losses.

    Raises
    ------
    MissingLibraryError
        If tqdm is not installed.
    """

    def __init__(self, preset: Preset) -> None:
        self._bar = Bar(shown=True, total=preset.run.iterations, what=preset.name, unit="it")
        self._window = preset.report.rolling_window
        self._learns = preset.learns
        self._recent: list[ReportWindow] = []

    def tell(self, event: Event) -> None:
        """Move the bar."""
        match event:
            case Preparing():
                self._bar.tell(said=event.message)
            case Started():
                self._recent = [ReportWindow(self._window) for _ in event.lanes]
                self._bar.begin(max(event.iteration, 0), event.iterations)
            case NewRows() if len(event.rows):
                for lane, recent in enumerate(self._recent):
                    recent.add(event.rows.of_lane(lane))
                average = spread_of([recent.average_log_result for recent in self._recent]).median
                said = f"end log10 {average:.2f}" if self._learns else ""
                self._bar.tell(int(event.rows.iteration[-1]), said=said)
            case Extended():
                self._bar.tell(total=event.iterations)
            case Ended() if event.status != "finished":
                self._bar.tell(max(event.iteration, 0), said=event.status)
            case _:
                pass

    def end(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class Audience:
    """Several observers, told one after the other.

    Parameters
    ----------
    observers
        Who watches.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)
        self._watching = list(observers)

    @property
    def wants_curves(self) -> bool:
        """Whether one of them does."""
        return any(observer.wants_curves for observer in self._observers)

    def begin(self, preset: Preset) -> None:
        """Tell all of them what is about to be trained."""
        for observer in self._observers:
            self._try(observer, lambda one: one.begin(preset))

    def tell(self, event: Event) -> None:
        """Tell those that still watch what happens."""
        for observer in list(self._watching):
            self._try(observer, lambda one: one.tell(event))

    def end(self) -> None:
        """Tell all of them that nothing more comes: one that has failed may have something to close."""
        for observer in self._observers:
            self._try(observer, lambda one: one.end())

    def _try(self, observer: Observer, telling: Callable[[Observer], None]) -> None:
        try:
            telling(observer)
        except Exception as error:  # noqa: BLE001 (of anybody's code; the training is worth more than its picture)
            if observer in self._watching:
                self._watching.remove(observer)
                what = f"{type(observer).__name__} watches no more, for it has failed: {type(error).__name__}: {error}"
                warnings.warn(what, RuntimeWarning, stacklevel=2)
