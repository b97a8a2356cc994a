"""Learned optimizers: a network, what it sees of the gradient, and what its output means."""

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED, LearnedOptimizer, TrainedOptimizer

__all__ = ["LEARNED", "LearnedOptimizer", "TrainedOptimizer"]
