"""The data set that is the default, made once for all tests of the tasks."""

from collections.abc import Iterator

import pytest

from tests.engine.digits import digits_in


@pytest.fixture(autouse=True, scope="session")
def _digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with digits_in(tmp_path_factory.mktemp("data")):
        yield
