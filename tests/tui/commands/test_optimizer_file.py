"""The optimizer file on the command line: exported, shown, judged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from l2o_engine.optimizers.learned.exported import Exported, Origin, Seen
from l2o_engine.runs import exported as runs_exported
from l2o_engine.runs.folder import Run
from l2o_engine.support.wording import is_seen
from l2o_engine.tasks.data import DataError
from tests.hostile import unseen_in
from tests.tui.conftest import TINY, call

ON_TORCH = ("--backend=torch", "--draws=40")


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a run "trained" of the seeds 0 and 1, and "baselines", which trained nothing."""
    folder = tmp_path_factory.mktemp("files") / "runs"
    options = ("--quiet", "--iterations=6", "--set=run.checkpoint_every=3")
    assert call("run", "log30", *options, *TINY, "--seeds=2", "--run-dir", folder / "trained").code == 0
    assert call("run", "baselines", "--quiet", "--iterations=5", "--run-dir", folder / "baselines").code == 0
    return folder


@pytest.fixture(autouse=True)
def _runs(runs_dir: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2O_RUNS_DIR", str(runs_dir))


def exported(*options: str, name: str = "mine.safetensors") -> Exported:
    result = call("export", "trained", "--format=optimizer", f"--output={name}", *options)
    assert (result.code, result.out) == (0, ""), result.err
    found = Exported.load(name)
    assert result.err.endswith(
        f"{name}: seed {found.origin.seed} of trained at {found.origin.iteration}, {found.digest[:12]}\n"
    )
    return found


def test_a_run_s_optimizer_is_exported_with_what_it_meets(runs_dir: Path) -> None:
    ours, run = exported(), Run(runs_dir / "trained")
    assert ours.digest == run.exported(0).digest
    assert ours.origin.seen is not None
    assert exported("--seed=1", "--force").digest == run.exported(1).digest
    older = exported("--seed=1", "--checkpoint=3", name="older")
    assert (older.digest, older.origin.iteration) == (run.exported(1, 3).digest, 3)
    assert exported("--checkpoint=newest", name="newest").digest == run.exported(0, "newest").digest


def test_where_its_problem_s_data_is_not_there_it_is_written_without_what_it_meets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> Seen:
        raise DataError('the data set "mnist" is not there')

    monkeypatch.setattr(runs_exported, "seen_by", missing)
    result = call("export", "trained", "--format=optimizer", "--output=blind")
    assert result.code == 0
    assert result.err.splitlines()[0] == (
        'l2o-tui: blind was written without the losses that it meets: the data set "mnist" is not there'
    )
    assert Exported.load("blind").origin.seen is None
    assert "not known" in call("show", "blind").out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--format=optimizer",), "name it"),
        (("--format=optimizer", "--output=there"), "--force replaces it"),
        (("--format=optimizer", "--output=x", "--seed=9"), "no seed 9"),
        (("--format=optimizer", "--output=x", "--checkpoint=4"), "no checkpoint of meta-iteration 4"),
        (("--format=optimizer", "--output=x", "--checkpoint=last"), "a checkpoint is"),
        (("--format=optimizer", "--output=x", "--every=2"), "--every"),
        (("--format=csv", "--output=x", "--seed=0"), "--format optimizer"),
        (("--format=json", "--output=x", "--checkpoint=best"), "--format optimizer"),
    ],
)
def test_what_cannot_be_exported_is_one_message(options: tuple[str, ...], says: str, workplace: Path) -> None:
    Path("there").write_text("mine")
    result = call("export", "trained", *options)
    assert (result.code, result.out) == (2, "")
    assert says in " ".join(result.err.split())
    assert sorted(path.name for path in Path().iterdir()) == ["there"]
    assert Path("there").read_text() == "mine"


def test_who_trains_nothing_has_no_optimizer() -> None:
    result = call("export", "baselines", "--format=optimizer", "--output=x")
    assert (result.code, result.err) == (2, "l2o-tui: baselines trains no optimizer\n")


def test_show_tells_what_a_file_holds_and_how_it_is_used() -> None:
    ours = exported("--seed=1")
    result = call("show", "mine.safetensors")
    assert (result.code, result.err) == (0, "")
    for said in (ours.digest, "trained, seed 1, up to meta-iteration 6", "4 steps", "lstm, layers = 1, hidden = 3"):
        assert said in result.out
    assert "l2o_engine.torch_optimizer('mine.safetensors', model.parameters())" in result.out
    document = json.loads(call("show", "mine.safetensors", "--json").out)
    assert document["digest"] == ours.digest
    assert document["origin"]["seed"] == 1
    assert document["network"]["hidden"] == 3
    assert document["preset"]["name"] == "log30"


def test_a_file_is_judged_like_the_run_that_it_is_of() -> None:
    exported("--seed=1", "--checkpoint=newest")
    of_run = call("evaluate", "trained", *ON_TORCH, "--json").documents
    of_file = call("evaluate", "mine.safetensors", *ON_TORCH, "--json").documents
    (theirs,) = [one for one in of_run if one.get("run") and one["seed"] == 1]
    (ours,) = [one for one in of_file if one.get("run")]
    assert ours["end_log10_mean"] == theirs["end_log10_mean"]
    assert (ours["run"], ours["file"], ours["seed"]) == ("trained", "mine.safetensors", 1)
    assert [one for one in of_file if "run" not in one] == [one for one in of_run if "run" not in one]


def test_files_and_runs_are_judged_side_by_side_each_by_its_name() -> None:
    exported(name="one.safetensors")
    exported("--seed=1", name="other.safetensors")
    result = call("evaluate", "one.safetensors", "trained", "other.safetensors", *ON_TORCH)
    assert result.code == 0
    names = {line.split("  ")[0] for line in result.out.split("\n\n")[0].splitlines()[2:]}
    assert names == {"one.safetensors", "other.safetensors", "log30, 2 seeds", "SGD", "RMSProp"}
    assert "one.safetensors: of trained, seed 0, at 6" in result.err
    assert max(map(cell_len, result.out.splitlines())) <= 80


def test_of_a_file_that_does_not_say_its_problem_one_is_named() -> None:
    ours = exported()
    Exported(ours.learned, ours.weights, ours.numbers, Origin("theirs", "", "", 0, -1, 0)).save("bare")
    result = call("evaluate", "bare", *ON_TORCH)
    assert result.code == 2
    assert "bare does not say which problem it was trained on: name one, --on PRESET" in result.err
    judged = call("evaluate", "bare", "--on=log30", "--steps=4", *ON_TORCH, "--json").documents
    same = call("evaluate", "mine.safetensors", "--on=log30", "--steps=4", *ON_TORCH, "--json").documents
    assert judged[0]["end_log10_mean"] == same[0]["end_log10_mean"]
    assert "evaluate bare --on PRESET" in call("show", "bare").out


@pytest.mark.parametrize("command", ["show", "evaluate"])
def test_what_is_no_optimizer_file_is_refused_by_name(command: str, workplace: Path) -> None:
    Path("evil\x1b[2J").write_bytes(b"\x80\x04\x95 a pickle")
    result = call(command, "evil\x1b[2J")
    assert (result.code, result.out) == (2, "")
    assert "evil\\x1b[2J: is no optimizer file that can be read: it is a pickle" in result.err
    assert all(is_seen(character) for character in result.err.replace("\n", ""))


@pytest.mark.parametrize("command", [["show"], ["evaluate"], ["run", "log30", "--from"]])
def test_a_file_that_is_not_there_is_called_a_file(command: list[str]) -> None:
    result = call(*command, "mine.safetensors")
    assert (result.code, result.out) == (2, "")
    assert result.err == "l2o-tui: mine.safetensors: cannot be read (No such file or directory)\n"


def test_a_file_of_a_preset_that_cannot_be_says_so() -> None:
    ours = exported()
    broken = dict(ours.tables) | {"problem": {"kind": "quadratic", "dims": 0}}
    Exported(ours.learned, ours.weights, ours.numbers, ours.origin, broken).save("broken")
    result = call("evaluate", "broken", *ON_TORCH)
    assert result.code == 2
    assert "broken: [problem] dims" in result.err
    assert call("show", "broken").code == 0


# Warm start.


def begun(*options: str, run_dir: str = "warm") -> Run:
    result = call("run", "log30", "--quiet", *TINY, "--iterations=5", f"--run-dir={run_dir}", *options)
    assert result.code == 0, result.err
    return Run(Path(run_dir))


def test_a_run_begins_with_the_weights_of_a_run_or_of_a_file() -> None:
    digest = exported("--seed=1", "--checkpoint=3").digest
    of_file = begun("--from=mine.safetensors")
    of_run = begun("--from=trained", "--from-seed=1", "--from-checkpoint=3", run_dir="other")
    start = of_file.preset().start
    assert start is not None
    assert (start.digest, start.run, start.seed, start.iteration) == (digest, "trained", 1, 3)
    assert of_run.preset() == of_file.preset()
    assert of_run.metrics_path.read_bytes() == of_file.metrics_path.read_bytes()
    again = call("run", "warm/preset.toml", "--quiet", "--run-dir=again")
    assert again.code == 0
    assert Path("again/metrics.csv").read_bytes() == of_file.metrics_path.read_bytes()
    assert digest in call("show", "again").out
    assert digest in call("show", "again/start.safetensors").out


def test_it_says_on_stderr_what_it_begins_with() -> None:
    result = call("run", "log30", "--no-ui", *TINY, "--iterations=1", "--run-dir=warm", "--from=trained")
    assert "starts with the weights of trained, seed 0, at 6 (" in result.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--from-seed=1",), "--from RUN"),
        (("--from-checkpoint=best",), "--from RUN"),
        (("--from=nothing",), 'there is no run "nothing"'),
        (("--from=baselines",), "baselines trains no optimizer"),
        (("--from=trained", "--from-seed=7"), "no seed 7"),
        (("--from=trained", "--from-checkpoint=7"), "no checkpoint of meta-iteration 7"),
        (("--from=trained", "--from-checkpoint=old"), "a checkpoint is"),
        (("--from=trained", "--set=network.hidden=4"), "network.hidden is 3, and 4 in the preset"),
        (("--from=/dev/null",), "/dev/null: cannot be read"),
    ],
)
def test_what_it_cannot_begin_with_is_one_message_and_nothing_is_made(options: tuple[str, ...], says: str) -> None:
    result = call("run", "log30", "--quiet", *TINY, "--iterations=5", "--run-dir=warm", *options)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert result.err.count("\n") == 1
    assert not Path("warm").exists()


# Weights that were trained elsewhere.


def deepminds(width: int = 2) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    shapes = {"lstm_1": (width + 20, 80), "lstm_2": (40, 80)}
    found: dict[str, Any] = {f"{name}/w_gates": 0.1 * generator.normal(size=shape) for name, shape in shapes.items()}
    found |= {f"{name}/b_gates": np.zeros(80) for name in shapes}
    return found | {"linear/w": 0.1 * generator.normal(size=(20, 1)), "linear/b": np.zeros(1)}


def test_deepmind_s_weights_become_an_optimizer_file() -> None:
    np.savez("weights.npz", **deepminds(1))
    result = call("convert", "weights.npz", "--preset=dm_quadratic", "--output=theirs")
    assert (result.code, result.out) == (0, "")
    found = Exported.load("theirs")
    assert result.err == f"l2o-tui: theirs: 5,061 weights as dm_quadratic, {found.digest[:12]}\n"
    judged = call("evaluate", "theirs", "--draws=2", "--backend=torch", "--set=problem.problems=2", "--json")
    assert judged.documents[0]["on"].startswith("dm_quadratic")
    again = call("convert", "weights.npz", "--preset=dm_quadratic", "--output=theirs")
    assert (again.code, again.err) == (2, "l2o-tui: theirs is there already; --force replaces it\n")


def test_weights_that_are_not_the_preset_s_are_one_message() -> None:
    np.savez("weights.npz", **deepminds(1))
    for options, says in (
        (("--preset=dm_mnist",), 'weights.npz: as weights of dm_mnist: "lstm_1/w_gates" is [21, 80]'),
        (("--preset=dm_quadratic", "--set=network.layers=1"), "lstm_2"),
        (("--preset=baselines",), "trains no LSTM"),
    ):
        result = call("convert", "weights.npz", "--output=theirs", *options)
        assert (result.code, result.out) == (2, "")
        assert says in result.err
    assert not Path("theirs").exists()


def test_what_a_stranger_wrote_into_a_file_is_shown_and_means_nothing() -> None:
    ours, evil = exported(), "\x1b[2J[red]\u202e --runs-dir=/"
    origin = Origin(evil, f"--help {evil}", evil, 0, 3, 4, None, {evil: evil})
    Exported(ours.learned, ours.weights, ours.numbers, origin, dict(ours.tables) | {"title": evil}).save("evil")
    for command in ("show", "evaluate"):
        result = call(command, "evil", *(ON_TORCH if command == "evaluate" else ()))
        assert result.code == 0
        assert unseen_in(result.out + result.err) == set()
    assert "l2o-tui run PRESET --from evil" in call("show", "evil").out
    assert json.loads(call("show", "evil", "--json").out)["origin"]["run"] == evil
