"""A family of tasks that an object of the user's defines, which sees one task at a time.

Many tasks are computed at once by torch.func.vmap where the object's loss can be, which is tried once; else one after
the other. A minibatch is not kept: what a task holds is a number for each base step, of which the generator is made
that the minibatch is drawn with, so neither memory nor checkpoints grow with it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.support.user_code import users_code
from l2o_engine.support.wording import shown
from l2o_engine.tasks.base import Array, Arrays, Group, Task, TaskFamily
from l2o_engine.tasks.python.definition import Method, methods_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Generator, Tensor

    _Of: TypeAlias = Callable[["Tensor", dict[str, "Tensor"], Any], "Tensor"]

MOST_COORDINATES = 10_000_000
"""Coordinates of a point, at most."""

BATCH = "batch_index"
"""What a base step's minibatch is known by, among a task's minibatches: the seed that it is drawn with."""

_SEEDS = 2**62
_AT_ONCE = 8_000_000  # numbers that losses computed at once may take
_FEW = 4  # so many tasks and more are computed by vmap, which for fewer takes longer than it saves
_TRIED = 4  # tasks that a definition is tried on


@dataclass(frozen=True)
class Part:
    """A tensor of a point, by its place among the coordinates; see :class:`~l2o_engine.tasks.base.Group`."""

    place: slice
    shape: tuple[int, ...]
    part: str


class _Drawn(NamedTuple):
    """What makes one task: its start, a tensor or several by name, and its parameters."""

    point: Any
    parameters: dict[str, "Tensor"]


class _Singles(NamedTuple):
    """Tasks one behind the other: points [n, size], parameters [n, …], the minibatches' seeds, the axes they had."""

    points: "Tensor"
    parameters: dict[str, "Tensor"]
    seeds: list[int] | None
    leading: tuple[int, ...]
    is_of_arrays: bool = False

    def part(self, some: slice) -> "_Singles":
        """Return some of them."""
        own = {name: values[some] for name, values in self.parameters.items()}
        return self._replace(points=self.points[some], parameters=own, seeds=self.seeds[some] if self.seeds else None)


@dataclass(eq=False)
class Custom(TaskFamily):
    """Tasks that an object defines; see :class:`~l2o_engine.tasks.python.definition.Definition`.

    A point's coordinates are flat, [size], whatever the shape that ``init`` gives it; where that is a dict of tensors,
    each is a group. Before anything else the object is tried on a few draws: that is how shapes are known, and what it
    does that no task can is told then.

    Attributes
    ----------
    definition
        The object.
    kind
        What it is called in messages.
    why_one_by_one
        Why several tasks are computed one after the other; "" where they are computed at once.

    Raises
    ------
    CodeError
        If it is no problem, or does what no task can: other draws from the same generator, other shapes, a loss that
        is no single number or does not depend on x.
    """

    definition: Any
    kind: str = "custom"
    why_one_by_one: str = field(default="", init=False)

    def __post_init__(self) -> None:
        with self._running():
            self._methods = methods_of(self.definition)
            first, again = self._drawn(0), self._drawn(0)
            self._is_dict = isinstance(first.point, dict)
            self._shapes = _shapes(_named(first.point))
            self._parameter_shapes = _shapes(first.parameters)
            self._size = sum(map(prod, self._shapes.values()))
            self._check_draws(first, again)
            self._graph_numbers = self._tried()

    def __eq__(self, other: object) -> bool:
        """Return whether it is of the same object: of another nobody can say that it is the same problem."""
        return isinstance(other, Custom) and other.definition is self.definition and other.kind == self.kind

    def __hash__(self) -> int:
        return id(self.definition)

    def _running(self) -> "AbstractContextManager[None]":
        """Be around each call of the object; what it prints is printed, unless it is run for a preset."""
        return users_code(self.kind, is_heard=False)

    # What it is.

    @property
    def shape(self) -> tuple[int, ...]:
        """[size]: the tensors of a point behind one another, each flat."""
        return (self._size,)

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """Name → tensor of the point, where it is several; its part is what stands before its name's first dot."""
        if not self._is_dict:
            return {}
        found, start = dict[str, Group](), 0
        for name, shape in self._shapes.items():
            found[name] = Part(slice(start, start + prod(shape)), shape, name.partition(".")[0])
            start += prod(shape)
        return found

    @property
    def has_held_out(self) -> bool:
        """Whether the object has a ``held_out_loss``."""
        return "held_out_loss" in self._methods

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of a loss, as it was counted."""
        return self._graph_numbers

    def numbers_drawn(self, steps: int) -> int:
        """Return how many numbers a task takes: its start, its parameters and a seed for each draw."""
        parameters = sum(map(prod, self._parameter_shapes.values()))
        return self.size + parameters + 1 + (steps if "batch" in self._methods else 0)

    # Drawing.

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks; each takes a seed from the generator, and one for each base step where there are minibatches."""
        has_batches = "batch" in self._methods
        seeds = generator.integers(0, _SEEDS, size=(n, batch, 1 + (steps if has_batches else 0)))
        start = np.empty((n, batch, self._size), dtype)
        parameters = {name: np.empty((n, batch, *shape), dtype) for name, shape in self._parameter_shapes.items()}
        with self._running():
            for place in np.ndindex(n, batch):
                drawn = self._checked(self._drawn(int(seeds[*place, 0])))
                start[place] = _flat(drawn.point).numpy()
                for name, values in drawn.parameters.items():
                    if not values.is_floating_point() and parameters[name].dtype == dtype:  # whole numbers stay so
                        parameters[name] = parameters[name].astype(values.numpy().dtype)
                    parameters[name][place] = values.numpy()
        return Task(self, start, parameters, {BATCH: seeds[..., 1:].copy()} if has_batches else {})

    def _drawn(self, seed: int) -> _Drawn:
        """Return one task's start and parameters."""
        generator, parameters = _generator(seed), dict[str, Any]()
        if "parameters" in self._methods:
            parameters = _parameters(self._methods["parameters"], generator)
        init = self._methods["init"]
        return _Drawn(_point(init, init(generator=generator, parameters=parameters)), parameters)

    def _checked(self, drawn: _Drawn) -> _Drawn:
        """Return a draw, if it is of the shapes that the first one had."""
        pairs = {"init": (_named(drawn.point), self._shapes), "parameters": (drawn.parameters, self._parameter_shapes)}
        for name, (found, known) in pairs.items():
            if _shapes(found) != known:
                now, before = _in_words(_shapes(found)), _in_words(known)
                raise self._methods[name].error(f"returned {now} after {before}: shapes are the same for every task")
        return drawn

    def _check_draws(self, first: _Drawn, again: _Drawn) -> None:
        """Refuse what is too large, or drawn with something else than the generator."""
        if not 1 <= self._size <= MOST_COORDINATES:
            said = f"returned a point of {self._size:,} coordinates: 1 to {MOST_COORDINATES:,} are possible"
            raise self._methods["init"].error(said)
        self._checked(again)
        pairs = {"parameters": (first.parameters, again.parameters), "init": (_named(first.point), _named(again.point))}
        for name, (one, other) in pairs.items():
            if not all(_equal(one[key], other[key]) for key in one):
                raise self._methods[name].error(_UNSEEDED)

    # Losses.

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., size]."""
        with self._running():
            if isinstance(x, np.ndarray):
                return self._in_parts(self._losses_alone, x, parameters, minibatch)[0]
            singles = _singles(x, parameters, minibatch, self._parameter_shapes)
            return self._losses(singles).reshape(singles.leading)

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., size] of the loss at the points x: the object's own, or as autograd finds it."""
        return self.loss_and_gradient(x, parameters, minibatch)[1]

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., size] at the points x."""
        with self._running():
            if isinstance(x, np.ndarray):
                loss, gradient = self._in_parts(self._losses_and_gradients, x, parameters, minibatch)
                return loss, gradient
            singles = _singles(x.detach(), parameters, minibatch, self._parameter_shapes)
            losses, gradients = self._losses_and_gradients(singles)
            return losses.reshape(singles.leading), gradients.reshape(*singles.leading, self._size)

    def optimum(self, task: Task) -> Floats | None:
        """Return where each task's loss is least, [..., size]; None where the object does not say it."""
        import torch

        if (method := self._methods.get("optimum")) is None:
            return None
        singles = _singles(*_tensors(task.start, task.parameters, None), self._parameter_shapes)
        found = np.empty(task.start.shape, task.start.dtype).reshape(-1, self._size)
        with self._running(), torch.no_grad():
            for place in range(len(found)):
                own = {name: values[place] for name, values in singles.parameters.items()}
                point = _point(method, method(parameters=own))
                if _shapes(_named(point)) != self._shapes:
                    raise method.error(f"returned {_in_words(_shapes(_named(point)))}, not {_in_words(self._shapes)}")
                found[place] = _flat(point).numpy()
        return found.reshape(task.start.shape)

    def held_out_loss(self, x: Floats) -> Floats:
        """Return the loss [...] at the points x [..., size] over what the object holds out."""
        import torch

        if (method := self._methods.get("held_out_loss")) is None:
            return super().held_out_loss(x)
        points = torch.tensor(x.reshape(-1, self._size))
        with self._running(), torch.no_grad():
            found = [_number(method, method(x=self._shaped(point)), point).numpy() for point in points]
        return np.array(found, x.dtype).reshape(x.shape[:-1])

    def _in_parts(
        self, of: "Callable[[_Singles], tuple[Tensor, ...]]", x: Floats, parameters: Arrays, minibatch: Arrays | None
    ) -> tuple[Floats, ...]:
        """Return what a function says of tasks given as arrays: of so many at once that what it takes stays bounded."""
        # A chunk of a run has as many tasks as it happens to have: they are computed in one way, however many.
        singles = _singles(*_tensors(x, parameters, minibatch), self._parameter_shapes)._replace(is_of_arrays=True)
        at_once = max(1, _AT_ONCE // max(self._graph_numbers, self._size))
        some = [singles.part(slice(k, k + at_once)) for k in range(0, len(singles.points), at_once)]
        found = [[values.numpy() for values in of(one)] for one in some]
        each = (np.concatenate(values) for values in zip(*found, strict=True))
        return tuple(values.reshape(*singles.leading, *values.shape[1:]) for values in each)

    def _losses_alone(self, singles: _Singles) -> tuple["Tensor", ...]:
        import torch

        with torch.no_grad():
            return (self._losses(singles),)

    def _losses_and_gradients(self, singles: _Singles) -> tuple["Tensor", "Tensor"]:
        """Return the losses [n] and their gradients [n, size], without a graph."""
        import torch

        if "gradient" in self._methods:
            with torch.no_grad():
                return self._losses(singles), self._each(self._gradient_of_one, singles)
        with torch.enable_grad():
            points = singles.points.detach().requires_grad_()
            losses = self._losses(singles._replace(points=points))
            (gradients,) = torch.autograd.grad(losses.sum(), points)
        return losses.detach(), gradients

    def _losses(self, singles: _Singles) -> "Tensor":
        """Return the losses [n]."""
        import torch

        losses = self._each(self._loss_of_one, singles)
        if torch.is_grad_enabled() and singles.points.requires_grad and not losses.requires_grad:
            raise self._methods["loss"].error(_UNRELATED)
        return losses

    def _each(self, of: "_Of", singles: _Singles) -> "Tensor":
        """Return what a function says of each task, of a point, its parameters and its minibatch."""
        import torch

        points, n = singles.points, len(singles.points)
        owns = [{name: values[k] for name, values in singles.parameters.items()} for k in range(n)]
        batches = [self._batch(singles.seeds, k, owns[k], points) for k in range(n)]
        are_many = n >= _FEW or singles.is_of_arrays
        if are_many and not self.why_one_by_one and (stacked := _stacked(batches)) is not None:
            return torch.func.vmap(of)(points, singles.parameters, stacked)
        return torch.stack([of(points[k], owns[k], batches[k]) for k in range(n)])

    def _batch(self, seeds: list[int] | None, k: int, own: dict[str, "Tensor"], like: "Tensor") -> Any:
        """Return the minibatch of a task's base step, () where there is none."""
        if (method := self._methods.get("batch")) is None:
            return ()
        if seeds is None:
            raise ValueError("the loss is of a minibatch")
        return _cast(method, method(generator=_generator(seeds[k]), parameters=own), like)

    def _loss_of_one(self, point: "Tensor", own: dict[str, "Tensor"], batch: Any) -> "Tensor":
        """Return the loss [] at one point [size]."""
        method = self._methods["loss"]
        before = _versions(point, own)
        value = method(x=self._shaped(point), batch=_given(batch), parameters=own)
        if _versions(point, own) != before:
            raise method.error(_IN_PLACE)
        return _number(method, value, point)

    def _gradient_of_one(self, point: "Tensor", own: dict[str, "Tensor"], batch: Any) -> "Tensor":
        """Return the object's own gradient [size] at one point [size]."""
        method = self._methods["gradient"]
        found = _point(method, method(x=self._shaped(point), batch=_given(batch), parameters=own))
        if _shapes(_named(found)) != self._shapes:
            raise method.error(f"returned {_in_words(_shapes(_named(found)))}, not {_in_words(self._shapes)} as x")
        return _flat(found).to(point.dtype)

    def _shaped(self, point: "Tensor") -> Any:
        """Return a point [size] as ``init`` has it: one tensor, or several by name."""
        found, start = dict[str, Any](), 0
        for name, shape in self._shapes.items():
            found[name] = point[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return found if self._is_dict else found[_WHOLE]

    # Trying it.

    def _tried(self) -> int:
        """Let a few losses be computed, find out whether many can be at once; return what autograd keeps of one."""
        import torch

        task = self.draw(np.random.default_rng(0), 1, _TRIED, steps=1, dtype="float32")
        singles = _singles(*_tensors(task.start, task.parameters, task.minibatch(0)), self._parameter_shapes)
        first, kept = singles.part(slice(0, 1)), [0]

        def count(values: "Tensor") -> "Tensor":
            kept[0] += values.numel()
            return values

        with torch.autograd.graph.saved_tensors_hooks(count, lambda values: values), torch.enable_grad():
            losses = self._losses(first._replace(points=first.points.clone().requires_grad_()))
        seen = first.points.clone()
        (again,) = self._losses_alone(first)
        if not _equal(seen, first.points):
            raise self._methods["loss"].error(_IN_PLACE)
        if not _equal(losses.detach(), again) and not torch.allclose(losses.detach(), again, 1e-4, equal_nan=True):
            raise self._methods["loss"].error(
                "two calls with the same x, batch and parameters gave other numbers: what is random belongs into "
                "batch(generator)"
            )
        self.why_one_by_one = "it was not tried yet"
        one_by_one = self._losses_and_gradients(singles)  # which is as it is meant, so its errors are the user's
        self.why_one_by_one = ""
        self.why_one_by_one = self._why_one_by_one(singles, one_by_one)
        return max(kept[0], self._size)

    def _why_one_by_one(self, singles: _Singles, expected: Sequence["Tensor"]) -> str:
        import torch

        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                found = self._losses_and_gradients(singles)
            except Exception as error:  # noqa: BLE001 (whatever vmap cannot do, the loop can)
                return shown(f"{type(error).__name__}: {error}".splitlines()[0], most=200)
        if slow := [str(one.message) for one in heard if "vmap" in str(one.message) or "batching" in str(one.message)]:
            return shown(slow[0].splitlines()[0], most=200)
        are_close = all(torch.allclose(a, b, 1e-3, 1e-5, equal_nan=True) for a, b in zip(found, expected, strict=True))
        return "" if are_close else "torch.func.vmap gave other numbers"


_WHOLE = ""  # the name of the one tensor of a point that is one
_UNSEEDED = (
    "two calls with the same generator gave other numbers, so no run could be resumed or repeated: draw with "
    "generator=generator"
)
_IN_PLACE = "changes x, or the task's parameters, in place: take x + y in place of x += y"
_UNRELATED = (
    "the loss does not depend on x through torch's operations: .item(), .detach(), NumPy and torch.tensor(…) cut it off"
)


def _generator(seed: int) -> "Generator":
    import torch

    return torch.Generator().manual_seed(seed)


def _named(point: Any) -> dict[str, "Tensor"]:
    """Return a point's tensors by name."""
    return point if isinstance(point, dict) else {_WHOLE: point}


def _shapes(named: Mapping[str, "Tensor"]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values.shape) for name, values in named.items()}


def _flat(point: Any) -> "Tensor":
    """Return the coordinates of a point, [size]."""
    import torch

    return torch.cat([values.reshape(-1) for values in _named(point).values()])


def _equal(one: "Tensor", other: "Tensor") -> bool:
    return bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124 (NaN is as NaN)


def _versions(point: "Tensor", own: Mapping[str, "Tensor"]) -> list[int]:
    """Return how often tensors have been changed in place."""
    return [values._version for values in (point, *own.values())]


def _in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    said = [f"{shown(name)} {list(shape)}".strip() for name, shape in shapes.items()]
    return " and ".join(said) if len(said) <= 4 else f"{', '.join(said[:3])} and {len(said) - 3} more"


def _point(method: Method, value: Any) -> Any:
    """Return a point as an object gave it: a tensor on the CPU, or several by name."""
    if not isinstance(value, Mapping):
        return _tensor(method, value)
    if not value or not all(isinstance(name, str) and name for name in value):
        raise method.error("returned a dict without a tensor, or with a name that is no text")
    return {name: _tensor(method, one, f'"{shown(name)}" is ') for name, one in value.items()}


def _tensor(method: Method, value: Any, what: str = "returned ", *, floating: bool = True) -> "Tensor":
    import torch

    found = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if not isinstance(found, torch.Tensor):
        raise method.error(f"{what}{_what(value)}, where a tensor is wanted")
    if floating and not found.is_floating_point():
        raise method.error(f"{what}a tensor of {found.dtype}, where floating-point numbers are wanted")
    if found.is_complex() or found.is_sparse:
        raise method.error(f"{what}a tensor that is {'complex' if found.is_complex() else 'sparse'}")
    return found.detach().cpu()


def _parameters(method: Method, generator: "Generator") -> dict[str, "Tensor"]:
    found = method(generator=generator)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) and name for name in found):
        raise method.error(f"returned {_what(found)}, where a dict of tensors by name is wanted")
    return {name: _tensor(method, one, f'"{shown(name)}" is ', floating=False) for name, one in found.items()}


def _number(method: Method, value: Any, point: "Tensor") -> "Tensor":
    """Return what a loss method returned, [], in the dtype of the point."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise method.error(f"returned {_what(value)}, where a tensor of one number is wanted")
    if value.numel() != 1:
        raise method.error(f"returned a tensor of shape {list(value.shape)}; a loss is one number: .sum() or .mean()?")
    if value.is_complex():
        raise method.error("returned a complex number")
    return value.reshape(()).to(point.dtype)


def _what(value: Any) -> str:
    kind = shown(type(value).__qualname__)
    return "None (is a return missing?)" if value is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _given(batch: Any) -> Any:
    """Return a minibatch as the loss is given it: None where there is none."""
    return None if isinstance(batch, tuple) and not batch else batch


def _cast(method: Method, batch: Any, like: "Tensor") -> Any:
    """Return a minibatch where the points are, its numbers in their dtype; whole ones as they are."""
    import torch

    if isinstance(batch, Mapping):
        return {name: _cast(method, one, like) for name, one in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(_cast(method, one, like) for one in batch)
    found = torch.from_numpy(batch) if isinstance(batch, np.ndarray) else batch
    if not isinstance(found, torch.Tensor):
        raise method.error(f"returned {_what(batch)}, where a tensor, a tuple or a dict of them is wanted")
    return found.to(like.device, like.dtype) if found.is_floating_point() else found.to(like.device)


def _stacked(batches: Sequence[Any]) -> Any:
    """Return minibatches as one, with a leading axis; None where they differ in shape, and none as none."""
    import torch

    first = batches[0]
    if isinstance(first, dict):
        each = {name: _stacked([one[name] for one in batches]) for name in first}
        return None if any(one is None for one in each.values()) else each
    if isinstance(first, tuple):
        parts = [_stacked(column) for column in zip(*batches, strict=True)]
        return None if any(one is None for one in parts) else tuple(parts)
    return torch.stack(list(batches)) if len({tuple(one.shape) for one in batches}) == 1 else None


def _tensors(x: Floats, parameters: Arrays, minibatch: Arrays | None) -> tuple[Any, Any, Any]:
    """Return arrays as tensors of their own."""
    import torch

    own = {name: torch.tensor(values) for name, values in parameters.items()}
    seeds = None if minibatch is None else {name: torch.tensor(values) for name, values in minibatch.items()}
    return torch.tensor(x), own, seeds


def _singles(
    x: "Tensor", parameters: Arrays, minibatch: Arrays | None, shapes: Mapping[str, tuple[int, ...]]
) -> _Singles:
    """Return tasks one behind the other, whatever axes they stood along."""
    seeds = None if minibatch is None else minibatch[BATCH]
    axes = [tuple(x.shape[:-1]), *(() if seeds is None else (tuple(seeds.shape),))]
    axes += [tuple(parameters[name].shape[: parameters[name].ndim - len(shape)]) for name, shape in shapes.items()]
    leading = np.broadcast_shapes(*axes)
    own = {name: parameters[name].expand(*leading, *shape).reshape(-1, *shape) for name, shape in shapes.items()}
    flat_seeds = None if seeds is None else seeds.expand(leading).reshape(-1).cpu().tolist()
    return _Singles(x.expand(*leading, x.shape[-1]).reshape(-1, x.shape[-1]), own, flat_seeds, leading)
