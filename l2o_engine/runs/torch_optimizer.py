"""From a run, or an optimizer file, to PyTorch's optimizer in one line."""

from pathlib import Path
from typing import TYPE_CHECKING

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.exported_file import OptimizerFileError
from l2o_engine.runs.catalogue import find_run
from l2o_engine.runs.exported import CheckpointChoice
from l2o_engine.runs.folder import Run

if TYPE_CHECKING:
    from torch import Tensor

    from l2o_engine.torch_optim.optimizer import Parameters, TorchOptimizer
    from l2o_engine.torch_optim.options import Guard, Scale


def torch_optimizer(
    source: "str | Path | Run | Exported",
    params: "Parameters",
    lr: "float | Tensor" = 1.0,
    *,
    weight_decay: float = 0.0,
    maximize: bool = False,
    scale: "Scale" = None,
    guard: "Guard | bool" = False,
    seed: int | None = None,
    checkpoint: CheckpointChoice | None = None,
    measure: bool = True,
    runs_dir: str | Path = "runs",
) -> "TorchOptimizer":
    """Return a trained optimizer that moves the parameters of any PyTorch model.

    Parameters
    ----------
    source
        An optimizer file, a run's folder, its name in the runs folder or the beginning of one, "last", or what
        ``load_run`` and ``Exported.load`` give.
    params
        The parameters, groups of them, or ``model.named_parameters()``, with which messages have names.
    lr
        What updates are multiplied with; 1 is as it was trained. Schedulers work on it.
    weight_decay
        Decoupled, times lr, as in AdamW.
    maximize
        Whether to go up.
    scale
        "rms": gradients are brought, tensor by tensor, to the magnitude that was typical in training.
    guard
        Whether Adam steps in where the learned optimizer does harm, or how; see :class:`l2o_engine.Guard`.
    seed, checkpoint
        Which replicate and checkpoint of a run; see :meth:`~l2o_engine.runs.folder.Run.exported`.
    measure
        Whether it is measured, in up to some seconds, which losses and gradients a run's optimizer has met in training,
        for the warning that yours are others. An optimizer file has that in it.
    runs_dir
        The runs folder.

    Returns
    -------
    TorchOptimizer
        A ``torch.optim.Optimizer``.

    Raises
    ------
    UserError
        If there is no such run or file, or it cannot be read.
    ValueError
        If an option is out of its range, or a parameter is of a dtype that it cannot move.
    """
    from l2o_engine.torch_optim.optimizer import TorchOptimizer

    called = None
    if isinstance(source, Exported):
        exported = source
    elif isinstance(source, Run):
        exported = source.exported(seed, checkpoint, measure=measure)
    elif Path(source).is_file():
        exported, called = Exported.load(source), str(source)
    elif Path(source).suffix == ".safetensors":
        raise OptimizerFileError(f"{source}: there is no such file")
    else:
        exported = find_run(str(source), Path(runs_dir)).exported(seed, checkpoint, measure=measure)
    return TorchOptimizer(
        params, exported, lr, weight_decay=weight_decay, maximize=maximize, scale=scale, guard=guard, called=called
    )
