"""It is a ``torch.optim.Optimizer`` as PyTorch's own checks want one: groups, states, hooks, schedulers, copies."""

import copy
import pickle
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from l2o_engine.optimizers.learned.exported import Seen
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.ratio import Ratio
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.torch_optim.optimizer import TorchOptimizer
from l2o_engine.torch_optim.options import Guard, OutsideTrainingWarning
from tests.engine.torch_optim.models import exported, give_gradients, moved, parameters

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def saved(optimizer: torch.optim.Optimizer) -> Any:
    """Return a state dict as it comes back from a file that may hold no code."""
    file = BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# What PyTorch ships of its own tests.


def test_pytorchs_own_errors() -> None:
    # Imported here: it takes seconds, and warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import OptimizerErrorEnum, get_error_inputs_for_all_optims
    cases: list[Any] = get_error_inputs_for_all_optims("cpu", torch.float32)  # type: ignore[no-untyped-call]  # PyTorch's
    for case in cases:
        given = case.optimizer_error_input
        params = parameters() if given.params is None else given.params
        assert case.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR
        expected = pytest.warns if issubclass(case.error_type, Warning) else pytest.raises
        with expected(case.error_type, match=case.error_regex):
            TorchOptimizer(params, exported(), **given.kwargs)


# State.


@every_dtype
@pytest.mark.parametrize("inputs", [None, LogAndSign(), Ratio()], ids=["rnnprop", "log_and_sign", "ratio"])
@pytest.mark.parametrize("options", [{}, {"guard": True, "weight_decay": 1e-3, "scale": "rms", "maximize": True}])
def test_five_steps_and_five_are_ten(dtype: torch.dtype, inputs: Any, options: dict[str, Any]) -> None:
    made = exported(inputs=inputs)
    ten = moved(TorchOptimizer(ones := parameters(dtype), made, **options), ones, range(10))
    first = TorchOptimizer(ones := parameters(dtype), made, **options)
    moved(first, ones, range(5))
    state = saved(first)
    second = TorchOptimizer(ones, made, **options)
    second.load_state_dict(state)
    assert {value.dtype for value in second.state[ones[0]].values()} == (
        {torch.float64, torch.float32} if dtype == torch.float64 else {torch.float32}
    )
    assert same(moved(second, ones, range(5, 10)), ten)


def test_a_state_that_was_loaded_shares_no_memory() -> None:
    first = TorchOptimizer(ones := parameters(), exported())
    moved(first, ones, range(2))
    second = TorchOptimizer(others := parameters(), exported())
    second.load_state_dict(first.state_dict())
    before = copy.deepcopy(first.state_dict())
    moved(second, others, range(2, 4))
    after = first.state_dict()
    for key, state in before["state"].items():
        assert all(torch.equal(value, after["state"][key][name]) for name, value in state.items())


def test_a_state_of_another_learned_optimizer_is_refused() -> None:
    theirs = TorchOptimizer(ones := parameters(), exported(seed=7))
    moved(theirs, ones, range(1))
    ours = TorchOptimizer(ones, exported())
    before = moved(ours, ones, range(1))
    state = ours.state_dict()
    with pytest.raises(ValueError, match="state is of another learned optimizer: its digest is"):
        ours.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="state is of another learned optimizer"):
        ours.load_state_dict(torch.optim.Adam(parameters()).state_dict())
    assert same([one.detach() for one in ones], before)
    assert ours.state_dict()["state"].keys() == state["state"].keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network.lstm0.cell", None),
        ("step", None),
        ("guard.mean", torch.zeros(3)),
        ("network.lstm0.cell", torch.zeros(3)),
        ("network.lstm9.cell", torch.zeros(4, 5, 64)),
        ("memory.mean", torch.zeros(211)),
        ("memory.steps", torch.zeros(210)),
        ("memory.other", torch.zeros(210)),
    ],
)
def test_a_state_of_other_shapes_is_refused_by_name(name: str, value: Tensor | None) -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(), guard=True)
    moved(optimizer, ones, range(1))
    state = saved(optimizer)
    if value is None:
        del state["state"][0][name]
    else:
        state["state"][0][name] = value
    with pytest.raises(ValueError, match=f"state of parameter 0 is none of this optimizer: .*{name}"):
        optimizer.load_state_dict(state)
    assert moved(optimizer, ones, range(1, 2))


def test_what_others_keep_in_a_state_is_left_alone() -> None:
    optimizer = TorchOptimizer(ones := parameters(torch.bfloat16), exported())
    kept = ones[0].detach().clone()
    optimizer.state[ones[0]]["before"] = kept  # as sharpness-aware minimization does, before any step
    moved(optimizer, ones, range(2))
    state = saved(optimizer)
    optimizer.load_state_dict(state)
    again = optimizer.state[ones[0]]["before"]
    assert again.dtype == torch.bfloat16
    assert torch.equal(again, kept)
    state["state"][0] = 5
    with pytest.raises(ValueError, match="state of parameter 0 is none of this optimizer: it is a int"):
        optimizer.load_state_dict(state)


def test_a_model_that_was_cast_is_named_and_goes_on_with_a_state_that_is_cast() -> None:
    model = nn.Linear(3, 2)
    optimizer = TorchOptimizer(model.named_parameters(), exported())
    moved(optimizer, list(model.parameters()), range(1))
    model.double()
    with pytest.raises(ValueError, match=r"weight is float64 now, and its state is not: load_state_dict\(state_dict"):
        moved(optimizer, list(model.parameters()), range(1, 2))
    assert optimizer.state[model.weight]["step"] == 1
    optimizer.load_state_dict(optimizer.state_dict())
    moved(optimizer, list(model.parameters()), range(1, 2))
    assert optimizer.state[model.weight]["network.lstm0.cell"].dtype == torch.float64


def test_a_state_of_other_parameters_is_refused_as_pytorch_does() -> None:
    optimizer = TorchOptimizer(parameters(), exported())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(TorchOptimizer(parameters()[:2], exported()).state_dict())


def test_a_step_that_is_no_tensor_is_taken() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported())
    moved(optimizer, ones, range(2))
    state = saved(optimizer)
    for one in state["state"].values():
        one["step"] = float(one["step"])
    optimizer.load_state_dict(state)
    moved(optimizer, ones, range(2, 3))
    assert optimizer.state[ones[0]]["step"] == 3


def test_hooks_of_states_are_called_around_ours() -> None:
    heard: list[str] = []
    optimizer = TorchOptimizer(ones := parameters(), exported())
    moved(optimizer, ones, range(1))
    state = saved(optimizer)

    def doubles(_: Any, given: dict[str, Any]) -> dict[str, Any]:
        heard.append("before")
        changed = copy.deepcopy(given)
        changed["state"][0]["memory.mean"] *= 2
        return changed

    def sees(one: Any) -> None:
        heard.append(f"after {one.state[ones[0]]['memory.mean'][1] / state['state'][0]['memory.mean'][1]:.0f}")

    optimizer.register_load_state_dict_pre_hook(doubles)
    optimizer.register_load_state_dict_post_hook(sees)
    optimizer.register_state_dict_post_hook(lambda _, given: heard.append("told"))
    optimizer.load_state_dict(state)
    optimizer.state_dict()
    assert heard == ["before", "after 2", "told"]


def test_the_state_takes_at_most_400_bytes_a_coordinate() -> None:
    ones = [nn.Parameter(torch.ones(100, 100))]
    optimizer = TorchOptimizer(ones, exported(LSTM(layers=2, hidden=20)), guard=True)
    moved(optimizer, ones, range(1))
    taken = sum(value.untyped_storage().nbytes() for value in optimizer.state[ones[0]].values())
    assert 320 <= taken / 10_000 <= 400


# Steps.


def test_a_closure_is_called_with_gradients_before_the_step() -> None:
    x = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = TorchOptimizer([x], exported())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # of PyTorch
        return loss

    with torch.no_grad():
        assert optimizer.step(closure) == 5
    assert x.grad is not None
    assert torch.equal(x.grad, torch.tensor([2.0, -4.0]))
    assert not torch.equal(x, torch.tensor([1.0, -2.0]))
    assert optimizer.step() is None


def test_hooks_of_steps() -> None:
    heard: list[str] = []
    optimizer = TorchOptimizer(ones := parameters(), exported())
    optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_step_post_hook(lambda *_: heard.append("after"))
    moved(optimizer, ones, range(2))
    assert heard == ["before", "after"] * 2


def test_no_gradient_is_written_to_and_no_graph_is_kept() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(), maximize=True, scale="rms", guard=True)
    give_gradients(ones, 0)
    before = [one.grad.clone() for one in ones if one.grad is not None]
    optimizer.step()
    assert same([one.grad for one in ones if one.grad is not None], before)
    assert all(one.is_leaf and one.requires_grad for one in ones)
    assert not any(value.requires_grad for state in optimizer.state.values() for value in state.values())


def test_what_has_no_gradient_stays_and_goes_on_when_it_has_one() -> None:
    made, empty = exported(), nn.Parameter(torch.zeros(0, 3))
    optimizer = TorchOptimizer([empty, *(ones := parameters())], made)
    empty.grad = torch.zeros(0, 3)
    alone = moved(TorchOptimizer(others := parameters(), made), others, range(4))
    frozen = ones[0].detach().clone()
    for step in range(3):
        give_gradients(ones, step)
        ones[0].grad = None
        optimizer.step()
    assert torch.equal(ones[0], frozen)
    assert ones[0] not in optimizer.state
    give_gradients(ones, 3)
    optimizer.step()
    assert not torch.equal(ones[0], frozen)
    assert optimizer.state[ones[0]]["step"] == 1
    # The others do not know of it: but for how their neighbours in a pass round.
    for own, one in zip(ones[1:], alone[1:], strict=True):
        torch.testing.assert_close(own.detach(), one, rtol=0, atol=1e-6)


def test_gradients_of_zero_move_nothing() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported())
    before = moved(optimizer, ones, range(2))
    for one in ones:
        one.grad = torch.zeros_like(one)
    optimizer.step()
    assert same([one.detach() for one in ones], before)


def test_the_sparse_and_the_complex_are_refused_by_name_and_nothing_moves() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    optimizer = TorchOptimizer([("table", embedding.weight), ("bias", bias := parameters()[1])], exported())
    give_gradients([bias], 0)
    before = bias.detach().clone()
    with pytest.raises(ValueError, match="takes no sparse gradients, such as that of table"):
        optimizer.step()
    assert torch.equal(bias, before)
    assert not optimizer.state
    wave = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="cannot move wave, which is complex64"):
        optimizer.add_param_group({"params": [("wave", wave)]})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="cannot move parameter 0 of group 1, which is complex64"):
        TorchOptimizer([{"params": parameters()}, {"params": [wave]}], exported())


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"lr": -1.0}, "lr must be a finite number of at least 0, not -1.0"),
        ({"lr": float("nan")}, "lr must be a finite number"),
        ({"weight_decay": -0.1}, "weight_decay must be a finite number of at least 0"),
        ({"scale": "max"}, "scale must be None or \"rms\", not 'max'"),
    ],
)
def test_options_out_of_their_range(option: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TorchOptimizer(parameters(), exported(), **option)
    optimizer = TorchOptimizer(parameters()[:1], exported())
    with pytest.raises(ValueError, match=said):
        optimizer.add_param_group({"params": parameters()[1:], **option})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("wrong", [{"lr": None}, {"lr": "1e-3"}, {"weight_decay": True}, {"guard": 0.1}])
def test_options_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(wrong))} must be a "):
        TorchOptimizer(parameters(), exported(), **wrong)
    optimizer = TorchOptimizer(parameters()[:1], exported())
    if "guard" not in wrong:
        with pytest.raises(TypeError, match="must be a number"):
            optimizer.add_param_group({"params": parameters()[1:], **wrong})
    assert len(optimizer.param_groups) == 1


def test_a_loss_is_no_closure_and_what_a_closure_returns_need_be_no_loss() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(), guard=True)
    give_gradients(ones, 0)
    with pytest.raises(TypeError, match=r"step\(loss=loss\)"):
        optimizer.step(torch.tensor(1.0))  # type: ignore[arg-type]  # as one might
    for returned in ((torch.tensor(1.0), "more"), torch.ones(3), None):
        assert optimizer.step([returned].pop) is returned


def test_a_tensor_whose_memory_is_not_all_here_is_refused_by_name() -> None:
    class Elsewhere(Tensor):
        pass

    one = torch.ones(3).as_subclass(Elsewhere)
    with pytest.raises(ValueError, match="cannot move shard, a Elsewhere"):
        TorchOptimizer([("shard", one)], exported())


# Options.


def test_lr_multiplies_the_update_and_groups_have_their_own() -> None:
    made = exported()
    ones, twos, threes = (parameters() for _ in range(3))
    start = [one.detach().clone() for one in ones]
    moved(TorchOptimizer(ones, made), ones, range(1))
    optimizer = TorchOptimizer([{"params": twos[:2], "lr": 0.5}], made, lr=torch.tensor(2.0))
    optimizer.add_param_group({"params": twos[2:]})
    moved(optimizer, twos, range(1))
    for number, (one, two, from_) in enumerate(zip(ones, twos, start, strict=True)):
        torch.testing.assert_close(two - from_, (one - from_) * (0.5 if number < 2 else 2.0))
    moved(TorchOptimizer(threes, made, lr=0.0), threes, range(2))
    assert same([three.detach() for three in threes], start)


def test_weight_decay_is_decoupled_as_adamws() -> None:
    made = exported()
    ones, twos = parameters(), parameters()
    start = [one.detach().clone() for one in ones]
    moved(TorchOptimizer(ones, made, lr=0.5), ones, range(1))
    decay: Any = torch.tensor([0.1])
    moved(TorchOptimizer(twos, made, lr=0.5, weight_decay=decay), twos, range(1))
    for one, two, from_ in zip(ones, twos, start, strict=True):
        torch.testing.assert_close(two.detach(), one.detach() - 0.05 * from_)


def test_maximizing_is_minimizing_the_negative() -> None:
    made = exported()
    ones, twos = parameters(), parameters()
    optimizer = TorchOptimizer(twos, made, maximize=True)
    expected = moved(TorchOptimizer(ones, made), ones, range(3))
    for step in range(3):
        give_gradients(twos, step)
        for two in twos:
            assert two.grad is not None
            two.grad = -two.grad
        optimizer.step()
    assert same([two.detach() for two in twos], expected)


def test_gradients_may_be_clipped_before() -> None:
    made = exported(inputs=LogAndSign())
    ones, twos = parameters(), parameters()
    optimizer, other = TorchOptimizer(ones, made), TorchOptimizer(twos, made)
    for each in (ones, twos):
        give_gradients(each, 1)
    factor = 0.1 / nn.utils.clip_grad_norm_(ones, 0.1)
    for two in twos:
        assert two.grad is not None
        two.grad = two.grad * factor
    optimizer.step()
    other.step()
    assert factor < 0.5
    for one, two in zip(ones, twos, strict=True):
        torch.testing.assert_close(one, two)


def test_scaled_by_their_rms_gradients_of_any_magnitude_are_as_in_training() -> None:
    seen = Seen(loss=(0.0, 1.0), gradient_rms=(0.01, 0.04))
    made = exported(inputs=LogAndSign(), seen=seen)
    found = []
    for factor in (1.0, 1e-4, 1e30):  # whose square is beyond all numbers
        optimizer = TorchOptimizer(ones := parameters(), made, scale="rms")
        for step in range(3):
            give_gradients(ones, step)
            for one in ones:
                assert one.grad is not None
                one.grad = one.grad * factor
            optimizer.step()
        found.append([one.detach() for one in ones])
    for other in found[1:]:
        for own, theirs in zip(found[0], other, strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)
    # It is the geometric mean of what was seen, 0.02, that they are brought to.
    as_trained = TorchOptimizer(twos := parameters(), made)
    for step in range(3):
        give_gradients(twos, step)
        for two in twos:
            assert two.grad is not None
            two.grad = two.grad * (0.02 / two.grad.square().mean().sqrt().clamp(min=1e-9))
        as_trained.step()
    for own, two in zip(found[0], twos, strict=True):
        torch.testing.assert_close(own, two.detach(), rtol=1e-4, atol=1e-5)


SCHEDULERS: dict[str, Callable[[Any], LRScheduler]] = {
    "constant": lambda one: ConstantLR(one, 0.5),
    "cosine": lambda one: CosineAnnealingLR(one, 4),
    "exponential": lambda one: ExponentialLR(one, 0.9),
    "lambda": lambda one: LambdaLR(one, lambda step: 1 / (1 + step)),
    "linear": lambda one: LinearLR(one, 0.1),
    "one cycle": lambda one: OneCycleLR(one, 1.0, total_steps=8, cycle_momentum=False),
    "plateau": lambda one: ReduceLROnPlateau(one, patience=0),
    "polynomial": lambda one: PolynomialLR(one, 5),
    "sequential": lambda one: SequentialLR(one, [ConstantLR(one, 0.1, 2), ExponentialLR(one, 0.9)], [2]),
    "step": lambda one: StepLR(one, 2),
}


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("lr", [1.0, torch.tensor(1.0)], ids=["number", "tensor"])
def test_every_scheduler_moves_its_lr_as_sgds(make: Callable[[Any], LRScheduler], lr: Any) -> None:
    rates = []
    for optimizer in (
        TorchOptimizer(ones := parameters(), exported(), lr=lr.clone() if isinstance(lr, Tensor) else lr),
        torch.optim.SGD(ones, lr=lr.clone() if isinstance(lr, Tensor) else lr),
    ):
        scheduler, own = make(optimizer), []
        for step in range(6):
            moved(optimizer, ones, range(step, step + 1))
            scheduler.step(*([1.0] if isinstance(scheduler, ReduceLROnPlateau) else []))  # type: ignore[arg-type]
            own.append(float(optimizer.param_groups[0]["lr"]))
        rates.append(own)
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1


# Copies.


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deep", "pickle"])  # noqa: S301 (our own)
def test_a_copy_goes_on_as_the_original(copied: Callable[[Any], Any]) -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(), lr=0.5, guard=Guard(lr=0.1))
    moved(optimizer, ones, range(3))
    other = copied(optimizer)
    theirs = other.param_groups[0]["params"]
    expected = moved(optimizer, ones, range(3, 6))
    assert not same([one.detach() for one in theirs], expected)
    assert same(moved(other, theirs, range(3, 6)), expected)
    assert {name for name in dir(other) if name[0] != "_"} == {name for name in dir(optimizer) if name[0] != "_"}
    assert repr(other) == repr(optimizer)
    assert other.exported.digest[:10] in repr(other)


def test_it_waits_for_no_device() -> None:
    # Numbers on "meta" do not exist: whoever asks for one fails.
    ones = [nn.Parameter(torch.empty(shape, device="meta")) for shape in ((3, 70), (5,))]
    for made in (exported(), exported(inputs=Ratio())):
        optimizer = TorchOptimizer(ones, made, scale="rms", weight_decay=0.1)
        for _ in range(3):
            for one in ones:
                one.grad = torch.empty_like(one)
            optimizer.step(loss=torch.empty((), device="meta"))
        assert optimizer.state[ones[0]]["network.lstm1.cell"].device.type == "meta"


# Beyond its training.


def test_more_steps_than_it_was_trained_for_are_told_once() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(steps=3))
    moved(optimizer, ones, range(3))
    said = "takes more than the 3 steps that it was trained for .`l2o-tui evaluate 'a run' --steps 30`"
    with pytest.warns(OutsideTrainingWarning, match=said) as told:
        moved(optimizer, ones, range(3, 6))
    assert len(told) == 1
    assert told[0].filename.endswith("models.py")  # which called step()


def test_a_loss_far_from_those_of_training_is_told_once() -> None:
    seen = Seen(loss=(0.1, 2.3), gradient_rms=(1e-9, 1e9))
    optimizer = TorchOptimizer(ones := parameters(), exported(seen=seen), called="my file")
    StepLR(optimizer, 2)  # which wraps step()
    give_gradients(ones, 1)
    for near in (0.0, 2.3, 20.0):  # less than in training is what one wants
        optimizer.step(loss=near)
    said = r"loss of 300 is far above those of its training, 0.1 to 2.3 .`l2o-tui evaluate 'my file'`"
    with pytest.warns(OutsideTrainingWarning, match=said) as told:
        optimizer.step(lambda: 300.0)
    assert told[0].filename == __file__
    optimizer.step(loss=torch.tensor(1e3))


def test_gradients_far_from_those_of_training_are_told_with_the_remedy() -> None:
    seen = Seen(loss=(0.1, 2.3), gradient_rms=(1e-9, 1e-7))
    one = parameters()[0]
    made = exported(inputs=LogAndSign(), seen=seen)
    optimizer = TorchOptimizer([("weight", one)], made)
    with pytest.warns(OutsideTrainingWarning, match=r'gradient of weight has .* 1e-09 to 1e-07.*scale="rms" brings it'):
        moved(optimizer, [one], range(1))
    moved(TorchOptimizer([one], made, scale="rms"), [one], range(1))
    moved(TorchOptimizer([one], exported(seen=seen)), [one], range(1))  # RNNprop scales gradients itself
