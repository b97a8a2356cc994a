"""What was tried, and how it ended: an entry a line, in a file a process. page.py makes docs/reliability.md of it."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tests import soak

_FOLDER = soak.FOLDER / "tries"


@dataclass(frozen=True)
class Entry:
    """One try.

    Attributes
    ----------
    fault
        What was done to the program.
    how
        How it was injected.
    place
        Where exactly: the call and the file, the moment, the signal.
    wrong
        What was wrong afterwards; empty where it was survived.
    lost_rows, lost_seconds
        Meta-iterations that had to be done again, and how long they had taken.
    test
        The test that did it, as pytest names it.
    """

    fault: str
    how: str
    place: str
    wrong: str
    lost_rows: int
    lost_seconds: float
    test: str


def note(entry: Entry) -> None:
    """Keep an entry."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def entries() -> Iterator[Entry]:
    """Yield what the last soak has kept."""
    for path in sorted(_FOLDER.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Entry(**json.loads(line))
