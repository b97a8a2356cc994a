"""The family that a formula makes: what it draws, the shipped functions, and what is said of wrong settings."""

import tomllib
from collections.abc import Callable
from math import e, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from l2o_engine import tasks
from l2o_engine.presets.files import check, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.tables import to_toml
from l2o_engine.support.arrays import Doubles
from l2o_engine.tasks.base import Task
from l2o_engine.tasks.formula import Formula
from l2o_engine.tasks.formula.expression import Source
from l2o_engine.tasks.formula.functions import shipped_functions

PAGE = Path(__file__).parents[4] / "docs" / "problems.md"


def drawn(family: Formula, n: int = 4, dtype: str = "float64") -> Task:
    return family.draw(np.random.default_rng(0), n, 2, steps=3, dtype=dtype)


def made(**table: Any) -> Formula:
    """Return a family of settings as a preset has them, which the types of its own do not say."""
    return Formula(**table)


def problem(**table: Any) -> dict[str, Any]:
    return {"name": "mine", "problem": {"kind": "formula", **table}}


# What is drawn.


def test_start_and_parameters_are_drawn_as_the_settings_say() -> None:
    family = made(
        loss="b*x[0]**2 + w[0]*w[1]*w[2]*x[1]",
        start=[[-5, 10], {"normal": [3.0, 0.0]}],
        parameters={"b": {"log_uniform": [1, 100]}, "w": {"uniform": [0, 1], "length": 3}},
    )
    task = drawn(family, 500)
    assert {name: values.shape for name, values in task.parameters.items()} == {"b": (500, 2), "w": (500, 2, 3)}
    assert task.start.shape == (500, 2, 2)
    assert -5 <= task.start[..., 0].min() < -4
    assert 9 < task.start[..., 0].max() <= 10
    assert_array_equal(task.start[..., 1], 3.0)
    assert_allclose(np.log10(task.parameters["b"]).mean(), 1, atol=0.05)
    assert_allclose(task.parameters["w"].mean((0, 1)), 0.5, atol=0.05)
    b, w = task.parameters["b"], task.parameters["w"]
    assert_allclose(task.loss(task.start), b * task.start[..., 0] ** 2 + w.prod(-1) * 3)


def test_a_family_of_a_formula_can_be_compared_and_kept_in_a_set() -> None:
    one, other = (made(loss="b*x[0]", dims=1, parameters={"b": [1, high]}) for high in (2, 3))
    assert len({one, other, made(loss="b*x[0]", dims=1, parameters={"b": [1, 2]})}) == 2


def test_a_kernel_knows_all_that_its_code_is_made_of() -> None:
    family = made(loss="b*x[0] + w[1]", dims=1, parameters={"b": 1, "w": {"normal": 1, "length": 2}})
    assert Source.of(family.compiled) == family.source == Source("b*x[0] + w[1]", 1, (("b", 0), ("w", 2)))


# The shipped functions.

SHIPPED = [*shipped_functions()]
every_function = pytest.mark.parametrize("name", SHIPPED)
X, PARAMETER = [np.array([0.7, -1.9]), 3.5]
KNOWN: dict[str, Callable[[float, float], float]] = {  # as the literature writes them, their least value subtracted
    "rosenbrock": lambda x, y: (1 - x) ** 2 + 3.5 * (y - x**2) ** 2,
    "rosenbrock_hard": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
    "beale": lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    "booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    "matyas": lambda x, y: 0.26 * (x**2 + y**2) - 0.48 * x * y,
    "branin": lambda x, y: (
        (y - 5.1 / (4 * pi**2) * x**2 + 5 / pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * pi)) * np.cos(x)
        + 10
        - 0.39788735772973816
    ),
    "styblinski_tang": lambda x, y: sum(z**4 - 16 * z**2 + 5 * z for z in (x, y)) / 2 + 2 * 39.16616570377142,
    "ackley": lambda x, y: (
        -20 * np.exp(-0.2 * np.sqrt((x**2 + y**2) / 2)) - np.exp((np.cos(2 * pi * x) + np.cos(2 * pi * y)) / 2) + 20 + e
    ),
    "michalewicz": lambda x, y: (
        1.8066228853471945 - sum(np.sin(z) * np.sin(k * z**2 / pi) ** 10 for k, z in ((1, x), (2, y)))
    ),
    "rastrigin": lambda x, y: 20 + sum(z**2 - 10 * np.cos(2 * pi * z) for z in (x, y)),
}
MINIMA: dict[str, list[Doubles]] = {"branin": [np.array(at) for at in ((-pi, 12.275), (pi, 2.275), (3 * pi, 2.475))]}


@every_function
def test_a_shipped_function_is_the_one_of_the_literature(name: str) -> None:
    parameters = {"b": np.array(PARAMETER)} if name == "rosenbrock" else {}
    loss = made(function=name).loss(X, parameters)
    assert_allclose(loss, KNOWN[name](*X), rtol=1e-12)


@every_function
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_its_optimum_value_and_gradient_are_0(name: str, dtype: str) -> None:
    family = made(function=name)
    task = drawn(family, dtype=dtype)
    optimum = task.optimum()
    bound = 1e-5 if dtype == "float32" else 1e-13
    for at in MINIMA.get(name, [optimum[0, 0] if optimum is not None else None]):
        x = np.broadcast_to(np.asarray(at, dtype), task.start.shape)
        assert np.abs(task.loss(x)).max() <= bound
        assert np.abs(task.gradient(x)).max() <= bound * (1e3 if name == "rosenbrock_hard" else 10)


@every_function
def test_no_rounding_takes_its_loss_below_0(name: str) -> None:
    family = made(function=name)
    task = family.draw(np.random.default_rng(1), 2_000, 1, steps=1, dtype="float32")
    optimum = task.optimum()
    near = MINIMA[name][0] if optimum is None else optimum
    for size in (1e-7, 1e-4, 1e-2, 1.0):
        x = (near + size * (task.start - near)).astype(np.float32)
        assert (task.loss(x) >= 0).all()


@pytest.mark.parametrize("name", ["rosenbrock", "styblinski_tang", "ackley", "rastrigin"])
def test_a_function_of_any_dims_is_one_of_five(name: str) -> None:
    task = drawn(made(function=name, dims=5))
    optimum = task.optimum()
    assert task.start.shape == (4, 2, 5)
    assert optimum is not None
    assert np.abs(task.loss(optimum)).max() < 1e-13


def test_a_functions_settings_are_those_that_are_not_given() -> None:
    family = made(function="rosenbrock", parameters={"b": 100}, start=[0, 1])
    assert family == made(
        loss=shipped_functions()["rosenbrock"]["loss"], parameters={"b": 100}, start=[0, 1], optimum=1
    )
    assert family.function is None


def test_the_library_has_the_functions_by_name() -> None:
    assert tasks.Rosenbrock() == made(function="rosenbrock")
    assert tasks.StyblinskiTang(dims=5, rotation="uniform") == made(
        function="styblinski_tang", dims=5, rotation="uniform"
    )
    assert {"Ackley", "Formula", "RosenbrockHard"} <= set(dir(tasks))


def test_the_page_lists_every_function_and_its_example_is_a_preset() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in SHIPPED)
    example = page.split("```toml\n")[1].partition("```")[0]
    assert check(tomllib.loads(example)).problem.dims == 2


# In a preset.


@pytest.mark.parametrize(
    "table",
    [
        {"function": "branin"},
        {"function": "rosenbrock", "dims": 4, "log": 1e-6, "rotation": "uniform"},
        {"loss": "x[0]**2\n+ w[0]*x[1] + w[1]", "parameters": {"w": {"normal": 1.0, "length": 2}}, "optimum": [0, 1]},
    ],
)
def test_the_effective_preset_has_the_formula_in_full(table: dict[str, Any]) -> None:
    preset = check(problem(**table))
    text = to_toml(preset)
    assert "function" not in text
    assert check(tomllib.loads(text)) == preset
    assert to_toml(check(tomllib.loads(text))) == text


def test_a_parameter_is_overridden_like_any_setting() -> None:
    preset = override(check(problem(function="rosenbrock")), ["problem.parameters.b=100", "problem.dims=3"])
    assert preset.problem == made(function="rosenbrock", parameters={"b": 100}, dims=3)


GOOD = {"loss": "x[0]**2 + b*x[1]", "parameters": {"b": [1, 2]}}
WRONG: list[tuple[dict[str, Any], str]] = [  # what is changed in GOOD, what is said
    ({"loss": None}, "[problem] loss: is missing"),
    ({"loss": 3}, "[problem] loss: must be a string (got 3)"),
    ({"loss": "x" * 3000}, "[problem] loss: a formula has at most 2,000 characters, this one has 3,000"),
    ({"loss": "x[0] + b*x[1] + __import__('os').system('touch hacked')"}, "[problem] loss: there is no function"),
    ({"loss": "(x[0] + b*x[1]).__class__"}, '[problem] loss: "." has no meaning here: nothing has attributes here'),
    ({"loss": "9**9**9**9 + b*x[0]*x[1]"}, "[problem] loss: an exponent is between -100 and 100"),
    ({"loss": "(" * 1000 + "x[0]" + ")" * 900}, "[problem] loss: is nested more than 30 levels deep"),
    ({"loss": "x[0] + b*x[1] \x1b]0;owned\x07"}, r'[problem] loss: "\x1b" has no meaning here'),
    ({"dims": 0}, "[problem] dims: must be at least 1 (got 0)"),
    ({"dims": 33}, "[problem] dims: must be at most 32 (got 33)"),
    ({"dims": 1}, "[problem] loss: x[1] is outside"),
    ({"dims": 3}, "[problem] loss: x[2] is nowhere in it, and dims is 3"),
    ({"dims": "2"}, "[problem] dims: must be a whole number"),
    ({"start": "zero"}, "[problem] start: must be a number, [low, high]"),
    ({"start": [1, 2, 3]}, "[problem] start: there are 3 for 2 coordinates"),
    ({"start": []}, "[problem] start: there are 0 for 2 coordinates"),
    ({"start": [2, 1]}, "[problem] start: "),
    ({"start": [[0, 1], {"gauss": 1}]}, "[problem] start: coordinate 1: must be a number, [low, high]"),
    ({"parameters": {}}, '[problem] loss: there is nothing called "b"'),
    ({"parameters": 5}, "[problem] parameters: must be a table"),
    ({"parameters": {"b": [1, 2], "c": 1}}, "[problem] parameters: c is nowhere in the loss"),
    ({"parameters": {"b": [1, 2], "sin": 1}}, "[problem] parameters: sin has a meaning of its own"),
    ({"parameters": {"b": [1, 2], "rotation": 1}}, "[problem] parameters: rotation has a meaning of its own"),
    ({"parameters": {"b": [1, 2], "__b": 1}}, '[problem] parameters: "__b" is no name'),
    ({"parameters": {"b": {"log_uniform": [0, 1]}}}, "[problem] parameters b: log_uniform must be"),
    ({"parameters": {"b": {"normal": 1, "length": 2}}}, "[problem] loss: b has 2 numbers"),
    ({"parameters": {"b": {"normal": 1, "length": 0}}}, "[problem] parameters b: length must be a whole number"),
    ({"parameters": {f"p{k}": 1 for k in range(101)}}, "[problem] parameters: there are 101: 100 at most"),
    ({"optimum": "here"}, "[problem] optimum: must be a number, or a list of a number for each coordinate"),
    ({"optimum": [0, 0, 0]}, "[problem] optimum: there are 3 for 2 coordinates"),
    ({"function": "booth"}, "[problem] function: the loss is given, too: keep one of them"),
    ({"function": "boot", "loss": None}, 'did you mean "booth"?'),
    ({"text": "x[0]"}, "[problem] text: unknown key"),
    ({"losss": "x[0]"}, '[problem] losss: unknown key; did you mean "loss"?'),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_a_wrong_formula_or_setting_is_one_message(changes: dict[str, Any], said: str) -> None:
    table = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(PresetError) as error:
        check(problem(**table), source="mine.toml")
    sentence, *below = error.value.lines
    assert sentence.startswith("mine.toml: [problem] ")
    assert said in sentence
    assert len(below) in (0, 2)
    assert all(line.isprintable() for line in error.value.lines)
    if below:
        assert below[1].strip() == "^"


def test_an_override_that_is_wrong_is_named_as_it_was_given() -> None:
    with pytest.raises(PresetError) as error:
        override(check(problem(**GOOD)), ["problem.loss=x[0] + y*x[1]"])
    assert error.value.lines[0].startswith("--set problem.loss=x[0] + y*x[1]: there is nothing called")
    assert error.value.lines[1:] == ("    x[0] + y*x[1]", "           ^")


def test_in_python_a_wrong_formula_is_a_validation_error_with_the_place() -> None:
    with pytest.raises(ValidationError, match=r"there is nothing called \"y\"") as error:
        made(loss="y*x[0]", dims=1)
    assert "\n    y*x[0]\n    ^" in str(error.value)


def test_the_message_on_the_page_is_what_is_said() -> None:
    page = PAGE.read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].partition("```")[0]
    (shown,) = (block.partition("```")[0] for block in page.split("$ l2o-tui check valley.toml\n")[1:])
    with pytest.raises(PresetError) as error:
        check(tomllib.loads(example.replace("b*(x", "a*(x")), source="valley.toml")
    assert shown == f"l2o-tui: {error.value}\n"
