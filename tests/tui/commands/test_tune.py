"""``l2o-tui tune``: tables to paste, objects for scripts, and what is refused before anything is begun."""

import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.presets.files import check, load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import to_dict, to_toml
from l2o_engine.studies import tuning
from l2o_engine.studies.tuning import RIVALS
from l2o_tui.commands import tune
from l2o_tui.options import Rival
from tests.tui.conftest import TINY, Running, call

FEW = ("--draws=30", "--set=unroll.steps=10")
_FIGURES = {"end_log10_mean", "end_log10_median", "sum_mean", "sum_median", "worse_than_start", "non_finite"}


def with_baselines(text: str) -> Preset:
    """Return the preset that was tuned on with the tables pasted into it."""
    tables: dict[str, Any] = to_dict(load(find("log30"), ["unroll.steps=10"])) | tomllib.loads(text)
    return check(tables)


def test_stdout_is_toml_whose_tables_can_be_pasted_and_are_tuned() -> None:
    result = call("tune", "log30", *FEW)
    assert (result.code, result.err) == (0, "".join(f"tuning {name} …\n" for name in RIVALS))
    preset = with_baselines(result.out)
    names = [one.name for one in preset.baseline]
    assert set(names) >= {"SGD", "Momentum", "Nesterov", "RMSProp", "RMSProp-sum", "Adam", "vSGD"}
    assert preset.tuned == set(names)
    assert "# [[baseline]]" in result.out.splitlines()  # RMSProp's exploit is there, and is not pasted by mistake
    assert load(find("log30")).tuned == frozenset()


def test_where_there_is_no_terminal_a_line_now_and_then_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "_SECONDS", 0.0)
    first, *others = call("tune", "log30", *FEW, "--rival=adam").err.splitlines()
    assert first == "tuning adam …"
    shares = [int(line.removeprefix("tuning adam: ").removesuffix("% …")) for line in others]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 100


def test_the_table_has_for_each_figure_the_rivals_the_best_first() -> None:
    lines = call("tune", "log30", *FEW, "--rival=sgd", "--rival=adam", "--rival=rmsprop").out.splitlines()
    table = [line.removeprefix("# ") for line in lines if line.startswith("#") and "=" not in line]
    assert table[0].startswith("log30, 10 steps, float32: tuned on 30 draws, judged on 30 others")
    for title, column in (("best by the last loss", 1), ("best by the sum of the losses", 4)):
        start = next(place for place, line in enumerate(table) if line.startswith(title))
        rows = [line.split() for line in table[start + 2 : table.index("#", start)]]
        assert {row[0].rstrip("*'!") for row in rows} == {"SGD", "Adam", "RMSProp"}
        figures = [float(row[column]) for row in rows]
        assert figures == sorted(figures)
    assert any(line.startswith("*  exploit") for line in table)
    assert max(map(len, table)) < 100


def test_json_is_one_object_a_line_for_each_that_is_found() -> None:
    result = call("tune", "log30", *FEW, "--json", "--metric=end", "--rival=sgd", "--rival=nesterov")
    sgd, alone, nesterov = result.documents
    assert sgd["optimizer"] == "SGD"
    assert sgd["metric"] == "end"
    assert set(sgd["settings"]) == {"learning_rate"}
    assert sgd["draws"] == 30
    assert set(sgd) >= _FIGURES
    assert (alone["optimizer"], alone["searched"]) == ("Nesterov", ["learning_rate"])
    assert nesterov["searched"] == ["learning_rate", "momentum"]
    assert nesterov["settings"]["nesterov"] is True


def test_the_rate_alone_is_searched_if_that_is_asked_for() -> None:
    (found,) = call("tune", "log30", *FEW, "--json", "--metric=sum", "--rival=adam", "--rate-only").documents
    assert found["settings"]["beta1"] == 0.9


def test_the_seed_decides_the_draws_and_the_preset_s_is_the_default() -> None:
    args = ("tune", "log30", *FEW, "--json", "--metric=end", "--rival=sgd")
    first, again, third, preset_s = (
        call(*args, *more).out for more in ((), ("--seed=0",), ("--seed=3",), ("--set=run.seed=3",))
    )
    assert first == again != third == preset_s


def test_an_output_has_the_tables_and_stdout_the_table(tmp_path: Path) -> None:
    output = tmp_path / "rivals.toml"
    args = ("tune", "log30", *FEW, "--rival=sgd", "--output", output)
    result = call(*args)
    assert result.code == 0
    assert result.out.startswith("log30, 10 steps")
    written = output.read_text(encoding="utf-8")
    assert with_baselines(written).tuned == {"SGD", "SGD-sum"}
    assert all(f"# {line}".rstrip() in written for line in result.out.splitlines())
    assert list(tmp_path.iterdir()) == [output]
    refused = call(*args)
    assert (refused.code, refused.out) == (2, "")
    assert "is there already; --force replaces it" in refused.err
    assert output.read_text(encoding="utf-8") == written
    assert call(*args, "--force", "--seed=5").code == 0
    assert output.read_text(encoding="utf-8") != written


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tune", "log31"), "log31"),
        (("tune", "log30", "--set=problem.dims=0"), "problem.dims=0"),
        (("tune", "log30", "--rival=adamw"), "adamw"),
        (("tune", "log30", "--metric=best"), "best"),
        (("tune", "log30", "--draws=0"), "draws"),
        (("tune", "log30", "--draws=1000001"), "draws"),
        (("tune", "log30", "--output=nowhere/rivals.toml"), "no such folder"),
        (("tune", "log30", "--output=."), "is a folder"),
        (("tune", "log30", "--output=/dev/null"), "no regular file"),
    ],
)
def test_what_is_wrong_is_one_message_before_anything_is_begun(
    args: tuple[str, ...], message: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*args: Any, **options: Any) -> None:
        raise AssertionError("it was begun")

    monkeypatch.setattr(tuning, "run", begin)
    result = call(*args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err
    assert not list(workplace.iterdir())


def test_a_file_that_cannot_be_written_is_a_failure_and_what_was_found_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("l2o_tui.commands.tune.write_atomically", full)
    result = call("tune", "log30", *FEW, "--rival=sgd", "--output", tmp_path / "x.toml")
    assert result.code == 1
    assert result.err.splitlines()[1:] == [f"l2o-tui: cannot write {tmp_path / 'x.toml'}: No space left on device"]
    assert with_baselines(result.out).tuned == {"SGD", "SGD-sum"}


def test_a_signal_ends_it_at_once_with_one_message() -> None:
    running = Running("tune", "log30", "--draws=1000000", "--json", "--rival=sgd", "--metric=end", "--rate-only")
    try:
        running.wait_for_message("tuning sgd")
        running.process.send_signal(signal.SIGTERM)
        result = running.wait()
    finally:
        running.end()
    assert result.code == 143
    assert result.out == ""
    assert result.err.splitlines()[-1] == "l2o-tui: ended by SIGTERM; nothing is kept of it"
    assert "Traceback" not in result.err


def test_where_no_loss_has_a_logarithm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "l2o_engine.tasks.quadratic.Quadratic.bare_loss", lambda self, z, parameters: -1 - (z**2).sum(-1)
    )
    result = call("tune", "log30", *FEW, "--rival=sgd")
    assert result.code == 0
    assert "no last loss has a logarithm here" in result.err
    assert tomllib.loads(result.out)["baseline"]


def test_the_rivals_by_name_are_those_of_the_engine() -> None:
    assert [rival.value for rival in Rival] == list(RIVALS)


# What says that a rival is tuned.


@pytest.fixture(scope="module")
def tuned_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a preset with one baseline that is tuned, and one that is as given."""
    folder = tmp_path_factory.mktemp("tuned")
    preset = load(find("log30"), [setting.removeprefix("--set=") for setting in TINY])
    best = tuning.tune(RIVALS["adam"], preset.problem, steps=preset.unroll.steps, draws=20)
    changed = preset.model_copy(update={"baseline": (best, RIVALS["sgd"])})
    (folder / "tuned.toml").write_text(to_toml(changed), encoding="utf-8")
    result = call("run", folder / "tuned.toml", "--no-ui", "--iterations=20", "--run-dir", folder / "run")
    assert result.code == 0
    (folder / "said").write_text(result.err, encoding="utf-8")
    return folder


def test_a_tuned_rival_s_level_says_so_beside_a_run(tuned_run: Path) -> None:
    said = (tuned_run / "said").read_text(encoding="utf-8")
    (line,) = [line for line in said.splitlines() if line.startswith("to beat")]
    assert [part.count("(tuned)") for part in line.split(",")] == [1, 0]
    shown = call("show", tuned_run / "run").out
    assert 'tuned = "end"' in shown
    compared = call("compare", tuned_run / "run").out
    assert [line.split("  ")[0] for line in compared.splitlines() if line.startswith(("Adam", "SGD"))] == [
        "Adam, tuned",
        "SGD",
    ]
    assert "Adam, tuned" in compared.split("\n\n")[0]  # in the chart


def test_who_is_judged_on_the_problem_that_he_is_tuned_on_is_called_tuned_there(tuned_run: Path) -> None:
    args = ("evaluate", tuned_run / "run", "--draws=20", "--backend=torch")
    judged = call(*args, "--steps=4,5").out
    assert [part.count("Adam, tuned") for part in judged.split("5 steps, 20 held-out draws")] == [2, 0]
    assert [one.get("tuned") for one in call(*args, "--json").documents] == [None, "end", None]


def test_of_another_problem_it_is_not_tuned_any_more(tuned_run: Path, tmp_path: Path) -> None:
    args = ("--no-ui", "--iterations=10", "--set=problem.dims=3", "--run-dir", tmp_path / "run")
    assert "(tuned)" not in call("run", tuned_run / "tuned.toml", *args).err
    assert 'tuned = "for something else"' in call("show", tmp_path / "run").out
    assert ", tuned" not in call("compare", tmp_path / "run").out
