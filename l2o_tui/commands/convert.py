"""``l2o-tui convert``: an optimizer file of weights that were trained elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from l2o_engine.presets.exported import converted
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.runs.export import write_optimizer
from l2o_tui.text.numbers import count
from l2o_tui.text.streams import say


def convert_weights(weights: Path, preset: str, output: Path, *, settings: Sequence[str], force: bool) -> None:
    """Write the optimizer that weights are, and say on stderr which it is.

    Parameters
    ----------
    weights
        A .npz file of arrays by DeepMind's names.
    preset, settings
        What they were trained as, and what is changed of it.
    output
        The file.
    force
        Whether a file that is there is replaced.

    Raises
    ------
    UserError
        If the weights are not the preset's, or the output is there already or cannot be written.
    """
    exported = converted(weights, load(find(preset), settings))
    write_optimizer(exported, output, force=force)
    say(
        f"l2o-tui: {output}: {count(exported.weights.size)} weights as {exported.origin.preset}, {exported.digest[:12]}"
    )
