"""The laboratories that all tests share: a warm interpreter, and the undisturbed runs."""

from collections.abc import Iterator

import pytest

from tests.reliability.laboratory import Laboratory
from tests.reliability.program import WarmStart, fresh


@pytest.fixture(scope="session")
def _warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with WarmStart() as start:
        yield Laboratory(start, tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="session")
def _fresh(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    return Laboratory(fresh, tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def laboratory(_warm: Laboratory, request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """The laboratory of processes that start in a moment; what goes wrong there fails the test."""
    yield from _of_test(_warm, request)


@pytest.fixture
def fresh_laboratory(_fresh: Laboratory, request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """The laboratory of processes that are started as a shell starts them."""
    yield from _of_test(_fresh, request)


def _of_test(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    laboratory.test, laboratory.wrong = request.node.nodeid, []
    yield laboratory
    assert not laboratory.wrong, "\n".join(laboratory.wrong)
