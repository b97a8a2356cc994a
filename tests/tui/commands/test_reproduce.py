"""``l2o-tui reproduce``: table, verdicts, JSON, report, exit codes, and ends that it does not choose."""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from math import nan
from pathlib import Path
from time import sleep

import pytest
from rich.console import Console

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets import shipped as shipped_presets
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.studies.reproduction import Reproduction
from l2o_tui.commands.reproduce.verdict_table import table_of
from l2o_tui.text.headless import STILL_AT_IT
from tests.engine.littered import litter
from tests.engine.made import made_run
from tests.engine.tiny import run, tiny_baselines, tiny_preset
from tests.tui.conftest import Result, Running, call, files_below, spawn

PROGRAM = """
import sys
from pathlib import Path
from l2o_engine.presets import shipped as preset
folder = Path(sys.argv.pop(1))
preset.shipped_folder = lambda: folder
from l2o_tui.cli import main
main()
"""
"""The program with other shipped presets, for a process of its own."""


def notebook(episode: int, final: float, tolerance: float) -> str:
    rows = f"[{{it=0, average_log_result=0.0}}, {{it=30, average_log_result={final}}}]"
    extra = "other_finals=[-1.5], independent_finals=[-1.25], independent_lost=2"
    return f"notebook={{name='N', episode={episode}, tolerance={tolerance}, {extra}, rows={rows}}}"


EASY = tiny_preset("name=easy", "title=The easy one", notebook(1, -1.0, 50.0))
FAR = tiny_preset("name=far", "title=The far one", notebook(2, -30.0, 0.5), 'notebook.remark=["Why: it", "is far."]')
OURS = tiny_preset("name=ours", "title=Not in the notebook")
SHIPPED = (EASY, FAR, OURS, tiny_baselines("name=baselines"))


def ship(folder: Path, *experiments: Preset) -> Path:
    folder.mkdir()
    for preset in experiments:
        (folder / f"{preset.name}.toml").write_text(to_toml(preset), encoding="utf-8")
    return folder


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny experiments in place of the shipped ones, and threads in place of processes."""
    folder = ship(tmp_path / "shipped", *SHIPPED)
    monkeypatch.setattr(shipped_presets, "shipped_folder", lambda: folder)
    monkeypatch.setattr("l2o_tui.commands.reproduce.command.process_pool", ThreadPoolExecutor)
    return folder


def drive(reproduction: Reproduction) -> Reproduction:
    with ThreadPoolExecutor(1) as executor:
        reproduction.start(executor)
        while reproduction.is_going_on:
            reproduction.wait(1)
    return reproduction


def make(runs_dir: Path, preset: Preset, finals: Sequence[float]) -> None:
    """Write finished runs that end with these results."""
    for job, final in zip(Reproduction([preset], seeds=len(finals), runs_dir=runs_dir).jobs, finals, strict=True):
        made_run(job.folder, job.preset, [[0.0] * 20 + [final] * 11], [[1.0] * 20 + [2.5] * 11])


def rows(result: Result) -> dict[str, str]:
    """Return experiment → the other cells of its line, with one space between."""
    lines = [line.split() for line in result.out.split("\n\n")[0].splitlines()[1:]]
    return {cells[0]: " ".join(cells[1:]) for cells in lines}


# What is printed.


def test_the_table_has_ours_beside_the_notebooks_and_a_verdict(shipped: Path, workplace: Path) -> None:
    made = {EASY: [-40.0, -51.25, -0.25, nan], FAR: [-30.0, -31.0, -29.0, -27.5], OURS: [-6.0, -7.0, -8.0, -9.0]}
    for preset, finals in made.items():
        make(Path("runs"), preset, finals)
    result = call("reproduce", "all", "--seeds", "4")
    heading = result.out.splitlines()[0].split()
    assert " ".join(heading) == "experiment notebook ours min … max held out Σ losses stuck lost verdict trained"
    found = rows(result)
    assert list(found) == ["easy", "far", "ours"]
    assert found["easy"] == "-1.00 -40.00 -51.25 … -0.25 – 2.50 1/4 1 reproduced 0.0s"
    assert found["far"] == "-30.00 -29.50 -31.00 … -27.50 – 2.50 0/4 0 reproduced 0.0s"
    assert found["ours"] == "– -7.50 -9.00 … -6.00 – 2.50 0/4 0 – 0.0s"
    assert result.code == 0
    assert re.search(r"SGD -?\d+\.\d\d \(notebook -3\.70; Σ .*RMSProp -?\d+\.\d\d \(notebook -18\.17; Σ", result.out)
    told = [line.partition(":")[0] for line in result.err.splitlines()]
    assert sorted(told) == ["easy", "far", "ours"]
    assert "weak" not in result.err


def test_a_median_beyond_its_tolerance_is_told_and_ends_with_1(shipped: Path, workplace: Path) -> None:
    make(Path("runs"), FAR, [-30.51, -30.51, -30.51, -35.0])
    result = call("reproduce", "episode2", "--seeds", "4")
    assert result.code == 1
    assert rows(result)["far"].endswith(" differs by -0.51 0.0s")
    assert "far: our median -30.51 differs from the notebook's -30.00 by -0.51; the tolerance is 0.50" in result.err


def test_an_experiment_that_is_lost_wholly_is_told(shipped: Path, workplace: Path) -> None:
    make(Path("runs"), FAR, [nan] * 4)
    result = call("reproduce", "episode2", "--seeds", "4")
    assert (result.code, "far: every seed was lost to NaN" in result.err) == (1, True)
    assert rows(result)["far"] == "-30.00 – – – – 0/4 4 all lost 0.0s"


def test_few_seeds_make_a_weak_verdict(shipped: Path, workplace: Path) -> None:
    assert "with 3 seeds a verdict is weak" in call("reproduce", "episode1", "--seeds", "3").err
    assert "weak" not in call("reproduce", "episode1", "--seeds", "4").err


def test_json_is_one_object_an_experiment_and_nothing_else(shipped: Path, workplace: Path) -> None:
    make(Path("runs"), EASY, [-2.0, nan, -0.25])
    result = call("reproduce", "all", "--seeds", "3", "--json")
    documents = {document["experiment"]: document for document in result.documents}
    assert len(result.documents) == 3
    assert result.code == 1  # far is far
    easy, far, ours = (documents[name] for name in ("easy", "far", "ours"))
    assert easy | {"runs": [], "failed": {}} == {
        "experiment": "easy",
        "episode": 1,
        "notebook": -1.0,
        "tolerance": 50.0,
        "median": -1.125,
        "lower": -1.5625,
        "upper": -0.6875,
        "least": -2.0,
        "held_out": None,
        "greatest": -0.25,
        "sum_loss": 2.5,
        "difference": -0.125,
        "reproduced": True,
        "verdict": "reproduced",
        "stuck": 1,
        "lost": [1],
        "failed": {},
        "trained_seconds": 0.0,
        "finals": {"0": -2.0, "2": -0.25},
        "runs": [],
    }
    assert [Path(path).name for path in easy["runs"]] == ["easy-s0", "easy-s2"]
    assert far["reproduced"] is False
    assert isinstance(far["held_out"], float)
    assert (ours["episode"], ours["notebook"], ours["reproduced"], ours["verdict"]) == (None, None, None, None)
    again = call("reproduce", "all", "--seeds", "3", "--json")
    assert {document["experiment"]: document for document in again.documents} == documents


def test_numbers_that_are_not_finite_are_null(shipped: Path, workplace: Path) -> None:
    make(Path("runs"), EASY, [nan, nan])
    (document,) = call("reproduce", "episode1", "--seeds", "2", "--json").documents
    assert (document["median"], document["difference"], document["reproduced"]) == (None, None, False)


def test_a_failing_run_does_not_stop_the_others_and_ends_with_1(shipped: Path, workplace: Path) -> None:
    blocked = workplace / "runs" / "reproduction" / "easy-s1"
    blocked.mkdir(parents=True)
    (blocked / "mine.txt").touch()
    result = call("reproduce", "episode1", "--seeds", "4")
    assert result.code == 1
    assert "easy, seed 1, failed:" in result.err
    assert "1 run failed" in result.err
    assert re.search(r" \d/3 0 reproduced, 3 of 4 seeds ", rows(result)["easy"])


def test_the_table_fits_into_80_columns(shipped: Path, tmp_path: Path) -> None:
    long = override(FAR, ["name=logdiv_one_layer"])
    finals = [-37.5, -38.0, -37.0, -0.2, -0.3, -37.8, -37.9, -22.25]
    make(tmp_path, long, finals)
    results = drive(Reproduction([long], seeds=8, runs_dir=tmp_path)).results()
    results = [replace(result, held_out=result.final) for result in results]
    out = StringIO()
    Console(file=out, width=80).print(table_of(results, narrow=True))
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    words = " ".join(" ".join(lines).split())
    assert "logdiv_one_layer -30.00 -37.25 -38.00…-0.20 -37.25 2.50 2/8 0 differs by" in words
    assert "-7.25" in lines[-1]  # below "differs by"


def test_a_terminal_sees_how_far_it_is(shipped: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = Reproduction([EASY], seeds=1, runs_dir=workplace / "runs").jobs
    begun = DrivenRun.create(job.preset, job.folder)
    begun.update(status="interrupted", iteration=15)
    begun.close()
    screen = StringIO()
    terminal = Console(file=screen, force_terminal=True, color_system=None, width=80)
    monkeypatch.setattr("l2o_tui.text.job_bars.TextConsole", lambda **options: terminal)
    monkeypatch.setattr("l2o_tui.text.job_bars.is_terminal", lambda stream: True)
    result = call("reproduce", "all", "--seeds", "2", "--json")
    assert len(result.documents) == 3  # stdout has them, not the terminal
    first = screen.getvalue().partition("100%")[0]
    assert re.search(r"all +[━╺╸]+ +8% 0/6 runs", first)  # 15 of 180
    assert re.search(r"easy +[━╺╸]+ +25% 0/2 seeds", first)


# What is wrong with the question.


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("episod1",), 'did you mean "episode1"?'),
        ((), "Missing argument 'GROUP'"),
        (("episode1", "--only", "eassy"), 'did you mean "easy"?'),
        (("episode1", "--only", "far"), "it is in episode2"),
        (("episode1", "--seeds", "0"), "--seeds"),
        (("episode1", "--jobs", "0"), "--jobs"),
        (("episode1", "--backend", "jax"), "--backend"),
        (("episode1", "--report", "file/below"), "cannot write a report"),
        (("episode1", "--runs-dir", "file"), "--runs-dir"),
        (("episode1", "--runs-dir", "file/below"), "file/below"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_message_and_starts_nothing(
    args: tuple[str, ...], said: str, shipped: Path, workplace: Path
) -> None:
    (workplace / "file").touch()
    result = call("reproduce", *args)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert files_below(workplace) == ["file"]


def test_data_that_is_not_there_is_told_before_anything_starts_if_it_was_asked_for_by_name(workplace: Path) -> None:
    result = call("reproduce", "deepmind", "--only", "dm_mnist", "--only", "dm_quadratic")
    assert (result.code, result.out, files_below(workplace)) == (2, "", [])
    assert 'the data set "mnist" is not there: put ' in result.err


def test_a_backend_that_cannot_take_an_experiment_is_told_before_anything_starts(
    shipped: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2o_engine.backends.fused.backend.why_not", lambda preset: "it is of a test")
    result = call("reproduce", "episode1", "--backend", "fused")
    assert (result.code, files_below(workplace)) == (2, [])
    assert "it is of a test" in result.err


def test_a_report_without_matplotlib_is_told_before_anything_starts(
    shipped: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("reproduce", "episode1", "--report", "out")
    assert (result.code, files_below(workplace)) == (2, [])
    assert "l2o-tui[plots]" in result.err


# The report.


@pytest.fixture
def report(shipped: Path, workplace: Path) -> str:
    """The page of a report of everything, in the folder "out"."""
    pytest.importorskip("matplotlib")
    result = call("reproduce", "all", "--seeds", "2", "--report", "out")
    assert result.code == 1  # far is far
    return Path("out/reproduction.md").read_text(encoding="utf-8")


def test_the_report_has_the_command_the_table_and_a_section_an_experiment(report: str) -> None:
    assert "    l2o-tui reproduce all --seeds 2 --report out\n" in report
    assert "| experiment | notebook | ours |" in report
    assert "with 2 seeds a verdict is weak" in report
    titles = {"easy": "The easy one", "far": "The far one", "ours": "Not in the notebook"}
    assert dict(re.findall(r"^## (\w+)\n\n(.*)\.$", report, re.MULTILINE)) == titles
    easy, far, ours = report.split("\n## ")[1:]
    assert "The notebook: -1.00; its other runs: -1.50." in easy
    assert "An independent implementation: -1.25; 2 more lost to NaN." in easy
    assert "Verdict: reproduced." in easy
    assert "Verdict: differs by" in far
    assert "the tolerance is 0.50" in far
    assert "The notebook:" not in ours
    assert "Verdict" not in ours
    assert "- Why: it is far.\n" in far
    assert re.search(r"training them took \S.* added up .*, and \S+ by the clock\.", report)
    assert "| trained |" in report
    finals = [Run(Path("runs/reproduction") / f"ours-s{seed}").record().average_log_result for seed in (0, 1)]
    assert "Ours, seeds 0 to 1: " + ", ".join(f"{final:.2f}" for final in finals) in ours


def test_the_reports_pictures_are_where_it_says(report: str) -> None:
    linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", report)
    assert sorted(linked) == sorted(path for path in files_below(Path("out")) if path.endswith(".svg"))
    assert len(linked) == 6
    for picture in linked:
        text = Path("out", picture).read_text(encoding="utf-8")
        assert "RMSProp" in text
        assert (LEARNED in text) == picture.endswith("-base.svg")


def test_the_report_of_the_same_runs_is_the_same(report: str) -> None:
    before = {path: Path("out", path).read_bytes() for path in files_below(Path("out")) if "." in path}
    shutil.rmtree("out")
    assert call("reproduce", "all", "--seeds", "2", "--report", "out").code == 1
    assert {path: Path("out", path).read_bytes() for path in before} == before


def test_the_report_tells_lost_and_failed_seeds(shipped: Path, workplace: Path) -> None:
    pytest.importorskip("matplotlib")
    make(workplace / "runs", override(EASY, []), [nan])
    blocked = workplace / "runs" / "reproduction" / "easy-s2"
    blocked.mkdir()
    (blocked / "mine.txt").touch()
    assert call("reproduce", "episode1", "--seeds", "3", "--report", "out").code == 1
    page = Path("out/reproduction.md").read_text(encoding="utf-8")
    assert re.search(r"Ours, seeds 0 to 2: lost, -?\d+\.\d\d, failed\.", page)
    assert "Seed 2 failed: " in page


def test_a_report_of_a_run_whose_checkpoints_are_gone_fails_with_a_message(report: str) -> None:
    for seed in (0, 1):
        shutil.rmtree(f"runs/reproduction/easy-s{seed}/checkpoints")
    result = call("reproduce", "all", "--seeds", "2", "--report", "out")
    assert (result.code, "the checkpoints of easy-s" in result.err) == (1, True)
    assert rows(result)["easy"]  # the table is not lost for that


# Ends that it does not choose.

SEEDS = 4  # all are begun at once, and whichever comes first to its turn has the first checkpoint
LONG = tiny_preset("name=long", "run.iterations=2000", "run.checkpoint_every=50", "report.every=50")


@pytest.fixture(scope="module")
def done_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the first seed is done."""
    runs_dir = tmp_path_factory.mktemp("done") / "runs"
    drive(Reproduction([LONG], seeds=1, runs_dir=runs_dir))
    return runs_dir


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_is_one_message(options: tuple[str, ...], tmp_path: Path, done_before: Path) -> None:
    ship(tmp_path / "shipped", LONG)
    command = ("bash", "-c", '"$@" > /dev/full', "bash", sys.executable, "-c", PROGRAM, str(tmp_path / "shipped"))
    result = spawn("reproduce", "all", "--seeds=1", "--runs-dir", done_before, *options, command=command)
    assert result.code == 1
    assert "l2o-tui: stdout: No space left on device; what was trained is saved" in result.err
    assert "Traceback" not in result.err


@pytest.fixture
def place(tmp_path: Path) -> Path:
    ship(tmp_path / "shipped", LONG)
    return tmp_path


@pytest.fixture
def begun(place: Path, done_before: Path) -> Iterator[Running]:
    """A reproduction by two processes, in a process group of its own, one of which has trained for a moment."""
    shutil.copytree(done_before, place / "runs")
    running = Running(*arguments(place), command=("setsid", sys.executable, "-c", PROGRAM))
    try:
        while not any(run.record().status == "running" and run.latest_checkpoint() for run in all_runs(place)):
            assert running.process.poll() is None, running.wait()
            sleep(0.01)
        yield running
    finally:
        running.end()


def arguments(place: Path) -> list[str]:
    options = ["--seeds", str(SEEDS), "--jobs", "2", "--json", "--runs-dir", str(place / "runs")]
    return [str(place / "shipped"), "reproduce", "all", *options]


def all_runs(place: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted((place / "runs" / "reproduction").glob("*/run.json"))]


def ends(place: Path) -> set[tuple[str, bool]]:
    """Return how the runs ended, as their processes wrote it, and whether any still drives one."""
    return {(run.record().status, run.is_driven()) for run in all_runs(place)}


def check_that_it_goes_on(place: Path) -> None:
    """Start it again: what was done is left alone, the rest ends as if nothing had happened."""
    done = [run for run in all_runs(place) if run.record().status == "finished"]
    assert [run.name for run in done] == ["long-s0"]
    before = [(run.record(), run.metrics_path.stat().st_mtime_ns) for run in done]
    (result,) = drive(Reproduction([LONG], seeds=SEEDS, runs_dir=place / "runs")).results()
    assert [replicate.lane.seed for replicate in result.replicates] == list(range(SEEDS))
    assert [(run.record(), run.metrics_path.stat().st_mtime_ns) for run in done] == before
    begins = {run.name: sum(event["event"] == "start" for event in run.events()) for run in all_runs(place)}
    assert all(begins[run.name] == 1 for run in done)
    resumed = next(run for run in all_runs(place) if begins[run.name] == 2)
    run(place / "alone", resumed.preset())
    assert resumed.metrics_path.read_bytes() == (place / "alone" / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, True)],
)
def test_a_signal_saves_what_is_under_way_and_the_same_command_goes_on(
    number: signal.Signals, place: Path, begun: Running, *, to_all: bool
) -> None:
    if to_all:
        os.killpg(begun.pid, number)  # as a terminal does
    else:
        begun.process.send_signal(number)
    result = begun.wait()
    assert (result.code, result.out) == (128 + number, "")
    (message,) = [line for line in result.err.splitlines() if STILL_AT_IT not in line]  # told after a second
    assert f"ended by {number.name}" in message
    assert ends(place) == {("finished", False), ("interrupted", False)}
    if number == signal.SIGINT:
        check_that_it_goes_on(place)


def test_after_a_kill_the_workers_save_and_end_and_the_same_command_goes_on(place: Path, begun: Running) -> None:
    begun.process.kill()
    begun.wait()  # for the workers, which hold its stdout
    assert ends(place) == {("finished", False), ("interrupted", False)}
    check_that_it_goes_on(place)


def test_files_of_the_working_folder_are_no_part_of_the_workers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    litter(place / "work", monkeypatch)
    command = (sys.executable, "-P", "-c", PROGRAM)
    result = spawn(*arguments(place), "--seeds=2", command=command)
    assert [document["failed"] for document in result.documents] == [{}], result.err
    assert {run.record().status for run in all_runs(place)} == {"finished"}


def test_a_reader_that_leaves_ends_it_and_the_same_command_goes_on(place: Path) -> None:
    ship_more = {"long": 400, "longer": 600, "longest": 800}  # of the two that are begun first either may train first
    for name, iterations in ship_more.items():
        preset = override(LONG, [f"name={name}", f"run.iterations={iterations}"])
        (place / "shipped" / f"{name}.toml").write_text(to_toml(preset), encoding="utf-8")
    script = '"$@" | head -1; exit ${PIPESTATUS[0]}'
    command = ("bash", "-c", script, "bash", sys.executable, "-c", PROGRAM)
    result = spawn(*arguments(place), "--seeds=1", "--jobs=1", command=command)
    assert (result.code, json.loads(result.out)["experiment"]) in [(1, "longest"), (1, "longer")]
    assert "stdout was closed; what was trained is saved" in result.err
    assert "Traceback" not in result.err
    done = [found.record() for found in all_runs(place) if found.record().status == "finished"]
    assert len(done) >= 2
    result = spawn(*arguments(place), "--seeds=1", "--jobs=1", command=command[4:])
    assert {document["experiment"] for document in result.documents} == set(ship_more)
    assert [record for record in done if record not in [found.record() for found in all_runs(place)]] == []
