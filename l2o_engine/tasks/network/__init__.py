"""Networks as optimizees: they learn to classify images, a minibatch a base step.

``architectures`` has what they compute and how their weights lie side by side; ``network`` is the family of tasks.
"""

from l2o_engine.tasks.network.architectures import Group
from l2o_engine.tasks.network.network import Network

__all__ = ["Group", "Network"]
