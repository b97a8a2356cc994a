"""A device that is not there: its tensors hold what they would on the CPU, and meet no tensor that is not there too.

torch needs no accelerator for it. What is computed is the CPU's to the last bit, and whatever would fail on a GPU for
being on two devices at once, or for being read as a NumPy array from there, fails.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "lazy:0"
"""Of the device: one that torch knows, and asks no driver for."""

_ATEN = torch.ops.aten
_MOVING = (_ATEN._to_copy.default, _ATEN.copy_.default)
_INDEXING = (_ATEN.index.Tensor, _ATEN.index_put_.default)  # which take places from the CPU


class _There(Tensor):
    """A tensor there; what it holds is a tensor of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_There":
        made: _There = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, dispatch_device=True
        )
        made.held = held
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.new_tensor:  # which torch makes of nothing, where the tensor is
            like, values = args
            return torch.tensor(values, dtype=like.dtype).to(like.device)
        if func is Tensor.__getitem__:  # as it does of a list of places
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = args[0], tuple(torch.tensor(one) if isinstance(one, list) else one for one in places)
        with torch._C.DisableTorchFunctionSubclass():  # else what comes back from there would be made one of these
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]  # of a stub
        return _computed(func, args, kwargs or {})


class Elsewhere(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's are not typed
    """Has torch know the device, in a block; ``computed`` counts what was computed there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.computed = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.computed += any(isinstance(one, _There) for one in _tensors(args))
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [*_tensors((*args, *kwargs.values()))]
    there = [one for one in tensors if isinstance(one, _There)]
    if func is torch.ops.prim.device.default:
        return torch.device(NAME if there else "cpu")
    here = [one for one in tensors if not isinstance(one, _There)]
    is_number = torch.Tag.pointwise in func.tags and not any(one.ndim for one in here)
    if there and here and not is_number and func not in (*_MOVING, *_INDEXING):
        raise RuntimeError(f"{func} is of tensors on {NAME} and the CPU")
    asked = kwargs.get("device")
    is_there = bool(there) if asked is None else torch.device(asked) == torch.device(NAME)
    if func in _INDEXING:
        is_there = isinstance(args[0], _There)
    own = kwargs if asked is None else kwargs | {"device": torch.device("cpu")}
    func = _ATEN.zeros.default if func is _ATEN._efficientzerotensor.default else func  # which holds nothing at all
    found = func(*_each(_held, args), **{name: _each(_held, one) for name, one in own.items()})
    before = {id(one.held): one for one in there}  # what is computed in place is what it was

    return _each(lambda value: before.get(id(value), _There(value)), found) if is_there else found


def _held(value: Tensor) -> Tensor:
    return value.held if isinstance(value, _There) else value


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among values, and in lists and tuples among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _each(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return a value with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_each(change, one) for one in value) if isinstance(value, list | tuple) else value
