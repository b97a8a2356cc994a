"""The commands: help, what is listed, which setting wins, and what is said of wrong presets and arguments."""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import pytest

from l2o_engine.presets.shipped import shipped_names
from tests.tui.conftest import TINY, Result, Running, call, files_below, spawn

COMMANDS = (
    "run",
    "resume",
    "attach",
    "runs",
    "show",
    "diff",
    "note",
    "export",
    "convert",
    "compare",
    "evaluate",
    "reproduce",
    "sweep",
    "tune",
    "presets",
    "paths",
    "new-task",
    "serve",
    "check",
    "bench",
)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a finished run "first" and a finished run "second"."""
    folder = tmp_path_factory.mktemp("listed") / "runs"
    for name in ("first", "second"):
        options = ("--quiet", "--iterations=20", "--set=report.every=10", "--run-dir", folder / name)
        assert call("run", "baselines", *options).code == 0
    return folder


# Help and version


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert result.code == 0
    assert f"l2o-tui {command}" in result.out
    assert result.err == ""


def test_the_top_help_lists_every_command_and_completion() -> None:
    result = call("--help")
    assert result.code == 0
    options, commands = result.out.split("Commands:\n")
    assert [line.split()[0] for line in commands.splitlines()] == list(COMMANDS)
    assert {"--version", "--install-completion"} <= set(options.split())


def test_the_help_of_run_names_every_option_of_the_contract() -> None:
    wanted = {"--no-ui", "--json", "--quiet", "--seed", "--seeds", "--iterations", "--set", "--runs-dir", "--run-dir"}
    assert {*wanted, "--backend", "--device"} <= set(call("run", "--help").out.replace(",", " ").split())


def test_the_version_is_that_of_the_package() -> None:
    result = call("--version")
    assert (result.code, result.out, result.err) == (0, "l2o-tui 0.1.0\n", "")


def test_without_a_terminal_no_command_means_help() -> None:
    result = spawn()
    assert "Commands:" in result.out
    assert result.code == 0


def test_the_package_runs_as_a_module() -> None:
    result = spawn("--version", command=[sys.executable, "-m", "l2o_tui"])
    assert (result.code, result.out) == (0, "l2o-tui 0.1.0\n")


# Listings


def test_presets_lists_every_shipped_one() -> None:
    lines = call("presets").out.splitlines()[1:]
    names = [line.split()[0] for line in lines if line.strip()]
    assert sorted(names) == shipped_names()
    groups = [group.splitlines() for group in "\n".join(line.strip() for line in lines).split("\n\n")]
    told = [{line.split("  ")[-1].strip().split(":")[0] for line in group} for group in groups]
    assert told == [{"Episode 1"}, {"Episode 2"}, {"Episode 3"}, {"DeepMind", "RNNprop", "Metz et al."}, {"Ours"}]
    assert [group[0].split()[0] for group in groups[:3]] == ["simple_sum", "log43_end_log", "rotated2"]
    documents = json.loads(call("presets", "--json").out)
    assert [document["name"] for document in documents] == names
    assert {document["name"]: document["episode"] for document in documents}.items() >= {
        "log30": 1,
        "rotated2": 3,
    }.items()
    assert {document["name"]: document["iterations"] for document in documents}["log30"] == 100_000


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_preset_is_valid(name: str) -> None:
    result = call("check", name)
    assert result.code == 0
    assert "is a valid preset" in result.out


def test_runs_lists_the_newest_first(runs_dir: Path) -> None:
    result = call("runs", "--runs-dir", runs_dir)
    assert [line.split()[:5] for line in result.out.splitlines()[1:]] == [
        ["second", "finished", "20", "of", "20"],
        ["first", "finished", "20", "of", "20"],
    ]
    documents = json.loads(call("runs", "--runs-dir", runs_dir, "--json").out)
    assert [(document["name"], document["status"], document["driven"]) for document in documents] == [
        ("second", "finished", False),
        ("first", "finished", False),
    ]


def test_an_empty_runs_folder_is_no_error_and_json_of_it_is_an_empty_list(workplace: Path) -> None:
    table, document = call("runs"), call("runs", "--json")
    assert (table.code, table.out) == (0, "")
    assert "no runs in runs" in table.err
    assert (document.code, json.loads(document.out)) == (0, [])
    assert files_below(workplace) == []


def test_show_tells_settings_state_and_progress(runs_dir: Path) -> None:
    result = call("show", "first", "--runs-dir", runs_dir)
    assert result.code == 0
    assert "status      finished" in result.out
    assert 'kind = "rmsprop", name = "RMSProp", learning_rate = 0.1' in result.out
    assert [line.split()[:2] for line in result.out.splitlines()[-6:]] == [
        [iteration, optimizer] for iteration in ("0", "10", "20") for optimizer in ("SGD", "RMSProp")
    ]
    document = json.loads(call("show", "first", "--runs-dir", runs_dir, "--json").out)
    assert [row["iteration"] for row in document["progress"]] == [0, 0, 10, 10, 20, 20]
    assert document["settings"]["run"]["iterations"] == 20


def test_a_run_is_named_by_path_by_name_by_unique_beginning_or_as_the_last(runs_dir: Path) -> None:
    for reference, name in (
        ("first", "first"),
        ("sec", "second"),
        ("last", "second"),
        (str(runs_dir / "first"), "first"),
    ):
        document = json.loads(call("show", reference, "--runs-dir", runs_dir, "--json").out)
        assert document["name"] == name


def test_a_run_that_is_driven_is_listed_as_running(driven_run: tuple[Path, Running]) -> None:
    folder, running = driven_run
    (document,) = json.loads(call("runs", "--runs-dir", folder.parent, "--json").out)
    assert (document["status"], document["driven"], document["pid"]) == ("running", True, running.pid)
    assert f"running (process {running.pid} on " in call("show", folder).out


# Which setting wins


def _settings(*args: str | Path) -> dict[str, object]:
    folder = call("run", *args, "--quiet").out.strip()
    run = json.loads(call("show", folder, "--json").out)["settings"]["run"]
    assert isinstance(run, dict)
    return run


def test_an_option_wins_over_set_and_set_over_the_preset(workplace: Path) -> None:
    run = _settings(
        "baselines", "--set=run.iterations=30", "--set=run.seed=4", "--iterations=7", "--set=run.dtype=float64"
    )
    assert (run["iterations"], run["seed"], run["dtype"]) == (7, 4, "float64")
    assert run["keep_checkpoints"] == 3  # the default stays


def test_the_preset_wins_over_the_default(workplace: Path) -> None:
    Path("mine.toml").write_text('name = "mine"\nkind = "baselines"\n[run]\niterations = 9\nseed = 5\n')
    run = _settings("mine.toml")
    assert (run["iterations"], run["seed"], run["checkpoint_every"]) == (9, 5, 5000)


def test_runs_are_kept_where_the_option_says_else_the_environment_else_in_runs(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "baselines", "--quiet", "--iterations=2")
    assert Path(call(*run).out.strip()).parent == workplace / "runs"
    monkeypatch.setenv("L2O_RUNS_DIR", "by-environment")
    assert Path(call(*run).out.strip()).parent == workplace / "by-environment"
    assert Path(call(*run, "--runs-dir", "by-option").out.strip()).parent == workplace / "by-option"
    assert call("runs").out.count("finished") == 1
    assert {path.name for path in workplace.iterdir()} == {"runs", "by-environment", "by-option"}


def test_the_written_preset_gives_the_same_run_again(workplace: Path) -> None:
    options = ("--set=baseline.0.learning_rate=0.2", "--set=problem.dims=3", "--iterations=30", "--seed=8")
    assert call("run", "baselines", "--quiet", *options, "--run-dir", "a").code == 0
    assert call("run", "a/preset.toml", "--quiet", "--run-dir", "b").code == 0
    assert Path("a/metrics.csv").read_bytes() == Path("b/metrics.csv").read_bytes()
    assert Path("a/preset.toml").read_text() == Path("b/preset.toml").read_text()


def test_runs_started_in_the_same_second_have_folders_of_their_own(workplace: Path) -> None:
    folders = {call("run", "baselines", "--quiet", "--iterations=2").out for _ in range(3)}
    assert len(folders) == 3


# Wrong presets and arguments: exit code 2, one clear message, nothing started

BROKEN_PRESETS = {
    "no name": ("[run]\nseed = 1\n", ["broken.toml: name: is missing"]),
    "TOML syntax": ('name = "x"\n[run\n', ["broken.toml", "not valid TOML", "line 2"]),
    "unknown table": ('name = "x"\n[optimizer]\nrate = 1\n', ["broken.toml", "optimizer", "unknown table"]),
    "misspelt table": ('name = "x"\n[netwrk]\nhidden = 3\n', ["netwrk", 'did you mean "network"?']),
    "unknown key": ('name = "x"\n[run]\nzzzzzz = 1\n', ["broken.toml: [run] zzzzzz: unknown key"]),
    "misspelt key": ('name = "x"\n[meta]\nepsilno = 1e-8\n', ["[meta] epsilno", 'did you mean "epsilon"?']),
    "string for number": ('name = "x"\n[meta]\nepsilon = "tiny"\n', ["[meta] epsilon", "must be a number", "tiny"]),
    "float for int": ('name = "x"\n[unroll]\nsteps = 2.5\n', ["[unroll] steps", "whole number", "2.5"]),
    "number for switch": ('name = "x"\n[unroll]\nsecond_derivatives = 1\n', ["second_derivatives", "true or false"]),
    "number for table": ('name = "x"\nnetwork = 3\n', ["broken.toml", "network", "must be a table"]),
    "one step": ('name = "x"\n[unroll]\nsteps = 1\n', ["[unroll] steps", "at least 2", "1"]),
    "min_log 0": ('name = "x"\n[inputs]\nkind = "log"\nmin_log = 0\n', ["[inputs] min_log", "below 0"]),
    "min_log left out": ('name = "x"\n[inputs]\nkind = "log"\n', ["[inputs] min_log", "is missing"]),
    "negative rate": ('name = "x"\n[meta]\nlearning_rate = -0.1\n', ["[meta] learning_rate", "above 0", "-0.1"]),
    "infinite rate": ('name = "x"\n[meta]\nlearning_rate = inf\n', ["[meta] learning_rate", "finite"]),
    "beta of 1": ('name = "x"\n[meta]\nbeta2 = 1.0\n', ["[meta] beta2", "below 1"]),
    "bad enum": ('name = "x"\n[objective]\nkind = "end-log"\n', ["[objective] kind", 'did you mean "end_log"?']),
    "bad inputs": ('name = "x"\n[inputs]\nkind = "logg"\n', ["[inputs] kind", 'did you mean "log"?']),
    "bad dtype": ('name = "x"\n[run]\ndtype = "float16"\n', ["[run] dtype", '"float32"', '"float16"']),
    "reversed range": ('name = "x"\n[problem]\nscale = [1.5, 0.5]\n', ["[problem] scale", "low <= high"]),
    "range of one": ('name = "x"\n[problem]\nstart = [1.0]\n', ["[problem] start", "two finite numbers"]),
    "key of another kind": ('name = "x"\n[inputs]\nkind = "identity"\nmin_log = -5\n', ["min_log", '"identity"']),
    "two of a name": ('name = "x"\n[[baseline]]\nname = "A"\nkind = "sgd"\n' * 2, ["broken.toml"]),
    "baseline called RNN": ('name = "x"\n[[baseline]]\nname = "RNN"\nkind = "sgd"\n', ["baseline", "RNN"]),
    "no baseline at all": ('name = "x"\nkind = "baselines"\nbaseline = []\n', ["at least one [[baseline]]"]),
    "network where none is trained": ('name = "x"\nkind = "baselines"\n[network]\n', ["[network]", "no meaning"]),
    "a name that is no folder": ('name = "../x"\n', ["broken.toml: name", "../x"]),
    "another format": ('name = "x"\nformat = 2\n', ["broken.toml: format", "2"]),
    "no residual": ('name = "x"\n[inputs]\nkind = "log"\nmin_log = -5\nresidual = "exp()"\n', ["residual", "exp()"]),
    "fused": (
        'name = "x"\n[run]\nbackend = "fused"\n[problem]\ndims = 10000\n[meta]\nbatch = 10000\n',
        ["fused", "GiB of memory"],
    ),
}


def _assert_refused(result: Result, *says: str) -> None:
    assert result.code == 2, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    for text in says:
        assert text in result.err


@pytest.mark.parametrize(("text", "says"), BROKEN_PRESETS.values(), ids=BROKEN_PRESETS.keys())
def test_a_broken_preset_is_refused_and_leaves_nothing(text: str, says: list[str], workplace: Path) -> None:
    Path("broken.toml").write_text(text)
    _assert_refused(call("run", "broken.toml", "--no-ui"), *says)
    assert files_below(workplace) == ["broken.toml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [pytest.param(*case, id=name) for name, case in BROKEN_PRESETS.items() if name != "fused"],
)
def test_check_says_of_a_broken_preset_what_run_says(text: str, says: list[str], workplace: Path) -> None:
    Path("broken.toml").write_text(text)
    _assert_refused(call("check", "broken.toml"), *says)


def test_everything_that_is_wrong_with_a_preset_is_told_at_once(workplace: Path) -> None:
    Path("broken.toml").write_text('name = "x"\n[unroll]\nsteps = 1\n[meta]\nepsilno = 1\n')
    _assert_refused(call("run", "broken.toml", "--json"), "[unroll] steps", "[meta] epsilno")


def test_a_file_that_is_no_text_is_refused(workplace: Path) -> None:
    Path("broken.toml").write_bytes(b'name = "\xff\xfe"\n')
    _assert_refused(call("run", "broken.toml", "--no-ui"), "broken.toml", "not UTF-8")
    assert files_below(workplace) == ["broken.toml"]


BROKEN_ARGUMENTS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "no preset": (("run",), ["PRESET"]),
    "unknown preset": (("run", "log3"), ['"log3"', 'did you mean "log30"?']),
    "preset like nothing": (("run", "qqqqqq"), ['"qqqqqq"', "log15_end", "simple_sum"]),
    "missing file": (("run", "nope/mine.toml"), ["nope/mine.toml"]),
    "a very long name": (("run", "a" * 300), ["aaaa"]),
    "a folder": (("run", ".."), [".. is a folder"]),
    "unknown option": (("run", "log30", "--iteration", "5"), ["--iteration"]),
    "unknown command": (("rum",), ["rum"]),
    "set without value": (("run", "log30", "--set", "meta.epsilon"), ["--set meta.epsilon", "table.key=value"]),
    "set without key": (("run", "log30", "--set", "=3"), ["--set =3", "table.key=value"]),
    "set with an empty part": (("run", "log30", "--set", "meta..epsilon=3"), ["--set meta..epsilon=3"]),
    "set of nothing": (("run", "log30", "--set", "meta.epsilon="), ["--set meta.epsilon=", "must be a number"]),
    "set below a value": (("run", "log30", "--set", "report.every.x=3"), ["report.every is a value"]),
    "set of a whole table": (("run", "log30", "--set", "meta=3"), ["--set meta=3", "must be a table"]),
    "set of no entry": (("run", "log30", "--set", "baseline.7.name=A"), ["baseline.7.name", "0 to 1"]),
    "set misspelt": (("run", "log30", "--set", "meta.epsilno=3"), ["meta.epsilno", 'did you mean "epsilon"?']),
    "set of a word": (("run", "log30", "--set", "unroll.steps=many"), ["--set unroll.steps=many", "whole number"]),
    "set out of range": (("run", "log30", "--set", "inputs.min_log=1"), ["inputs.min_log=1", "below 0"]),
    "unknown backend": (("run", "log30", "--backend", "cuda"), ["--backend", "cuda", "torch"]),
    "backend of later": (
        ("run", "log30", "--backend", "fused", "--set", "problem.dims=10000", "--set", "meta.batch=10000"),
        ["fused", "GiB of memory"],
    ),
    "unknown device": (("run", "log30", "--device", "gpu"), ["--device gpu", '"cuda:0", … or "mps"']),
    "a device that is not here": (
        ("run", "log30", "--device", "cuda:7"),
        ["cuda:7", f"torch {version('torch')} has"],
    ),
    "a device of another dtype": (
        ("run", "log30", "--device", "mps", "--set", "run.dtype=float64"),
        ["--device mps", "no float64"],
    ),
    "a device for a kernel": (
        ("run", "log30", "--backend", "fused", "--device", "cuda"),
        ['"fused" computes on the CPU', '"cuda"', '"torch"'],
    ),
    "no seeds": (("run", "log30", "--seeds", "0"), ["--seeds"]),
    "too many seeds": (("run", "log30", "--seeds", "2000"), ["--seeds", "2000"]),
    "negative seed": (("run", "log30", "--seed", "-1"), ["--seed"]),
    "huge seed": (("run", "log30", "--seed", str(2**63)), ["--seed", str(2**63)]),
    "no iterations": (("run", "log30", "--iterations", "0"), ["--iterations"]),
    "iterations in words": (("run", "log30", "--iterations", "many"), ["--iterations"]),
    "no chunk": (("run", "log30", "--chunk", "0"), ["--chunk"]),
    "resume of nothing": (("resume", "nope"), ['"nope"', "no run"]),
    "resume the last of none": (("resume", "last"), ['"last"', "no run"]),
    "show of nothing": (("show", "nope"), ['"nope"', "no run"]),
    "show of a very long name": (("show", "a" * 300), ["aaaa"]),
    "check of nothing": (("check", "nope.toml"), ["nope.toml"]),
}


@pytest.mark.parametrize(("args", "says"), BROKEN_ARGUMENTS.values(), ids=BROKEN_ARGUMENTS.keys())
def test_a_wrong_argument_is_refused_and_leaves_nothing(
    args: tuple[str, ...], says: list[str], workplace: Path
) -> None:
    _assert_refused(call(*args), *says)
    assert files_below(workplace) == []


def test_an_option_that_is_out_of_range_is_named_as_it_was_written(workplace: Path) -> None:
    result = call("run", "log30", "--seeds", "2000")
    assert "--seeds 2000" in result.err
    assert "--set" not in result.err


@pytest.mark.parametrize("args", [("run", "log3", "--no-ui"), ("run", "log30", "--seeds", "0"), ("resume", "nope")])
def test_a_refusal_in_a_process_of_its_own_is_the_same(args: tuple[str, ...], workplace: Path) -> None:
    result = spawn(*args)
    _assert_refused(result)
    assert result.err.splitlines()[-1] == call(*args).err.splitlines()[-1]
    assert files_below(workplace) == []


# Folders that cannot be used

Prepare: TypeAlias = Callable[[Path], None]


@pytest.mark.parametrize(
    ("prepare", "args", "says"),
    [
        pytest.param(
            lambda here: (here / "mine").write_text("dear diary"),
            ("--run-dir", "mine"),
            ["mine"],
            id="run-dir is a file",
        ),
        pytest.param(
            lambda here: (here / "mine").write_text("dear diary"),
            ("--run-dir", "mine/run"),
            ["mine/run"],
            id="run-dir below a file",
        ),
        pytest.param(
            lambda here: (here / "mine").write_text("dear diary"),
            ("--runs-dir", "mine"),
            ["mine", "--runs-dir"],
            id="runs-dir is a file",
        ),
        pytest.param(
            lambda here: (here / "mine").write_text("dear diary"),
            ("--runs-dir", "mine/runs"),
            ["mine/runs"],
            id="runs-dir below a file",
        ),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused(
    prepare: Prepare, args: tuple[str, ...], says: list[str], workplace: Path
) -> None:
    prepare(workplace)
    _assert_refused(call("run", "log30", "--no-ui", *TINY, *args), *says)
    assert files_below(workplace) == ["mine"]


def test_a_folder_that_is_not_empty_is_left_as_it_is(workplace: Path) -> None:
    (workplace / "mine").mkdir()
    (workplace / "mine" / "diary").write_text("dear diary")
    _assert_refused(call("run", "log30", "--no-ui", "--run-dir", "mine"), "mine is not empty")
    assert files_below(workplace) == ["mine", "mine/diary"]


def test_an_existing_run_is_never_overwritten(workplace: Path) -> None:
    run = ("run", "baselines", "--quiet", "--iterations=20", "--run-dir", "mine")
    assert call(*run).code == 0
    before = {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()}
    _assert_refused(call(*run), "mine already holds a run")
    assert {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()} == before


def test_an_empty_folder_may_be_the_runs(workplace: Path) -> None:
    (workplace / "mine").mkdir()
    assert call("run", "baselines", "--quiet", "--iterations=2", "--run-dir", "mine").code == 0


def test_the_folder_of_a_run_that_is_driven_is_refused(driven_run: tuple[Path, Running]) -> None:
    folder, _ = driven_run
    _assert_refused(call("run", "log30", "--no-ui", *TINY, "--run-dir", folder), "already holds a run")


# Runs that cannot be read


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param("[]", id="a list"),
        pytest.param('{"format": 1}', id="keys missing"),
        pytest.param('{"format": 2}', id="another format"),
    ],
)
@pytest.mark.parametrize("command", ["show", "resume"])
def test_a_damaged_run_is_refused_and_named(command: str, text: str, workplace: Path) -> None:
    folder = workplace / "runs" / "hurt"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(text)
    _assert_refused(call(command, "hurt"), "hurt")
    assert files_below(folder) == ["run.json"]


@pytest.mark.parametrize(("key", "value"), [("iteration", "many"), ("updated", "soon"), ("elapsed_seconds", None)])
def test_a_run_whose_record_holds_nonsense_is_refused_and_named(
    key: str, value: object, runs_dir: Path, workplace: Path
) -> None:
    folder = workplace / "runs" / "hurt"
    folder.mkdir(parents=True)
    record = json.loads((runs_dir / "first" / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {key: value}))
    (folder / "preset.toml").write_text((runs_dir / "first" / "preset.toml").read_text())
    _assert_refused(call("show", "hurt"), "hurt")


def test_a_damaged_run_does_not_hide_the_others(workplace: Path) -> None:
    assert call("run", "baselines", "--quiet", "--iterations=2", "--run-dir", "runs/good").code == 0
    (workplace / "runs" / "hurt").mkdir()
    (workplace / "runs" / "hurt" / "run.json").write_text("{")
    result = call("runs")
    assert result.code == 0
    assert "good" in result.out


def test_the_nearest_run_is_named_where_there_is_none_of_that_name(runs_dir: Path) -> None:
    _assert_refused(call("show", "frist", "--runs-dir", runs_dir), '"frist"', 'did you mean "first"?')


def test_a_beginning_that_fits_several_runs_names_them(workplace: Path) -> None:
    for name in ("trial-a", "trial-b"):
        assert call("run", "baselines", "--quiet", "--iterations=2", "--run-dir", f"runs/{name}").code == 0
    _assert_refused(call("show", "trial"), "trial-a", "trial-b")
