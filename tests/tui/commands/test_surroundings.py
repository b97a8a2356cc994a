"""What lies around the program, in the working folder and the environment, is no part of it."""

import sys
from pathlib import Path

import pytest

from l2o_engine.presets.tables import to_toml
from tests.engine.kernels import compile_kernels
from tests.engine.littered import litter
from tests.engine.tiny import tiny_preset
from tests.tui.conftest import COMMAND, call, spawn

PRESET = tiny_preset("network.hidden=1", "run.backend=auto", "report.every=30")


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(to_toml(PRESET), encoding="utf-8")
    return path


def test_numba_s_settings_in_the_environment_change_nothing_and_print_nothing(
    preset: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_kernels([PRESET])
    for name, value in {
        "NUMBA_CACHE_DIR": str(workplace / "numba"),
        "NUMBA_DEBUG": "1",
        "NUMBA_DUMP_ASSEMBLY": "1",
        "NUMBA_OPT": "9",
        "NUMBA_NUM_THREADS": "many",
        "NUMBA_CACHE_LOCATOR_CLASSES": "nowhere.Locator",
        "NUMBA_DISABLE_JIT": "perhaps",
    }.items():
        monkeypatch.setenv(name, value)
    result = spawn("run", preset, "--quiet", "--run-dir", "run")
    assert (result.code, result.out, result.err) == (0, f"{workplace}/run\n", "")
    assert '"backend": "fused"' in (workplace / "run/run.json").read_text()
    assert [path.name for path in workplace.iterdir()] == ["run"]


def test_where_numba_may_not_compile_auto_takes_torch_and_fused_is_refused(
    preset: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    result = spawn("run", preset, "--no-ui", "--backend", "fused")
    why = "Numba is told not to compile (NUMBA_DISABLE_JIT)"
    assert (result.code, result.out) == (2, "")
    assert result.err == f'l2o-tui: backend "fused" cannot run this experiment: {why}\n'
    assert list(workplace.iterdir()) == []
    result = spawn("run", preset, "--no-ui")
    assert result.code == 0, result.err
    assert f"torch (not fused: {why}; not coordinatewise: " in result.err


def test_files_of_the_working_folder_are_not_imported(
    preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    litter(tmp_path / "work", monkeypatch)
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "cache"))  # so that a process compiles
    result = spawn("run", preset, "--quiet", "--run-dir", tmp_path / "run", command=(sys.executable, "-P", *COMMAND))
    assert (result.code, result.err) == (0, "")
    assert '"backend": "fused"' in (tmp_path / "run/run.json").read_text()
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 1


def test_started_as_a_module_it_imports_nothing_of_ours_from_there_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone there is what `python -m` was asked for; a random.py is not."""
    (tmp_path / "random.py").write_text("raise SystemExit('random.py of the working folder')")
    monkeypatch.chdir(tmp_path)
    result = spawn("presets", command=(sys.executable, "-m", "l2o_tui"))
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    "settings",
    [
        ("network.hidden=1024", "network.layers=16", "run.seeds=1024"),
        ("problem.dims=10000", "unroll.steps=10000", "report.baseline_draws=10"),
    ],
)
def test_what_is_too_large_is_one_message_with_the_numbers_and_nothing_is_made(
    settings: tuple[str, ...], workplace: Path
) -> None:
    result = call("run", "log30", "--no-ui", *(f"--set={setting}" for setting in settings))
    assert (result.code, result.out) == (2, "")
    (message,) = result.err.splitlines()
    assert message.startswith("l2o-tui: log30 would need about ")
    assert list(workplace.iterdir()) == []


def test_so_is_a_run_of_somebody_with_a_larger_machine(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("run", "log30", "--quiet", "--iterations=5", "--run-dir=run", "--backend=torch").code == 0
    monkeypatch.setattr("l2o_engine.live.sizes.available_memory", lambda: (1000, "this job or container"))
    before = {path: path.stat().st_mtime_ns for path in workplace.rglob("*")}
    result = call("resume", "run", "--iterations=10", "--no-ui")
    assert (result.code, result.out) == (2, "")
    assert "this job or container has 1.0 kB free" in result.err
    assert {path: path.stat().st_mtime_ns for path in workplace.rglob("*")} == before
