"""The independent generators that are made of one seed, one for each use, so that no use disturbs another."""

from collections.abc import Sequence

import numpy as np


class Streams:
    """What a seed decides.

    Parameters
    ----------
    seed
        The run's.

    Attributes
    ----------
    weights, draws, curves, levels, held_out, tuning, validation, imitation
        The seeds of: initial weights, training draws, the base chart's tasks, the baselines' levels, tasks that
        nothing was trained or tuned on, tasks that rivals are tuned on, tasks that a training is validated on, when
        there is an imitation and of what.
    """

    def __init__(self, seed: int) -> None:
        # A further one changes none of those before it.
        streams = np.random.SeedSequence(seed).spawn(8)
        self.weights, self.draws, self.curves, self.levels, self.held_out, self.tuning, *others = streams
        self.validation, self.imitation = others


def generator_of(seeds: np.random.SeedSequence, place: Sequence[int] = ()) -> np.random.Generator:
    """Return the generator of a stream, or of one place of the series that it is."""
    stream = np.random.SeedSequence(seeds.entropy, spawn_key=(*seeds.spawn_key, *place)) if place else seeds
    return np.random.Generator(np.random.PCG64(stream))
