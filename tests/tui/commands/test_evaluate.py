"""``l2o-tui evaluate``: tables, JSON lines, picture, and what it refuses."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from math import isfinite
from pathlib import Path
from time import sleep

import pytest
from rich.cells import cell_len

from l2o_engine.backends.forward import TorchForward
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.tuned import tuned
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Task
from tests.tui.conftest import COMMAND, TINY, call

ON_TORCH = ("--backend=torch", "--draws=40")


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "runs"
    for name, *options in (("log30", "--seeds=2"), ("simple_sum", "--seed=3")):
        made = call("run", name, "--quiet", *TINY, "--iterations=10", "--run-dir", folder / name, *options)
        assert made.code == 0
    return folder


def test_tables_say_who_was_judged_on_what_and_fit_a_terminal(runs_dir: Path) -> None:
    result = call("evaluate", "log30", "--runs-dir", runs_dir, *ON_TORCH, "--steps", "4,6")
    assert result.code == 0
    short, long, legend = (result.out + "\n").split("\n\nlog", 2)[0], *(result.out.split("\n\nlog")[1:])
    assert short.startswith("log30: 4 steps, 40 held-out draws of seed 0")
    assert long.startswith("30: 6 steps, 40 held-out draws of seed 0")
    assert legend.startswith("10 of the last loss")
    assert max(map(cell_len, result.out.splitlines())) <= 80
    ends, sums = (block.splitlines() for block in short.split("\n\n"))
    assert " ".join(ends[1].split()) == "log10 of last loss mean 95 % median quartiles worse lost #"
    assert sorted(line.split()[-1] for line in ends[2:]) == ["1", "2", "3"]
    assert {line.split("  ")[0].removesuffix(", 2 seeds") for line in ends[2:]} == {"RNN", "SGD", "RMSProp"}
    assert " ".join(sums[0].split()) == "Σ, updates Σ mean 95 % Σ median to 1e-3 to 1e-6 to 1e-12 #"
    assert [line.split()[-1] for line in sums[1:]] == ["1", "2", "3"]
    assert "log30: of its newest checkpoint, at 10" in result.err
    assert "the networks are computed by torch" in result.err


def test_json_is_a_line_for_each_seed_and_rival_on_each_problem(runs_dir: Path) -> None:
    result = call(
        "evaluate", "log30", "simple_sum", "--runs-dir", runs_dir, *ON_TORCH, "--json", "--seed=5",
        "--on=own", "--on=log43_unit", "--set=problem.dims=3",
    )  # fmt: skip
    assert result.code == 0
    documents = result.documents
    of_networks = [(one["run"], one["seed"]) for one in documents if one["optimizer"] == "RNN"]
    whose = [(str(runs_dir / "log30"), 0), (str(runs_dir / "log30"), 1), (str(runs_dir / "simple_sum"), 3)]
    assert of_networks == whose * 2
    assert [one["on"] for one in documents] == ["log30, simple_sum (dims=3)"] * 5 + ["log43_unit (dims=3)"] * 5
    for one in documents:
        assert (one["draws"], one["draws_seed"]) == (40, 5)
        low, high = one["end_log10_interval"]
        assert low <= one["end_log10_mean"] <= high
        assert {"end_log10_median", "sum_mean", "sum_median", "worse_than_start", "non_finite"} <= one.keys()
        assert {"reached_1e-6", "steps_to_1e-6", "sum_mean_interval"} <= one.keys()
    rivals = [one for one in documents if "settings" in one]
    assert {(one["optimizer"], one["kind"]) for one in rivals} == {("SGD", "sgd"), ("RMSProp", "rmsprop")}
    assert rivals[0]["settings"] == {"learning_rate": 0.1}


def test_a_function_is_judged_on_by_its_name_with_the_steps_and_rivals_of_the_run(runs_dir: Path) -> None:
    result = call("evaluate", "log30", "--runs-dir", runs_dir, *ON_TORCH, "--json", "--on=matyas", "--on=michalewicz")
    assert [(one["optimizer"], one["on"], one["steps"]) for one in result.documents] == [
        (name, problem, 4) for problem in ("matyas", "michalewicz") for name in ("RNN", "RNN", "SGD", "RMSProp")
    ]
    assert {one["tuned"] for one in result.documents if "tuned" in one} == {None}


def test_a_tuned_rival_and_an_exploit_are_marked(runs_dir: Path, tmp_path: Path) -> None:
    problem = load(find("log30")).problem
    giant = RmsProp(5.0, name="Giant")
    note = tuned(Sgd(0.3), problem, 20, "end")
    (tmp_path / "rivals.toml").write_text(
        'name = "rivals"\n[inputs]\nkind = "identity"\n[[baseline]]\nkind = "rmsprop"\nname = "Giant"\n'
        f'learning_rate = {giant.learning_rate}\n[[baseline]]\nkind = "sgd"\nlearning_rate = 0.3\n'
        f'tuned = {{ metric = "{note.metric}", on = "{note.on}" }}\n'
    )
    options = ("--runs-dir", runs_dir, *ON_TORCH, "--on", tmp_path / "rivals.toml")
    result = call("evaluate", "log30", *options)
    assert "SGD, tuned" in result.out
    assert "Giant, exploit" in result.out
    found = {one["optimizer"]: one for one in call("evaluate", "log30", *options, "--json").documents}
    assert (found["SGD"]["tuned"], found["SGD"]["exploit"]) == ("end", False)
    assert (found["Giant"]["tuned"], found["Giant"]["exploit"]) == (None, True)
    assert found["SGD"]["settings"]["learning_rate"] == 0.3
    assert "tuned" not in found["SGD"]["settings"]
    longer = call("evaluate", "log30", *options, "--steps=19").out  # for which it was not tuned
    assert ", tuned" not in longer


def test_the_same_command_says_the_same(runs_dir: Path) -> None:
    one, other = (call("evaluate", "log30", "--runs-dir", runs_dir, *ON_TORCH, "--json").out for _ in range(2))
    assert one == other


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_picture_has_two_panels_a_problem(runs_dir: Path, tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"picture.{suffix}"
    options = (*ON_TORCH, "--on=log30", "--on=log43_unit", "--output", picture)
    assert call("evaluate", "log30", "--runs-dir", runs_dir, *options).code == 0
    content = picture.read_bytes()
    assert content.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix])
    if suffix == "svg":
        text = content.decode()
        for said in ("log30, 20 steps", "share at or below 1e-6", "RNN, 2 seeds", "SGD", "share of the draws", "loss"):
            assert said in text
    assert call("evaluate", "log30", "--runs-dir", runs_dir, *options).code == 0
    assert picture.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--on=nothing"], 'there is no shipped preset "nothing"'),
        (["--set=run.dtype=float64"], "--set run.dtype=float64: here only the problem can be changed"),
        (["--set=problem.dims=0"], "--set problem.dims=0: must be at least 1"),
        (["--set=problem.dmis=2"], 'did you mean "dims"'),
        (["--steps=1"], "a horizon has 2 to 10,000 steps, not 1"),
        (["--steps=20,x"], '--steps: "x" is not a whole number'),
        (["--draws=0"], "--draws"),
        (["--output=picture.gif"], "a picture's name ends in .svg, .png or .pdf"),
        (["--output=a.svg", "--steps=2,3,4,5,6,7,8,9,10,11,12,13,14"], "12 problems and horizons at most, not 13"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_message_and_nothing_is_judged(runs_dir: Path, options: list[str], message: str) -> None:
    result = call("evaluate", "log30", "--runs-dir", runs_dir, *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_run_whose_weights_cannot_be_read_is_left_out_and_said(runs_dir: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    assert call("run", "log30", "--quiet", *TINY, "--iterations=10", "--run-dir", damaged).code == 0
    for path in (damaged / "checkpoints").iterdir():
        path.write_bytes(b"nothing")
    result = call("evaluate", "log30", damaged, "--runs-dir", runs_dir, *ON_TORCH)
    assert result.code == 1
    assert "the weights of damaged cannot be read" in result.err
    assert "RNN, 2 seeds" in result.out
    result = call("evaluate", damaged, "--runs-dir", runs_dir, *ON_TORCH)
    assert (result.code, result.out) == (2, "")


def test_ctrl_c_ends_it_with_a_message(runs_dir: Path) -> None:
    command = [*COMMAND, "evaluate", "log30", "--runs-dir", str(runs_dir), "--backend=torch", "--json"]
    with subprocess.Popen(
        [*command, "--draws=1000", "--steps=4,10000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline() if process.poll() is None else ""
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert isfinite(json.loads(first)["end_log10_mean"])
    assert (process.returncode, err) == (130, "l2o-tui: ended by SIGINT\n")


def test_a_ctrl_c_that_a_library_has_swallowed_ends_it_all_the_same(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = TorchForward.losses

    def swallowing(self: TorchForward, optimizer: TrainedOptimizer, task: Task, steps: int) -> Floats:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
            sleep(60)
        return compute(self, optimizer, task, steps)

    monkeypatch.setattr(TorchForward, "losses", swallowing)
    before = signal.getsignal(signal.SIGINT)  # whatever a test before it has left
    result = call("evaluate", "log30", "--runs-dir", runs_dir, *ON_TORCH)
    assert (result.code, result.out, result.err) == (130, "", "l2o-tui: ended by SIGINT; nothing is kept of it\n")
    assert signal.getsignal(signal.SIGINT) == before
