"""Tasks that are made of others: several of them as one, scaled ones, and what a training adds to its problem."""

from l2o_engine.tasks.joined.augmentation import Augmentation
from l2o_engine.tasks.joined.ensemble import Ensemble
from l2o_engine.tasks.joined.joined import Joined
from l2o_engine.tasks.joined.scaled import Scaled

__all__ = ["Augmentation", "Ensemble", "Joined", "Scaled"]
