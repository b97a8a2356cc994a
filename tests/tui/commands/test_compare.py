"""``l2o-tui compare``: chart, table, JSON, picture, and what it refuses."""

import json
import os
import pty
import re
import shutil
import sys
from math import nan
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.studies.comparison import baseline_levels, compare
from l2o_engine.studies.held_out import HeldOut
from l2o_tui.text.comparison import figures_table
from tests.engine.made import made_run
from tests.tui.conftest import COMMAND, TINY, call, files_below, spawn

COLUMNS = "experiment seeds it final spread Σ losses took off non-finite"


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "runs"
    generator = np.random.default_rng(0)

    def falling(to: float, n: int = 400) -> list[float]:
        fall = np.linspace(0, to, n - 100) + generator.normal(0, 1, n - 100)
        return [*fall, *([to] * 100)]

    small = ("report.every=100", "report.rolling_window=20", "report.baseline_draws=100", "run.iterations=399")
    three = load(find("log30"), ["run.seeds=3", *small])
    made_run(folder / "three", three, [falling(-22), falling(-23), falling(-1)], [[2.0] * 400] * 3)
    lost = load(find("log30"), ["run.seed=7", *small])
    made_run(folder / "lost", lost, [falling(-22)[:200] + [nan] * 200])
    made_run(folder / "other", load(find("simple_sum"), [*small]), [falling(-6)])
    return folder


def test_the_table_says_how_the_seeds_of_an_experiment_did(runs_dir: Path) -> None:
    result = call("compare", "three", "--runs-dir", runs_dir)
    assert (result.code, result.err) == (0, "")
    *_, heading, log30, sgd, rmsprop, floor, notebook = result.out.splitlines()
    assert heading.split() == COLUMNS.split()
    assert log30.split() == [
        "log30",
        "3",
        "399",
        "-22.00",
        "-23.00",
        "…",
        "-1.00",
        "2.00",
        "2/3,",
        "1",
        "not",
        "yet",
        "0",
    ]
    assert [line.split()[0] for line in (sgd, rmsprop)] == ["SGD", "RMSProp"]
    assert all(len(line.split()) == 3 for line in (sgd, rmsprop))  # the last loss never without the sum
    assert floor.startswith("floor of Σ")
    assert notebook.split() == ["notebook", "100,000", "-22.77"]


def test_runs_of_one_experiment_are_one_line_and_lost_ones_are_counted(runs_dir: Path) -> None:
    result = call("compare", "three", "lost", "other", "--runs-dir", runs_dir)
    table = [line.split() for line in result.out.splitlines()[-7:]]
    assert " ".join(table[0]) == "log30 4 399 -22.00 -23.00 … -1.00 2.00 2/4, 1 not yet 200 (1 lost)"
    assert table[1][:4] == ["simple_sum", "1", "399", "-6.00"]
    assert [" ".join(row[:2]) for row in table[-2:]] == ["notebook, log30", "notebook, simple_sum"]


def test_a_preset_stands_for_all_its_runs(runs_dir: Path, workplace: Path) -> None:
    shutil.copy(find("simple_sum"), "mine.toml")
    for named, meant in ((["log30"], ["three", "lost"]), (["mine.toml", "three"], ["other", "three"])):
        by_preset, by_name = (call("compare", *names, "--runs-dir", runs_dir, "--json") for names in (named, meant))
        assert by_preset.code == 0
        assert {repr(one) for one in json.loads(by_preset.out)["experiments"]} == {
            repr(one) for one in json.loads(by_name.out)["experiments"]
        }
    made_run(workplace / "runs" / "log30", load(find("simple_sum"), ["run.iterations=10"]), [[-1.0] * 11])
    (one,) = json.loads(call("compare", "log30", "--json").out)["experiments"]
    assert one["preset"] == "simple_sum"  # a run of that very name is what is meant
    result = call("compare", "log43_unit", "--runs-dir", runs_dir)
    assert (result.code, result.out) == (2, "")
    assert "there is no run of log43_unit" in result.err


def test_a_pipe_gets_no_colours_and_a_chart_of_fixed_size(runs_dir: Path) -> None:
    out = call("compare", "three", "other", "--runs-dir", runs_dir).out
    assert "\x1b" not in out
    caption, *chart = out.split("\n\n")[0].splitlines()
    assert "median over the seeds" in caption
    assert len(chart) == 29
    assert {len(line) for line in chart[:-1]} == {100}
    # Without colour the series are told by their markers.
    assert "● log30" in out
    assert re.search("[■◆▼○] simple_sum", out)
    assert "1e-20" in out


def _on_a_terminal(*args: str | Path, **environment: str) -> str:
    """Return what a command paints on a terminal of 80x40."""
    parent, child = pty.openpty()
    import fcntl
    import struct
    import subprocess
    import termios

    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)], stdout=child, env=plain | {"TERM": "xterm-256color"} | environment
    )
    os.close(child)
    painted = b""
    try:
        while part := os.read(parent, 65536):
            painted += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(parent)
    assert process.wait(timeout=60) == 0
    return painted.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_its_own_width(runs_dir: Path) -> None:
    painted = _on_a_terminal("compare", "three", "--runs-dir", runs_dir)
    assert "\x1b[38;5;" in painted
    chart = re.sub(r"\x1b\[[0-9;]*m", "", painted).split("\n\n")[0].splitlines()[1:]
    assert "● log30" in "\n".join(chart)
    assert {len(line) for line in chart[:-1]} == {80}


def test_a_chart_in_plain_characters_is_drawn_if_asked_for(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2O_ASCII", "")  # what the option sets is unset when the test is over
    chart, _, _ = call("compare", "three", "other", "--runs-dir", runs_dir, "--ascii").out.partition("\n\n")
    assert chart.isascii()
    assert re.search(r"1e-10\+", chart)


def test_no_color_is_heeded(runs_dir: Path) -> None:
    assert "\x1b" not in _on_a_terminal("compare", "three", "--runs-dir", runs_dir, NO_COLOR="1")


def test_json_is_one_document_and_nothing_else(runs_dir: Path) -> None:
    result = call("compare", "three", "lost", "--json", "--runs-dir", runs_dir)
    document = json.loads(result.out)
    (experiment,) = document["experiments"]
    assert experiment["seeds"] == [0, 1, 2, 7]
    assert experiment["final"]["median"] == -22
    assert experiment["final"]["lost"] == 1
    assert experiment["took_off"] == 2
    assert experiment["notebook"] == {"name": "RNN_log30_end_log_res", "final": -22.77}
    assert experiment["replicates"][-1]["final"] is None
    assert experiment["replicates"][-1]["non_finite"] == 200
    baselines = {baseline["name"]: baseline for baseline in document["baselines"]}
    assert baselines["RMSProp"]["end_log10"] == pytest.approx(-18.17, abs=1)
    assert baselines["RMSProp"]["sum_loss"] == pytest.approx(1.5, abs=0.2)
    assert baselines["SGD"]["first_loss"] == pytest.approx(0.72, abs=0.1)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_output_writes_the_picture_beside_what_is_printed(suffix: str, runs_dir: Path, workplace: Path) -> None:
    pytest.importorskip("matplotlib")
    (workplace / f"picture.{suffix}").write_text("an older one")
    result = call("compare", "three", "--output", f"picture.{suffix}", "--runs-dir", runs_dir)
    assert result.code == 0
    assert "log30" in result.out
    assert files_below(workplace) == [f"picture.{suffix}"]
    assert (workplace / f"picture.{suffix}").stat().st_size > 5000


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("three", "nowhere"), 'there is no run "nowhere"'),
        (("three", "--output=picture.gif"), ".svg, .png or .pdf"),
        (("three", "--output=missing/picture.svg"), "there is no folder missing"),
    ],
)
def test_what_is_wrong_is_one_message_and_nothing_is_written(
    args: tuple[str, ...], message: str, runs_dir: Path, workplace: Path
) -> None:
    result = call("compare", *args, "--runs-dir", runs_dir)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert files_below(workplace) == []


def test_a_command_without_runs_is_wrong_usage() -> None:
    assert call("compare").code == 2


@pytest.mark.parametrize("args", [("compare", "three"), ("show", "three"), ("runs",), ("presets",), ("runs", "--json")])
def test_a_full_disk_is_one_message(args: tuple[str, ...], runs_dir: Path) -> None:
    where = () if args == ("presets",) else ("--runs-dir", runs_dir)
    result = spawn(*args, *where, command=("bash", "-c", '"$@" > /dev/full', "bash", *COMMAND))
    assert (result.code, result.err) == (1, "l2o-tui: stdout: No space left on device\n")


def test_a_reader_that_has_seen_enough_is_no_error(runs_dir: Path) -> None:
    result = spawn("compare", "three", "--runs-dir", runs_dir, command=("bash", "-c", '"$@" | true', "bash", *COMMAND))
    assert result.err == ""


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (100, ["hidden 4, scale [0.25, 1.5] ", "hidden 20, scale [1.25, 1.5] "]),
        (90, ["hidden 4, scale [0.25, 1.5] ", "hidden 20, scale [1.25, 1.5] "]),
        (70, ["hidden 4, s… [0.25, 1.5] ", "hidden 20, … [1.25, 1.5] "]),
        (60, ["1 ", "2 "]),
    ],
)
def test_a_narrow_terminal_gets_closer_columns_and_short_labels(width: int, shown: list[str], tmp_path: Path) -> None:
    small = ("report.every=10", "report.rolling_window=5", "report.baseline_draws=5", "run.iterations=19")
    runs = [
        made_run(
            tmp_path / f"s{scale}",
            load(
                find("logdiv_one_layer"),
                [f"problem.scale=[{scale}, 1.5]", f"network.hidden={round(16 * scale)}", *small],
            ),
            [[0.0] * 10 + [-37.5] * 10],
        )
        for scale in (0.25, 1.25)
    ]
    groups = compare(runs)
    lines = figures_table(groups, baseline_levels(groups), HeldOut(), width=width)
    assert max(map(cell_len, lines)) <= width
    first = 1 if width == 100 else 2  # the headings
    assert [line[: len(name)] for line, name in zip(lines[first:], shown, strict=False)] == shown
    numbered = [f"{number}: {group.label}" for number, group in enumerate(groups, 1)]
    assert (lines[-2:] == numbered) == (width == 60)
    wide = figures_table(groups, baseline_levels(groups), HeldOut())
    assert f"floor of Σ, {groups[1].label}" in "\n".join(wide)


def test_rows_that_were_lost_are_said_so(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", load(find("log30")), [[0.0] * 13])
    run.metrics_path.write_text("".join(run.metrics_path.read_text().splitlines(keepends=True)[:6]))
    result = call("compare", tmp_path / "run")
    assert result.err == "run has lost rows: its metrics.csv ends at 4 of 12, and its figures are of what is left\n"


def test_a_run_that_is_not_finished_is_said_so(tmp_path: Path) -> None:
    made_run(tmp_path / "run", load(find("log30")), [[0.0] * 13])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"status": "interrupted", "iterations": 100}))
    result = call("compare", tmp_path / "run")
    assert result.code == 0
    assert result.err == "run is interrupted, at 12 of 100\n"


def test_a_seed_that_was_run_twice_is_said_so(runs_dir: Path, tmp_path: Path) -> None:
    preset = load(runs_dir / "three" / "preset.toml", (), {"seed": 2, "seeds": 1})
    made_run(tmp_path / "again", preset, [[0.0] * 30])
    result = call("compare", runs_dir / "three", tmp_path / "again", "--runs-dir", runs_dir)
    assert result.err == "log30: seed 2 was run 2 times and counts 2 times\n"


def test_comparing_without_a_picture_imports_no_screen_no_torch_and_no_matplotlib(runs_dir: Path) -> None:
    probe = (
        "import sys\nfrom l2o_tui.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*sorted({n.partition('.')[0] for n in sys.modules}), file=sys.stderr)\n"
    )
    packages = spawn("compare", "three", "--runs-dir", runs_dir, command=[sys.executable, "-c", probe]).err.split()
    assert "numpy" in packages
    assert not {"torch", "textual", "matplotlib", "numba", "sympy"} & set(packages)


# Held-out draws.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held-out") / "runs"
    for seed in ("0", "1"):
        options = ("--iterations=20", "--seed", seed, "--run-dir", folder / f"s{seed}", "--set=report.every=10")
        assert call("run", "log30", "--quiet", *TINY, *options).code == 0
    return folder


def test_what_networks_reach_on_held_out_draws_is_a_column_of_its_own_and_said(trained: Path, runs_dir: Path) -> None:
    result = call("compare", "s0", "s1", runs_dir / "other", "--runs-dir", trained)
    draws = "held out: mean log10 of the last loss on 1,000 draws that nothing was trained on, newest checkpoint"
    assert draws in result.err.splitlines()
    table = result.out.split("\n\n")[-1].splitlines()
    heading, log30, other = (next(line for line in table if line.startswith(name)) for name in ("exp", "log30", "simp"))
    assert heading.split()[:7] == ["experiment", "seeds", "it", "final", "spread", "held", "out"]
    document = json.loads(call("compare", "s0", "s1", "--json", "--runs-dir", trained).out)
    (experiment,) = document["experiments"]
    reached = [replicate["held_out"] for replicate in experiment["replicates"]]
    assert document["held_out_draws"] == [1000]
    assert experiment["held_out"]["median"] == pytest.approx(np.mean(reached))
    options = ("--newest", "--draws=1000", "--backend=torch", "--runs-dir", trained)
    judged = call("evaluate", "s0", "s1", *options, "--json").documents
    assert reached == pytest.approx([one["end_log10_mean"] for one in judged if one["optimizer"] == "RNN"], rel=1e-4)
    assert f" {np.mean(reached):.2f} " in log30
    assert " – " in other  # it has no checkpoint


def test_a_run_whose_weights_cannot_be_read_says_so_and_the_rest_goes_on(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(trained / "s0", copy)
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"nothing")
    result = call("compare", copy, "s1", "--runs-dir", trained)
    assert result.code == 0
    assert "damaged has no held-out figure: the weights of damaged cannot be read" in result.err
    assert "held out" in result.out


def test_what_cannot_be_read_is_said_and_the_others_are_compared(runs_dir: Path) -> None:
    for name, content in (("torn", "{}"), ("later", '{"format": 9}')):
        (runs_dir / name).mkdir(exist_ok=True)
        (runs_dir / name / "run.json").write_text(content)
    alone = call("compare", "other", "--json", "--runs-dir", runs_dir)
    result = call("compare", "torn", "other", "later", "--json", "--runs-dir", runs_dir)
    assert (alone.code, result.code) == (0, 1)
    assert result.out == alone.out
    assert [line.partition(str(runs_dir))[2].split()[0] for line in result.err.splitlines()] == [
        "/torn/run.json",
        "/later",
    ]
    assert call("compare", "torn", "later", "--runs-dir", runs_dir).code == 2
    misspelt = call("compare", "other", "otter", "--runs-dir", runs_dir)
    assert (misspelt.code, misspelt.out) == (2, "")
