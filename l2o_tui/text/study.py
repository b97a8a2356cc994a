"""What is said of a study that is watched: its settings in short, how far it is, what is the best so far."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeGuard

from l2o_engine.studies.sweep import JobStanding, StudyStanding
from l2o_tui.text.numbers import count, counted_as, duration, fixed
from l2o_tui.text.sweep import said, setting_names

_LEAST_TRIED = 3  # values of a setting, of which the best may lie between others
# Of a study's jobs, in its status line.
_TOLD_STATES = ("failed", "diverged", "interrupted", "starts", "waits", "given up")


class Labels:
    """What settings are called in a study's lists: the values of what is varied, by short names.

    Parameters
    ----------
    jobs
        The study's.
    """

    def __init__(self, jobs: Iterable[JobStanding]) -> None:
        there = list(jobs)
        self._names = setting_names(list(dict.fromkeys(key for job in there for key in job.settings)))
        self._with_presets = len({job.preset for job in there}) > 1 or not self._names

    def of_settings(self, preset: str, settings: Mapping[str, Any]) -> str:
        """Return what a combination of settings is called."""
        values = [f"{self._names[key]} {said(value)}" for key, value in settings.items()]
        return " · ".join([*([preset] if self._with_presets else []), *values])

    def of_job(self, job: JobStanding) -> str:
        """Return what a job is called."""
        return f"{self.of_settings(job.preset, job.settings)} · s{job.seed}"


def what_it_is(standing: StudyStanding) -> str:
    """Return of how many settings and seeds a study is."""
    settings = len(standing.settings)
    seeds = len({job.seed for job in standing.jobs})
    return f"{counted_as(settings, 'setting')}, {counted_as(seeds, 'seed')}"


def progress_of(standing: StudyStanding, labels: Labels) -> list[str]:
    """Return how far a study is, in parts of which the first ones matter most."""
    counts, total = standing.counts(), len(standing.jobs)
    over = sum(job.is_over for job in standing.jobs)
    under_way = sum(job.is_under_way for job in standing.jobs)
    parts = [f"{count(over)} of {count(total)} runs ({standing.share:.0%})"]
    if (best := standing.best) is not None:
        parts.append(f"best {fixed(best.final)}: {labels.of_job(best)}")
    parts += [edge] if standing.status == "finished" and (edge := edge_of(standing, labels)) else []
    if under_way:
        parts.append(f"{count(under_way)} {'paused' if counts.get('paused') == under_way else 'under way'}")
    elif standing.preparing:  # nothing moves until then, the first time for a minute
        parts.append(f"compiling the kernel for {counted_as(standing.preparing, 'run')}")
    if standing.status == "running" and isfinite(left := standing.seconds_left):
        parts.append(f"{duration(left)} left")
    parts += [f"{count(counts[state])} {_in_words(state)}" for state in _TOLD_STATES if state in counts]
    return parts + ([f"{count(standing.unreadable)} unreadable"] if standing.unreadable else [])


def edge_of(standing: StudyStanding, labels: Labels) -> str:
    """Return which of the best setting's values lie at an end of what was tried; empty where none of three does."""
    there = [one for one in standing.settings if one.final.count]
    said = []
    for key, value in there[0].settings.items() if there else ():
        tried = [other for one in there if _is_number(other := one.settings.get(key))]
        if _is_number(value) and len(set(tried)) >= _LEAST_TRIED and value in (least := min(tried), max(tried)):
            said.append(f"{labels.of_settings('', {key: value})} is the {'least' if value == least else 'greatest'}")
    return f"{', '.join(said)} tried" if said else ""


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_words(state: str) -> str:
    return {"waits": "waiting", "starts": "starting"}.get(state, state)


def in_order(jobs: Sequence[JobStanding], order: str) -> list[JobStanding]:
    """Return a study's jobs in one of :data:`ORDERS`."""
    if order == "as begun":
        return list(jobs)
    if order == "best first":
        return sorted(jobs, key=_figure)
    ranks = ("running", "paused", "starts", "failed", "diverged")
    last = {"interrupted": len(ranks) + 1, "waits": len(ranks) + 2}
    place = {state: rank for rank, state in enumerate(ranks)} | last
    return sorted(jobs, key=lambda job: (place.get(job.state, len(ranks)), _figure(job) if job.is_over else 0.0))


def _figure(job: JobStanding) -> float:
    return job.final if isfinite(job.final) else float("inf")


ORDERS = ("under way first", "best first", "as begun")
"""How a study's runs may be sorted."""
