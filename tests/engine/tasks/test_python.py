"""Problems in Python: what an object may be, what is refused of it, when its code runs, and that it is trained."""

import sys
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import l2o_engine as l2o
from l2o_engine.live.train import train
from l2o_engine.presets.files import check, load, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.tables import to_dict
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.support.user_code import CodeError, NotAllowedError, allow_code
from l2o_engine.tasks.python import Custom, ModuleProblem, Python
from tests.engine.tasks.own import Regression
from tests.engine.tiny import resume
from tests.own_code import PROBLEM, nothing_allowed, was_run, write_problem


@pytest.fixture(autouse=True)
def _nothing_allowed() -> Iterator[None]:
    with nothing_allowed():
        yield


# The object.


def test_a_point_of_several_tensors_is_groups_by_their_names() -> None:
    family = Custom(Regression())
    assert {name: (group.place, group.shape, group.part) for name, group in family.groups.items()} == {
        "line.slope": (slice(0, 2), (1, 2), "line"),
        "offset": (slice(2, 3), (), "offset"),
    }


def test_many_at_once_are_as_one_after_the_other() -> None:
    at_once, one_by_one = Custom(Regression()), Custom(Regression(vectorises=False))
    assert not at_once.why_one_by_one
    assert "vmap" in one_by_one.why_one_by_one
    task = at_once.draw(np.random.default_rng(3), 5, 2, steps=2, dtype="float64")
    other = replace(task, family=one_by_one)
    for step in range(2):
        for one, two in zip(
            task.loss_and_gradient(task.start, task.minibatch(step)),
            other.loss_and_gradient(task.start, task.minibatch(step)),
            strict=True,
        ):
            np.testing.assert_allclose(one, two, rtol=1e-13)


def test_a_task_is_computed_the_same_whatever_is_beside_it() -> None:
    """How long a chunk is must not change a result."""
    task = Custom(Regression()).draw(np.random.default_rng(3), 9, 1, steps=1, dtype="float32")
    whole = task.loss_and_gradient(task.start, task.minibatch(0))
    for some in (task[:1], task[:4]):
        for found, expected in zip(some.loss_and_gradient(some.start, some.minibatch(0)), whole, strict=True):
            np.testing.assert_array_equal(found, expected[: len(found)])


class Bowl:
    """|x|² of a matrix, with a gradient, an optimum and data held out; no torch function but the simplest."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def init(self) -> Tensor:
        return torch.ones(2, 3)

    def loss(self, x: Tensor) -> Tensor:
        return x.square().sum()

    def gradient(self, x: Tensor) -> Tensor:
        self.asked.append("gradient")
        return 3 * x  # not the loss's: to be told apart

    def optimum(self) -> Tensor:
        return torch.zeros(2, 3)

    def held_out_loss(self, x: Tensor) -> Tensor:
        return x.sum()


def test_what_an_object_says_itself_is_what_counts() -> None:
    family = Custom(Bowl())
    task = family.draw(np.random.default_rng(0), 1, 1, steps=1, dtype="float64")
    assert family.shape == (6,)
    assert not family.groups
    np.testing.assert_array_equal(task.gradient(task.start), 3 * task.start)
    np.testing.assert_array_equal(task.optimum() + 0.0, 0 * task.start)  # type: ignore[operator] # it is known
    np.testing.assert_array_equal(family.held_out_loss(task.start), [[6.0]])
    assert family.graph_numbers == 6


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))


def test_a_module_is_a_problem_by_its_parameters() -> None:
    inputs = torch.linspace(-1, 1, 10).reshape(5, 2)
    problem = ModuleProblem(network, lambda model, batch: (model(inputs) - 1).square().mean())
    before = torch.random.get_rng_state()
    family = Custom(problem)
    task = family.draw(np.random.default_rng(1), 2, 1, steps=1, dtype="float32")
    assert list(family.groups) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert family.size == 13
    assert torch.equal(before, torch.random.get_rng_state())  # torch's own generator is as it was
    module = network()
    nn.utils.vector_to_parameters(torch.from_numpy(task.start[1, 0]), module.parameters())
    expected = (module(inputs) - 1).square().mean().item()
    np.testing.assert_allclose(task.loss(task.start, None)[1, 0], expected, rtol=1e-6)


# What is refused.


class Good:
    def init(self, generator: Any) -> Any:
        return torch.randn(2, generator=generator)

    def loss(self, x: Any) -> Any:
        return x.square().sum()


def bad(**methods: Callable[..., Any]) -> Any:
    return type("Bad", (Good,), methods)()


def in_place(self: Any, x: Tensor) -> Tensor:
    x.data.mul_(2)
    return x.square().sum()


SHRINKING = iter(range(10**6))
WRONG: dict[str, tuple[Any, str]] = {
    "no object": (3, "a problem has the methods init and loss; an int has no init and no loss"),
    "a class": (Good, "this is the class Good itself; return Good()"),
    "a strange argument": (bad(loss=lambda self, x, data: x), "loss asks for 'data', and may be given x, batch"),
    "no tensor": (bad(init=lambda self: [1.0]), "returned a list, where a tensor is wanted"),
    "whole numbers": (bad(init=lambda self: torch.arange(3)), "returned a tensor of torch.int64"),
    "nothing": (bad(init=lambda self: {}), "returned a dict without a tensor"),
    "no coordinate": (bad(init=lambda self: torch.zeros(0)), "a point of 0 coordinates"),
    "other draws": (bad(init=lambda self: torch.randn(2)), "draw with generator=generator"),
    "other shapes": (bad(init=lambda self: torch.zeros(1 + next(SHRINKING))), "shapes are the same for every task"),
    "a vector": (bad(loss=lambda self, x: x**2), "a tensor of shape [2]; a loss is one number"),
    "no loss": (bad(loss=lambda self, x: None), "returned None (is a return missing?)"),
    "a number": (bad(loss=lambda self, x: 1.0), "returned a float, where a tensor of one number is wanted"),
    "cut off": (bad(loss=lambda self, x: x.detach().sum()), "the loss does not depend on x through torch's operations"),
    "by chance": (bad(loss=lambda self, x: (x * torch.rand(2)).sum()), "what is random belongs into batch(generator)"),
    "in place": (bad(loss=in_place), "changes x, or the task's parameters, in place"),
    "no parameters": (bad(parameters=lambda self: torch.zeros(2)), "a dict of tensors by name is wanted"),
    "a strange batch": (bad(batch=lambda self: "all"), "a tuple or a dict of them is wanted"),
    "another gradient": (bad(gradient=lambda self, x: x[:1]), "returned [1], not [2] as x"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_task_can_do_is_told_with_its_line_before_anything_is_trained(case: str) -> None:
    definition, said = WRONG[case]
    with pytest.raises(CodeError) as error:
        Custom(definition)
    assert said in str(error.value)
    if case != "no object":
        assert f"{__file__}:" in str(error.value)


# When its code runs.


def test_a_preset_is_read_and_written_without_running_anything(tmp_path: Path) -> None:
    preset = load(write_problem(tmp_path))
    assert check(to_dict(preset)) == preset
    assert hash(preset.problem) == hash(check(to_dict(preset)).problem)
    assert not preset.problem.is_known
    _ = preset.experiment
    assert not was_run(tmp_path)
    with pytest.raises(NotAllowedError) as refused:
        _ = preset.problem.shape
    assert "my_problem.py, then Problem(dims=3) in it. Nothing of it was run" in str(refused.value)
    assert f"--allow-code {tmp_path}" in str(refused.value)
    assert not was_run(tmp_path)


def test_with_the_permission_it_is_what_the_code_says(tmp_path: Path) -> None:
    problem = load(write_problem(tmp_path)).problem
    allow_code(tmp_path)
    assert problem.shape == (3,)
    assert sorted(problem.sources) == ["helper.py", "my_problem.py"]
    assert str(tmp_path) not in sys.path
    assert not list(tmp_path.rglob("*.pyc"))
    travelled = copy(problem)  # as to a process of ours: the settings, and no code
    assert travelled == problem
    assert not travelled.is_known


def test_what_was_edited_is_imported_anew(tmp_path: Path) -> None:
    path = write_problem(tmp_path)
    allow_code(tmp_path)
    before = load(path).problem
    assert before.size == 3
    (tmp_path / "my_problem.py").write_text(PROBLEM.replace("self.dims = dims", "self.dims = dims + 1"))
    assert load(path).problem.size == 4
    assert before.size == 3  # who has it goes on with it


@pytest.mark.parametrize("name", ["random", "torch"])
def test_a_module_takes_no_other_ones_place(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('it was run')")
    allow_code(tmp_path)
    with pytest.raises(CodeError, match="give the file another name"):
        _ = Python(f"{name}:Problem").shape


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ('problem.factory="my problem"', "holds a character that is not allowed here"),
        ("problem.arguments={a = 2020-01-01}", "a must be made of texts, finite numbers"),
        ("problem.arguments={a = nan}", "a must be made of texts, finite numbers"),
        ('problem.arguments={"a b" = 1}', "is no name of an argument"),
    ],
)
def test_a_wrong_table_is_told_like_any_other(changes: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=said):
        load(write_problem(tmp_path), [changes])


def test_arguments_that_the_factory_does_not_take_are_told(tmp_path: Path) -> None:
    preset = load(write_problem(tmp_path), ["problem.arguments={dim = 2}"])
    allow_code(tmp_path)
    with pytest.raises(CodeError, match=r"my_problem\.py:\d+, in Problem: .*unexpected keyword.*it takes dims"):
        _ = preset.problem.shape


# Training it.


def test_resumed_equals_uninterrupted_in_the_middle_of_an_episode(tmp_path: Path) -> None:
    preset = load(write_problem(tmp_path), ["unroll.steps=8", "unroll.truncation=4", "meta.batch=2"])
    whole = train(preset, run_dir=tmp_path / "whole", allow_code=tmp_path)
    train(override(preset, ["run.iterations=13"]), run_dir=tmp_path / "parts")
    resume(tmp_path / "parts", iterations=30)
    assert (tmp_path / "parts" / "metrics.csv").read_bytes() == whole.metrics_path.read_bytes()


def test_the_kernel_for_many_coordinates_gives_what_the_reference_gives(tmp_path: Path) -> None:
    preset = load(write_problem(tmp_path), ["run.dtype=float64", "run.iterations=6"])
    runs = [
        train(preset, backend=name, run_dir=tmp_path / name, allow_code=tmp_path).metrics()
        for name in ("torch", "coordinatewise")
    ]
    np.testing.assert_allclose(runs[0]["end_loss"], runs[1]["end_loss"], rtol=1e-10)


def test_other_code_is_refused_on_resuming_or_recorded(tmp_path: Path) -> None:
    run = train(load(write_problem(tmp_path)), run_dir=tmp_path / "run", allow_code=tmp_path)
    (tmp_path / "helper.py").write_text("def scaled(values):\n    return 2 * values.square().mean()\n")
    with pytest.raises(RunError, match=r"the code of run was edited.*sha256 of helper\.py.*--accept-changes"):
        DrivenRun.take(run.folder)
    resume(run.folder, iterations=40, accept_changes=True)
    (change,) = Run(run.folder).record().changes
    assert list(change.settings) == ["sha256 of helper.py"]
    resume(run.folder, iterations=50)  # nothing was changed since


def test_a_run_is_looked_at_without_the_permission(tmp_path: Path) -> None:
    preset = load(write_problem(tmp_path), ["unroll.steps=8", "unroll.truncation=4"])
    folder = train(preset, run_dir=tmp_path / "run", allow_code=tmp_path, iterations=15).folder
    (tmp_path / "was_run").unlink()
    with nothing_allowed():
        run = l2o.load_run(folder)
        assert run.damage() == []
        assert len(run.metrics()["end_log10"]) == 16
        assert run.optimizer().weights is not None
        with pytest.raises(NotAllowedError):
            DrivenRun.take(folder)
    assert not was_run(tmp_path)


def test_an_object_of_ones_own_process_prints_where_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    def loss(self: Any, x: Tensor) -> Tensor:
        print("seen", end=" ")  # noqa: T201 (what is tested)
        return x.square().sum()

    Custom(bad(loss=loss))
    assert "seen" in capsys.readouterr().out
