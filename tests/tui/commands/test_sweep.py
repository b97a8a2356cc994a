"""``l2o-tui sweep``: table, CSV, JSON, pictures, exit codes, and ends that it does not choose."""

import csv
import json
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from math import nan
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.folder import Run
from l2o_engine.studies.sweep import StudySettings, Sweep, parse_over, study_of
from l2o_tui.charts.plotext import draw
from l2o_tui.charts.settings import setting_figures
from l2o_tui.charts.styles import POINT
from tests.engine.made import made_run
from tests.engine.tiny import tiny_preset
from tests.tui.conftest import ENDLESS, Result, Running, call, files_below
from tests.tui.curves import text_of

ONE = tiny_preset("name=one")
OVER = ("--over", "meta.learning_rate=1e-3,1e-2,3e-3", "--over", "network.hidden=3,4")


@pytest.fixture
def preset(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny preset's file, and threads in place of processes."""
    monkeypatch.setattr("l2o_tui.commands.sweep.command.process_pool", lambda workers, _: ThreadPoolExecutor(workers))
    path = workplace / "one.toml"
    path.write_text(to_toml(ONE))
    return path


def make(runs_dir: Path, finals: Sequence[Sequence[float]], *overs: str, base: Preset = ONE) -> Sweep:
    """Write the finished runs of a study, named "made", whose settings' seeds end with these results."""
    study = study_of(StudySettings(name="made", seeds=len(finals[0])), [base], list(map(parse_over, overs)))
    sweep = Sweep(study, runs_dir=runs_dir)
    sweep.begin()
    slugs = [variation.slug for variation in study.variations]
    for job in sweep.jobs:
        final = finals[slugs.index(job.of)][job.seed]
        made_run(job.folder, job.preset, [[0.0] * 20 + [final] * 11], [[1.0] * 20 + [2.5] * 11])
    sweep.close(status="interrupted")
    return sweep


def rows(result: Result) -> list[str]:
    """Return the table's lines, with one space between cells."""
    lines = result.out.splitlines()
    first = next(place for place, line in enumerate(lines) if " seeds  " in line or " seeds final" in line)
    end = lines.index("", first)
    return [" ".join(line.split()) for line in lines[first:end]]


SIX = [[-3.0, -4.0], [-9.5, nan], [-7.0, -8.0], [-0.25, -0.5], [nan, nan], [-2.0, -2.0]]


def test_the_table_has_the_best_first(preset: Path, workplace: Path) -> None:
    make(Path("runs"), SIX, OVER[1], OVER[3])
    result = call("sweep", "made")
    assert result.code == 0
    assert rows(result) == [
        "lr hidden seeds final best … worst Σ losses stuck lost status trained",
        "0.01 3 2/2 -7.50 -8.00 … -7.00 2.50 0 0 finished 0.0s",
        "1e-3 3 2/2 -3.50 -4.00 … -3.00 2.50 0 0 finished 0.0s",
        "3e-3 4 2/2 -2.00 -2.00 … -2.00 2.50 0 0 finished 0.0s",
        "0.01 4 2/2 -0.38 -0.50 … -0.25 2.50 2 0 finished 0.0s",
        "1e-3 4 2/2 -9.50 2.50 0 1 finished 0.0s",
        "3e-3 3 2/2 – – 0 2 finished 0.0s",
    ]
    assert "meta.learning_rate: the final mean log10 of the last loss" in result.out
    assert "network.hidden: the final mean log10 of the last loss" in result.out
    assert result.err.splitlines()[-1] == "in runs/made"


def test_json_lines_are_those_of_the_contract_and_csv_has_the_same(preset: Path, workplace: Path) -> None:
    make(Path("runs"), SIX, OVER[1], OVER[3])
    result = call("sweep", "made", "--json")
    best, *others = result.documents
    assert len(others) == 5
    assert best["settings"] == {"meta.learning_rate": 0.01, "network.hidden": 3}
    assert (best["seeds"], best["average_log_result_median"], best["spread"]) == (2, -7.5, [-8.0, -7.0])
    assert (best["stuck"], best["status"], best["lost"]) == (0, "finished", [])
    assert others[-1]["average_log_result_median"] is None
    assert (others[-1]["lost"], others[-1]["spread"]) == ([0, 1], [None, None])
    assert [Path(path).name for path in best["runs"]] == ["one_lr0.01_hidden3-s0", "one_lr0.01_hidden3-s1"]
    table = list(csv.DictReader(StringIO(call("sweep", "made", "--csv").out)))
    assert [(float(row["meta.learning_rate"]), int(row["network.hidden"])) for row in table] == [
        tuple(document["settings"].values()) for document in result.documents
    ]
    assert [row["average_log_result_median"] for row in table] == [
        "" if one["average_log_result_median"] is None else repr(one["average_log_result_median"])
        for one in result.documents
    ]


def test_a_sweep_runs_goes_on_and_shows(preset: Path, workplace: Path) -> None:
    args = ("sweep", "one.toml", "--over", "meta.learning_rate=1e-3,1e-2", "--seeds", "2", "--name", "rates")
    first = call(*args, "--json")
    assert (first.code, len(first.documents)) == (0, 2)
    folder = workplace / "runs" / "rates"
    before = {path: (folder / path).stat().st_mtime_ns for path in files_below(folder) if "-s" in path}
    assert call(*args, "--json").out == first.out
    assert call("sweep", "rates", "--show", "--json").out == first.out
    assert {path: (folder / path).stat().st_mtime_ns for path in before} == before
    assert json.loads((folder / "study.json").read_text())["status"] == "finished"
    more = call(
        "sweep", "one.toml", "--over", "meta.learning_rate=1e-3,1e-2,3e-2", "--name", "rates", "--show", "--json"
    )
    assert [one["status"] for one in more.documents] == ["finished", "finished", "unfinished"]


def test_a_failing_run_ends_with_1_and_the_others_are_told(preset: Path, workplace: Path) -> None:
    blocked = workplace / "runs" / "rates" / "one_lr1e-3-s0"
    args = ("sweep", "one.toml", "--over", "meta.learning_rate=1e-3,1e-2", "--name", "rates")
    assert call(*args, "--show").code == 0
    (workplace / "runs" / "rates").mkdir(parents=True)
    (workplace / "runs" / "rates" / "study.toml").touch()
    blocked.mkdir()
    (blocked / "mine.txt").touch()
    result = call(*args)
    assert result.code == 1
    assert "one_lr1e-3-s0 failed: " in result.err
    assert "1 run failed, see above for why" in result.err
    assert [row.split()[-2] for row in rows(result)[1:]] == ["finished", "failed"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("log3",), 'did you mean "log30"'),
        (("one.toml", "--over", "meta.learning_rat=1,2"), 'did you mean "learning_rate"'),
        (("one.toml", "--over", "meta.learning_rate=1e-4:1e-2:log"), "--random N or --latin N"),
        (("one.toml", "--random", "3", "--latin", "3", "--over", "meta.learning_rate=1:2"), "give one"),
        (("one.toml", "--json", "--csv"), "give one"),
        (("one.toml", "--name", "../x"), "cannot be called"),
        (("one.toml", "--output", "x.txt"), "a picture's name ends in"),
        (("nothing", "--stop"), "holds no study"),
        (("one.toml", "--over", "a.b=1", "--over", "a.b=2"), "varied twice"),
    ],
)
def test_what_is_wrong_is_one_message_and_nothing_is_started(
    args: Sequence[str], said: str, preset: Path, workplace: Path
) -> None:
    result = call("sweep", *args)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert files_below(workplace) == ["one.toml"]


def test_what_a_study_says_already_is_not_said_again(preset: Path, workplace: Path) -> None:
    make(Path("runs"), [[-1.0]])
    result = call("sweep", "made", "--seeds", "3")
    assert result.code == 2
    assert "--seeds is for a new one" in result.err


# Pictures.


def figures(tmp_path: Path, finals: Sequence[Sequence[float]], *overs: str) -> dict[str, Any]:
    sweep = make(tmp_path, finals, *overs)
    sweep.read()
    return dict(setting_figures(sweep.results()))


def test_a_picture_has_a_line_for_each_of_the_others_and_a_point_a_seed(tmp_path: Path) -> None:
    found = figures(tmp_path, SIX, OVER[1], OVER[3])
    rate, hidden = found["meta.learning_rate"], found["network.hidden"]
    assert rate.x.ticks(9).labels == ("1e-3", "3e-3", "0.01")  # by value, however they were given
    three, four = rate.series
    assert (three.label, three.x.tolist(), three.y.tolist()) == ("hidden 3", [0, 2], [-3.5, -7.5])
    assert (four.label, four.y.tolist()) == ("hidden 4", [-9.5, -2.0, -0.375])
    assert rate.points is not None
    assert len(rate.points.x) == 9
    assert hidden.x.ticks(9).labels == ("3", "4")
    assert len(hidden.series) == 3


def test_a_lines_markers_stand_on_its_medians_and_before_the_seeds(tmp_path: Path) -> None:
    rate = figures(tmp_path, [[-1.0], [-3.0], [-9.0]], "meta.learning_rate=1e-4,1e-3,1e-2")["meta.learning_rate"]
    lines = text_of(draw(rate, 60, 15)).split("\n")
    marker = rate.series[0].style.marker()
    places = sorted(line.index(marker) for line in lines for _ in range(line.count(marker)))
    assert len(places) == 3
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=1)
    assert not any(POINT in line for line in lines)  # each is where a median of one seed is


def test_of_many_others_the_best_and_the_median_are_drawn(tmp_path: Path) -> None:
    finals = [[-float(10 * rate + hidden)] for rate in range(2) for hidden in range(7)]
    rate = figures(tmp_path, finals, "meta.learning_rate=1e-3,1e-2", "network.hidden=2,3,4,5,6,7,8")[
        "meta.learning_rate"
    ]
    best, median = rate.series
    assert (best.y.tolist(), median.y.tolist()) == ([-6.0, -16.0], [-3.0, -13.0])
    assert (median.bands[0].low.tolist(), median.bands[0].high.tolist()) == ([-4.5, -14.5], [-1.5, -11.5])


def test_many_numbers_have_an_axis_of_their_own(tmp_path: Path) -> None:
    values = [10.0 ** (-4 + 3 * place / 14) for place in range(15)]
    over = f"meta.learning_rate={','.join(map(repr, values))}"
    rate = figures(tmp_path, [[-1.0]] * 15, over)["meta.learning_rate"]
    assert rate.points is not None
    assert rate.points.x.tolist() == [round(1000 * place / 14) for place in range(15)]
    assert dict(zip(rate.x.ticks(9).labels, rate.x.ticks(9).places, strict=True))["1e-3"] == pytest.approx(1000 / 3)


def test_the_picture_is_written_and_the_same_every_time(preset: Path, workplace: Path) -> None:
    make(Path("runs"), SIX, OVER[1], OVER[3])
    assert call("sweep", "made", "--csv", "--output", "one.svg").code == 0
    assert call("sweep", "made", "--csv", "--output", "two.svg").code == 0
    one = (workplace / "one.svg").read_bytes()
    assert one == (workplace / "two.svg").read_bytes()
    assert b"learning_rate" in one
    assert b"hidden 3" in one


# Ends that it does not choose.


@pytest.fixture
def begun(workplace: Path) -> Iterator[Running]:
    """A sweep of endless runs under way, in a process of the pool's."""
    (workplace / "one.toml").write_text(to_toml(ONE))
    running = Running(
        *("sweep", "one.toml", "--over", "meta.learning_rate=1e-3,1e-2,3e-2", "--name", "long", "--jobs", "1"),
        f"--iterations={ENDLESS}",
    )
    try:
        while len(list((workplace / "runs").glob("long/*/checkpoints/*.safetensors"))) < 1:
            assert running.process.poll() is None, running.wait()
            sleep(0.05)
        yield running
    finally:
        running.end()


def ends(workplace: Path) -> list[tuple[str, bool]]:
    runs = [Run(path.parent) for path in sorted(workplace.glob("runs/long/*/run.json"))]
    return [(run.record().status, run.is_driven()) for run in runs]


def test_ctrl_c_saves_all_and_says_how_to_go_on(begun: Running, workplace: Path) -> None:
    begun.process.send_signal(signal.SIGINT)
    result = begun.wait()
    assert result.code == 130
    assert "go on with: l2o-tui sweep runs/long" in result.err
    assert set(ends(workplace)) == {("interrupted", False)}  # one that trained, and the next, which waited
    assert json.loads((workplace / "runs/long/study.json").read_text())["status"] == "interrupted"
    assert [row.split()[-2] for row in rows(result)[1:]] == ["unfinished"] * 3


def test_from_elsewhere_it_is_stopped_by_name(begun: Running, workplace: Path) -> None:
    stopped = call("sweep", "long", "--stop")
    assert stopped.code == 0
    assert "go on with: l2o-tui sweep runs/long" in stopped.err
    result = begun.wait()
    assert result.code == 1
    assert set(ends(workplace)) == {("interrupted", False)}  # one that trained, and the next, which waited


@pytest.mark.soak
def test_after_a_kill_the_workers_save_and_end(begun: Running, workplace: Path) -> None:
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait()  # for the workers, which hold its stdout
    assert set(ends(workplace)) == {("interrupted", False)}  # one that trained, and the next, which waited
