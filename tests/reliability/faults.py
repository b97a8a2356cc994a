"""Faults below the file calls of a process: the n-th call on a path is its last, or fails, or comes late.

``faults.c`` takes the place of the C library's calls (LD_PRELOAD); it is compiled here, once, by ``cc``.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("faults.c")
FILE_CALLS = ("create", "write", "sync", "sync_folder", "rename", "unlink", "truncate", "mkdir")
"""The calls that change something."""


@dataclass(frozen=True)
class Fault:
    """What happens to some of a process's file calls.

    Attributes
    ----------
    path
        A shell pattern for the absolute path of what is called for.
    calls
        Which calls.
    do
        "kill" before the call, "tear" (write half, then kill), "error", "short" (write half), "delay", "note".
    value
        The errno of an error, the milliseconds of a delay.
    first, last
        Which of these calls, counted from 1; last None is the first alone, 0 all from the first on.
    until
        The fault is gone once a file of this path is there.
    who
        "owner" is the process that is started, "child" any that it starts, or "any".
    """

    path: str
    calls: tuple[str, ...] = FILE_CALLS
    do: str = "kill"
    value: int = 0
    first: int = 1
    last: int | None = None
    until: Path | None = None
    who: str = "owner"

    @property
    def line(self) -> str:
        """The rule as faults.c reads it."""
        last = self.first if self.last is None else self.last
        fields = (",".join(self.calls), self.path, self.first, last, self.do, self.value, self.until or "", self.who)
        return "\t".join(map(str, fields))


@dataclass(frozen=True)
class Happened:
    """What befell one call."""

    do: str
    call: str
    path: Path
    pid: int


def rules(faults: Sequence[Fault]) -> str:
    """Return faults as faults.c reads them."""
    return "\n".join(fault.line for fault in faults)


def happened(log: Path) -> list[Happened]:
    """Return what the log of faults holds."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = [line.split("\t") for line in lines]
    return [Happened(do, call, Path(path), int(pid)) for do, call, path, pid in found]


@cache
def library() -> Path:
    """Return the compiled faults.c; skip the test where it cannot be had."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux"):
        pytest.skip("faults below the file calls are injected on Linux alone")
    if compiler is None:
        pytest.skip("there is no C compiler (cc): faults below the file calls are not tried")
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"l2o-faults-{digest}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=built.parent) as folder:
            made = Path(folder) / built.name
            command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(_SOURCE)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            made.replace(built)  # whole, whoever else builds it
    return built
