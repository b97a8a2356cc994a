"""The library: what its page shows is true, and importing it does nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import l2o_engine

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "tests" / "data" / "library_example.py"  # which `make check` looks at the types of
# What makes the library's first example take moments, and changes nothing else of it.
_SMALLER = {
    'l2o.train("log30", seed=3, set={"meta.epsilon": 1e-12})': 'l2o.train("log30", seed=3, iterations=20, '
    'set={"meta.epsilon": 1e-12, "network.hidden": 4, "run.backend": "torch"})',
    "l2o.LSTM(layers=2, hidden=20)": "l2o.LSTM(layers=2, hidden=4)",
    "iterations=20_000": "iterations=10",
    "l2o.tune(l2o.optimizers.Momentum, task)": "l2o.tune(l2o.optimizers.Momentum, task, draws=20)",
    "problems=1000": "problems=100",
}
_PROBE = """
import os, sys
before = set(os.environ), len(sys.modules)
import l2o_engine
heavy = {"torch", "numpy", "numba", "pydantic", "safetensors", "textual", "rich", "typer", "matplotlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert not any(name.startswith("l2o_engine.") for name in sys.modules)
assert set(os.environ) == before[0]
for name in l2o_engine.__all__:
    getattr(l2o_engine, name)
assert "torch" not in sys.modules
assert not {"textual", "rich", "typer", "matplotlib", "l2o_tui"} & set(sys.modules)
"""


# The page's own family keeps the rule that it tells: the size of a chunk changes no result.
_CHUNKS = """
whole, parts = (l2o.MetaTrainer(l2o.Experiment(Valley(), learned), backend="torch") for _ in range(2))
(together,), apart = whole.chunks(4, size=4), list(parts.chunks(4, size=1))
assert (together.results.losses == np.concatenate([chunk.results.losses for chunk in apart])).all()
"""


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_page_begins_with_the_example_whose_types_are_checked() -> None:
    assert blocks_of("library")[0] == EXAMPLE.read_text(encoding="utf-8")


@pytest.mark.soak
def test_a_users_file_is_strictly_typed(tmp_path: Path) -> None:
    """As a user would: every example of the page in one file, with nothing of our own settings."""
    (tmp_path / "users.py").write_text("\n".join(blocks_of("library")), encoding="utf-8")
    check = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "users.py"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Success: no issues found in 1 source file\n")


@pytest.mark.parametrize(
    ("page", "least", "smaller", "beside"), [("library", 6, _SMALLER, _CHUNKS), ("optimizer-file", 3, {}, "")]
)
def test_the_examples_of_a_page_run_in_order_as_one_program(
    page: str, least: int, smaller: dict[str, str], beside: str, tmp_path: Path
) -> None:
    first, *blocks = blocks_of(page)
    assert len(blocks) >= least - 1
    for written, instead in smaller.items():
        assert first.count(written) == 1
        first = first.replace(written, instead)
    program = tmp_path / "example.py"
    program.write_text("\n".join([first, *blocks, beside]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= least
    assert (tmp_path / "runs").is_dir()


def test_the_examples_of_ones_own_problem_run_in_order_as_one_program(tmp_path: Path) -> None:
    page = (DOCS / "own-problem.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 3
    program = tmp_path / "example.py"
    program.write_text("\n".join([*blocks, "assert l2o.tasks.Custom(Problem()).size == 10"]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_importing_it_imports_sets_prints_and_writes_nothing(tmp_path: Path) -> None:
    probe = [sys.executable, "-c", _PROBE]
    done = subprocess.run(probe, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", l2o_engine.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(l2o_engine, name).__doc__


def test_what_is_not_there_is_an_attribute_error() -> None:
    name = "Adam"  # not written as an attribute: that would be an error of types
    with pytest.raises(AttributeError, match="l2o_engine has no Adam"):
        getattr(l2o_engine, name)
    assert set(l2o_engine.__all__) == set(dir(l2o_engine))
