"""What ends the program, and what it says of itself then: the exit codes, the same for every command and front end.

0 done, 1 failed, 2 wrong usage or preset, 3 diverged beyond the preset's policy, 128 + n ended by signal n.
"""

import signal

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What ends a run after a checkpoint. Schedulers warn of a time limit by one of the last three."""

DONE = 0
FAILED = 1
USAGE = 2
DIVERGED = 3
_SIGNAL = 128  # is added to a signal's number, as shells do

# A run that is over and not finished has not done what was asked for.
_OF_STATUS = {
    "finished": DONE,
    "failed": FAILED,
    "diverged": DIVERGED,
    "interrupted": FAILED,
    "running": FAILED,
    "paused": FAILED,
}


def of_status(status: str) -> int:
    """Return the exit code of a program that drove a run to this status."""
    return _OF_STATUS[status]


def of_left(phase: str) -> int:
    """Return the exit code of a screen that was left while it showed this phase: who leaves has what he wanted."""
    return _OF_STATUS[phase] if phase in ("failed", "diverged") else DONE


def of_signal(number: int) -> int:
    """Return the exit code of a program that this signal ended, after a checkpoint."""
    return _SIGNAL + number
