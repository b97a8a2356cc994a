"""``python -m tests.reliability.page``: makes docs/reliability.md of what the last soak tried; `make soak` calls it.

A soak that was shorter than usual does not replace the page: it is written beside what was kept, and its place printed.
"""

import os
import platform
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests import soak
from tests.reliability import book
from tests.reliability.book import Entry

_ROOT = Path(__file__).parents[2]
_MOST_WRONG = 40
_INTRODUCTION = """\
# What it survives

Written by `make soak` (tests/reliability): nothing here is typed by hand. The real program is started as a process,
something is done to it, and it is gone on with as its user would. It has survived if `resume` (where nothing had begun
yet, the same `run`) then comes to the end and leaves no temporary file behind, `metrics.csv` equals an undisturbed
run's byte for byte and all weights bit for bit, and no stream holds a traceback or a control sequence that is not ours.
What is lost is what was done since the newest checkpoint and had to be done again: so many meta-iterations, and how
long they had taken the first time.
"""
_HEADINGS = ("fault", "how it is injected", "tried", "survived", "lost, at most", "repeat with")


def page(entries: Sequence[Entry], told: Sequence[soak.Told], made: str) -> str:
    """Return the page.

    Parameters
    ----------
    entries
        What was tried.
    told
        How the soak's tests ended.
    made
        When and where.
    """
    parts = [_INTRODUCTION, made, "", *_table(entries), "", *_places(entries), *_wrong(entries), *_tests(told)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _table(entries: Iterable[Entry]) -> Iterator[str]:
    groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.fault, entry.how, entry.test.partition("[")[0]].append(entry)
    yield _row(_HEADINGS)
    yield _row(["---", "---", "---:", "---:", "---", "---"])
    for (fault, how, test), tries in sorted(groups.items()):
        survived = sum(not entry.wrong for entry in tries)
        rows, seconds = max(entry.lost_rows for entry in tries), max(entry.lost_seconds for entry in tries)
        lost = f"{rows:,} meta-iterations, {seconds:.2f} s" if rows else "nothing"
        yield _row([fault, how, f"{len(tries):,}", f"{survived:,}", lost, f"`pytest -m soak {test}`"])


def _places(entries: Iterable[Entry]) -> Iterator[str]:
    """Tell where it was struck, of those faults that have such places."""
    places = Counter(entry.place for entry in entries if entry.how.startswith("LD_PRELOAD: SIGKILL"))
    if places:
        yield "## Where it was killed\n\nBefore a file call, or half-way through a write; N stands for a number.\n"
        yield _row(["call and file", "kills"])
        yield _row(["---", "---:"])
        yield from (_row([f"`{place}`", f"{number:,}"]) for place, number in sorted(places.items()))
        yield ""


def _wrong(entries: Iterable[Entry]) -> Iterator[str]:
    wrong = Counter((entry.fault, re.sub(r"[0-9]{2,}", "N", entry.wrong)[:200]) for entry in entries if entry.wrong)
    if wrong:
        yield "## What was not survived\n"
        for (fault, what), number in wrong.most_common(_MOST_WRONG):
            yield f"- {number} times, {fault}: `{_plain(what)}`"
        yield ""


def _tests(told: Iterable[soak.Told]) -> Iterator[str]:
    by_test: dict[str, list[soak.Told]] = defaultdict(list)
    for one in told:
        by_test[one.test.partition("[")[0]].append(one)
    if by_test:
        yield "## The soak's tests\n"
        yield _row(["test", "passed", "failed", "skipped", "seconds"])
        yield _row(["---", "---:", "---:", "---:", "---:"])
        for test, all_told in sorted(by_test.items()):
            outcomes = Counter(one.outcome for one in all_told)
            numbers = [f"{outcomes[name]}" for name in ("passed", "failed", "skipped")]
            yield _row([f"`{test}`", *numbers, f"{sum(one.seconds for one in all_told):.0f}"])
        yield ""
        reasons = sorted({one.reason for all_told in by_test.values() for one in all_told if one.reason})
        yield from (f"- skipped: {_plain(reason)}" for reason in reasons)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).replace("`", "'")


def _made(entries: Sequence[Entry]) -> str:
    """Return when and where it was made, and the sums."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    kills = sum("SIGKILL" in entry.how for entry in entries)
    survived = sum(not entry.wrong for entry in entries)
    lost = max((entry.lost_seconds for entry in entries), default=0.0)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {soak.MINUTES:g} minutes at most: "
        f"**{len(entries):,} tries, {survived:,} survived; {kills:,} of them kills; at most {lost:.2f} s of work done "
        f"again.**"
    )


def main() -> None:
    """Write the page."""
    entries = list(book.entries())
    is_whole = soak.MINUTES >= soak.USUAL_MINUTES
    path = _ROOT / "docs" / "reliability.md" if is_whole else soak.FOLDER / "reliability.md"
    path.write_text(page(entries, list(soak.told()), _made(entries)), encoding="utf-8")
    print(path)  # noqa: T201 (where it is)


if __name__ == "__main__":
    main()
