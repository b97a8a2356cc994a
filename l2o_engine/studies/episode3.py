"""Episode 3: what its report tells of runs and rivals beyond every experiment on its own problem.

Each section is judged on what is there. Where the runs that it needs are not, it says which command makes them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from l2o_engine.presets.files import load, override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.runs.catalogue import look_through
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.evaluation import Match, Network, Ranking, judge, networks_of, own_matches, rankings_of
from l2o_engine.studies.evaluation.matches import problem_of
from l2o_engine.studies.reproduction.results import Result
from l2o_engine.studies.tuning import RIVALS, Found, tune_rivals
from l2o_engine.studies.tuning import Problem as TuningProblem

TUNING = {"along the axes": (), "rotated": ("problem.rotation=uniform",)}
"""The quadratics that rivals are tuned on: name → settings of :data:`TUNED`."""
TUNED = "log30"
ALONG_THE_AXES = ("log30", "logv_sum_log", "div_sum_log", "logdiv_sum_log")
"""Experiments of the notebook's whose networks are judged on the rotated problem."""
ROTATED = "rotated2"
ALONG = ("problem.rotation=none",)
"""What makes the rotated problem the notebook's again."""
LONG = 100
"""Base steps of a longer horizon for those."""
GENERALIST = "generalist"
UNSEEN = ("beale", "booth", "branin", "styblinski_tang", "ackley")
"""Presets of the functions that the generalist is judged on."""
OF_MIXTURE = "-of-mixture"
"""What rivals that are tuned on what the generalist was trained on are called, behind their names."""
VALLEY = "rosenbrock"
ELSEWHERE: tuple[tuple[str, tuple[str, ...], int | None], ...] = (
    ("rotated2", (), 100),
    ("rotated2", ("problem.scale=[1.5, 4.5]",), None),
    ("rotated2", ("problem.start=[-10.0, 10.0]",), None),
    ("rotated2", ("problem.dims=10",), None),
    ("rotated10", (), 100),
    ("rotated10", ("problem.scale=[1.5, 4.5]",), None),
    ("rosenbrock", (), 500),
    ("rosenbrock", ("problem.parameters.b=[100.0, 1000.0]",), None),
    ("rastrigin", (), 500),
    ("mixture", (), 500),
)
"""Where an experiment's networks are judged besides: its name, what is changed of its problem, steps."""

Told = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Section:
    """What was judged for a part of the report.

    Attributes
    ----------
    rankings
        By problem.
    draws
        How many held-out draws.
    missing
        What was not there to be judged; nothing if all was.
    """

    rankings: tuple[Ranking, ...] = ()
    draws: int = 0
    missing: tuple[str, ...] = ()


def check_report_of(experiments: Sequence[Preset]) -> None:
    """Check that what :data:`ELSEWHERE` changes fits the experiments, before anything is trained for their report.

    Raises
    ------
    UserError
        If it does not.
    """
    presets = {preset.name: preset for preset in experiments}
    for name, settings, steps in ELSEWHERE:
        if name in presets:
            problem_of(presets[name], settings, steps)


def tuned_rivals(executor: Executor, *, draws: int, told: Told) -> dict[str, list[Found]]:
    """Return name → what tuning finds on each of :data:`TUNING`, as ``l2o-tui tune`` does.

    Parameters
    ----------
    executor
        Searches for several rivals side by side.
    draws
        How many tasks they are tuned on; as many others judge them.
    told
        Told the share that is done.
    """
    preset = load(find(TUNED))
    futures = {
        (name, rival): executor.submit(tuned, override(preset, settings) if settings else preset, rival, draws)
        for name, settings in TUNING.items()
        for rival in RIVALS
    }
    found: dict[str, list[Found]] = {name: [] for name in TUNING}
    for done, ((name, _), future) in enumerate(futures.items(), 1):
        found[name] += future.result()
        told(done / len(futures))
    return found


def tuned(preset: Preset, rival: str, draws: int) -> list[Found]:
    """Return what is found for a rival on a preset's problem: a plain function of plain values."""
    problem = TuningProblem(preset.problem, preset.experiment.steps, draws, preset.run.seed, preset.run.dtype)
    return list(tune_rivals(problem, [rival]))


def networks_below(folder: Path, name: str, seeds: int) -> list[Network]:
    """Return the networks of an experiment's finished runs below a folder, of as many seeds as are there."""
    found: list[Network] = []
    for seed in range(seeds):
        try:
            run = Run(folder / f"{name}-s{seed}")
            found += networks_of(run) if run.record().status == "finished" else []
        except RunError:  # not there, or not to be read: there is less to judge
            continue
    return found


def former_on_rotated(folder: Path, *, seeds: int, draws: int, told: Told) -> Section:
    """Judge networks that were trained along the axes: there for longer, and on the rotated problem.

    Parameters
    ----------
    folder
        The reproduction's, where their runs are.
    seeds
        How many seeds of each.
    draws
        How many held-out draws.
    told
        Told the share that is done.
    """
    networks = {name: networks_below(folder, name, seeds) for name in ALONG_THE_AXES}
    there = [network for found in networks.values() for network in found]
    missing = tuple(name for name, found in networks.items() if not found)
    rotated = load(find(ROTATED))
    every = [problem_of(rotated, settings, steps) for settings in (ALONG, ()) for steps in (None, LONG)]
    return _judged([Match(problem, tuple(there)) for problem in every], draws, told, missing)


def generalist_elsewhere(results: Sequence[Result], *, draws: int, told: Told) -> Section:
    """Judge the generalist on functions that it never saw, beside rivals tuned on each, and on its mixture."""
    networks = _networks(results, GENERALIST)
    mixture = load(find(GENERALIST))
    elsewhere = tuple(_renamed(one, f"{one.name}{OF_MIXTURE}") for one in mixture.baseline)
    problems = [problem_of(load(find(name))) for name in UNSEEN]
    with_both = [replace(problem, rivals=(*problem.rivals, *elsewhere)) for problem in problems]
    matches = [Match(problem, tuple(networks)) for problem in with_both]
    return _judged(matches, draws, told, () if networks else (GENERALIST,))


def valley_recipes(results: Sequence[Result], runs_dir: Path, *, draws: int, told: Told) -> Section:
    """Judge whatever was trained on Rosenbrock's function, here and in the runs' folder, on the preset's problem."""
    preset = load(find(VALLEY))
    own = _networks(results, VALLEY)
    found = [network for run in look_through(runs_dir).runs for network in _if_trained_on(run, preset)]
    problem = problem_of(preset)
    return _judged([Match(problem, (*own, *found))], draws, told, () if own or found else (VALLEY,))


def elsewhere(results: Sequence[Result], *, draws: int, told: Told) -> Section:
    """Judge every experiment's networks on longer horizons and other scales of their problem, see :data:`ELSEWHERE`."""
    matches = [
        match
        for name, settings, steps in ELSEWHERE
        if (networks := _networks(results, name))
        for match in own_matches(networks, settings, [steps] if steps else [])
    ]
    there = {result.name for result in results if result.replicates}
    missing = tuple(dict.fromkeys(name for name, _, _ in ELSEWHERE if name not in there))
    return _judged(matches, draws, told, missing)


def _networks(results: Sequence[Result], name: str) -> list[Network]:
    """Return an experiment's networks, over its seeds."""
    runs = [replicate.run for result in results if result.name == name for replicate in result.replicates]
    return [network for run in runs for network in networks_of(run)]


def _if_trained_on(run: Run, preset: Preset) -> Iterator[Network]:
    """Yield a run's networks if it was trained on a preset's function, whatever its start, parameters and steps."""
    try:
        other = run.preset()
        is_it = other.learns and getattr(other.problem, "text", None) == getattr(preset.problem, "text", "")
        yield from networks_of(run) if is_it else ()
    except RunError:  # of a stranger's, or just begun: nothing to judge
        return


def _renamed(rival: Any, name: str) -> Any:
    return replace(rival, name=name)


def _judged(matches: Sequence[Match], draws: int, told: Told, missing: tuple[str, ...]) -> Section:
    there = [match for match in matches if match.networks]
    found: list[Ranking] = rankings_of(judge(there, draws=draws, told=told)) if there else []
    return Section(tuple(found), draws, missing)
