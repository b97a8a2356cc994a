"""What a problem in Python is: the methods that an object may have, and what each is given and returns.

Nothing has to be inherited: any object with ``init`` and ``loss`` is one, a dataclass for instance.

    @dataclass
    class Quadratic:
        dims: int = 2

        def parameters(self, generator):                      # what makes each task itself
            return {"scale": 1 + torch.rand(self.dims, generator=generator)}

        def init(self, generator):                            # where an optimizer starts
            return torch.randn(self.dims, generator=generator)

        def loss(self, x, parameters):                        # what a point costs
            return (parameters["scale"] * x**2).sum()

Methods take what they want by name, of what there is: ``generator``, ``parameters``, ``batch``. They see one task at a
time; :class:`~l2o_engine.tasks.python.custom.Custom` has them computed for many.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from l2o_engine.support.user_code import CodeError, line_of
from l2o_engine.support.wording import nearest, shown

Point: TypeAlias = Any
"""A tensor of any shape, or a dict of them, name → tensor: then each is a group of coordinates by its name."""


class Definition(Protocol):
    """A problem: these two methods, and any of the optional ones.

    Optional, and looked for by these names:

    ``parameters(generator) -> dict[str, Tensor]``
        What makes each task itself, drawn once a task; of the same shapes every time.
    ``batch(generator, parameters) -> Tensor | tuple[Tensor, …] | dict[str, Tensor]``
        A minibatch, drawn for each base step.
    ``gradient(x, batch, parameters) -> Point``
        ∇loss, where a formula is known; else autograd finds it.
    ``optimum(parameters) -> Point``
        Where the loss is least, where that is known.
    ``held_out_loss(x) -> Tensor``
        The loss over data that no minibatch is drawn from.

    ``generator`` is a torch.Generator on the CPU, seeded for this one draw: what is drawn with it is the same in every
    process, whatever else is drawn. All of a method's arguments but x may be left out.
    """

    def init(self, generator: Any) -> Point:
        """Return where one task starts, of the same shape every time. Numbers get the run's dtype."""
        ...

    def loss(self, x: Any, batch: Any) -> Any:
        """Return what a point costs: one number, a tensor of shape [] that depends on x through torch's operations."""
        ...


OPTIONAL = ("parameters", "batch", "gradient", "optimum", "held_out_loss")
"""The methods that a problem may have beside ``init`` and ``loss``."""

_GIVEN: dict[str, tuple[str, ...]] = {
    "parameters": ("generator",),
    "init": ("generator", "parameters"),
    "batch": ("generator", "parameters"),
    "loss": ("x", "batch", "parameters"),
    "gradient": ("x", "batch", "parameters"),
    "optimum": ("parameters",),
    "held_out_loss": ("x",),
}


@dataclass(frozen=True)
class Method:
    """A method of a problem, called with what it asks for.

    Attributes
    ----------
    name
        Its name.
    function
        The method, bound.
    wants
        The arguments that it takes, of those that it may be given.
    """

    name: str
    function: Callable[..., Any]
    wants: frozenset[str]

    def __call__(self, **given: Any) -> Any:
        """Return what it returns; what it does not ask for is left out."""
        return self.function(**{name: value for name, value in given.items() if name in self.wants})

    @property
    def place(self) -> str:
        """Where it is written, "file:line, in name"."""
        return line_of(self.function)

    def error(self, said: str) -> CodeError:
        """Return the error that this method does what it must not."""
        return CodeError(f"{self.place}: {said}")


def methods_of(definition: Any) -> dict[str, Method]:
    """Return the methods of a problem, by name.

    Raises
    ------
    CodeError
        If it is no problem: ``init`` or ``loss`` is missing, or one asks for what it is not given.
    """
    kind = type(definition).__qualname__
    if isinstance(definition, type):
        name = definition.__qualname__
        raise CodeError(f"{line_of(definition)}: this is the class {name} itself; return {name}()")
    missing = [name for name in ("init", "loss") if not callable(getattr(definition, name, None))]
    if missing:
        raise CodeError(
            f"{line_of(type(definition))}: a problem has the methods init and loss; {_article(kind)} has no "
            f"{' and no '.join(missing)}"
        )
    present = [name for name in ("init", "loss", *OPTIONAL) if getattr(definition, name, None) is not None]
    return {name: _method(name, getattr(definition, name)) for name in present}


def _method(name: str, function: Any) -> Method:
    given = _GIVEN[name]
    if not callable(function):
        raise CodeError(f"{name} is to be a method, and is {_article(type(function).__qualname__)}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a built-in, which says nothing of itself
        return Method(name, function, frozenset(given))
    wants, kinds = set[str](), inspect.Parameter
    for parameter in signature.parameters.values():
        if parameter.kind is kinds.VAR_KEYWORD:
            wants |= set(given)
        elif parameter.name in given and parameter.kind is not kinds.POSITIONAL_ONLY:
            wants.add(parameter.name)
        elif parameter.default is kinds.empty and parameter.kind is not kinds.VAR_POSITIONAL:
            raise CodeError(
                f"{line_of(function)}: {name} asks for {shown(parameter.name)!r}, and may be given "
                f"{', '.join(given)}, by name{nearest(parameter.name, given)}"
            )
    return Method(name, function, frozenset(wants))


def _article(kind: str) -> str:
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {shown(kind)}"
