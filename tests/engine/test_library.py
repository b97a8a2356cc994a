"""The library: what its page shows is true, and importing it does nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import l2o_engine

DOCS = Path(__file__).parents[2] / "docs"
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
whole, parts = (l2o.MetaTrainer(l2o.Experiment(Valley(), optimizer), backend="torch") for _ in range(2))
(together,), apart = whole.chunks(4, size=4), list(parts.chunks(4, size=1))
assert (together.results.losses == np.concatenate([chunk.results.losses for chunk in apart])).all()
"""


@pytest.mark.parametrize(("page", "least", "beside"), [("library", 6, _CHUNKS), ("optimizer-file", 3, "")])
def test_the_examples_of_a_page_run_in_order_as_one_program(page: str, least: int, beside: str, tmp_path: Path) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= least
    program = tmp_path / "example.py"
    program.write_text("\n".join([*blocks, beside]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= least
    assert (tmp_path / "runs").is_dir()


def test_importing_it_imports_sets_prints_and_writes_nothing(tmp_path: Path) -> None:
    probe = [sys.executable, "-c", _PROBE]
    done = subprocess.run(probe, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", l2o_engine.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(l2o_engine, name).__doc__


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="l2o_engine has no Adam"):
        _ = l2o_engine.Adam
    assert set(l2o_engine.__all__) == set(dir(l2o_engine))
