"""Processes of this machine: whether one is there, and whether it is still the one that was meant.

A process id is used again after a while, and every container counts its own from 1. So a process is known by where its
id counts and by when it began, as ``/proc`` has them; where there is no ``/proc``, by its id alone.
"""

import os
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_GONE = ("Z", "X")  # has ended, and waits for its parent to hear of it


@cache
def whereabouts() -> str:
    """Return where the process ids that we see count: this boot of this machine, this container; "" if unknown."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def began(pid: int) -> int | None:
    """Return when a process began, in the kernel's ticks since the boot.

    Parameters
    ----------
    pid
        Its id.

    Returns
    -------
    int or None
        0 where that is not told; None if there is no such process, or it has ended.
    """
    try:
        state, *fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if state in _GONE else int(fields[18])
    except (OSError, ValueError, IndexError):
        return 0 if _is_there(pid) else None


def _is_there(pid: int) -> bool:
    if pid < 1:  # which means groups of processes
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
