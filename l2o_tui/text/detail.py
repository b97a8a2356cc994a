"""What is told of one thing in a list where there is room for it: of a run, a study, a preset."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Literal

from l2o_engine.presets.identity import in_words
from l2o_engine.records.statistics import spread_of
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Study
from l2o_engine.runs.record import RunError
from l2o_engine.support.files import read_bytes
from l2o_tui.text.health import diagnoses_of, findings_of, sentence
from l2o_tui.text.numbers import age, count, duration, fixed

Kind = Literal["title", "plain", "muted", "heading", "warning"]

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_WIDEST = 40  # bars
_MOST_BYTES = 1_000_000  # of a preset's file
_MOST_EVENTS = 20_000_000  # bytes of a run's events that are read for a glance
_MOST_SETTINGS = 12
_MOST_NAMED = 10
_BEHIND = re.compile(r"\s{2,}#.*$|\s+$")  # a comment that stands at a distance behind a key


@dataclass(frozen=True)
class Line:
    """A line, and what kind of one it is; where there is no room it is wrapped."""

    text: str
    kind: Kind = "plain"


def sparkline(values: Sequence[float], *, plain: bool = False, most: int = _WIDEST) -> str:
    """Return numbers as bars, the lowest as the lowest bar; what is not finite as a gap.

    Parameters
    ----------
    values
        The numbers, in order.
    plain
        Whether to draw them in ASCII.
    most
        How many bars; of more numbers each bar is the last of its share.
    """
    bars = _PLAIN_BARS if plain else _BARS
    if len(values) > most:
        values = [values[(place + 1) * len(values) // most - 1] for place in range(most)]
    finite = [value for value in values if isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((value - low) * scale)] if isfinite(value) else " " for value in values)


def detail_of_run(run: Run, *, plain: bool = False) -> list[Line]:
    """Return what is told of a run: what it is called, where it is, what was changed, its end loss, what was found.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    record = run.record()
    lines = [Line(record.given_name or record.label, "title")]
    lines += [Line(run.name, "muted")] if run.name != lines[0].text else []
    at = f"{count(record.iteration)} of {count(record.iterations)}"
    lines.append(Line(f"{run.status()} at {at}" + (f": {record.message}" if record.message else "")))
    lines.append(Line(f"trained {duration(record.elapsed_seconds)}, last updated {age(record.updated)}", "muted"))
    lines += [Line(f"tags: {' '.join(record.tags)}")] if record.tags else []
    lines += [Line(line) for line in record.note.split("\n")] if record.note else []
    lines += _changed(run)
    if _is_short(run.events_path):
        lines += _end_loss(run, plain=plain)
        lines += _found(run)
    else:
        lines += [Line(""), Line("it has too much to tell for a glance; enter shows it", "muted")]
    return lines


def _is_short(path: Path) -> bool:
    try:
        return path.lstat().st_size <= _MOST_EVENTS
    except OSError:  # there is none yet
        return True


def _changed(run: Run) -> list[Line]:
    record = run.record()
    if not record.changed:
        return [] if record.changed is None else [Line(""), Line(f"settings: those of {record.preset}")]
    told = [in_words({name: pair}) for name, pair in record.changed.items()]
    more = [f"and {len(told) - _MOST_SETTINGS} more"] if len(told) > _MOST_SETTINGS else []
    heading = Line(f"changed of {record.preset}", "heading")
    return [Line(""), heading, *map(Line, [*told[:_MOST_SETTINGS], *more])]


def _end_loss(run: Run, *, plain: bool) -> list[Line]:
    """Return the mean log10 of the last loss, report by report: of several lanes the median."""
    by_iteration: dict[int, list[float]] = {}
    for row in run.progress():
        by_iteration.setdefault(row.iteration, []).append(row.average_log_result)
    values = [spread_of(found).median for found in by_iteration.values()]
    bars = sparkline(values, plain=plain)
    if not bars:
        return []
    finite = [value for value in values if isfinite(value)]
    said = f"from {fixed(finite[0])} to {fixed(finite[-1])}; the lowest is {fixed(min(finite))}"
    return [Line(""), Line("end loss, log10", "heading"), Line(bars), Line(said, "muted")]


def _found(run: Run) -> list[Line]:
    findings = findings_of(diagnoses_of(run))
    told = [Line(f"{owners}{sentence(finding)}", "warning") for owners, finding in findings]
    return [Line(""), Line("found", "heading"), *told] if told else []


def detail_of_study(study: Study) -> list[Line]:
    """Return what is told of a study: how many of its runs have which status, the best, the newest."""
    total = len(study.runs)
    lines = [Line(f"{study.name}: {count(total)} runs", "title")]
    lines += [Line(f"{count(number)} {status}") for status, number in study.counts.items()]
    best = sorted(
        (run for run in study.runs if run.average_log_result is not None), key=lambda run: run.average_log_result or 0.0
    )
    if best:
        lines += [Line(""), Line("the best, by log10 of the last loss", "heading")]
        lines += [Line(f"{fixed(run.average_log_result)}  {run.given_name or run.label}") for run in best[:_MOST_NAMED]]
    return lines


def detail_of_preset(path: Path, title: str) -> list[Line]:
    """Return what is told of a preset: its file.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    try:
        text = read_bytes(path, _MOST_BYTES, follows=True).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = text.splitlines()
    if lines and title and lines[0].lstrip("# ").rstrip(". ") == title.rstrip(". "):  # many begin with it
        lines = lines[2 if lines[1:2] == ["#"] else 1 :]
    return [Line(title or path.stem, "title"), Line(""), *_compact(lines)]


def _compact(lines: Iterable[str]) -> Iterator[Line]:
    """Yield a preset's lines for a narrow pane: a comment as one paragraph, and none behind a key."""
    for is_comment, together in groupby(lines, key=lambda line: line.startswith("#")):
        if is_comment:
            yield Line(" ".join(line.lstrip("# ") for line in together if line.strip("# ")), "muted")
        else:
            yield from (
                Line(_BEHIND.sub("", line), "heading" if line.startswith("[") else "plain") for line in together
            )
