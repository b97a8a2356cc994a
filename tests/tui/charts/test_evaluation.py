"""The pictures of what optimizers reach on held-out draws."""

import numpy as np

from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.base import HandDesigned
from l2o_engine.optimizers.momentum import Momentum
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.studies.evaluation import Judged, Problem, rankings_of
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.figures import Evaluated
from l2o_tui.charts.evaluation import panels_of

RIVALS: tuple[HandDesigned, ...] = (
    Sgd(),
    RmsProp(),
    RmsProp(name="RMSProp-sum"),
    Momentum(nesterov=True, name="Nesterov"),
    Adam(),
    Adam(name="Adam-sum"),
    VSgd(),
)


def judged(dims: int, ends: list[float]) -> list[Judged]:
    """Return what came of rivals that end with these losses."""
    problem = Problem(f"{dims}-D", Quadratic(dims=dims), 3, RIVALS, "float32")
    found = []
    for rival, end in zip(RIVALS, ends, strict=True):
        one = Evaluated(rival.name, np.full((4, 3), [1.0, 0.5, end]))
        curve = np.log10(np.tile(one.losses[0], (3, 1)))
        means, solved = one.losses[0], np.zeros(3)
        found.append(
            Judged(problem, rival.name, None, rival, 4, one.figures, one.intervals, curve, means, solved, "numpy")
        )
    return found


def test_an_optimizer_looks_alike_on_every_problem_whatever_its_rank() -> None:
    ends = [10.0**-k for k in range(len(RIVALS))]
    panels = panels_of(rankings_of([*judged(2, ends), *judged(3, ends[::-1])]))
    drawn = [{one.label: one.style for one in figure.series} for row in panels for _, figure in row]
    assert list(drawn[0]) == list(drawn[2])[::-1]  # their ranks differ
    assert drawn == [drawn[0]] * 4
    assert len(set(drawn[0].values())) == len(RIVALS)
    assert [name for name, _ in panels[0]] == ["loss", "share of the draws"]
