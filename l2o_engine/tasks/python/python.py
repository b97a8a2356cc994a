"""``kind = "python"``: a preset names the code that makes its problem, and with what.

To read such a preset runs nothing. The code runs when something is asked of the problem itself, its shape or a draw,
and only if the user has allowed the folder that it is in, or has installed the package that offers it.
"""

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from pydantic import AfterValidator, Field

from l2o_engine.support.arrays import Floats
from l2o_engine.support.plugins import TASK_GROUP, load_plugin
from l2o_engine.support.settings import Text, Words, is_number, settings
from l2o_engine.support.user_code import CodeError, Module, allow_code, allowed_folders, line_of, load, users_code
from l2o_engine.support.user_code.permission import file_of, refusal
from l2o_engine.support.wording import nearest, quote, shown
from l2o_engine.tasks.base import TASKS, Array, Arrays, Group, Task, TaskFamily
from l2o_engine.tasks.python.custom import Custom

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_NAME = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
_FACTORY = rf"^{_NAME}(:{_NAME})?$"
_LONGEST = 200  # characters of arguments that are shown
_MOST_SHOWN = 80  # of a value


class Arguments(dict[str, Any]):
    """What a factory is called with, by name: plain values, which nobody changes."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, and settings are compared and looked up
        return hash(repr(self))

    def __str__(self) -> str:
        return shown(", ".join(f"{name}={value!r}" for name, value in self.items()), most=_LONGEST)


def _checked(given: dict[str, Any]) -> Arguments:
    for name, value in given.items():
        if not name.isidentifier():
            raise ValueError(f"{quote(name)} is no name of an argument")
        if not _is_plain(value):
            raise ValueError(f"{name} must be made of texts, finite numbers, true and false, lists and tables")
    return Arguments(sorted(given.items()))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(one) for name, one in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool) or is_number(value)


class _Made:
    """A problem that was made: the family, and what it was made of."""

    def __init__(self, family: TaskFamily, module: Module | None, sources: Mapping[str, str]) -> None:
        self.family = family
        self.module = module
        self.sources = sources


_MOST_MADE = 32
_made: dict[object, _Made] = {}  # a run's preset is read many times, and its problem need not be made anew each time


@TASKS.register
@settings
class Python(TaskFamily):
    """A problem of your own, in Python ([own-problem.md](own-problem.md)). As code it runs only with `--allow-code`.

    Attributes
    ----------
    factory
        "module:callable": what makes the problem, of a module in the folder that `--allow-code` names. Without a colon
        it is the name that an installed package offers it by, an entry point of the group "l2o_engine.tasks".
    arguments
        What it is called with, by name.
    """

    factory: Annotated[Text, Field(max_length=200, pattern=_FACTORY), Words('"module:callable"')]
    arguments: Annotated[
        dict[str, Any], AfterValidator(_checked), Words("a table: texts, numbers, true or false, lists, tables")
    ] = Field(default_factory=Arguments)
    kind: Literal["python"] = "python"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to a process of ours as what the preset says, with the permission that this process was given."""
        return _arrived, (self.factory, dict(self.arguments), allowed_folders())

    @property
    def is_known(self) -> bool:
        """Whether the problem has been made: else to ask for its shape may run code."""
        return "_family" in self.__dict__

    @property
    def is_code(self) -> bool:
        """Yes: what it computes is what a user's file says."""
        return True

    @cached_property
    def _family(self) -> _Made:
        """The problem, made once; see :func:`_make`."""
        module_name, colon, name = self.factory.partition(":")
        if not colon:
            return _made_of(self.factory, self.arguments, lambda: load_plugin(TASK_GROUP, self.factory), None)
        if file_of(module_name) is None:
            raise refusal(self.factory, str(self.arguments))
        module = load(module_name)
        if module is None:
            raise refusal(self.factory, str(self.arguments))
        return _made_of(self.factory, self.arguments, lambda: _attribute(module, name), module)

    @property
    def family(self) -> TaskFamily:
        """The problem that the code has made.

        Raises
        ------
        NotAllowedError
            If its code would have to run, and nobody has allowed it.
        CodeError
            If that fails, or makes no problem.
        """
        return self._family.family

    def _running(self) -> "AbstractContextManager[None]":
        return _Running(self._family.module, self.factory)

    @property
    def shape(self) -> tuple[int, ...]:
        """As the problem has it."""
        return self.family.shape

    @property
    def groups(self) -> Mapping[str, Group]:
        """As the problem has them."""
        return self.family.groups

    @property
    def sources(self) -> Mapping[str, str]:
        """File name → SHA-256 of the modules that were run; of an installed package, what version it has."""
        made = self._family
        return dict(made.module.sources if made.module else made.sources) | dict(made.family.sources)

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of a loss."""
        return self.family.graph_numbers

    def numbers_drawn(self, steps: int) -> int:
        """Return how many numbers a task of so many base steps is made of."""
        return self.family.numbers_drawn(steps)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks, as the problem draws them."""
        with self._running():
            task = self.family.draw(generator, n, batch, steps=steps, dtype=dtype)
        return Task(self, task.start, task.parameters, task.minibatches)

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., *shape]."""
        with self._running():
            return self.family.loss(x, parameters, minibatch)

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., *shape] of the loss at the points x."""
        with self._running():
            return self.family.gradient(x, parameters, minibatch)

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., *shape] at the points x."""
        with self._running():
            return self.family.loss_and_gradient(x, parameters, minibatch)

    def hessian_product(self, x: Array, v: Array, parameters: Arrays) -> Array | None:
        """Return the Hessian of the loss at x times v, where the problem knows a formula."""
        with self._running():
            return self.family.hessian_product(x, v, parameters)

    def disturbance(self, parameters: Arrays, minibatch: Arrays | None) -> Array | None:
        """Return what a base step's gradient is off the loss's, [..., *shape]; None where it is the loss's own."""
        with self._running():
            return self.family.disturbance(parameters, minibatch)

    def optimum(self, task: Task) -> Floats | None:
        """Return where each task's loss is least, [..., *shape]; None where that is not known."""
        with self._running():
            return self.family.optimum(Task(self.family, task.start, task.parameters, task.minibatches))

    @property
    def has_held_out(self) -> bool:
        """Whether the problem holds data out."""
        return self.family.has_held_out

    def held_out_loss(self, x: Floats) -> Floats:
        """Return the loss [...] at the points x [..., *shape] over data that no minibatch is drawn from."""
        with self._running():
            return self.family.held_out_loss(x)


class _Running:
    """While a problem's code runs: it may import what lies beside it, and its errors are told by its lines."""

    def __init__(self, module: Module | None, factory: str) -> None:
        self._beside = module.beside() if module else None
        self._code = users_code(factory)

    def __enter__(self) -> None:
        if self._beside:
            self._beside.__enter__()
        self._code.__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            self._code.__exit__(*error)
        finally:
            if self._beside:
                self._beside.__exit__(None, None, None)


def _arrived(factory: str, arguments: dict[str, Any], folders: "tuple[Path, ...]") -> Python:
    allow_code(*folders)
    return Python(factory, arguments)


def _attribute(module: Module, name: str) -> Any:
    """Return what a module has by a name."""
    found: Any = module.module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [one for one in vars(module.module) if not one.startswith("_")]
            file = shown(str(module.module.__file__))
            raise CodeError(f'{file}: has no "{part}"{nearest(part, names)}')
        found = getattr(found, part)
    return found


def _made_of(factory: str, arguments: Mapping[str, Any], find: Any, module: Module | None) -> _Made:
    """Return a problem: one that was made before of the same code and arguments, else made now."""
    stamp = repr(sorted(module.sources.items())) if module else ""
    key = factory, repr(arguments), module.folder if module else None, stamp
    if (known := _made.get(key)) is not None:
        return known
    with _Running(module, factory):
        callable_ = find()
        _check_call(callable_, factory, arguments)
        returned = callable_(**arguments)
        family = returned if isinstance(returned, TaskFamily) else _custom(returned, callable_, factory)
    sources = {} if module else {factory: _version_of(callable_)}
    while len(_made) >= _MOST_MADE:
        del _made[next(iter(_made))]
    key = (*key[:3], repr(sorted(module.sources.items())) if module else "")  # what the factory has imported counts
    return _made.setdefault(key, _Made(family, module, sources))


def _custom(returned: Any, factory: Any, name: str) -> Custom:
    if returned is None:
        raise CodeError(f"{line_of(factory)}: returned None, where a problem is wanted (is a return missing?)")
    if not hasattr(returned, "init") and not hasattr(returned, "loss"):
        what = shown(repr(returned), most=_MOST_SHOWN)
        raise CodeError(f"{line_of(factory)}: returned {what}, where an object with init and loss is wanted")
    return Custom(returned, name)


def _check_call(function: Any, factory: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what cannot be called, or not with these arguments."""
    if not callable(function):
        raise CodeError(f"{factory} is to be a function or a class, and is a {shown(type(function).__qualname__)}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a built-in, which says nothing of itself
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        where = line_of(function)
        raise CodeError(f"{where}: [problem.arguments]: {shown(str(error))}; it takes {takes}") from None


def _version_of(function: Any) -> str:
    """Return the version of the package that a function was installed with."""
    from importlib.metadata import packages_distributions, version

    top = cast("str", getattr(function, "__module__", "")).partition(".")[0]
    packages = packages_distributions().get(top, [])
    return f"{packages[0]} {version(packages[0])}" if packages else "unknown"
