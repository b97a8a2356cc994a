"""The data set that is the default, made once for all tests of the tasks."""

from collections.abc import Iterator

import pytest

from l2o_engine.tasks.data import FOLDER_VARIABLE
from tests.engine.digits import write_digits


@pytest.fixture(autouse=True, scope="session")
def _digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("data")
    write_digits(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield
