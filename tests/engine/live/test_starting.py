"""Warm start: a training that begins with the weights of another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.live.session import Session
from l2o_engine.live.train import train
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.presets.files import load, override
from l2o_engine.presets.identity import experiment_settings
from l2o_engine.presets.shipped import find
from l2o_engine.records.events import NewRows, Notice, Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import NAMES, Run
from l2o_engine.runs.record import RunError
from l2o_engine.runs.starting import START_FILE, find_start, start_beside, started
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.tiny import INPUTS, of_kind, resume, run, start, tiny_baselines, tiny_preset

PRESET = tiny_preset(INPUTS["adaptive log"], "meta.learning_rate=0.05", "run.iterations=12", "run.checkpoint_every=5")


TWO_PARTS = '{kind = "ensemble", of = [{kind = "quadratic"}, {kind = "quadratic"}]}'


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("source") / "source-s0"
    run(folder, override(PRESET, ["run.seeds=2"]))
    return Run(folder)


@pytest.fixture(scope="module")
def exported(source: Run) -> Exported:
    return source.exported()


@pytest.fixture(scope="module")
def warm(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(PRESET, start_from=exported, seeds=2, run_dir=tmp_path_factory.mktemp("warm") / "warm")


def states_at(ours: Run, seed: int = 0) -> np.ndarray:
    learner = ours.checkpoint().trainers[seed].learner
    assert learner is not None
    return learner.weights


@pytest.mark.parametrize("seed", [0, 1])
def test_it_trains_as_a_new_trainer_with_these_weights_and_numbers_does(
    warm: Run, exported: Exported, seed: int
) -> None:
    trainer = MetaTrainer(PRESET.experiment, seed, "torch")
    trainer.load_state(trainer.state().beginning_with(exported.weights, exported.numbers))
    (chunk,) = trainer.advance(13)
    rows = warm.metrics()
    ours = rows["seed"] == seed
    assert_array_equal(np.float32(rows["end_loss"][ours]), chunk.results.losses[:, 0, -1])
    assert_array_equal(states_at(warm, seed), trainer.optimizer().weights)
    assert chunk.results.numbers["min_log"][0] == exported.numbers["min_log"] < PRESET.inputs.min_log


def test_it_says_what_it_began_with(warm: Run, exported: Exported) -> None:
    begun = warm.preset().start
    assert begun is not None
    assert (begun.digest, begun.run, begun.seed) == (exported.digest, "source-s0", 0)
    assert begun.iteration == exported.origin.iteration
    assert Exported.load(warm.folder / START_FILE).origin == exported.origin
    assert any("starts with the weights of source-s0, seed 0" in event.get("message", "") for event in warm.events())
    assert {path.name for path in warm.folder.iterdir()} <= NAMES


def test_its_preset_gives_the_run_again(warm: Run, tmp_path: Path) -> None:
    again = train(warm.folder / "preset.toml", run_dir=tmp_path / "again")
    assert again.metrics_path.read_bytes() == warm.metrics_path.read_bytes()
    assert (again.folder / START_FILE).read_bytes() == (warm.folder / START_FILE).read_bytes()


def test_resumed_equals_uninterrupted(warm: Run, exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    begun, _ = started(override(PRESET, ["run.seeds=2"]), exported)
    session = Session(DrivenRun.create(begun, folder, exported), chunk=4)
    for event in session.events():
        if isinstance(event, NewRows):
            session.mailbox.put(Stop("for a while"))
    assert Run(folder).record().status == "interrupted"
    events = resume(folder)
    assert not [event for event in of_kind(events, Notice) if "starts with" in event.message]
    assert (folder / "metrics.csv").read_bytes() == warm.metrics_path.read_bytes()
    assert_array_equal(states_at(Run(folder), 1), states_at(warm, 1))


def killed_before_its_first_checkpoint(folder: Path, exported: Exported) -> Run:
    preset, _ = started(override(PRESET, ["run.seeds=2"]), exported)
    DrivenRun.create(preset, folder, exported).close()
    return Run(folder)


def test_who_is_killed_before_the_first_checkpoint_begins_with_them_again(
    warm: Run, exported: Exported, tmp_path: Path
) -> None:
    ours = killed_before_its_first_checkpoint(tmp_path / "killed", exported)
    resume(ours.folder)
    assert ours.metrics_path.read_bytes() == warm.metrics_path.read_bytes()


def test_what_is_left_of_one_that_was_killed_while_it_was_made_is_taken(exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    for name in (".lock", START_FILE, f".{START_FILE}.123.tmp"):
        (folder / name).write_bytes(b"half of it")
    DrivenRun.create(started(PRESET, exported)[0], folder, exported).close()
    assert Exported.load(folder / START_FILE).digest == exported.digest
    assert {path.name for path in folder.iterdir()} <= NAMES


@pytest.mark.parametrize("harm", ["gone", "another", "damaged", "a link"])
def test_without_them_nothing_is_begun(harm: str, source: Run, exported: Exported, tmp_path: Path) -> None:
    ours = killed_before_its_first_checkpoint(tmp_path / "killed", exported)
    path = ours.folder / START_FILE
    content = path.read_bytes()
    path.unlink()
    match harm:
        case "another":
            source.exported(1).save(path)
        case "damaged":
            path.write_bytes(content[:-1])
        case "a link":
            (tmp_path / "elsewhere").write_bytes(content)
            path.symlink_to(tmp_path / "elsewhere")
    before = ours.record_path.read_bytes()
    with pytest.raises(RunError, match=START_FILE):
        DrivenRun.take(ours.folder)
    assert ours.record_path.read_bytes() == before


def test_where_there_is_a_checkpoint_they_are_not_needed(exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "on"
    train(PRESET, start_from=exported, run_dir=folder)
    (folder / START_FILE).unlink()
    resume(folder, iterations=14)
    assert Run(folder).record().status == "finished"


def test_weights_become_those_of_the_preset_s_dtype(exported: Exported, tmp_path: Path) -> None:
    ours = train(PRESET, start_from=exported, set={"run.dtype": "float64"}, iterations=1, run_dir=tmp_path / "double")
    trainer = MetaTrainer(replace(PRESET.experiment, dtype="float64"), 0, "torch")
    trainer.load_state(trainer.state().beginning_with(exported.weights.astype("float64"), exported.numbers))
    (chunk,) = trainer.advance(1)
    assert ours.metrics()["end_loss"][0] == chunk.results.losses[0, 0, -1]


def test_a_run_a_file_and_a_checkpoint_may_be_named(source: Run, tmp_path: Path) -> None:
    runs_dir = source.folder.parent
    assert find_start("source-s0", runs_dir).digest == source.exported().digest
    assert find_start(str(source.folder), tmp_path, seed=1).digest == source.exported(1).digest
    assert find_start("last", runs_dir, checkpoint="5").digest == source.exported(0, 5).digest
    file = str(tmp_path / "mine")
    source.exported(1).save(file)
    assert find_start(file, runs_dir).digest == source.exported(1).digest
    for options in ({"checkpoint": "best"}, {"seed": 0}):
        with pytest.raises(RunError, match="holds one optimizer"):
            find_start(file, runs_dir, **options)


def test_a_preset_may_say_with_which_run_it_begins(
    source: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = override(PRESET, ['start={preset="source", checkpoint="newest"}'])
    with pytest.raises(RunError, match=r"tiny begins with a run of source: train one, `l2o-tui run source`, and give"):
        train(preset, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    exported, asked = Run.exported, []

    def noted(run: Run, seed: int | None = None, checkpoint: Any = None) -> Exported:
        asked.append(checkpoint)
        return exported(run, seed, 5)

    monkeypatch.setattr(Run, "exported", noted)
    for given in (source, str(source.folder)):
        begun = train(preset, start_from=given, run_dir=tmp_path / type(given).__name__).preset().start
        assert begun is not None
        assert (begun.preset, begun.checkpoint, begun.iteration) == ("source", "newest", 5)
        assert begun.digest == exported(source, 0, 5).digest
    assert asked == ["newest", "newest"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["network.hidden=4"], "network.hidden is 3, and 4 in the preset"),
        (
            ["network.forget_bias=0.0", "network.hidden=4"],
            "network.forget_bias is 1.0, and 0.0 in the preset; network.",
        ),
        ([INPUTS["log"]], "inputs.adaptive is true, and false in the preset; inputs.min_log is"),
        ([INPUTS["identity"]], r'inputs.kind is "log", and "identity" in the preset$'),
        (['network={kind = "linear"}'], r'network.kind is "lstm", and "linear" in the preset$'),
    ],
)
def test_another_optimizer_is_refused_by_what_differs(settings: list[str], said: str, exported: Exported) -> None:
    with pytest.raises(RunError, match=rf"tiny cannot start from source-s0, whose optimizer is another one: {said}"):
        started(override(PRESET, settings), exported)


def test_it_may_begin_with_larger_or_smaller_steps(exported: Exported) -> None:
    preset = override(PRESET, ["network.output_scale=0.5"])
    assert started(preset, exported)[0].start == started(PRESET, exported)[0].start


def by_group(*networks: str) -> str:
    members = (f'{{name = "{"ab"[k]}", groups = ["{k}"], network = {one}}}' for k, one in enumerate(networks))
    return f'network={{kind = "by_group", of = [{", ".join(members)}]}}'


OWN = '{kind = "lstm", layers = 1, hidden = 3, output_scale = 0.5}'


def test_networks_by_group_all_begin_as_the_one_network(exported: Exported, tmp_path: Path) -> None:
    preset = override(PRESET, [by_group(OWN, OWN.replace("0.5", "2.0")), f"problem={TWO_PARTS}"])
    begun, shared = started(preset, exported)
    layout = preset.experiment.trained.layout
    for name, values in layout.split(shared.weights).items():
        _, _, inner = name.partition(".")
        assert_array_equal(values, exported.learned.layout.split(exported.weights)[inner], name)
    run = train(preset, start_from=exported, run_dir=tmp_path / "run")
    assert run.preset().start == begun.start
    assert start_beside(run.preset(), run.folder) is not None
    again, _ = started(preset, run.exported())  # what has networks by group is begun with as it is
    assert again.start is not None
    assert again.start.digest == run.exported().digest


def test_networks_by_group_are_begun_by_their_like_alone(exported: Exported) -> None:
    preset = override(PRESET, [by_group(OWN, OWN.replace("3", "4")), f"problem={TWO_PARTS}"])
    with pytest.raises(RunError, match=r'network.kind is "lstm", and "by_group" in the preset$'):
        started(preset, exported)


def test_a_lost_network_is_not_begun_with(exported: Exported) -> None:
    lost = replace(exported, weights=np.full_like(exported.weights, np.nan))
    with pytest.raises(RunError, match="its network is lost"):
        started(PRESET, lost)


def test_who_trains_nothing_starts_from_nothing(exported: Exported) -> None:
    with pytest.raises(RunError, match="trains no optimizer"):
        started(tiny_baselines(), exported)


def test_a_preset_that_lies_elsewhere_names_what_is_missing(warm: Run, tmp_path: Path) -> None:
    preset = warm.preset()
    with pytest.raises(RunError, match=r"must lie beside it as .*start.safetensors: those of source-s0, seed 0"):
        start_beside(preset, tmp_path)
    with pytest.raises(RunError, match="which are not there"):
        train(preset, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_it_is_an_experiment_of_its_own_of_which_nobody_knows_figures(source: Run) -> None:
    notebook = load(find("log30"))
    assert notebook.published is not None
    exported = source.exported()
    own = Exported(notebook.experiment.trained, np.zeros(6621, "float32"), notebook.inputs.numbers, exported.origin)
    one, other = (started(notebook, each)[0] for each in (own, replace(own, weights=own.weights + 1)))
    assert one.published is None
    settings = [experiment_settings(preset) for preset in (notebook, one, other)]
    assert settings[0] != settings[1] != settings[2]
    renamed = replace(own, origin=replace(own.origin, run="another name", seed=9))
    assert experiment_settings(started(notebook, renamed)[0]) == settings[1]


def test_a_session_that_is_made_with_them_has_them_told(exported: Exported, tmp_path: Path) -> None:
    session = start(tmp_path / "cold", PRESET)
    assert not [event for event in of_kind(list(session.events()), Notice) if "starts with" in event.message]
