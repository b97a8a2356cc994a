"""The ``torch.optim.Optimizer`` that a trained optimizer becomes."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import isfinite, prod, sqrt
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.support.wording import shown
from l2o_engine.torch_optim import guard as guarding
from l2o_engine.torch_optim.loading import check_digest, states_of
from l2o_engine.torch_optim.options import Guard, Scale
from l2o_engine.torch_optim.passes import STEP, Computing, Slot, member_for, members_of, updates
from l2o_engine.torch_optim.watch import Watch, number_in, rms

Parameters: TypeAlias = "Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]"
"""What PyTorch's optimizers take: parameters, groups of them, or parameters with their names."""

_COMPUTED_IN = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


_ONE = torch.tensor(1.0, dtype=torch.float32, device="cpu")  # a number is made a tensor anew for each it is added to


class TorchOptimizer(torch.optim.Optimizer):
    """A trained optimizer that moves the parameters of any model; see :func:`l2o_engine.torch_optimizer`.

    Its update of every coordinate is the learned one, of that coordinate's gradients alone. It is computed in float32,
    or in float64 for parameters of float64; the network's state is kept in that dtype, beside parameters of any. On a
    CPU the compiled kernel computes an LSTM, elsewhere torch does.

    ``state_dict`` holds, for each parameter of n coordinates, ``step``, ``network.<name>`` [tiles, units, 64] (each
    tile the numbers of 64 coordinates; 320 bytes a coordinate for two layers of 20) and ``memory.<name>`` [n, ...];
    the learned weights are not in it, but their digest is in each group.

    Parameters
    ----------
    params
        As for any of PyTorch's optimizers; groups may have their own ``lr``, ``weight_decay``, ``maximize`` and
        ``scale``.
    exported
        The trained optimizer.
    lr
        What updates are multiplied with; 1 is as it was trained. A number or a tensor of one.
    weight_decay
        Decoupled: a step also takes lr · weight_decay of each parameter away, as AdamW does. With an lr of 1, 1e-5
        is what 0.01 is with Adam's usual 1e-3.
    maximize
        Whether to go up.
    scale
        "rms": the gradient of every tensor is brought to the root mean square that was typical in training (the
        geometric mean of what was seen, or 1 where that is not known), for models whose gradients are of another
        magnitude. The learned optimizer then no longer knows how far a gradient has shrunk.
    guard
        Has Adam step in where the learned optimizer does harm; True for :class:`Guard`'s own settings.
    called
        What messages call it: what `l2o-tui evaluate` finds it by. The run's name, if not given.

    Attributes
    ----------
    exported
        The trained optimizer.

    Raises
    ------
    ValueError
        If an option is out of its range, there is no parameter, or one is of a kind that it cannot move.
    TypeError
        If an option is none.
    """

    def __init__(
        self,
        params: Parameters,
        exported: Exported,
        lr: float | Tensor = 1.0,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        scale: Scale = None,
        guard: Guard | bool = False,
        called: str | None = None,
    ) -> None:
        if not isinstance(guard, Guard | bool):
            raise TypeError(f"guard must be a Guard, True or False, not {type(guard).__name__}")
        self.exported = exported
        self._guard = Guard() if guard is True else guard or None
        self._watch = Watch(exported, exported.origin.run if called is None else called)
        self._members = members_of(exported)
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "scale": scale,
            "learned": exported.digest,
            "guarded": guarding.at_first() if self._guard else None,
        }
        self._check_options(defaults)  # which are wrong whatever the parameters are
        super().__init__(cast("Any", params), defaults)

    # A citizen of PyTorch: groups, states, copies.

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; see PyTorch.

        Raises
        ------
        ValueError
            If an option is out of its range, or a parameter is of a kind that it cannot move.
        TypeError
            If an option is none.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check_options(group)
            self._check_parameters(group)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        if self._guard:  # the loss is everybody's
            group["guarded"] = dict(self.param_groups[0]["guarded"])

    @staticmethod
    def _check_options(group: Mapping[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            value = group[name]
            if isinstance(value, Tensor) and value.numel() != 1:
                raise ValueError(f"Tensor {name} must be 1-element")  # PyTorch's words, which its own checks ask for
            if not isinstance(value, int | float | Tensor) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if not (isfinite(float(value)) and float(value) >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, not {float(value)}")
        if group["scale"] not in (None, "rms"):
            raise ValueError(f'scale must be None or "rms", not {group["scale"]!r}')

    def _check_parameters(self, group: Mapping[str, Any]) -> None:
        for name, parameter in self._named(group):
            if parameter.dtype not in _COMPUTED_IN:
                raise ValueError(f"a learned optimizer cannot move {name}, which is {_dtype(parameter)}")
            if type(parameter.data) is not Tensor:  # whose memory is not all here: a DTensor's
                raise ValueError(f"a learned optimizer cannot move {name}, a {type(parameter.data).__name__}")
            member_for(self.exported, name, tuple(parameter.shape))

    def _named(self, group: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of a group with what messages call them."""
        for place, parameter in enumerate(group["params"]):
            yield self._name(group, place), parameter

    def _name(self, group: Mapping[str, Any], place: int) -> str:
        """Return what messages call a parameter of a group: its name, or its number where it has none."""
        if (names := group.get("param_names")) is not None:
            return shown(names[place])
        number = next(number for number, one in enumerate(self.param_groups) if one is group)
        return f"parameter {place} of group {number}" if number else f"parameter {place}"

    def __getstate__(self) -> dict[str, Any]:
        return {
            **super().__getstate__(),
            "exported": self.exported,
            "_guard": self._guard,
            "_watch": self._watch,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "exported" in state:  # a copy, or from a pickle; else what a state dict gives
            self._members = members_of(self.exported)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state: bit for bit as the optimizer would have that it is of.

        States stay in the dtype that is computed in, which PyTorch's own would cast to the parameters'; they are
        copied.

        Raises
        ------
        ValueError
            If the state is of another learned optimizer, or of other parameters.
        """
        found: defaultdict[Tensor, Any] = defaultdict(dict)

        def take_out(_: torch.optim.Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            check_digest(given["param_groups"], self.exported.digest)
            own = [named for group in self.param_groups for named in self._named(group)]
            found.update(states_of(given, own, self._computing, is_guarded=self._guard is not None))
            return {**given, "state": {}}

        def put_in(_: torch.optim.Optimizer) -> None:
            self.state = found
            for group in self.param_groups:  # whether there is a guard was said here, and not there
                known = group.get("guarded") or guarding.at_first()
                group["guarded"] = known if self._guard else None

        # The one sees the state after all hooks that may change it, the other is there before all hooks that may ask.
        before = self.register_load_state_dict_pre_hook(take_out)
        after = self.register_load_state_dict_post_hook(put_in, prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            before.remove()
            after.remove()

    # A step.

    def step(self, closure: Callable[[], Any] | None = None, *, loss: float | Tensor | None = None) -> Any:
        """Move the parameters that have a gradient.

        Parameters
        ----------
        closure
            Computes the loss, and the gradients, anew, and returns the loss.
        loss
            The loss, where there is no closure: for the guard, and for the warning that it is far from those of
            training.

        Returns
        -------
        Any
            What the closure has returned, or None.

        Raises
        ------
        ValueError
            If a gradient is sparse or complex, or a parameter's dtype has changed. No parameter has moved then.
        TypeError
            If the closure is none.
        """
        told = None
        if closure is not None and not callable(closure):
            raise TypeError("step takes a closure; a loss is given as step(loss=loss)")
        if closure is not None:
            with torch.enable_grad():
                loss = told = closure()
        with torch.no_grad():
            slots = self._slots()
            self._hear(loss)
            for computing, some in slots.items():
                for moved in updates(computing, some):
                    self._move(moved)
        return told

    @property
    def guarded(self) -> dict[str, int]:
        """What the guard has done: "fallbacks", tensors that took Adam's step, and "non_finite", that stayed."""
        known = self.param_groups[0]["guarded"] or guarding.at_first()
        return {name: known[name] for name in ("fallbacks", "non_finite")}

    def _computing(self, name: str, parameter: Tensor) -> Computing:
        alone = self._members.get("")  # one network for all
        member = alone or self._members[member_for(self.exported, name, tuple(parameter.shape))]
        return member.on(parameter.device, _COMPUTED_IN[parameter.dtype])

    def _slots(self) -> dict[Computing, list[Slot]]:
        """Return the parameters that move, by what computes their updates, their states begun or one step on."""
        moving = [
            (group, place, parameter, gradient)
            for group in self.param_groups
            for place, parameter in enumerate(group["params"])
            if (gradient := parameter.grad) is not None and parameter.numel()
        ]
        for group, place, _, gradient in moving:
            if gradient.layout is not torch.strided or gradient.dtype not in _COMPUTED_IN:
                raise _refused(self._name(group, place), gradient)
        slots: dict[Computing, list[Slot]] = defaultdict(list)
        for group, place, parameter, gradient in moving:
            name = "" if "" in self._members else self._name(group, place)
            computing, state = self._computing(name, parameter), self.state[parameter]
            downhill = gradient.detach().flatten()
            if downhill.dtype != computing.like.dtype:
                downhill = downhill.to(computing.like.dtype)
            if group["maximize"]:
                downhill = -downhill
            seen = self._as_seen(downhill, group["scale"])
            slot = Slot(parameter, parameter.numel(), state, seen, downhill, group)
            if STEP not in state:  # what else is there is somebody's own
                if group["scale"] is None:
                    self._watch.gradient(self._name(group, place), downhill)
                state |= {STEP: torch.tensor(0.0, dtype=torch.float32, device="cpu"), **computing.begin(slot.x)}
            elif not computing.fits(state):
                raise ValueError(
                    f"{self._name(group, place)} is {_dtype(parameter)} now, and its state is not: "
                    "load_state_dict(state_dict()) casts it"
                )
            slots[computing].append(slot)
        return slots

    def _hear(self, loss: Any) -> None:
        """Have the watch and the guard look at the loss."""
        self._watch.loss(loss)
        if self._guard and (value := number_in(loss)) is not None:
            known = guarding.after(value, self.param_groups[0]["guarded"], self._guard)
            for group in self.param_groups:
                group["guarded"] = dict(known)

    def _as_seen(self, gradient: Tensor, scale: Scale) -> Tensor:
        """Return a gradient as the network sees it."""
        if scale is None:
            return gradient
        seen = self.exported.origin.seen
        typical = sqrt(prod(seen.gradient_rms)) if seen else 1.0
        own = rms(gradient)
        return gradient * torch.where(own > 0, typical / own, 1.0)

    def _move(self, moved: Sequence[tuple[Slot, Tensor]]) -> None:
        """Move parameters by their learned updates, or by what the guard has instead; those of a group at once."""
        for _, some in groupby(moved, lambda one: id(one[0].group)):
            slots, updates_ = zip(*some, strict=True)
            if self._guard is not None:
                updates_ = tuple(self._guarded(*one, self._guard) for one in zip(slots, updates_, strict=True))
            steps = [slot.state[STEP] for slot in slots]
            torch._foreach_add_(steps, _ONE, alpha=1)
            self._watch.steps(max(map(float, steps)))
            parameters = [slot.parameter for slot in slots]
            added = [update.view_as(one) for update, one in zip(updates_, parameters, strict=True)]
            lr, weight_decay, factor = slots[0].group["lr"], slots[0].group["weight_decay"], 1.0
            if isinstance(lr, Tensor):
                lr = lr.to(added[0].device, added[0].dtype).reshape(())
                torch._foreach_mul_(added, lr)
            else:
                factor = lr
            if weight_decay:
                torch._foreach_mul_(parameters, 1 - lr * float(weight_decay))
            torch._foreach_add_(parameters, added, alpha=factor)

    def _guarded(self, slot: Slot, update: Tensor, guard: Guard) -> Tensor:
        """Return a parameter's update, or what its guard has instead."""
        known = self.param_groups[0]["guarded"]
        guarding.begin(slot.state, slot.downhill)
        if not slot.downhill.isfinite().all():
            self._count("non_finite")
            self._forget(slot)
            return torch.zeros_like(update)
        fallback = guarding.adam(slot.state, slot.downhill) * guard.lr
        is_finite = bool(update.isfinite().all())
        if not is_finite:
            self._forget(slot)
        if is_finite and not known["is_grown"]:
            return update
        self._count("fallbacks")
        return fallback

    def _forget(self, slot: Slot) -> None:
        """Have the learned optimizer begin anew with a parameter."""
        name = next(name for group in self.param_groups for name, one in self._named(group) if one is slot.parameter)
        slot.forget()
        slot.state.update(self._computing(name, slot.parameter).begin(slot.x))

    def _count(self, what: str) -> None:
        for group in self.param_groups:
            group["guarded"] = {**group["guarded"], what: group["guarded"][what] + 1}


def _refused(name: str, gradient: Tensor) -> ValueError:
    """Return what is raised of a gradient that cannot be taken."""
    if gradient.layout is not torch.strided:
        return ValueError(f"a learned optimizer takes no sparse gradients, such as that of {name}")
    return ValueError(f"a learned optimizer cannot take the gradient of {name}, {_dtype(gradient)}")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
