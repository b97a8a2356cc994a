"""What tuning has found, in words: a table for people, and tables to paste into a preset."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from l2o_engine.optimizers.tuned import Metric
from l2o_engine.presets.labels import short_number
from l2o_engine.presets.tables import baseline_toml
from l2o_engine.studies.tuning import RIVALS, Found, Problem
from l2o_engine.support.wording import shown
from l2o_tui.text.numbers import count, fixed, loss_sum
from l2o_tui.text.tables import aligned

_HEADINGS = ("", "end", "median", "Σ mean", "median", "worse", "lost")
_TITLES: Mapping[Metric, str] = {
    "end": "best by the last loss (end: mean of its log10)",
    "sum": "best by the sum of the losses (median Σ)",
}
_BEST: Mapping[Metric, str] = {"end": "best by the last loss", "sum": "best by the sum of the losses"}
_SHORT = {
    "learning_rate": "lr",
    "momentum": "μ",
    "beta1": "β1",
    "beta2": "β2",
    "samples": "n0",
    "slow_start": "C",
}
_EXPLOIT = "exploit: it buys the last loss by going far away first; median Σ is above that of standing still"
_ALONE = "learning rate alone, the rest as by default"
_BOUND = "the learning rate is the last that is tried at all"


def by_rank(found: Sequence[Found], metric: Metric) -> list[Found]:
    """Return what is the best by a figure, the best first, by held-out draws; without a figure last."""
    figure = {"end": "end_log10_mean", "sum": "sum_median"}[metric]
    of_metric = [one for one in found if one.metric == metric]
    return sorted(of_metric, key=lambda one: (not isfinite(one.figures[figure]), one.figures[figure]))


def document_of(found: Found, problem: Problem) -> dict[str, Any]:
    """Return what is found as JSON has it."""
    return {
        "optimizer": found.optimizer.name,
        "metric": found.metric,
        "settings": found.optimizer.settings,
        "draws": problem.draws,
        **found.figures,
        "rival": found.rival,
        "searched": list(found.searched),
        "exploit": found.is_exploit,
        "at_bound": found.at_bound,
    }


def tuning_table(found: Sequence[Found], problem: Problem, of: str) -> list[str]:
    """Return the table's lines: for each figure the rivals, the best first, with what they reach on held-out draws.

    Parameters
    ----------
    found, problem
        What was found on what.
    of
        What the problem is called.
    """
    draws, alone = count(problem.draws), _alone_beside_all(found)
    on = f"{shown(of)}, {count(problem.horizon)} steps, {problem.dtype}"
    lines = [f"{on}: tuned on {draws} draws, judged on {draws} others"]
    for metric, title in _TITLES.items():
        ranked = by_rank(found, metric)
        if ranked:
            lines += ["", title, *_lines(ranked, alone)]
    marks = "".join(_marks(one, alone) for one in found)
    legend = [f"{mark}  {text}" for mark, text in (("*", _EXPLOIT), ("'", _ALONE), ("!", _BOUND)) if mark in marks]
    return [*lines, *([""] if legend else []), *legend]


def baselines_toml(found: Sequence[Found]) -> str:
    """Return a [[baseline]] table for each rival and figure: its best settings, an exploit's commented out.

    Where both figures have one best, there is one table.
    """
    best = [one for one in found if _is_last_word(one, found)]
    tables: list[str] = []
    for one in best:
        same = [
            other for other in best if other.optimizer.settings == one.optimizer.settings and other.rival == one.rival
        ]
        if one is not same[0]:
            continue
        several = len({other.metric for other in best}) > 1
        name = f"{one.optimizer.name}-sum" if several and one.metric == "sum" else one.optimizer.name
        comments = [f"{_BEST[other.metric]}: {_reached(other)}" for other in same]
        if not one.is_exploit:
            tables.append(baseline_toml(one.optimizer, name=name, comments=comments))
            continue
        text = baseline_toml(one.optimizer, name=f"{one.optimizer.name}-exploit", comments=[_EXPLOIT, *comments])
        tables.append("\n".join(f"# {line}" for line in text.splitlines()))
    return "\n\n".join(tables)


def _is_last_word(one: Found, found: Sequence[Found]) -> bool:
    """Return whether nothing more was searched for the same: an exploit is not the same as what is none."""
    alike = [o for o in found if (o.rival, o.metric, o.is_exploit) == (one.rival, one.metric, one.is_exploit)]
    return len(one.searched) == max(len(other.searched) for other in alike)


def _reached(one: Found) -> str:
    figures = one.figures
    end, total = _number(figures["end_log10_mean"]), loss_sum(figures["sum_median"])
    return f"mean log10 {end}, median Σ {total} on held-out draws"


def _alone_beside_all(found: Sequence[Found]) -> list[Found]:
    """Return those of which the learning rate alone was searched, where more was searched for others."""
    return [one for one in found if not one.is_all] if any(len(one.searched) > 1 for one in found) else []


def _marks(one: Found, alone: Sequence[Found]) -> str:
    return ("*" if one.is_exploit else "") + ("'" if one in alone else "") + ("!" if one.at_bound else "")


def _lines(ranked: Sequence[Found], alone: Sequence[Found]) -> list[str]:
    """Return a line a setting below the headings: names at the left, then numbers, settings last."""
    numbers = aligned([_HEADINGS, *(_row(one, _marks(one, alone)) for one in ranked)])
    return [f"{line}  {said}" for line, said in zip(numbers, ["settings", *map(_settings, ranked)], strict=True)]


def _row(one: Found, marks: str) -> tuple[str, ...]:
    figures = one.figures
    return (
        one.optimizer.name + marks,
        _number(figures["end_log10_mean"]),
        _number(figures["end_log10_median"]),
        loss_sum(figures["sum_mean"]),
        loss_sum(figures["sum_median"]),
        count(int(figures["worse_than_start"])),
        count(int(figures["lost"])),
    )


def _settings(one: Found) -> str:
    """Return the settings that were searched, and those that are not the defaults."""
    before = RIVALS[one.rival].settings
    said = [
        (name, value) for name, value in one.optimizer.settings.items() if name in one.searched or value != before[name]
    ]
    return ", ".join(f"{_SHORT.get(name, name)} {_value(value)}" for name, value in said) or "as by default"


def _value(value: Any) -> str:
    return short_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _number(value: float) -> str:
    return fixed(value) if isfinite(value) else "–"
