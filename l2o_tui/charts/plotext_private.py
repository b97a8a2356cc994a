"""What is used of plotext that plotext does not promise to keep: how it calls its kernel.

Its own way of taking points (``figure.draw(figure.signal(…).lines())``) calls its kernel a dozen times for every point,
mostly to learn which colours are taken for a legend that is not drawn; this calls it twice, which halves a redraw.
"""

import ctypes
from typing import Any

import numpy as np

from l2o_engine.support.arrays import Doubles, Flags


def add_points(figure: Any, x: Doubles, y: Doubles, marker: Any, joined: Flags | None = None) -> None:
    """Draw points, over what is drawn already.

    Parameters
    ----------
    figure
        plotext's figure.
    x, y
        The points [points], all finite.
    marker
        plotext's marker.
    joined
        Which of the points [points] are joined to the one before; none, if not given.
    """
    from plotext._signal.signal import signal_class

    signal = signal_class(len(x))
    signal._append_points(x.tolist(), y.tolist(), [marker] * len(x))
    for index in np.flatnonzero(joined).tolist() if joined is not None else ():
        signal._set_connected(index, True)
    figure._signals._add(signal)


def keep_interpreter() -> None:
    """Let plotext call its kernel without giving the interpreter away.

    A redraw makes a thousand calls of about a microsecond each, and beside a thread that trains every one of them is a
    chance to wait for that thread's turn to end.
    """
    from plotext._kernel.tools import clink, kernel_file_path

    kernel = ctypes.PyDLL(kernel_file_path)
    for name, function in list(vars(clink).items()):
        if name == function.__name__:  # "last_function" is one of the others
            kept = getattr(kernel, name)
            kept.argtypes, kept.restype = function.argtypes, function.restype
            setattr(clink, name, kept)
