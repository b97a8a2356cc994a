"""A look at how a network does on another problem: its losses over the base steps, beside that problem's rivals."""

from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.story import in_order
from l2o_engine.records.events import Curves, ShowDraws
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.evaluation.matches import networks_of, preset_of
from l2o_engine.tasks.formula.functions import shipped_functions
from l2o_engine.training.evaluation import Baselines, base_curves


def other_problems(preset: Preset) -> list[Preset]:
    """Return shipped presets, then shipped functions, of problems that are not a preset's own, each problem once.

    Presets come in the order in which they are told.
    """
    found = {preset.problem: preset}
    shipped = in_order(load(find(name)) for name in shipped_names())
    for other in (*shipped, *(preset_of(name, preset) for name in shipped_functions())):
        found.setdefault(other.problem, other)
    return [other for other in found.values() if other is not preset]


def curves_on(run: Run, preset: Preset, shown: ShowDraws) -> Curves:
    """Return the losses of a run's network, as its newest checkpoint has it, on the base chart's draws of a problem.

    Parameters
    ----------
    run
        The run.
    preset
        Whose problem, steps and baselines.
    shown
        Which draws, and which replicate; the first one, if no seed is given.

    Raises
    ------
    RunError
        If the run has no network that can be read, or it cannot run on that problem.
    """
    networks = {network.seed: network for network in networks_of(run, newest=True)}
    seed = next(iter(networks)) if shown.seed is None else shown.seed
    if seed not in networks:
        raise RunError(f"{run.name} has no seed {seed}")
    network, other = networks[seed], preset.experiment
    steps = other.steps
    try:
        experiment = network.experiment_on(other.task, steps)
    except ValueError as error:
        raise RunError(f"{run.name} cannot run on {preset.name}: {error}") from error
    task = Baselines(experiment, seed).curve_tasks(range(shown.first, shown.first + shown.count))
    several = base_curves([*other.baselines, network.optimizer], task, steps)
    base = several if shown.count > 1 else several.of_one()
    return Curves(shown.first, network.iteration, base.losses, seed, base.held_out, base.looks)
