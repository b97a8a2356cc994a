"""How much memory this process may still take: of the machine, of its control group (a container, a job), by ulimit.

And that it gives back what it does not need.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's mallopt
_LARGE = 2**22  # bytes


def give_back_large_arrays() -> None:
    """Have the system take an array of 4 MiB and more back as soon as it is freed, where the C library is glibc.

    It would do so by itself, but learns from each that is freed to keep those up to 32 MB, for each thread by itself: a
    training of 100,000 coordinates held 1.2 GB then, and holds 0.91 with this. Smaller ones would take longer: with 256
    KiB, 1.07 of the time of a training of 16,000.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)


def available_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> tuple[int, str] | None:
    """Return how many bytes are free, and whose limit that is, in words; None where nothing tells.

    Swapped memory does not count: training in it would never end.

    Parameters
    ----------
    proc, cgroups
        Where the kernel tells it.
    """
    limits = [*_of_machine(proc), *_of_control_groups(proc, cgroups), *_of_process(proc)]
    return min(limits, default=None)


def _of_machine(proc: Path) -> Iterator[tuple[int, str]]:
    with suppress(OSError, ValueError, KeyError):
        yield _table(proc / "meminfo")["MemAvailable:"] * 1024, "this machine"
        return
    with suppress(OSError, ValueError):  # no Linux: what is installed is all that is known
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "this machine"


def _of_control_groups(proc: Path, cgroups: Path) -> Iterator[tuple[int, str]]:
    with suppress(OSError, ValueError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                yield from _limits(cgroups, place, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _limits(cgroups / "memory", place, *names)


def _limits(root: Path, place: str, limit: str, usage: str, reclaimable: str) -> Iterator[tuple[int, str]]:
    """Yield what each group around us leaves; in a container the outermost one that is seen is the root itself."""
    group = root / place.strip("/")
    for folder in [group, *group.parents]:
        if root in (folder, *folder.parents):
            with suppress(OSError, ValueError, KeyError):  # "max" is no limit
                most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
                yield max(most - used + _table(folder / "memory.stat")[reclaimable], 0), "this job or container"


def _of_process(proc: Path) -> Iterator[tuple[int, str]]:
    with suppress(OSError, ValueError, KeyError, ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            yield max(limit - _table(proc / "self/status")["VmSize:"] * 1024, 0), "ulimit -v"


def _table(path: Path) -> dict[str, int]:
    """Return name → number of the lines of a file that have both."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
