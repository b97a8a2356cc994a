"""How much memory is free: the least of what the machine, the control groups and ulimit leave."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from l2o_engine.support.memory import available_memory


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc of a machine with 8,000 kB free."""
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(
        "MemTotal:  16000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\nHugePages_Total: 0\n"
    )
    (folder / "self/cgroup").write_text("0::/user.slice/job\n")
    (folder / "self/status").write_text("Name:\tpython\nVmSize:\t  1000 kB\n")
    return folder


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_of_this_machine_something_is_known() -> None:
    free = available_memory()
    assert free is not None
    assert free[0] > 10**6


def test_without_limits_it_is_what_the_machine_has(proc: Path, tmp_path: Path) -> None:
    assert available_memory(proc, tmp_path / "none") == (8_192_000, "this machine")
    group(tmp_path / "v2/user.slice/job", memory__max="max", memory__current="5", memory__stat="inactive_file 1")
    assert available_memory(proc, tmp_path / "v2") == (8_192_000, "this machine")


@pytest.mark.parametrize("place", ["user.slice/job", "user.slice", "."])
def test_a_group_s_limit_counts_and_those_around_it(proc: Path, tmp_path: Path, place: str) -> None:
    group(tmp_path / "v2" / place, memory__max="5000", memory__current="4500", memory__stat="anon 7\ninactive_file 300")
    assert available_memory(proc, tmp_path / "v2") == (800, "this job or container")


def test_in_a_container_the_group_is_the_root_that_is_seen(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("0::/../../docker/123\n")
    group(tmp_path / "v2", memory__max="5000", memory__current="6000", memory__stat="inactive_file 300")
    assert available_memory(proc, tmp_path / "v2") == (0, "this job or container")


def test_version_1_of_control_groups_is_read_too(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("9:cpu,cpuacct:/a\n5:memory:/a/b\n1:name=systemd:/\n")
    files = {
        "memory__limit_in_bytes": "5000",
        "memory__usage_in_bytes": "4000",
        "memory__stat": "total_inactive_file 0",
    }
    group(tmp_path / "v1/memory/a", **files)
    assert available_memory(proc, tmp_path / "v1") == (1000, "this job or container")


def test_ulimit_counts(proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_536_000, resource.RLIM_INFINITY))
    assert available_memory(proc, tmp_path / "none") == (512_000, "ulimit -v")


@pytest.mark.parametrize("text", ["", "0::\n", "nonsense", "\x00", "0::/user.slice/job"])
def test_what_cannot_be_understood_is_no_limit(proc: Path, tmp_path: Path, text: str) -> None:
    (proc / "self/cgroup").write_text(text)
    group(tmp_path / "v2/user.slice/job", memory__max="lots", memory__current="-", memory__stat="")
    assert available_memory(proc, tmp_path / "v2") == (8_192_000, "this machine")


# Of a program that has freed an array of 16 MB before, and frees twenty of 6 MB that each lie before one that stays.
_FREES = """
import sys
from l2o_engine.support.memory import give_back_large_arrays
if sys.argv[1:]:
    give_back_large_arrays()
bytearray(2**24)
pairs = [(bytearray(b"x" * 6_000_000), bytearray(b"x" * 100_000)) for _ in range(20)]
kept = [small for _, small in pairs]
del pairs
print(int(open("/proc/self/statm").read().split()[1]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's memory is its own affair")
def test_large_arrays_that_are_freed_are_the_system_s_again() -> None:
    pages = [
        int(subprocess.run([sys.executable, "-c", _FREES, *told], capture_output=True, check=True).stdout)
        for told in ((), ("give back",))
    ]
    assert pages[0] - pages[1] > 2 * 6_000_000 / resource.getpagesize()
