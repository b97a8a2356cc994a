"""What is used of plotext that plotext does not promise to keep: how points get into its figure.

Its own way (``figure.draw(figure.signal(…).lines())``) calls its kernel a dozen times for every point, mostly to learn
which colours are taken for a legend that is not drawn; this calls it twice, which halves a redraw.
"""

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
