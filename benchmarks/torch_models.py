"""Models that no optimizer here was trained on, by trained optimizers and by tuned Adam: a CNN and a transformer.

    python benchmarks/torch_models.py FILE… [--seeds 3] [--json curves.json] [--figure curves.svg]

FILEs are trained optimizers (`l2o-tui export --format optimizer`). All have the same batches and begin at the same
weights, seed by seed. Adam has the best of twelve learning rates, each learned optimizer the best of four of its one
option, `lr`, and is shown at lr = 1, as it was trained, as well. What is tuned is judged on seed 0 by the loss over the
last tenth of the steps; what is shown are medians over the other seeds.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn import functional

import l2o_engine as l2o
from l2o_engine.tasks.data.base import Part
from l2o_engine.tasks.data.sets import load

ADAM = [10 ** (-4 + step / 4) for step in range(12)]
LEARNED = [0.1, 0.3, 1.0, 3.0]


@dataclass(frozen=True)
class Problem:
    """A model and its data.

    Attributes
    ----------
    steps
        How many.
    model
        Makes the model.
    batches
        Yields batches without an end, given a generator.
    loss
        Of a model on a batch.
    test
        A number over data that is never trained on, of a model.
    says
        What that number is.
    """

    steps: int
    model: Callable[[], nn.Module]
    batches: Callable[[torch.Generator], Iterator[Any]]
    loss: Callable[[nn.Module, Any], Tensor]
    test: Callable[[nn.Module], float]
    says: str


def cnn(name: str, steps: int) -> Problem:
    """Return a convolutional network of two layers on a data set's images."""
    data = load(name)

    def tensors(part: Part) -> tuple[Tensor, Tensor]:
        images, labels = part.on(torch.device("cpu"))
        return images.float().view(-1, *data.shape) / data.white, labels.long()

    (images, labels), (held, held_labels) = tensors(data.train), tensors(data.test)

    def model() -> nn.Module:
        network = nn.Sequential(
            nn.Conv2d(data.shape[0], 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.LazyLinear(10),
        )  # fmt: skip
        network(images[:1])  # which tells the last layer its size
        return network

    def batches(generator: torch.Generator) -> Iterator[Any]:
        while True:
            chosen = torch.randint(len(images), (128,), generator=generator)
            yield images[chosen], labels[chosen]

    def loss(network: nn.Module, batch: Any) -> Tensor:
        return functional.cross_entropy(network(batch[0]), batch[1])

    def test(network: nn.Module) -> float:
        return float((network(held).argmax(1) == held_labels).float().mean())

    return Problem(steps, model, batches, loss, test, "test accuracy")


class Transformer(nn.Module):
    """Two layers of attention over tokens of an alphabet: says each next one."""

    def __init__(self, alphabet: int, length: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(alphabet, 64), nn.Embedding(length, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, alphabet)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scores [n, length, alphabet] of each next token, of tokens [n, length]."""
        places = self.places.weight[: tokens.shape[1]]
        scores: Tensor = self.head(self.layers(self.tokens(tokens) + places, mask=self.mask, is_causal=True))
        return scores


def copying(steps: int, alphabet: int = 16, length: int = 12) -> Problem:
    """Return a small transformer that is to say a random sequence again, token by token."""

    def draw(generator: torch.Generator, n: int) -> Tensor:
        return torch.randint(1, alphabet, (n, length), generator=generator)

    def batches(generator: torch.Generator) -> Iterator[Tensor]:
        while True:
            yield draw(generator, 64)

    def heads(network: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
        whole = torch.cat([batch, torch.zeros_like(batch[:, :1]), batch], 1)
        return network(whole[:, :-1])[:, length:], whole[:, length + 1 :]

    def loss(network: nn.Module, batch: Tensor) -> Tensor:
        said, meant = heads(network, batch)
        return functional.cross_entropy(said.flatten(0, 1), meant.flatten())

    def test(network: nn.Module) -> float:
        said, meant = heads(network, draw(torch.Generator().manual_seed(10**6), 256))
        return float((said.argmax(-1) == meant).float().mean())

    return Problem(steps, lambda: Transformer(alphabet, 2 * length), batches, loss, test, "tokens said right")


def train(
    problem: Problem, optimizer_for: Callable[[Any], torch.optim.Optimizer], seed: int
) -> tuple[list[float], float]:
    """Return the losses and the test figure of one training."""
    torch.manual_seed(seed)
    network = problem.model()
    optimizer = optimizer_for(network.named_parameters())
    losses = []
    for _, batch in zip(range(problem.steps), problem.batches(torch.Generator().manual_seed(seed)), strict=False):
        optimizer.zero_grad()
        loss = problem.loss(network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    network.eval()
    with torch.no_grad():
        return losses, problem.test(network)


def ending(losses: Sequence[float]) -> float:
    """Return the mean loss over the last tenth of the steps, infinite where one is no number."""
    mean = statistics.fmean(losses[-len(losses) // 10 :])
    return mean if isfinite(mean) else inf


def adam(lr: float, params: Any) -> torch.optim.Optimizer:
    """Return Adam."""
    return torch.optim.Adam(params, lr=lr)


def learned(file: Path, scale: Any, lr: float, params: Any) -> torch.optim.Optimizer:
    """Return a trained optimizer."""
    return l2o.torch_optimizer(file, params, lr, scale=scale)


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw the median losses over the steps, smoothed, a panel a problem."""
    plt.rcParams["svg.hashsalt"] = "l2o"  # the same picture for the same numbers
    figure, axes = plt.subplots(1, len(found), figsize=(4.2 * len(found), 3.6), squeeze=False, layout="constrained")
    for panel, (name, one) in zip(axes[0], found.items(), strict=True):
        for label, by in one["by"].items():
            if by["end"] > 1 and label != "Adam, tuned":
                continue  # lost: the table tells
            means = [statistics.fmean(by["curve"][max(0, step - 9) : step + 1]) for step in range(one["steps"])]
            panel.plot(means, label=label, linewidth=2.2 if label == "Adam, tuned" else 1.1)
        panel.set(title=name, xlabel="step", yscale="log")
        panel.legend(fontsize=6)
    axes[0][0].set_ylabel("training loss, mean of ten steps")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Train all, and print what they reach."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--problems", default="digits,fashion-mnist,copy")
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    warnings.simplefilter("ignore", l2o.OutsideTrainingWarning)  # that is what is looked at here
    made = {
        "digits": partial(cnn, "digits", given.steps or 300),
        "fashion-mnist": partial(cnn, "fashion-mnist", given.steps or 600),
        "copy": partial(copying, given.steps or 1000),
    }
    contestants: dict[str, Callable[[float, Any], torch.optim.Optimizer]] = {"Adam": adam}
    for file in given.files:
        contestants[file.stem] = partial(learned, file, None)
        contestants[f"{file.stem}, rms"] = partial(learned, file, "rms")
    found: dict[str, Any] = {}
    for name in given.problems.split(","):
        problem = made[name]()
        print(f"{name}: {sum(p.numel() for p in problem.model().parameters()):,} coordinates, {problem.steps} steps")
        found[name] = {"steps": problem.steps, "says": problem.says, "by": {}}
        for label, make in contestants.items():
            grid = ADAM if make is adam else LEARNED
            ends = {lr: ending(train(problem, partial(make, lr), 0)[0]) for lr in grid}
            best = min(ends, key=lambda lr: ends[lr])
            shown = {f"{label}, tuned": best} | ({} if make is adam else {f"{label}, lr 1": 1.0})
            for what, lr in shown.items():
                runs = [train(problem, partial(make, lr), seed) for seed in range(1, given.seeds + 1)]
                curve = [statistics.median(at) for at in zip(*(losses for losses, _ in runs), strict=True)]
                end, test = (
                    statistics.median(each) for each in ([ending(one) for one, _ in runs], [t for _, t in runs])
                )
                found[name]["by"][what] = {"lr": lr, "curve": curve, "end": end, "test": test}
                print(f"  {what:40} lr {lr:<8.3g} loss {end:8.4f}  {problem.says} {test:.3f}", flush=True)
                if given.json:
                    given.json.write_text(json.dumps(found))
    if given.figure:
        draw(found, given.figure)


if __name__ == "__main__":
    main()
