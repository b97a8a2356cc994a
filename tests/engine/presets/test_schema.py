"""Presets: the shipped files, and what is said about a broken one."""

import json
import re
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.presets.files import check, load, load_preset, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.tables import inline, to_dict, to_toml
from tests.engine.golden_experiments import golden_preset

QUEST = json.loads((Path(__file__).parents[2] / "data" / "quest.json").read_text())
NOTEBOOKS = {"log30" if experiment == "log30_end_log" else experiment: experiment for experiment in QUEST}
"""Shipped preset → the experiment of the notebook that it is, in quest.json."""
OURS = {  # shipped preset → what it sets otherwise than the shipped preset it is made of
    "log43_eps16": ("log43_end_log", ["meta.epsilon=1e-16", "run.iterations=100_000"]),
    "log30_unit": ("log30", ["meta.gradient=unit"]),
    "log43_unit": ("log30", ["meta.gradient=unit", "inputs.min_log=-43"]),
    "log60_unit": ("log30", ["meta.gradient=unit", "inputs.min_log=-60"]),
    "logdiv_res30": (
        "logdiv_sum_log",
        ["meta.gradient=unit", "objective.residual=1e-30", "report.every=5000", "run.checkpoint_every=5000"],
    ),
    "logdiv_one_layer": ("logdiv_res30", ["network.layers=1", "network.hidden=40"]),
}
EPISODE3 = {  # shipped preset → its steps, in the order of the story
    "rotated2": 20,
    "rotated10": 20,
    "rosenbrock": 100,
    "rastrigin": 100,
    "mixture": 100,
    "generalist": 100,
}
DEEPMIND = (
    "dm_simple",
    "dm_quadratic",
    "dm_quadratic_uniform",
    "dm_digits",
    "dm_mnist",
    "dm_fashion_mnist",
    "dm_cifar10",
    "rnnprop_digits",
    "rnnprop_fashion_mnist",
    "rnnprop_mnist",
    "dm_mnist_curriculum",
    "dm_digits_curriculum",
    "lopt_fashion_7x7",
    "lopt_digits",
    "lopt_digits_slow",
    "lopt_fashion_mnist",
)
UNSEEN = ("beale", "booth", "branin", "styblinski_tang", "ackley")
"""The functions that the generalist is judged on, each a preset without a network."""
DESCRIPTION = ("problem", "unroll", "network", "inputs", "objective", "meta", "baseline")

every_shipped = pytest.mark.parametrize("name", shipped_names())


# The shipped presets.


def test_every_experiment_of_the_notebook_and_ours_are_shipped() -> None:
    assert len(NOTEBOOKS) == 12
    assert {*NOTEBOOKS, *OURS, *EPISODE3, *DEEPMIND, *UNSEEN, "baselines"} == set(shipped_names())


@every_shipped
def test_a_shipped_preset_is_named_like_its_file(name: str) -> None:
    assert load(find(name)).name == name


@every_shipped
def test_a_shipped_preset_equals_its_round_trip(name: str, tmp_path: Path) -> None:
    preset = load(find(name))
    copy = tmp_path / "copy.toml"
    copy.write_text(to_toml(preset), encoding="utf-8")
    assert load(copy) == preset
    assert to_toml(load(copy)) == to_toml(preset)


@every_shipped
def test_every_key_of_a_shipped_preset_is_explained(name: str) -> None:
    lines = find(name).read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r"\s*(\[|\w+\s*=)", line)]
    assert len(keys) > 20
    assert not [line for line in keys if not re.search(r"\s# \S", line)]


@pytest.mark.parametrize("name", [*NOTEBOOKS, *OURS, *EPISODE3, *DEEPMIND])
def test_a_shipped_meta_training_preset_writes_every_key_out(name: str) -> None:
    written = tomllib.loads(find(name).read_text(encoding="utf-8"))
    assert _keys(written) == _keys(to_dict(load(find(name))))


@pytest.mark.parametrize(
    ("name", "of", "before"),
    [
        ("lopt_digits", "dm_digits", "lopt_fashion_7x7"),
        ("lopt_digits_slow", "dm_digits", "lopt_digits"),
        ("lopt_fashion_mnist", "dm_fashion_mnist", "lopt_fashion_7x7"),
    ],
)
def test_what_begins_with_another_s_run_can_and_its_rivals_are_tuned_on_its_problem(
    name: str, of: str, before: str
) -> None:
    preset = load(find(name))
    assert preset.start is not None
    assert preset.start.preset == before
    assert preset.inputs == load(find(before)).inputs
    assert preset.problem == load(find(of)).problem
    assert preset.tuned == {baseline.name for baseline in preset.baseline}


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({}, "digest: must be given, or preset"),
        ({"digest": "0" * 64, "checkpoint": "best"}, "checkpoint: has no meaning without preset"),
        ({"preset": "log30", "seed": 3}, "digest: must be given with run, seed and iteration"),
        ({"preset": "../log30"}, "preset: holds a character that is not allowed here"),
    ],
)
def test_what_it_is_to_begin_with_must_be_one_thing(start: dict[str, Any], said: str) -> None:
    with pytest.raises(PresetError) as error:
        override(load(find("log30")), [f"start={inline(start)}"])
    assert said in str(error.value)


def _keys(table: Any) -> Any:
    return {key: _keys(value) for key, value in table.items()} if isinstance(table, dict) else None


@pytest.mark.parametrize("name", [*EPISODE3, *UNSEEN])
def test_every_rival_of_episode_3_is_tuned_on_that_very_problem(name: str) -> None:
    preset = load(find(name))
    assert preset.tuned == {baseline.name for baseline in preset.baseline}
    assert {"SGD", "Nesterov", "RMSProp", "Adam", "vSGD"} <= preset.tuned
    assert preset.unroll.steps == EPISODE3.get(name, 100)


def test_the_generalist_is_trained_on_no_function_that_it_is_judged_on() -> None:
    unseen = {load(find(name)).problem.text for name in UNSEEN}
    assert len(unseen) == 5
    assert not unseen & {getattr(family, "text", "") for family in load(find("generalist")).problem.families}


REFERENCE = "reference={seeds=8, held_out=-2.0, tolerance=0.5, rows=[{it=10, average_log_result=-1.5}]}"


def test_a_reference_is_ours_and_goes_where_another_experiment_begins() -> None:
    ours = override(check({"name": "x"}), [REFERENCE])
    assert (ours.notebook, ours.published_final) == (None, -1.5)
    assert [row.whose for row in ours.published_rows] == ["reference"]
    assert [row.whose for row in load(find("log30")).published_rows][:1] == ["notebook"]
    assert override(ours, ["report.every=7"]).reference is not None
    assert override(ours, ["meta.learning_rate=0.1"]).reference is None


INPUTS = {  # quest.json's words → our kind, and whether min_log adapts
    "identity": ("identity", False),
    "log": ("log", False),
    "log, adaptive min_log": ("log", True),
    "ratio": ("ratio", False),
    "ratio then log, adaptive min_log": ("ratio_log", True),
}
ROW_KEYS = {  # a key of quest.json's rows → of ours
    "it": "it",
    "sum_error": "sum_error",
    "optim_result": "optim_result",
    "average_log_result": "average_log_result",
    "av_log_res": "average_log_result",
    "av_sum_log_res": "average_sum_log_result",
    "min_log": "min_log",  # and NaN, which logdiv counted and always printed as 0, is not taken over
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_preset_carries_the_rows_that_the_notebook_printed(name: str) -> None:
    printed = QUEST[NOTEBOOKS[name]]
    notebook = load(find(name)).notebook
    assert notebook is not None
    assert notebook.name == printed["notebook_name"]
    rows = [{ROW_KEYS[key]: value for key, value in row.items() if key != "NaN"} for row in printed["printed"]]
    assert [row.model_dump(exclude_none=True) for row in notebook.rows] == rows
    assert notebook.final == printed["final"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_preset_carries_the_spread_that_other_runs_showed(name: str) -> None:
    experiment = QUEST[NOTEBOOKS[name]]
    notebook = load(find(name)).notebook
    assert notebook is not None
    assert notebook.episode == experiment["episode"]
    assert notebook.tolerance == experiment["tolerance_of_the_median"]
    assert list(notebook.other_finals) == experiment["other_notebook_runs_final"]
    independent = experiment["independent_float32_runs_final"]
    assert list(notebook.independent_finals) == [final for final in independent if final is not None]
    assert notebook.independent_lost == independent.count(None)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_preset_runs_and_reports_as_the_notebook(name: str) -> None:
    preset, experiment = load(find(name)), QUEST[NOTEBOOKS[name]]
    assert preset.run.iterations == experiment["iterations"] == experiment["printed"][-1]["it"]
    assert preset.report.every == preset.run.checkpoint_every == experiment["report_every"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_preset_is_the_experiment_that_the_reference_describes(name: str) -> None:
    experiment, shipped = QUEST[NOTEBOOKS[name]], load(find(name))
    adaptive = getattr(shipped.inputs, "adaptive", False)
    assert (shipped.inputs.kind, adaptive) == INPUTS[experiment["transform"]]
    assert getattr(shipped.inputs, "min_log", None) == experiment["min_log"]
    assert shipped.objective.kind == experiment["objective"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_shipped_preset_is_the_experiment_of_the_golden_files(name: str) -> None:
    golden, shipped = golden_preset(NOTEBOOKS[name], "float32"), load(find(name))
    if shipped.experiment.trained.inputs.adapts:
        # The golden files hold min_log fixed.
        golden = override(golden, ["inputs.adaptive=true", f"inputs.min_log={shipped.inputs.min_log}"])
    for table in DESCRIPTION:
        assert getattr(shipped, table) == getattr(golden, table), table


@pytest.mark.parametrize("name", OURS)
def test_a_preset_beyond_the_notebook_differs_from_its_model_as_announced(name: str) -> None:
    model, settings = OURS[name]
    ours, expected = load(find(name)), override(load(find(model)), settings)
    for table in (*DESCRIPTION, "report", "run"):
        assert getattr(ours, table) == getattr(expected, table), table
    assert ours.notebook is None


def test_the_baselines_preset_is_the_notebook_s_thousand_draws() -> None:
    preset = load(find("baselines"))
    assert preset.kind == "baselines"
    assert preset.run.iterations == preset.report.every == preset.report.baseline_draws == 1000
    assert preset.baseline == check({"name": "x"}).baseline


def test_the_defaults_are_the_notebook_s() -> None:
    assert to_dict(check({"name": "x"})) == {
        "format": 1,
        "name": "x",
        "title": "",
        "kind": "meta-training",
        "problem": {
            "kind": "quadratic",
            "rotation": "none",
            "noise": 0.0,
            "log": 0.0,
            "dims": 2,
            "scale": [0.5, 1.5],
            "start": [-1.0, 1.0],
        },
        "unroll": {"steps": 20, "second_derivatives": True},
        "network": {
            "kind": "lstm",
            "layers": 2,
            "hidden": 20,
            "forget_bias": 1.0,
            "input_projection": "linear",
            "initialiser": "glorot",
            "output_scale": 1.0,
            "output_bound": "none",
        },
        "inputs": {"kind": "identity"},
        "objective": {"kind": "sum", "residual": 0.0},
        "meta": {
            "learning_rate": 3e-4,
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "gradient": "clip",
            "clip_norm": 1.0,
            "non_finite": "zero",
            "max_non_finite": 0,
            "batch": 1,
        },
        "baseline": [
            {"kind": "sgd", "name": "SGD", "learning_rate": 0.1},
            {
                "kind": "rmsprop",
                "name": "RMSProp",
                "learning_rate": 0.1,
                "decay": 0.99,
                "epsilon": 1e-5,
                "momentum": 0.0,
                "centred": False,
            },
        ],
        "report": {"every": 5000, "rolling_window": 500, "baseline_draws": 1000},
        "run": {
            "iterations": 50_000,
            "seed": 0,
            "seeds": 1,
            "dtype": "float32",
            "backend": "auto",
            "device": "cpu",
            "torch_threads": 1,
            "checkpoint_every": 5000,
            "checkpoint_seconds": 0.5,
            "keep_checkpoints": 3,
        },
    }


# Finding.


def test_a_preset_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"')
    assert find(str(path)) == path
    assert find("log30").name == "log30.toml"


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("lgo30", ['no shipped preset "lgo30"', 'did you mean "log30"', "simple_sum"]),
        ("nothing_like_it_at_all", ["no shipped preset", "Shipped: "]),
        ("nowhere.toml", ["there is no file nowhere.toml"]),
        ("some/where", ["there is no file some/where"]),
        (".", ["folder"]),
    ],
)
def test_what_cannot_be_found_is_said(reference: str, parts: list[str]) -> None:
    with pytest.raises(PresetError) as caught:
        find(reference)
    assert not [part for part in parts if part not in str(caught.value)], caught.value


# Broken ones.

BROKEN: list[tuple[str, list[str]]] = [
    ("[meta]\nlearning_rat = 1.0", ["[meta] learning_rat", "unknown key", 'did you mean "learning_rate"']),
    ("[netwrok]\nhidden = 3", ["[netwrok]: unknown table", 'did you mean "network"']),
    ("colour = 1", ["colour", "unknown key"]),
    ("[unroll]\nsteps = 1", ["[unroll] steps", "at least 2", "(got 1)"]),
    ("[unroll]\nsteps = 2.5", ["[unroll] steps", "whole number", "(got 2.5)"]),
    ('[unroll]\nsteps = "20"', ["[unroll] steps", "whole number", '(got "20")']),
    ("[unroll]\nsteps = true", ["[unroll] steps", "whole number", "(got true)"]),
    ("[unroll]\nsecond_derivatives = 1", ["[unroll] second_derivatives", "true or false"]),
    ("[inputs]\nmin_log = -5.0", ["[inputs] kind", "missing"]),
    ('[inputs]\nkind = "lgo"\nmin_log = -5.0', ["[inputs] kind", '"lgo"', 'did you mean "log"']),
    ('[inputs]\nkind = "log"', ["[inputs] min_log", "missing"]),
    ('[transform]\nkind = "log"', ["[transform] min_log", "missing"]),
    ('[transform]\nkind = "log"\nmin_lgo = -3.0', ["[transform] min_lgo", "unknown key", 'did you mean "min_log"']),
    ('[transform]\nkind = "ratio"\n[inputs]\nkind = "ratio"', ["[transform]", "former name of [inputs]", "keep one"]),
    ('[inputs]\nkind = "log"\nmin_log = 0', ["[inputs] min_log", "below 0"]),
    ("[meta]\nbeta1 = 0.99999999", ["[meta] beta1", "below 1 in float32"]),
    ("[meta]\nepsilon = 1e-50", ["[meta] epsilon", "float32 can hold"]),
    ("[meta]\nlearning_rate = 1e300", ["[meta] learning_rate", "float32 can hold"]),
    ("[objective]\nresidual = 1e-50", ["objective.residual", "0 in float32"]),
    ('[inputs]\nkind = "ratio"\nratio_residual = 1e-50', ["inputs.ratio_residual", "0 in float32"]),
    ('[inputs]\nkind = "log"\nmin_log = -110.0', ["inputs.residual", "0 in float32", "float64"]),
    ('[inputs]\nkind = "log"\nmin_log = -inf', ["[inputs] min_log", "finite"]),
    ('[inputs]\nkind = "log"\nmin_lgo = -3.0', ["[inputs] min_lgo", "unknown key", 'did you mean "min_log"']),
    ('[inputs]\nkind = "identity"\nmin_log = -3.0', ["[inputs] min_log", "means nothing", '"identity"']),
    ('[inputs]\nkind = "log"\nmin_log = -3.0\nresidual = "e^m"', ["[inputs] residual", '"exp(min_log - 5)"']),
    ('[inputs]\nkind = "log"\nmin_log = -3.0\nresidual = 0', ["[inputs] residual", "above 0", "(got 0)"]),
    ('[inputs]\nkind = "ratio"\nratio_residual = -1.0', ["[inputs] ratio_residual", "above 0"]),
    ('[objective]\nkind = "endlog"', ["[objective] kind", '"sum"', 'did you mean "end_log"']),
    ("[objective]\nresidual = -1e-38", ["[objective] residual", "at least 0"]),
    ("[meta]\nlearning_rate = 0", ["[meta] learning_rate", "above 0"]),
    ("[meta]\nlearning_rate = nan", ["[meta] learning_rate", "finite"]),
    ("[meta]\nbeta1 = 1.0", ["[meta] beta1", "below 1"]),
    ('[meta]\ngradient = "clipped"', ["[meta] gradient", '"unit"', 'did you mean "clip"']),
    ('[meta]\nnon_finite = "sotp"', ["[meta] non_finite", 'did you mean "stop"']),
    ("[problem]\nscale = 3", ["[problem] scale", "[low, high]"]),
    ("[problem]\nscale = [1.5, 0.5]", ["[problem] scale", "low <= high"]),
    ("[problem]\nstart = [1, 2, 3]", ["[problem] start", "two finite numbers"]),
    ("[problem]\nstart = [0, inf]", ["[problem] start", "two finite numbers"]),
    ('[problem]\nkind = "rosenbrock"', ["[problem] kind", "rosenbrock", "quadratic"]),
    ("[problem]\ndims = 0", ["[problem] dims", "at least 1"]),
    ("[network]\nlayers = 0", ["[network] layers", "at least 1"]),
    ("[network]\nhidden = 100000", ["[network] hidden", "at most 1024"]),
    ('[run]\ndtype = "float16"', ["[run] dtype", '"float32"', '"float64"']),
    ('[run]\nbackend = "fussed"', ["[run] backend", 'did you mean "fused"']),
    ("[run]\nseed = -1", ["[run] seed", "at least 0"]),
    ("[run]\nseeds = 0", ["[run] seeds", "at least 1"]),
    ("[run]\niterations = 0", ["[run] iterations", "at least 1"]),
    ("[report]\nevery = 0", ["[report] every", "at least 1"]),
    ("network = 3", ["network", "must be a table"]),
    ("inputs = 3", ["inputs", "table"]),
    ("baseline = 3", ["baseline", "must be a list"]),
    ("baseline = [3]", ["[baseline] entry 0", "table"]),
    ('[[baseline]]\nname = "A"', ["[baseline] entry 0 kind", "missing"]),
    ('[[baseline]]\nkind = "sgd"\n[[baseline]]\nkind = "sgd"\nlearning_rate = 0.2', ["name of its own"]),
    ('[[baseline]]\nkind = "sgd"\nname = ""', ["[baseline] entry 0 name", "empty"]),
    ('[[baseline]]\nkind = "sgd"\nname = "a,b"', ["[baseline] entry 0 name", "character"]),
    ('[[baseline]]\nkind = "sgd"\nname = "a\\u001b"', ["[baseline] entry 0 name", "character", '(got "a\\x1b")']),
    ('"\\u001b]0;x" = 1', ["\\x1b]0;x: unknown key"]),
    ('[[baseline]]\nkind = "adma"\nname = "A"', ["[baseline] entry 0 kind", '"sgd"']),
    ('[[baseline]]\nkind = "sgd"\nname = "A"\ndecay = 0.5', ["[baseline] entry 0 decay", "means nothing", '"sgd"']),
    ('[[baseline]]\nkind = "sgd"\nname = "A"\n' * 2, ["every baseline", "name of its own"]),
    ('[[baseline]]\nkind = "sgd"\nname = "RNN"', ["RNN", "the network"]),
    ("[notebook]\nrows = []", ["[notebook] name", "missing"]),
    ('[notebook]\nname = "n"\nrows = [{ it = 0 }]', ["[notebook] rows entry 0 average_log_result", "missing"]),
    (
        '[notebook]\nname = "n"\nrows = [{ it = 0, average_log_result = 1, min_lgo = 1 }]',
        ["[notebook] rows entry 0 min_lgo", 'did you mean "min_log"'],
    ),
    ('[notebook]\nname = "n"\nrow = []', ["[notebook] row", "unknown table", 'did you mean "rows"']),
    ('[notebook]\nname = "n"\nepisode = 3', ["[notebook] episode", "one of 1, 2", "(got 3)"]),
    ('[notebook]\nname = "n"\ntolerance = 0.0', ["[notebook] tolerance", "above 0", "(got 0.0)"]),
    ('[notebook]\nname = "n"\ntolerance = "1"', ["[notebook] tolerance", "a number", '(got "1")']),
    ('[notebook]\nname = "n"\nother_finals = -6.33', ["[notebook] other_finals", "must be a list", "(got -6.33)"]),
    ('[notebook]\nname = "n"\nother_finals = [-6.33, "-6"]', ["[notebook] other_finals entry 1", "number", '"-6"']),
    ('[notebook]\nname = "n"\nindependent_finals = [nan]', ["[notebook] independent_finals entry 0", "finite"]),
    ('[notebook]\nname = "n"\nindependent_lost = -1', ["[notebook] independent_lost", "at least 0"]),
    ("format = 2", ["format", "1"]),
    ('kind = "training"', ["kind", '"meta-training"', '"baselines"']),
    ('kind = "baselines"\nbaseline = []', ["baselines", "at least one [[baseline]]"]),
    ('kind = "baselines"\n[meta]\nbeta1 = 0.5', ["[meta]", "no meaning", '"baselines"']),
]


@pytest.mark.parametrize(("text", "parts"), BROKEN, ids=[text.replace("\n", " ") for text, _ in BROKEN])
def test_a_broken_preset_is_explained_by_file_table_and_key(text: str, parts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\n{text}')
    with pytest.raises(PresetError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert not [part for part in parts if part not in message], message


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", "a" * 65, "ünï"])
def test_a_name_must_do_for_a_folder(name: str) -> None:
    with pytest.raises(PresetError, match="name"):
        check({"name": name})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "must not be empty"),
        ("a" * 65, "must have at most 64 characters"),
        ("a b", "holds a character that is not"),
    ],
)
def test_the_true_reason_is_said_why_a_name_will_not_do(name: str, reason: str) -> None:
    with pytest.raises(PresetError, match=f"name: {reason}"):
        check({"name": name})


def test_a_byte_order_mark_is_no_part_of_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "mine"\n')
    assert load(path).name == "mine"


_DIGITS = "9" * 5000
MONSTROUS = {  # what a file or a setting may hold, and what is said of it
    "digits": (f"[run]\nseed = {_DIGITS}", [], "a number of thousands of digits"),
    "digits of a setting": ("", [f"run.seed={_DIGITS}"], "a number of thousands of digits"),
    "hexadecimal digits": (f"[problem]\nscale = [1, 0x{'f' * 5000}]", [], "two finite numbers"),
    "hexadecimal digits of a setting": ("", [f"meta.learning_rate=0x{'f' * 5000}"], "--set meta.learning_rate"),
    "lists": (f"title = {'[' * 2000}", [], "nested too deeply"),
    "lists that end": (f"title = {'[' * 100}{']' * 100}", [], "nested too deeply"),
    "lists of a setting": ("", [f"title={'[' * 2000}"], "nested too deeply"),
    "dotted keys": (f"{'.'.join('a' * 5000)} = 1", [], "nested too deeply"),
    "dotted table": (f"[{'.'.join('a' * 5000)}]", [], "nested too deeply"),
    "dotted setting": ("", [f"{'.'.join('a' * 5000)}=1"], "nested too deeply"),
    "a digit that is none": ("", ["baseline.².name=x"], "the entries 0 to 1"),
    "an entry of many digits": ("", [f"baseline.{_DIGITS}.name=x"], "the entries 0 to 1"),
    "bytes": ("", ["title=\udcff"], "bytes that are not UTF-8"),
    "bytes in a key": ("", ["\udcff=1"], "bytes that are not UTF-8"),
    "a key without end": (f'[meta]\n"{"k" * 900_000}" = 1', [], "unknown key"),
}


@pytest.mark.parametrize(("text", "settings", "said"), MONSTROUS.values(), ids=MONSTROUS)
def test_what_no_preset_holds_is_one_clear_message(text: str, settings: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\n{text}')
    with pytest.raises(PresetError) as caught:
        load(path, settings)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert len(message) <= 2000
    message.encode()


def test_text_that_is_none_is_refused_in_plain_tables_too() -> None:
    with pytest.raises(PresetError, match="preset: holds what is no text"):
        check({"name": "x", "title": "\ud800"})
    with pytest.raises(PresetError, match="is nothing that a preset can hold"):
        load_preset("log30", set={"run.seed": 10**5000})


def test_the_final_average_is_that_of_the_last_row() -> None:
    rows = [{"it": 0, "average_log_result": -1.5}, {"it": 10, "average_log_result": -2.5}]
    for published, final in ((rows, -2.5), ([], None)):
        notebook = check({"name": "x", "notebook": {"name": "n", "rows": published}}).notebook
        assert notebook is not None
        assert notebook.final == final


def test_a_preset_needs_a_name() -> None:
    with pytest.raises(PresetError, match="preset: name: is missing"):
        check({})


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(PresetError) as caught:
        check({"name": "x", "unroll": {"steps": 1}, "meta": {"beta1": 2.0}})
    assert len(str(caught.value).splitlines()) == 2


def test_what_is_no_preset_file_is_said(tmp_path: Path) -> None:
    contents = {"not valid TOML": b"name = ", "not UTF-8": b'name = "\xff"'}
    for message, content in contents.items():
        path = tmp_path / "mine.toml"
        path.write_bytes(content)
        with pytest.raises(PresetError, match=f"mine.toml: is {message}"):
            load(path)
    with pytest.raises(PresetError, match=r"gone.toml: cannot be read \(No such file"):
        load(tmp_path / "gone.toml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("log") | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "name", "x"]), inner),
    max_leaves=5,
)
WHOLE = to_dict(load(find("log30")))
PLACES = [
    *((table, key) for table, keys in WHOLE.items() if isinstance(keys, dict) for key in [*keys, "extra"]),
    *((table,) for table in [*WHOLE, "extra"]),
    *(("baseline", 1, key) for key in [*WHOLE["baseline"][1], "extra"]),
    ("baseline", 0),
    ("notebook", "rows", 0),
    ("notebook", "rows", 0, "it"),
    ("notebook", "rows", 0, "min_log"),
    ("notebook", "other_finals", 0),
]


@given(st.sampled_from(PLACES), VALUES)
def test_any_value_anywhere_is_taken_or_explained_with_its_place(place: tuple[str | int, ...], value: Any) -> None:
    raw = to_dict(load(find("log30")))
    node: Any = raw
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    complaint = _complaint(raw)
    if complaint is not None:
        assert complaint.startswith("preset")
        assert str(place[0]) in complaint


def _complaint(raw: dict[str, Any]) -> str | None:
    try:
        check(raw)
    except PresetError as error:
        return str(error)
    return None


# Overrides.

SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "problem.dims": st.integers(1, 100),
        "problem.scale": st.lists(st.floats(-10, 10), min_size=2, max_size=2).map(sorted),
        "unroll.steps": st.integers(2, 1000),
        "unroll.second_derivatives": st.booleans(),
        "network.layers": st.integers(1, 16),
        "network.forget_bias": st.floats(-1e6, 1e6),
        "network.input_projection": st.sampled_from(["linear", "elu", "none"]),
        "network.initialiser": st.sampled_from(["glorot", "sonnet", "rnnprop"]),
        "network.output_scale": st.floats(-1e6, 1e6),
        "inputs.min_log": st.floats(-90.0, -1e-6),
        "inputs.residual": st.sampled_from(["exp(min_log - 5)", "exp(min_log)"]) | st.floats(1e-44, 1e300),
        "inputs.adaptive": st.booleans(),
        "objective.kind": st.sampled_from(["sum", "end", "end_log", "sum_log"]),
        "objective.residual": st.just(0.0) | st.floats(1e-44, 1),
        "meta.learning_rate": st.floats(1e-44, 1e30),
        "meta.beta1": st.floats(0, 0.9999999),
        "meta.epsilon": st.floats(1e-44, 1.0),
        "meta.gradient": st.sampled_from(["clip", "unit", "none"]),
        "baseline.0.learning_rate": st.floats(1e-300, 1e30),
        "baseline.1.name": st.sampled_from(["RMS", "R-2", "50%", "r#1", "ρ"]),
        "run.seed": st.integers(0, 2**63 - 1),
        "run.dtype": st.sampled_from(["float32", "float64"]),
        "title": st.text(st.characters(codec="utf-8"), max_size=20),
    },
)


@given(SETTINGS)
def test_overridden_presets_equal_their_round_trip(settings: dict[str, Any]) -> None:
    preset = override(load(find("log30")), [f"{name}={_toml(value)}" for name, value in settings.items()])
    assert check(tomllib.loads(to_toml(preset))) == preset
    for name, value in settings.items():
        assert _at(to_dict(preset), name) == value, name


def _toml(value: object) -> str:
    """Return a value as TOML writes it; a JSON string is one, but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _at(node: Any, name: str) -> Any:
    for step in name.split("."):
        node = node[int(step) if isinstance(node, list) else step]
    return node


def test_a_value_that_is_no_toml_is_a_plain_string() -> None:
    preset = override(check({"name": "x"}), ["meta.gradient=unit", "title=a = b"])
    assert preset.meta.gradient == "unit"
    assert preset.title == "a = b"


def test_the_default_baselines_can_be_overridden_where_the_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"')
    assert load(path, ["baseline.1.learning_rate=0.08"]).baseline[1].learning_rate == 0.08
    assert load(path).baseline[1].learning_rate == 0.1


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("meta.epsilom=1", ["unknown key", 'did you mean "epsilon"']),
        ("metta.epsilon=1", ["unknown table", 'did you mean "meta"']),
        ("unroll.steps=1", ["at least 2"]),
        ("unroll.steps", ["table.key=value"]),
        ("=1", ["table.key=value"]),
        ("meta.=1", ["table.key=value"]),
        ("name.first=1", ["name is a value, not a table"]),
        ("baseline.2.name=X", ["entries 0 to 1"]),
        ("baseline.first.name=X", ["entries 0 to 1"]),
        ("inputs.kind=lgo", ['did you mean "log"']),
        ("inputs.min_log=-3", ["means nothing", '"identity"']),
        ("network.kind=mlp", ["other keys that [network] has", "set the whole table, --set 'network={kind=\"mlp\"}'"]),
    ],
)
def test_a_wrong_override_is_explained_by_the_option(setting: str, parts: list[str]) -> None:
    with pytest.raises(PresetError) as caught:
        override(load(find("simple_sum")), [setting])
    message = str(caught.value)
    assert message.startswith(f"--set {setting}: ")
    assert not [part for part in parts if part not in message], message


def test_a_preset_cannot_be_changed() -> None:
    preset = check({"name": "x"})
    with pytest.raises(ValueError, match="frozen"):
        preset.run.seed = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        preset.meta.epsilon = 1.0  # type: ignore[misc]
    assert isinstance(preset, Preset)


def test_replicates_have_consecutive_seeds() -> None:
    assert check({"name": "x", "run": {"seed": 5, "seeds": 3}}).seeds == (5, 6, 7)


def test_no_replicate_s_seed_is_beyond_64_bits() -> None:
    assert check({"name": "x", "run": {"seed": 2**63 - 2, "seeds": 2}}).seeds[-1] == 2**63 - 1
    with pytest.raises(PresetError, match="seed"):
        check({"name": "x", "run": {"seed": 2**63 - 1, "seeds": 2}})


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (["run.seed=3", "run.iterations=9", "report.every=10", "name=copy", "run.backend=torch"], True),
        (["baseline.0.learning_rate=0.3"], True),
        (["inputs.min_log=-30"], True),  # what it is
        (["inputs.min_log=-10"], False),
        (["run.dtype=float64"], False),
        (["meta.epsilon=1e-12", "notebook.name=mine"], True),  # whoever sets it means it
    ],
)
def test_what_the_notebook_printed_stays_with_its_experiment_only(settings: list[str], *, kept: bool) -> None:
    assert (load(find("log30"), settings).notebook is not None) == kept
    assert (override(load(find("log30")), settings).notebook is not None) == kept
    assert load(find("log30"), [], {"iterations": 10}).notebook is not None


# What presets were once written like.


def test_the_former_name_of_a_table_means_the_same(tmp_path: Path) -> None:
    text = to_toml(load(find("logdiv_sum_log")))
    former, present = tmp_path / "former.toml", tmp_path / "present.toml"
    former.write_text(text.replace("[inputs]", "[transform]"))
    present.write_text(text)
    assert load(former) == load(present)
    for name in ("transform.min_log=-7", "inputs.min_log=-7"):
        assert load(former, [name]) == load(present, [name])
        assert load(former, [name]).inputs.min_log == -7


def test_tables_that_had_one_kind_need_not_say_it() -> None:
    tables = {"problem": {"dims": 3}, "network": {"hidden": 5}, "objective": {"residual": 0.5}}
    preset = check({"name": "x", **tables})
    assert (preset.problem.kind, preset.network.kind, preset.objective.kind) == ("quadratic", "lstm", "sum")
    assert (preset.problem.dims, preset.network.hidden, preset.objective.residual) == (3, 5, 0.5)


def test_a_baseline_has_its_kind_s_name_if_none_is_given() -> None:
    assert check({"name": "x", "baseline": [{"kind": "rmsprop"}]}).baseline[0].name == "RMSProp"


# The experiment that a preset describes.


def test_the_experiment_is_what_the_tables_say() -> None:
    preset = load(find("logdiv_sum_log"), ["problem.dims=3", "unroll.steps=7", "run.dtype=float64", "meta.batch=2"])
    experiment = preset.experiment
    assert experiment.task is preset.problem
    assert experiment.trained.network is preset.network
    assert experiment.trained.inputs is preset.inputs
    assert experiment.objective is preset.objective
    assert experiment.meta is preset.meta
    assert experiment.baselines == preset.baseline
    assert (experiment.steps, experiment.dtype, experiment.second_derivatives) == (7, "float64", True)


def test_where_nothing_is_trained_there_is_no_learned_optimizer() -> None:
    experiment = load(find("baselines")).experiment
    assert experiment.learned is None
    with pytest.raises(ValueError, match="trains nothing"):
        _ = experiment.trained


@pytest.mark.parametrize(
    "setting", ["objective.residual=1e-30", "problem.dims=3", "network.hidden=7", "meta.epsilon=1e-9", "run.seed=2"]
)
def test_a_table_that_the_file_has_not_can_be_set(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"')
    name, _, value = setting.partition("=")
    assert _at(to_dict(load(path, [setting])), name) == json.loads(value)


def test_the_library_and_the_command_line_make_the_same_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[inputs]\nkind = "ratio_log"\nmin_log = -5')
    assert load_preset(path, set={"inputs.kind": "log"}) == load(path, ["inputs.kind=log"])
    path.write_text('name = "mine"\n[inputs]\nkind = "log"')
    assert load_preset(path, set={"inputs.min_log": -3.0, "title": 'a "b"'}) == load(
        path, ["inputs.min_log=-3.0", 'title=a "b"']
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "baselines"\n[transform]\nkind = "ratio"', r"\[transform\] has no meaning"),
        ('[transform]\nkind = "ratio"\nratio_residual = 1e-50', "transform.ratio_residual would be 0"),
    ],
)
def test_messages_name_a_table_as_the_file_does(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\n{text}')
    with pytest.raises(PresetError, match=words):
        load(path)
