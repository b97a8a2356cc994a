"""Meta-training of learned optimizers, as a library: this is all of its public API.

    import l2o_engine as l2o

    run = l2o.train("log30", seed=3, set={"meta.epsilon": 1e-12})   # a whole run, with its folder
    experiment = l2o.Experiment(l2o.tasks.Quadratic(dims=2), l2o.LearnedOptimizer(l2o.LSTM(hidden=20)))
    trainer = l2o.MetaTrainer(experiment, seed=0)                   # or the training alone, chunk by chunk

docs/library.md has more. Importing this imports neither torch nor anything else heavy, sets nothing and prints
nothing: what a name stands for is imported when it is first asked for.

The rooms, lower ones first: ``support``; ``tasks``, what is optimized; ``optimizers``, what optimizes; ``meta``, what
meta-training is; ``backends``, who computes; ``training``, who goes through the meta-iterations; ``records``, what is
told; ``presets``, the file format; ``runs``, a run's folder; ``live``, a run in motion; ``studies``, many runs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l2o_engine import optimizers, tasks
    from l2o_engine.live.observer import Observer
    from l2o_engine.live.train import resume, train
    from l2o_engine.meta import objectives
    from l2o_engine.meta.experiment import Experiment
    from l2o_engine.meta.imitation import Imitation
    from l2o_engine.meta.meta_adam import MetaAdam
    from l2o_engine.meta.truncation import Truncation
    from l2o_engine.meta.validation import Curriculum, Validation
    from l2o_engine.optimizers.learned import inputs, networks
    from l2o_engine.optimizers.learned.deepmind_weights import from_deepmind
    from l2o_engine.optimizers.learned.exported import Exported
    from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
    from l2o_engine.optimizers.learned.networks.lstm import LSTM
    from l2o_engine.presets.files import load_preset
    from l2o_engine.runs.catalogue import load_run
    from l2o_engine.runs.torch_optimizer import torch_optimizer
    from l2o_engine.studies.tuning import tune
    from l2o_engine.support.user_code import allow_code
    from l2o_engine.tasks.joined import Augmentation
    from l2o_engine.torch_optim.options import Guard, OutsideTrainingWarning
    from l2o_engine.training.evaluation import evaluate
    from l2o_engine.training.trainer import MetaTrainer

__all__ = [
    "LSTM",
    "Augmentation",
    "Curriculum",
    "Experiment",
    "Exported",
    "Guard",
    "Imitation",
    "LearnedOptimizer",
    "MetaAdam",
    "MetaTrainer",
    "Observer",
    "OutsideTrainingWarning",
    "Truncation",
    "Validation",
    "allow_code",
    "evaluate",
    "from_deepmind",
    "inputs",
    "load_preset",
    "load_run",
    "networks",
    "objectives",
    "optimizers",
    "resume",
    "tasks",
    "torch_optimizer",
    "train",
    "tune",
]

_MODULES = {
    "inputs": "l2o_engine.optimizers.learned.inputs",
    "networks": "l2o_engine.optimizers.learned.networks",
    "objectives": "l2o_engine.meta.objectives",
    "optimizers": "l2o_engine.optimizers",
    "tasks": "l2o_engine.tasks",
}
_HOMES = {
    "LSTM": "l2o_engine.optimizers.learned.networks.lstm",
    "Augmentation": "l2o_engine.tasks.joined",
    "Curriculum": "l2o_engine.meta.validation",
    "Experiment": "l2o_engine.meta.experiment",
    "Exported": "l2o_engine.optimizers.learned.exported",
    "Guard": "l2o_engine.torch_optim.options",
    "Imitation": "l2o_engine.meta.imitation",
    "LearnedOptimizer": "l2o_engine.optimizers.learned.learned_optimizer",
    "MetaAdam": "l2o_engine.meta.meta_adam",
    "MetaTrainer": "l2o_engine.training.trainer",
    "Observer": "l2o_engine.live.observer",
    "OutsideTrainingWarning": "l2o_engine.torch_optim.options",
    "Truncation": "l2o_engine.meta.truncation",
    "Validation": "l2o_engine.meta.validation",
    "allow_code": "l2o_engine.support.user_code",
    "evaluate": "l2o_engine.training.evaluation",
    "from_deepmind": "l2o_engine.optimizers.learned.deepmind_weights",
    "load_preset": "l2o_engine.presets.files",
    "load_run": "l2o_engine.runs.catalogue",
    "resume": "l2o_engine.live.train",
    "torch_optimizer": "l2o_engine.runs.torch_optimizer",
    "train": "l2o_engine.live.train",
    "tune": "l2o_engine.studies.tuning",
}


if not TYPE_CHECKING:  # to whom a name that is not there would be anything

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(_MODULES[name])
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"l2o_engine has no {name}")


def __dir__() -> list[str]:
    return __all__
