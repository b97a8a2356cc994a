"""The states of a state dict, checked and copied: in the dtype that is computed in, which PyTorch would cast away."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from l2o_engine.torch_optim.passes import GUARD, STEP, Computing, is_ours

_SHOWN = 12  # characters of a digest


def check_digest(groups: Sequence[Mapping[str, Any]], digest: str) -> None:
    """Make sure that groups of a state dict are of the learned optimizer with a digest.

    Raises
    ------
    ValueError
        If one is not.
    """
    for group in groups:
        if group.get("learned") != digest:
            theirs, ours = str(group.get("learned"))[:_SHOWN], digest[:_SHOWN]
            raise ValueError(f"the state is of another learned optimizer: its digest is {theirs}…, not {ours}…")


def states_of(
    given: Mapping[str, Any],
    own: Sequence[tuple[str, Tensor]],
    computing_for: Callable[[str, Tensor], Computing],
    *,
    is_guarded: bool,
) -> dict[Any, Any]:
    """Return copies of the states that a state dict holds, by parameter; what is of none stays as it is.

    Parameters
    ----------
    given
        The state dict.
    own
        All parameters, with their names.
    computing_for
        Returns what computes for a parameter.
    is_guarded
        Whether a guard's means are wanted.

    Raises
    ------
    ValueError
        If the state of a parameter is none of such an optimizer's; it is named.
    """
    saved = [key for group in given["param_groups"] for key in group["params"]]
    if len(saved) != len(own):
        return {}  # which PyTorch says, group by group
    named_by_key = dict(zip(saved, own, strict=True))
    found: dict[Any, Any] = {}
    for key, state in given["state"].items():
        if key not in named_by_key:
            found[key] = state
            continue
        name, parameter = named_by_key[key]
        computing = computing_for(name, parameter)
        copied, why_not = {}, f"it is a {type(state).__name__}"
        if isinstance(state, Mapping):
            copied = _copied(state, computing.like, is_guarded=is_guarded)
            why_not = _why_not(copied, computing, parameter.numel())
        if why_not:
            raise ValueError(f"the state of {name} is none of this optimizer: {why_not}")
        found[parameter] = copied
    return found


def _copied(state: Mapping[str, Any], like: Tensor, *, is_guarded: bool) -> dict[str, Any]:
    def copy_of(name: str, value: Any) -> Any:
        if name == STEP and isinstance(value, int | float):  # as it was in old states of PyTorch's own
            return torch.tensor(float(value), dtype=torch.float32)
        if not isinstance(value, Tensor):
            return value
        if not is_ours(name):  # the step, and what others keep there
            return value.clone()
        return value.detach().to(like.device, like.dtype, copy=True).contiguous()

    return {name: copy_of(name, one) for name, one in state.items() if is_guarded or not str(name).startswith(GUARD)}


def _why_not(state: Mapping[str, Any], computing: Computing, size: int) -> str:
    if STEP in state:
        return computing.why_no_state(state, size)
    return f"it has no {STEP}" if any(map(is_ours, state)) else ""
