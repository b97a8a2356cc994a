"""What networks reach on held-out draws of their own problems, beside figures of the draws that they were trained on.

A look: at the newest checkpoint, whose state the training's final figures end with; on as many draws as take moments;
on the kernel where it is there, for nobody compiles one for a look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.evaluation import Network, judge, networks_of, own_matches
from l2o_engine.support.errors import UserError

DRAWS = 1000
"""Held-out draws of a look, at most."""
LEAST_DRAWS = 20
_OPERATIONS = 5e9  # of a network, at most: seconds by torch, a tenth by the kernel
_SEED = 0  # of the draws


@dataclass(frozen=True)
class HeldOut:
    """What networks reach on held-out draws.

    Attributes
    ----------
    reached
        Run's folder and seed → mean log10 of the last loss.
    draws
        How many draws each figure is of: those of different problems may differ.
    notes
        Of which runs there is no figure, and why.
    """

    reached: Mapping[tuple[Path, int], float] = field(default_factory=dict)
    draws: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def held_out_of(runs: Iterable[Run]) -> HeldOut:
    """Return what the networks of runs reach on held-out draws.

    A run that is given several times counts once; one that trains nothing, or has no checkpoint yet, has no figure.
    """
    networks: list[Network] = []
    notes: list[str] = []
    for run in {run.folder: run for run in runs}.values():
        if run.preset().learns and run.latest_checkpoint() is not None:
            try:
                networks += networks_of(run, newest=True)
            except RunError as error:
                notes.append(f"{run.name} has no held-out figure: {error}")
    reached: dict[tuple[Path, int], float] = {}
    draws: set[int] = set()
    for match in own_matches(networks, (), ()):
        try:
            operations = max(network.operations_on(match.problem) for network in match.networks)
            number = int(min(DRAWS, max(LEAST_DRAWS, _OPERATIONS / operations)))
            draws.add(number)
            for one in judge([match], draws=number, seed=_SEED, may_compile=False, with_rivals=False):
                if one.network is not None:
                    reached[one.network.source.place, one.network.seed] = one.figures["end_log10_mean"]
        except UserError as error:
            notes.append(f"there is no held-out figure on {match.problem.name}: {error}")
    return HeldOut(reached, tuple(sorted(draws)), tuple(notes))
