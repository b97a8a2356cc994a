"""DeepMind's experiments: what their report tells of networks that were trained on networks, and of their rivals.

Each section is judged on what is there. Where the runs or the data that it needs are not, it says so. The published
curves are those of Andrychowicz et al. 2016, read off its figures (AdrienLE's notebook holds them): 3 to 5 % off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.studies.episode3 import networks_below
from l2o_engine.studies.evaluation import Judged, Match, Network, judge
from l2o_engine.studies.evaluation.matches import problem_of
from l2o_engine.studies.reproduction.experiments import whose_data_is_there

QUADRATIC = "dm_quadratic"
LOOKS = (20, 50, 98)
"""Base steps that the paper's curves are read off at."""
PAPER_QUADRATIC = {
    "LSTM": (0.150, 0.067, 0.041),
    "Adam": (2.06, 0.18, 0.051),
    "RMSProp": (0.61, None, 0.061),
    "NAG": (0.197, 0.115, 0.080),
    "SGD": (0.44, 0.30, 0.215),
}
"""The paper's losses at :data:`LOOKS`, divided by the ten dimensions."""
PAPER_MNIST = {
    "LSTM": (0.454, 0.306, 0.251),
    "Adam": (1.48, 0.485, 0.36),
    "RMSProp": (1.75, 0.50, 0.355),
    "NAG": (1.46, 0.46, 0.33),
    "SGD": (1.93, 0.835, 0.46),
}
"""The paper's losses at :data:`LOOKS` of an MLP on MNIST."""
IMAGES = (
    *("dm_digits", "rnnprop_digits", "dm_digits_curriculum", "lopt_digits_slow"),
    *("dm_fashion_mnist", "rnnprop_fashion_mnist", "lopt_fashion_mnist"),
    *("dm_mnist", "rnnprop_mnist", "dm_mnist_curriculum"),
)
"""Presets whose optimizees are networks, by whose problem networks are judged."""


@dataclass(frozen=True)
class Other:
    """An optimizee that nothing was trained on, as in the paper: what is changed, and what the paper found.

    Attributes
    ----------
    name
        What it is called.
    settings, steps
        What is changed of the problem, and over how many base steps.
    paper
        Its LSTM's and its Adam's loss at the last look, on MNIST.
    """

    name: str
    settings: tuple[str, ...]
    steps: int
    paper: tuple[float, float]


OTHERS = (
    Other("200 steps", (), 200, (0.210, 0.30)),
    Other("40 units", ("problem.sizes=[40]",), 100, (0.195, 0.32)),
    Other("2 layers of 20", ("problem.sizes=[20, 20]",), 100, (0.334, 0.71)),
    Other("ReLU", ('problem.activation="relu"',), 100, (2.63, 0.37)),
)
HORIZONS = (2_000, 10_000)
"""Base steps far beyond those that networks were trained for."""

Told = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Group:
    """The networks of an experiment, over its seeds.

    Attributes
    ----------
    preset
        The experiment.
    networks
        One a seed.
    """

    preset: Preset
    networks: tuple[Network, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """Who did what on a problem.

    Attributes
    ----------
    title
        What the problem is.
    data
        What its optimizees learn; "" where there is no data.
    steps
        Base steps.
    rows
        What it is called → the judged: networks of an experiment, one a seed, or one rival.
    other
        Which of :data:`OTHERS` it is; None for another.
    """

    title: str
    data: str
    steps: int
    rows: dict[str, tuple[Judged, ...]]
    other: Other | None = None


def groups_below(folder: Path, names: Sequence[str], seeds: int) -> list[Group]:
    """Return the experiments of which there are finished runs below a folder, and whose data is there."""
    there, _ = whose_data_is_there(load(find(name)) for name in names)
    found = [Group(preset, tuple(networks_below(folder, preset.name, seeds))) for preset in there]
    return [group for group in found if group.networks]


def on_own_problem(group: Group, *, draws: int, told: Told) -> Table:
    """Judge an experiment's networks and its tuned rivals on held-out draws of its own problem."""
    return _table(group.preset.title, group.preset, [group], (), None, draws, told)


def on_other(groups: Sequence[Group], other: Other, *, draws: int, told: Told) -> Table:
    """Judge networks of experiments with one kind of data on an optimizee that none was trained on.

    The rivals are those of the first, tuned on its own problem and not on this one: as the networks are.
    """
    return _table(other.name, groups[0].preset, groups, other.settings, other.steps, draws, told, other)


def over_horizon(groups: Sequence[Group], steps: int, *, draws: int, told: Told) -> Table:
    """Judge networks of experiments with one kind of data over a longer horizon, beside the first one's rivals."""
    return _table(f"{steps:,} steps", groups[0].preset, groups, (), steps, draws, told)


def _table(
    title: str,
    preset: Preset,
    groups: Sequence[Group],
    settings: Sequence[str],
    steps: int | None,
    draws: int,
    told: Told,
    other: Other | None = None,
) -> Table:
    problem = problem_of(preset, settings, steps)
    networks = [network for group in groups for network in group.networks]
    names = [group.preset.name for group in groups for _ in group.networks]
    rows: dict[str, tuple[Judged, ...]] = {}
    for place, one in enumerate(judge([Match(problem, tuple(networks))], draws=draws, told=told)):
        name = names[place] if one.network is not None else one.name
        rows[name] = (*rows.get(name, ()), one)
    return Table(title, vars(preset.problem).get("data", ""), problem.horizon, rows, other)
