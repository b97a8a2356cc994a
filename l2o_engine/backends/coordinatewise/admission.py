"""Which experiments the backend takes, and whether its kernel is there: to be known without loading torch."""

from collections.abc import Iterator, Mapping

from l2o_engine.backends.compiled.compile import is_compiled
from l2o_engine.backends.compiled.numba_private import is_told_not_to_compile
from l2o_engine.backends.compiled.place import cache_folder
from l2o_engine.backends.coordinatewise.spec import RowsSpec
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.optimizers.learned.networks.by_group import ByGroup
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.learned.networks.mlp import MLP


def why_not(experiment: Experiment) -> str:
    """Return why this backend cannot take an experiment; an empty string if it can."""
    return next(_reasons(experiment), "")


def why_not_forward(experiment: Experiment) -> str:
    """Return why it cannot even go forward with an experiment's optimizer; an empty string if it can."""
    return next(_reasons_of_networks(experiment), "")


def _reasons(experiment: Experiment) -> Iterator[str]:
    if experiment.second_derivatives:
        yield "it takes first-order meta-gradients only (unroll.second_derivatives = false)"
    yield from _reasons_of_networks(experiment)


def _reasons_of_networks(experiment: Experiment) -> Iterator[str]:
    for network in networks_of(experiment.trained.network).values():
        if type(network) is not NETWORKS.kinds[network.kind] or not isinstance(network, LSTM | MLP | Linear):
            yield f'it has no network "{network.kind}"'
        if isinstance(network, LSTM) and is_told_not_to_compile():
            yield "Numba is told not to compile (NUMBA_DISABLE_JIT)"


def networks_of(network: Network) -> Mapping[str, Network]:
    """Return the networks that compute, by name; one that is not by group has none."""
    return network.networks if isinstance(network, ByGroup) else {"": network}


def to_compile(experiment: Experiment) -> str:
    """Return the shape of the kernel if it is still to be compiled; an empty string if it is there or not needed."""
    needed = any(isinstance(network, LSTM) for network in networks_of(experiment.trained.network).values())
    spec = RowsSpec(experiment.dtype)
    return repr(spec) if needed and not is_compiled(spec, cache_folder()) else ""
