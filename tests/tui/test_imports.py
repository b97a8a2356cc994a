"""What each way into the program imports: the quick commands nothing heavy, the headless front end no screen."""

import json
import sys
from pathlib import Path

import pytest

from tests.tui.conftest import TINY, call, spawn

_PROBE = """
import json, sys
from l2o_tui.cli import main
try:
    main()
except SystemExit as stopped:
    code = stopped.code
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""
_SCREEN = {"textual"}


def _packages(code: str, *args: str | Path) -> tuple[int, set[str]]:
    """Return the first number of the probe's answer and the top-level packages that were imported."""
    result = spawn(*args, command=[sys.executable, "-c", code])
    number, packages = json.loads(result.err.splitlines()[-1])
    return number, set(packages)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imports") / "runs"
    assert call("run", "baselines", "--quiet", "--iterations=20", "--run-dir", folder / "one").code == 0
    return folder


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("--version",),
        ("run", "--help"),
        ("presets",),
        ("check", "log30"),
        ("runs",),
        ("paths",),
        ("tune", "log30", "--draws=2", "--rival=sgd"),
    ],
    ids=" ".join,
)
def test_a_quick_command_imports_neither_torch_nor_a_screen(args: tuple[str, ...], workplace: Path) -> None:
    code, packages = _packages(_PROBE, *args)
    assert code == 0
    assert not packages & {"torch", *_SCREEN}


def test_help_imports_nothing_that_computes() -> None:
    _, packages = _packages(_PROBE, "--help")
    assert not packages & {"numpy", "pydantic", "safetensors"}


def test_listing_and_showing_runs_import_neither_torch_nor_a_screen(runs_dir: Path) -> None:
    for args in (("runs",), ("show", "last")):
        code, packages = _packages(_PROBE, *args, "--runs-dir", runs_dir)
        assert code == 0
        assert not packages & {"torch", *_SCREEN}


def test_a_wrong_argument_is_told_before_anything_heavy_is_imported(workplace: Path) -> None:
    code, packages = _packages(_PROBE, "run", "log30", "--no-ui", "--set", "meta.epsilno=1")
    assert code == 2
    assert not packages & {"torch", *_SCREEN}


def test_a_run_without_a_screen_never_imports_the_screens_libraries(workplace: Path) -> None:
    code, packages = _packages(_PROBE, "run", "log30", "--no-ui", *TINY, "--iterations=10")
    assert code == 0
    assert "torch" in packages  # the probe sees what is imported
    assert not packages & _SCREEN
