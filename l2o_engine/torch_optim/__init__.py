"""A trained optimizer as PyTorch has optimizers: ``optimizer.step()`` on anybody's model.

``optimizer`` is the citizen of PyTorch, which knows groups, states, closures and schedulers; ``passes`` takes all
coordinates of all parameters through the network; ``guard`` is what may step in for it.
"""

from l2o_engine.torch_optim.guard import Guard
from l2o_engine.torch_optim.optimizer import OutsideTrainingWarning, TorchOptimizer

__all__ = ["Guard", "OutsideTrainingWarning", "TorchOptimizer"]
