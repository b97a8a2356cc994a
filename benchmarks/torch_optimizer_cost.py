"""What a step of a trained optimizer costs beside Adam's, and beside the same update by torch's operations alone.

    python benchmarks/torch_optimizer_cost.py FILE [--threads 2] [--sizes 10000 1000000]

FILE is a trained optimizer (`l2o-tui export --format optimizer`). In one process, one after the other, the least of
several steps each: Adam as PyTorch has it; ours; and the same update by torch's operations alone, once in a loop over
the parameters, as one would write an optimizer, and once for all coordinates in one piece, without parameters at all.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path

import torch
from torch import nn

import l2o_engine as l2o

_SIZES = (10**4, 10**6, 10**7)
_MOST_IN_ONE_PIECE = 10**6  # whose tensors take gigabytes, beyond


def model(size: int) -> list[nn.Parameter]:
    """Return parameters of about so many coordinates: nine matrices and their biases."""
    side = int((size / 9) ** 0.5)
    generator = torch.Generator().manual_seed(0)
    shapes: list[tuple[int, ...]] = [(side, side), (side,)] * 9
    found = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for one in found:
        one.grad = 0.01 * torch.randn(one.shape, generator=generator)
    return found


def seconds(step: Callable[[], object], repetitions: int) -> float:
    """Return the least time of several steps, after one that counts not."""
    step()
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return min(found)


def state_bytes(optimizer: torch.optim.Optimizer, params: Sequence[nn.Parameter]) -> float:
    """Return how many bytes of state there are a coordinate."""
    states = [value for one in params for value in optimizer.state[one].values() if isinstance(value, torch.Tensor)]
    return sum(value.untyped_storage().nbytes() for value in states) / sum(one.numel() for one in params)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="coordinates, about so many each time")
    given = parser.parse_args()
    if min(given.sizes) < 9:
        parser.error("argument --sizes: nine matrices have at least 9 coordinates")
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore", l2o.OutsideTrainingWarning)  # what it does to the numbers does not matter here
    trained = l2o.Exported.load(given.file)
    print(f"{trained.origin.run}, {given.threads} threads; milliseconds a step, bytes of state a coordinate")
    print(f"{'coordinates':>12} {'Adam':>9} {'ours':>9} {'loop':>9} {'one piece':>9}  {'loop/ours':>9} {'bytes':>6}")
    for size in given.sizes:
        params, repetitions = model(size), max(3, 2 * 10**6 // size)
        adam = seconds(torch.optim.Adam(params).step, repetitions)
        optimizer = l2o.torch_optimizer(trained, params)
        ours, taken = seconds(optimizer.step, repetitions), state_bytes(optimizer, params)
        del optimizer
        loop = seconds(in_a_loop(trained, params), max(2, repetitions // 4))
        whole = nan
        if size <= _MOST_IN_ONE_PIECE:
            gradients = [one.grad.reshape(-1) for one in params if one.grad is not None]
            piece = nn.Parameter(torch.zeros(sum(map(len, gradients))))
            piece.grad = torch.cat(gradients)
            whole = seconds(in_a_loop(trained, [piece]), max(2, repetitions // 4))
        times = " ".join(f"{1e3 * one:9.2f}" for one in (adam, ours, loop, whole))
        print(f"{sum(p.numel() for p in params):12,} {times}  {loop / ours:9.1f} {taken:6.0f}", flush=True)


def in_a_loop(trained: l2o.Exported, params: Sequence[nn.Parameter]) -> Callable[[], None]:
    """Return a step of the trained optimizer for each of some parameters, one after the other, in torch."""
    optimizer = trained.optimizer
    states = [optimizer.init(one.detach()) for one in params]

    def step() -> None:
        with torch.no_grad():
            for number, one in enumerate(params):
                update, states[number] = optimizer.update(one.grad, states[number])
                one.add_(update)

    return step


if __name__ == "__main__":
    main()
