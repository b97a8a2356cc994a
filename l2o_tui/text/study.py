"""What is said of a study that is watched: its settings in short, how far it is, what is the best so far."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from l2o_engine.studies.sweep import JobStanding, StudyStanding
from l2o_tui.text.numbers import count, duration, fixed
from l2o_tui.text.sweep import said, setting_names

_TOLD_STATES = ("failed", "diverged", "interrupted", "waits", "given up")  # of a study's jobs, in its status line


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
    return f"{_counted(settings, 'setting')}, {_counted(seeds, 'seed')}"


def progress_of(standing: StudyStanding, labels: Labels) -> list[str]:
    """Return how far a study is, in parts of which the first ones matter most."""
    counts, total = standing.counts(), len(standing.jobs)
    over = sum(job.is_over for job in standing.jobs)
    under_way = sum(job.is_under_way for job in standing.jobs)
    parts = [f"{count(over)} of {count(total)} runs ({standing.share:.0%})"]
    if (best := standing.best) is not None:
        parts.append(f"best {fixed(best.final)}: {labels.of_job(best)}")
    parts += [f"{count(under_way)} under way"] if under_way else []
    if standing.status == "running" and isfinite(left := standing.seconds_left):
        parts.append(f"{duration(left)} left")
    parts += [f"{count(counts[state])} {_in_words(state)}" for state in _TOLD_STATES if state in counts]
    return parts + ([f"{count(standing.unreadable)} unreadable"] if standing.unreadable else [])


def _in_words(state: str) -> str:
    return "waiting" if state == "waits" else state


def _counted(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def in_order(jobs: Sequence[JobStanding], order: str) -> list[JobStanding]:
    """Return a study's jobs in one of :data:`ORDERS`."""
    if order == "as begun":
        return list(jobs)
    if order == "best first":
        return sorted(jobs, key=_figure)
    ranks = ("running", "paused", "failed", "diverged")
    last = {"interrupted": len(ranks) + 1, "waits": len(ranks) + 2}
    place = {state: rank for rank, state in enumerate(ranks)} | last
    return sorted(jobs, key=lambda job: (place.get(job.state, len(ranks)), _figure(job) if job.is_over else 0.0))


def _figure(job: JobStanding) -> float:
    return job.final if isfinite(job.final) else float("inf")


ORDERS = ("under way first", "best first", "as begun")
"""How a study's runs may be sorted."""
