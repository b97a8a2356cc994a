"""Several networks by group: each is alone what it is among others."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2o_engine.backends.choose import choose
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.base import run
from l2o_engine.optimizers.learned.inputs.base import Inputs
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.momenta import Momenta
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.by_group import ByGroup, Member
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.learned.networks.mlp import MLP
from l2o_engine.presets.files import check, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.checkpoints import Checkpoint, read, write
from l2o_engine.studies.evaluation.matches import EvaluationError, Match, Network, Problem, Source
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.grouped import Grouped

FAMILY = Grouped(dims=6)
CONV, FC = [0, 1, 3, 4, 5], [2]
TWO = ByGroup(
    of=(Member("conv", ("conv",), LSTM(layers=1, hidden=3, input_projection="none")), Member("fc", ("*",), MLP(1, 4)))
)


def test_weights_lie_one_network_behind_the_other_and_have_its_name() -> None:
    layout = TWO.layout(2)
    assert list(layout.shapes) == [
        "conv.lstm0.kernel",
        "conv.lstm0.bias",
        "conv.output_projection.kernel",
        "conv.output_projection.bias",
        "fc.layer0.kernel",
        "fc.layer0.bias",
        "fc.output_projection.kernel",
        "fc.output_projection.bias",
    ]
    drawn = TWO.initialise(2, np.random.default_rng(0), "float64")
    generator = np.random.default_rng(0)
    alone = [one.initialise(2, generator, "float64") for one in TWO.networks.values()]
    np.testing.assert_array_equal(drawn, np.concatenate(alone))


@pytest.mark.parametrize("inputs", [Identity(), LogAndSign()], ids=lambda one: one.kind)
def test_each_moves_its_own_coordinates_as_it_would_alone(inputs: Inputs) -> None:
    learned = LearnedOptimizer(TWO, inputs)
    weights = learned.initialise(np.random.default_rng(0), "float64")
    both = learned.with_weights(weights).on(FAMILY)
    generator = np.random.default_rng(1)
    x = generator.normal(size=(2, 6))
    state = both.init(x)
    first = TWO.networks["conv"].layout(inputs.width).size
    single = {
        "conv": (LearnedOptimizer(TWO.networks["conv"], inputs).with_weights(weights[:first]), CONV),
        "fc": (LearnedOptimizer(TWO.networks["fc"], inputs).with_weights(weights[first:]), FC),
    }
    states = {name: one.init(x[:, where]) for name, (one, where) in single.items()}
    for _ in range(3):
        gradient = generator.normal(size=(2, 6))
        update, state = both.update(gradient, state)
        for name, (one, where) in single.items():
            alone, states[name] = one.update(gradient[:, where], states[name])
            np.testing.assert_allclose(update[:, where], alone, rtol=1e-12)


def test_several_that_are_one_network_give_its_numbers() -> None:
    one = LSTM(layers=1, hidden=3)
    learned = LearnedOptimizer(one, Momenta())
    weights = learned.initialise(np.random.default_rng(0), "float64")
    twice = ByGroup(of=(Member("a", ("conv0.*",), one), Member("b", ("conv1.*",), one)))
    task = FAMILY.draw(np.random.default_rng(2), 2, 1, steps=5, dtype="float64")
    by_group = LearnedOptimizer(twice, Momenta()).with_weights(np.concatenate([weights, weights]))
    np.testing.assert_allclose(run(by_group, task, 5), run(learned.with_weights(weights), task, 5), rtol=1e-12)


def test_it_is_trained_on_the_reference_and_its_checkpoint_is_read_back(tmp_path: Any) -> None:
    experiment = Experiment(FAMILY, LearnedOptimizer(TWO, Momenta()))
    choice = choose(experiment, "auto")
    assert choice.name == "torch"
    assert choice.reason.startswith('not fused: the kernel has no network "by_group"; not coordinatewise: ')
    trainer = MetaTrainer(experiment, 0, TorchBackend(experiment))
    (chunk,) = trainer.advance(3)
    assert not chunk.results.non_finite.any()
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path = write(folder, Checkpoint(2, 0.0, 0, {0: trainer.state()}), experiment.layout)
    again = MetaTrainer(experiment, 0, TorchBackend(experiment))
    again.load_state(read(path, experiment).trainers[0])
    np.testing.assert_array_equal(again.advance(2)[0].results.losses, trainer.advance(2)[0].results.losses)


@pytest.mark.parametrize(
    ("network", "family", "said"),
    [
        (TWO, Quadratic(dims=6), 'whose weights are in groups; "quadratic" has none'),
        (ByGroup(of=(Member("one", ("conv",), Linear()),)), FAMILY, 'no network moves the group "conv0.bias"'),
        (
            ByGroup(of=(Member("one", ("*",), Linear()), Member("two", ("conv",), Linear()))),
            FAMILY,
            'the network "two" has nothing to move: the problem\'s groups are conv0.weights, conv0.bias, conv1.weights',
        ),
    ],
)
def test_a_problem_that_it_cannot_be_for_is_refused_by_name(network: ByGroup, family: Quadratic, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Experiment(family, LearnedOptimizer(network))


def test_it_moves_nothing_before_it_knows_the_groups() -> None:
    learned = LearnedOptimizer(TWO)
    with pytest.raises(ValueError, match="must know the problem's groups"):
        learned.with_weights(np.zeros(learned.layout.size)).init(np.zeros((1, 6)))


def test_it_is_not_judged_on_a_problem_that_it_cannot_be_for() -> None:
    experiment = Experiment(FAMILY, LearnedOptimizer(TWO))
    optimizer = experiment.trained.with_weights(np.zeros(experiment.trained.layout.size))
    network = Network(Source("two-s0", Path("two-s0"), None), 0, optimizer, 9, is_best=False, diverged=False)
    with pytest.raises(
        EvaluationError, match=r'two-s0 cannot run on a bowl: networks by group .* "quadratic" has none'
    ):
        Match(Problem("a bowl", Quadratic(dims=6), 5, (), "float32"), (network,))


# As a preset has it.

_CONV = {"name": "conv", "groups": ["conv"], "network": {"kind": "lstm", "hidden": 4}}
_FC = {"name": "fc", "groups": ["fc", "layer*"], "network": {"kind": "linear"}}


def tables(**changed: Any) -> dict[str, Any]:
    """Return a preset of two networks, the first of which is changed."""
    return {
        "name": "two",
        "problem": {"kind": "quadratic", "dims": 6},
        "network": {"kind": "by_group", "of": [_CONV | changed, _FC]},
    }


def test_a_preset_says_it_and_is_written_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quadratic, "groups", Grouped.groups)
    preset = check(tables())
    assert list(preset.network.networks.values()) == [LSTM(hidden=4), Linear()]
    assert check(tomllib.loads(to_toml(preset))) == preset
    assert override(preset, ["network.of.0.network.hidden=5"]).network.networks["conv"] == LSTM(hidden=5)


def test_a_problem_without_groups_is_told_with_the_preset() -> None:
    with pytest.raises(PresetError, match='need a problem whose weights are in groups; "quadratic" has none'):
        check(tables())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "a.b"}, "[network] of entry 0 name: holds a character that is not allowed here"),
        ({"name": "fc"}, "[network] of: every network needs a name of its own"),
        ({"groups": []}, "[network] of entry 0 groups: must have at least 1 entries"),
        ({"network": {"kind": "by_group", "of": []}}, "[network] of entry 0 network kind: must be one of"),
        ({"network": {"kind": "lstm", "hiden": 4}}, "[network] of entry 0 network hiden: unknown key; did you mean"),
        ({"inputs": {}}, "[network] of entry 0 inputs: unknown table"),
    ],
)
def test_what_is_wrong_in_one_of_them_is_said_with_its_place(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PresetError) as caught:
        check(tables(**changed))
    assert said in str(caught.value)
