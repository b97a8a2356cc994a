"""Networks against rivals: which rivals count, who is the best, and when a network wins."""

from typing import Any

import numpy as np
import pytest

from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.studies.evaluation import Ranking
from l2o_engine.studies.evaluation.matches import problem_of
from l2o_engine.studies.evaluation.rankings import BY_END
from l2o_engine.studies.reproduction import COUNTS, Rivalry, sees_curvature

DRAWS = 100


class Stub:
    """A contender with the figures that a test chooses, in place of one that was judged."""

    def __init__(
        self, label: str, figures: float, rival: Any = None, *, lost: int = 0, is_exploit: bool = False
    ) -> None:
        self.label, self.is_trained, self.is_exploit = label, rival is None, is_exploit
        self.judged = (self,)
        self.rival, self._figures = rival, figures
        self.loses = lost > DRAWS / 100

    def figure(self, figure: str) -> float:
        return self._figures


def rivalry(*contenders: Stub) -> Rivalry:
    stubs: Any = contenders
    ranks = tuple(range(1, 1 + len(contenders)))
    return Rivalry(Ranking(problem_of(load(find("rotated2"))), DRAWS, stubs, ranks, ranks))


@pytest.mark.parametrize("figure", COUNTS)
def test_the_best_rival_is_the_lowest_that_sees_gradients_alone_and_loses_nothing(figure: str) -> None:
    found = rivalry(
        Stub("RNN", -10.0),
        Stub("SGD", -5.0, Sgd()),
        Stub("RMSProp", -8.0, RmsProp()),
        Stub("vSGD", -30.0, VSgd()),
        Stub("exploit", -38.0, RmsProp(), is_exploit=True),
        Stub("lost", -37.0, Sgd(), lost=2),
        Stub("nan", np.nan, Sgd()),
    )
    best = found.best(figure)
    assert best is not None
    assert best.label == "RMSProp"
    assert (found.lead(figure), found.wins(figure)) == (2.0, True)
    assert [sees_curvature(one) for one in found.ranking.contenders].count(True) == 1


@pytest.mark.parametrize(("own", "lost"), [(-8.0, 0), (-7.0, 0), (np.nan, 0), (-20.0, 2)])
def test_a_network_that_is_no_better_or_loses_draws_does_not_win(own: float, lost: int) -> None:
    found = rivalry(Stub("RNN", own, lost=lost), Stub("RMSProp", -8.0, RmsProp()))
    assert found.wins(BY_END) is False


def test_without_a_rival_nobody_wins() -> None:
    found = rivalry(Stub("RNN", -8.0), Stub("vSGD", -30.0, VSgd()))
    assert (found.best(BY_END), found.lead(BY_END), found.wins(BY_END)) == (None, None, None)
