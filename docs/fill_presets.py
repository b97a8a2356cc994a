"""Fill in what is measured in shipped presets of Episode 3: tuned rivals.

.venv/bin/python docs/fill_presets.py --rivals rotated2 rosenbrock          # [[baseline]], by `tune`: minutes each

.venv/bin/python docs/fill_presets.py --rivals --rate-only --draws 8 dm_digits   # DeepMind's, as the paper tunes them

Everything else of a preset stays as it is. Without a name, all of Episode 3.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from l2o_engine.optimizers.base import HandDesigned
from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.tables import inline
from l2o_engine.studies.tuning import Found, Problem, tune_rivals

RIVALS = ("sgd", "nesterov", "rmsprop", "adam", "vsgd")
PAPER_RIVALS = ("sgd", "nesterov", "rmsprop", "adam")
"""DeepMind's, whose learning rate alone is tuned, by the last loss."""
MEANINGS = {
    "kind": {
        "sgd": "u = -learning_rate·g",
        "momentum": "v = momentum·v - learning_rate·g, u = v",
        "rmsprop": "s = decay·s + (1-decay)·g², u = -learning_rate·g/(√s + epsilon)",
        "adam": "u = -learning_rate·m/(√v + epsilon), m and v the means of g and g² without their bias",
        "vsgd": "learning rates of its own, by the curvature, which it sees",
    },
    "name": "the label",
    "learning_rate": "the best that was found",
    "momentum": "how much of the step before is kept",
    "nesterov": "the gradient is taken ahead",
    "decay": "how long squares are remembered",
    "epsilon": "keeps the division finite",
    "centred": "whether the mean is taken from the squares",
    "beta1": "decay of the mean gradient",
    "beta2": "decay of the mean square",
    "variant": '"l": a learning rate for each coordinate; "g": one for all',
    "samples": "gradients that begin its means",
    "slow_start": "what these are multiplied by",
    "minibatch": "gradients a step",
    "curvature": 'the Hessian\'s diagonal; "differences" of two gradients else',
    "tuned": "by `l2o-tui tune`: by which figure, and a digest of on what",
}
COLUMN = 32


def line(text: str, comment: str) -> str:
    """Return a line of a preset with its comment."""
    return f"{text:<{COLUMN}}# {comment}" if len(text) < COLUMN else f"{text}  # {comment}"


def meaning(key: str, optimizer: HandDesigned) -> str:
    """Return what is said of a key."""
    said: Any = MEANINGS[key]
    return str(said[optimizer.kind] if isinstance(said, dict) else said)


def table(found: Found, *, name: str) -> str:
    """Return a [[baseline]] table of a name with a comment at every key."""
    optimizer, figures = found.optimizer, found.figures
    reached = (
        f"mean log10 {figures['end_log10_mean']:.2f}, Σ {figures['sum_mean']:.3g} (median {figures['sum_median']:.3g})"
    )
    keys = {key: value for key, value in asdict(optimizer).items() if value is not None}
    ordered = {"name": name, "kind": optimizer.kind} | {key: keys[key] for key in keys if key != "name"}
    lines = [line(f"{key} = {inline(value)}", meaning(key, optimizer)) for key, value in ordered.items()]
    return "\n".join([line("[[baseline]]", f"held out: {reached}"), *lines, ""])


def honest(found: Sequence[Found], metric: str) -> dict[str, Found]:
    """Return rival → the best that is no exploit, of as many searched settings as there are."""
    chosen: dict[str, Found] = {}
    for one in found:
        if one.metric == metric and not one.is_exploit:
            before = chosen.get(one.rival)
            chosen[one.rival] = one if before is None or len(one.searched) >= len(before.searched) else before
    return chosen


def rivals(preset: Preset, draws: int, *, rate_only: bool) -> Iterator[str]:
    """Yield the tables of a preset's tuned rivals: each by the last loss, then the best of all by the losses' sum."""
    problem = Problem(preset.problem, preset.experiment.steps, draws, 0, preset.run.dtype)
    if rate_only:
        for one in honest(list(tune_rivals(problem, PAPER_RIVALS, ("end",), rate_only=True)), "end").values():
            yield table(one, name=one.optimizer.name)
        return
    found = list(tune_rivals(problem, RIVALS))
    by_end = honest(found, "end")
    for one in by_end.values():
        yield table(one, name=one.optimizer.name)
    by_sum = [one for one in honest(found, "sum").values() if one.rival != "vsgd"]
    best = min(by_sum, key=lambda one: one.reached.rank("sum"))
    if best.settings != by_end[best.rival].settings:
        yield table(best, name=f"{best.optimizer.name}-sum")


def main() -> None:
    """Fill in what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--rate-only", action="store_true")
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    for name in options.names or [name for name in shipped_names() if load(find(name)).episode == 3]:
        path, preset = find(name), load(find(name))
        text = path.read_text(encoding="utf-8")
        if options.rivals:
            before, _, rest = text.partition("[[baseline]]")
            report = rest[rest.index("[report]") :]
            text = "\n".join(
                [before.rstrip() + "\n", *rivals(preset, options.draws, rate_only=options.rate_only), report]
            )
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
