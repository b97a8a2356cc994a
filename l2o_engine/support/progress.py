"""A bar that tells how far something is, for those who ask for it: tqdm's, a widget in a notebook, else on stderr."""

from types import TracebackType
from typing import Any

from l2o_engine.support.libraries import library

_FORMAT = "{l_bar}{bar}| {n:,.0f}/{total:,.0f} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Bar:
    """How far something is; it is closed by leaving its block.

    Parameters
    ----------
    shown
        Whether there is a bar at all; else nothing here does anything.
    total
        How much there is to do.
    what
        What it is, before the bar.
    unit
        What is counted, behind the number.

    Raises
    ------
    MissingLibraryError
        If a bar is wanted and tqdm is not installed.
    """

    def __init__(self, *, shown: bool, total: float, what: str, unit: str) -> None:
        self._bar: Any = None
        if shown:
            made = library("tqdm.auto", "progress=True", extra="notebook").tqdm
            self._bar = made(total=total, desc=what, unit=f" {unit}", bar_format=_FORMAT)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def begin(self, done: float, total: float) -> None:
        """Count the pace from here on, where so much was done before."""
        if self._bar is not None:
            self._bar.reset(total)
            self._bar.initial = self._bar.n = self._bar.last_print_n = done
            self._bar.refresh()

    def tell(self, done: float | None = None, *, total: float | None = None, said: str | None = None) -> None:
        """Say how much is done in all, of another total perhaps, and what else there is to say."""
        if self._bar is None:
            return
        if total is not None:
            self._bar.total = total
        if said is not None:
            self._bar.set_postfix_str(said, refresh=done is None)
        if done is not None:
            self._bar.update(done - self._bar.n)  # which draws now and then
