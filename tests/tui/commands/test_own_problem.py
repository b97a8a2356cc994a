"""Problems in Python on the command line: ten broken ones, what runs without permission, and new-task."""

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from l2o_engine.presets.examples import example_names
from l2o_engine.runs.folder import Run
from tests.own_code import PROBLEM, nothing_allowed, was_run, write_problem
from tests.tui.commands.test_terminal import ALTERNATE_SCREEN, MAIN_SCREEN, open_terminal
from tests.tui.conftest import Running, call

LATE = (
    "    counted = 0\n\n    def loss(self, x, batch):\n        Problem.counted += 1\n        if Problem.counted > 60:\n"
)


@pytest.fixture(autouse=True)
def _nothing_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with nothing_allowed():
        yield


def with_loss(lines: str) -> str:
    """Return the problem with a loss that, after a while, does this."""
    head, _, _ = PROBLEM.partition("    def loss")
    return f"{head}{LATE}{lines}\n        return scaled(batch @ x)\n"


BEFORE = {
    "no module": ("", r"there is no my_problem\.py in "),
    "no callable": (PROBLEM.replace("class Problem", "class Problm"), r'my_problem\.py: has no "Problem"; .*"Problm"'),
    "wrong return": (
        "def Problem(dims):\n    return dims\n",
        r"my_problem\.py:1, in Problem: returned 3, where an obj",
    ),
    "wrong shape": (
        PROBLEM.replace("return scaled(batch @ x)", "return x"),
        r"my_problem\.py:\d+, in Problem\.loss: returned a tensor of shape \[3\]",
    ),
    "raises at import": ("import nowhere\n", r"my_problem\.py:1, in <module>: ModuleNotFoundError: .*'nowhere'"),
    "raises when called": (
        "def Problem(dims):\n    return 1 / 0\n",
        r"my_problem\.py:2, in Problem: ZeroDivisionError: division by zero",
    ),
    "syntax": ("def Problem(dims)\n    pass\n", r"my_problem\.py:1: SyntaxError: expected ':'"),
    "asks the terminal": (
        PROBLEM.replace("return scaled", "input()\n        return scaled"),
        r"my_problem\.py:\d+, in loss: EOFError: a problem's code has no terminal",
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_what_is_broken_from_the_start_starts_nothing(case: str, tmp_path: Path) -> None:
    code, said = BEFORE[case]
    write_problem(tmp_path, code)
    if not code:
        (tmp_path / "my_problem.py").unlink()
    result = call("run", "my_problem.toml", "--no-ui", "--allow-code", ".")
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("l2o-tui: ")
    assert re.search(said, line)
    assert not (tmp_path / "runs").exists()


WHILE = {
    "raises": ("            raise ValueError('x is\\x1b[2J odd')", r"ValueError: x is\x1b[2J odd"),
    "raises in torch": ("            import torch\n            x = x @ torch.ones(7, 7)", "RuntimeError: "),
    "exits": ("            raise SystemExit(0)", "it called sys.exit(): SystemExit: 0"),
}


@pytest.mark.parametrize("case", WHILE)
def test_what_fails_while_it_trains_fails_the_run_with_a_checkpoint(case: str, tmp_path: Path) -> None:
    lines, said = WHILE[case]
    write_problem(tmp_path, with_loss(lines))
    result = call("run", "my_problem.toml", "--json", "--allow-code", ".", "--run-dir", "run", "--chunk=1")
    assert result.code == 1
    line = PROBLEM.partition("    def loss")[0].count("\n") + LATE.count("\n") + lines.count("\n") + 1
    (message,) = result.err.splitlines()
    assert message.startswith(f"l2o-tui: {tmp_path / 'my_problem.py'}:{line}, in loss: ")
    assert said in message
    (end,) = result.events("end")
    assert end["status"] == "failed"
    assert end["message"] in message
    run = Run(tmp_path / "run")
    assert run.status() == "failed"
    assert run.damage() == []
    assert run.checkpoint().iteration == end["iteration"] > 0
    # Once it is mended, the run goes on, and says that the code is another.
    write_problem(tmp_path)
    refused = call("resume", "run", "--no-ui", "--allow-code", ".")
    assert refused.code == 2
    assert "sha256 of my_problem.py" in refused.err
    assert call("resume", "run", "--no-ui", "--allow-code", ".", "--accept-changes").code == 0


def test_what_it_prints_is_told_and_spoils_no_json(tmp_path: Path) -> None:
    write_problem(tmp_path, with_loss("            print('\\x1b[31mso many', flush=True)\n            pass"))
    result = call("run", "my_problem.toml", "--json", "--allow-code", ".", "--run-dir", "run", "--chunk=1")
    assert (result.code, result.err) == (0, "")
    told = [one["message"] for one in result.events("notice")]
    assert "your code says: \x1b[31mso many" in told or r"your code says: \x1b[31mso many" in told
    assert told[-1] == "your code goes on printing, which is not told any more"
    assert len(told) < 100
    assert "\x1b" not in result.out
    assert result.events("end")[0]["status"] == "finished"


def test_nan_is_counted_as_ours_is(tmp_path: Path) -> None:
    write_problem(tmp_path, with_loss("            return scaled(batch @ x) * float('nan')"))
    result = call("run", "my_problem.toml", "--json", "--allow-code", ".", "--run-dir", "run")
    assert result.code == 0
    assert sum(row["non_finite"] for row in result.events("progress")) > 0


ENDLESS = "            import time\n            while True:\n                time.sleep(0.01)"


def test_an_endless_factory_is_ended_by_a_signal_and_said(tmp_path: Path) -> None:
    code = "from pathlib import Path\nimport time\nPath('began').touch()\nwhile True:\n    time.sleep(0.01)\n"
    write_problem(tmp_path, code)
    running = Running("run", "my_problem.toml", "--no-ui", "--allow-code", ".")
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    running.process.send_signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 128 + signal.SIGTERM
    assert f"ended by SIGTERM; it was at {tmp_path / 'my_problem.py'}:5, in <module>" in result.err
    assert not (tmp_path / "runs").exists()


def test_an_endless_loss_is_left_by_its_key_and_the_terminal_is_whole(tmp_path: Path) -> None:
    write_problem(tmp_path, with_loss(ENDLESS))
    child = open_terminal(
        ["run", "my_problem.toml", "--allow-code", ".", "--run-dir", "run", "--iterations=100000"], tmp_path
    )
    try:
        child.expect_exact(ALTERNATE_SCREEN)
        child.expect("running")
        time.sleep(1)
        child.send("q")
        child.expect("The run is not finished")
        child.send("q")
        child.expect_exact(MAIN_SCREEN)
        child.expect(r"my_problem\.py:\d+, in loss: did not return for")
        child.expect("go on with: l2o-tui resume run --allow-code .")
        child.expect(pexpect.EOF)
    finally:
        with suppress(OSError):
            child.close(force=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))


# Permission.


def test_without_the_permission_nothing_of_it_is_run_by_any_command(tmp_path: Path) -> None:
    write_problem(tmp_path)
    made = call("run", "my_problem.toml", "--quiet", "--allow-code", ".", "--run-dir", "run")
    assert made.code == 0
    (tmp_path / "was_run").unlink()
    with nothing_allowed():
        for command in (
            ["run", "my_problem.toml", "--no-ui"],
            ["resume", "run", "--no-ui", "--iterations=40"],
            ["tune", "my_problem.toml", "--draws=10"],
            ["evaluate", "run", "--draws=10"],
            ["bench", "--preset", "my_problem.toml", "--seconds=0.1"],
        ):
            result = call(*command)
            assert (result.code, result.out) == (2, ""), command
            assert result.err.count("\n") == 1, command
            assert "my_problem.py, then Problem(dims=3) in it. Nothing of it was run" in result.err, command
            assert result.err.endswith("--allow-code .\n"), command
        for command in (
            ["check", "my_problem.toml"],
            ["show", "run"],
            ["show", "run", "--json"],
            ["runs", "--runs-dir", "."],
            ["export", "run", "--format", "csv", "--output", "rows.csv"],
            ["export", "run", "--format", "optimizer", "--output", "mine.safetensors"],
            ["show", "mine.safetensors"],
            ["compare", "run"],
        ):
            assert call(*command).code == 0, command
        assert not was_run(tmp_path)
    assert "its problem has 3 coordinates" in call("check", "my_problem.toml", "--allow-code", ".").out


def test_a_folder_that_is_not_there_is_no_permission(tmp_path: Path) -> None:
    write_problem(tmp_path)
    result = call("run", "my_problem.toml", "--no-ui", "--allow-code", "nowhere")
    assert (result.code, result.err) == (2, "l2o-tui: --allow-code nowhere: there is no such folder\n")


# new-task.


@pytest.mark.parametrize("example", example_names())
def test_an_example_is_written_and_works(example: str, tmp_path: Path) -> None:
    written = call("new-task", "mine.py", "--example", example)
    assert (written.code, written.out) == (0, "mine.py\nmine.toml\n")
    assert "l2o-tui run mine.toml --allow-code ." in written.err
    assert f"{example}." not in Path("mine.py").read_text() + Path("mine.toml").read_text()
    small = ["--set=network.hidden=2", "--set=report.baseline_draws=2", "--set=run.backend=torch", "--iterations=2"]
    trained = call("run", "mine.toml", "--json", "--allow-code", ".", "--run-dir", "run", *small)
    assert (trained.code, trained.err) == (0, "")
    assert trained.events("end")[0]["status"] == "finished"
    again = call("new-task", "mine.py", "--example", example)
    assert (again.code, again.err) == (2, "l2o-tui: mine.py is there already; --force replaces it\n")
    assert call("new-task", "mine.py", "--force").code == 0


@pytest.mark.parametrize("name", ["mine.txt", "my problem.py", "random.py", "1st.py"])
def test_a_name_that_no_module_has_is_refused(name: str, tmp_path: Path) -> None:
    result = call("new-task", name)
    assert (result.code, result.out) == (2, "")
    assert not list(tmp_path.iterdir())
