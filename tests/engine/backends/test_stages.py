"""What threads of a team do of its stages, a thread at a time: which of them comes when is not left to chance."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends.compiled.compile import Kernel, get_kernel
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.kernel.stages import Board
from l2o_engine.backends.coordinatewise.memory import new_desk, no_rows
from l2o_engine.backends.coordinatewise.spec import RowsSpec
from l2o_engine.backends.coordinatewise.team import Team

pytestmark = pytest.mark.timeout(600)  # the first time, the kernel is compiled

LEADER, HELPER = 0, 1
IMAGES = 70


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return get_kernel(RowsSpec("float32"))


@pytest.fixture
def desk(kernel: Kernel) -> Desk:
    """One network, whose matrices are packed, and whose loss and gradient are found."""
    generator = np.random.default_rng(0)
    desk = new_desk("float32", (130, 5), 1, IMAGES)._replace(
        images=generator.integers(0, 256, (IMAGES, 130)).astype(np.uint8),
        labels=generator.integers(0, 5, IMAGES).astype(np.uint8),
        kinds=np.array([0, 255]),
    )
    desk.points[:] = generator.normal(size=desk.points.shape)
    desk.chosen[:] = generator.permutation(IMAGES)
    Team(kernel, Crew(1), 1, no_rows("float32"), desk, 2).learn()
    assert np.abs(desk.gradients).min() > 0
    return desk


def forgotten(desk: Desk) -> Desk:
    """Return a desk at which nothing is known of a gradient, beside what is packed."""
    return desk._replace(
        lines=np.full_like(desk.lines, np.nan),
        sums=np.full_like(desk.sums, np.nan),
        gradients=np.full_like(desk.gradients, np.nan),
    )


def parts(desk: Desk) -> tuple[int, int]:
    """Return how many parts the stages have: blocks of images, and 64 of 130 rows of weights at most."""
    return len(desk.partial), 3


def board(announced: int) -> Board:
    return Board(np.array([-1, -2]), np.zeros((2, 2), np.int64), np.array([announced]))


def test_a_helper_does_the_parts_that_nobody_has_taken(kernel: Kernel, desk: Desk) -> None:
    empty, told = forgotten(desk), board(announced=2)
    assert kernel.follow(no_rows("float32"), empty, told, HELPER, 0, 0) == 2
    assert tuple(told.counters[1]) == parts(desk)
    assert_array_equal(empty.gradients, desk.gradients)


@pytest.mark.parametrize("announced", [-1, 0], ids=["there are no more", "none is announced"])
def test_a_helper_goes_where_there_is_nothing_to_do(kernel: Kernel, desk: Desk, announced: int) -> None:
    empty, told = forgotten(desk), board(announced)
    assert kernel.follow(no_rows("float32"), empty, told, HELPER, 0, 0) == 0
    assert not told.counters.any()
    assert np.isnan(empty.gradients).all()


def test_a_helper_that_comes_late_touches_nothing(kernel: Kernel, desk: Desk) -> None:
    empty, told = forgotten(desk), board(announced=2)
    told.counters[:] = parts(desk)
    kernel.follow(no_rows("float32"), empty, told, HELPER, 0, 0)
    assert tuple(told.counters[1]) == parts(desk)
    assert np.isnan(empty.lines).all()
    assert np.isnan(empty.gradients).all()


def test_a_leader_waits_for_parts_that_others_have_but_not_without_end(kernel: Kernel, desk: Desk) -> None:
    """It comes out now and then, with the stage undone; once the parts are there it goes on, and packs nothing anew."""
    told, found = board(announced=0), desk.gradients.copy()
    told.counters[0, 0] = 1  # somebody has the first block, and is not ready
    assert kernel.follow(no_rows("float32"), desk, told, LEADER, 0, 2) == 0
    assert kernel.follow(no_rows("float32"), desk, told, LEADER, 0, 2) == 0
    assert (told.announced[0], told.counters[1, 0]) == (1, parts(desk)[0] - 1)
    desk.points[:] = np.nan
    told.counters[1, 0] += 1
    assert kernel.follow(no_rows("float32"), desk, told, LEADER, 0, 2) == 2
    assert_array_equal(desk.gradients, found)


def test_a_team_does_no_more_stages_than_it_was_made_for(kernel: Kernel, desk: Desk) -> None:
    team = Team(kernel, Crew(1), 1, no_rows("float32"), desk, 3)
    team.learn()
    with pytest.raises(RuntimeError, match="there are 3 stages in all"):
        team.learn()
