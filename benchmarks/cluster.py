"""A sweep of thousands of runs on a thousand workers, simulated: what scheduler and client cost.

    .venv/bin/python benchmarks/cluster.py --workers 1000 --runs 10000 --seconds 30
    .venv/bin/python benchmarks/cluster.py --workers 1000 --runs 10000 --seconds 30 --lose 100

Real are a Dask scheduler in a process of its own, with its defaults, the command ``l2o-tui sweep --scheduler``, on a
terminal, so with its bars, and the workers: ``distributed.Worker``, with a connection each, but many in a process and
without what looks after a process (nanny, profiler, limits of memory). Made up is what a worker does in place of
training: it makes the files of a run without rows, waits for a time that is drawn (log-normal, σ = 0.5), and answers
with figures.

Times of the processor are what says something: all of it shares this machine's cores, the thousand workers too. Dask's
messages are counted in the scheduler, where its streams read and write. With ``--lose`` a process with so many workers
is killed when half of the runs are over.
"""

import argparse
import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic, sleep, time
from typing import Any, NamedTuple
from unittest.mock import patch

import distributed
import numpy as np
from dask import config
from made_runs import Pattern
from tornado.iostream import IOStream

from l2o_engine.presets.files import check, load
from l2o_engine.presets.shipped import find
from l2o_engine.runs.record import RunError, now, read_record_once, versions
from l2o_engine.studies.sweep import cluster as jobs_of_a_sweep

_PRESET = "log15_end_log"
_SEEDS = 4
_EACH = 100  # workers in a process
_IDLE_SECONDS = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")
_SETTINGS = {
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_LOGGING__TORNADO": "critical",
    # The scheduler shares the cores with all that is made up: while it comes to nothing, connections break after 30 s.
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "300s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "300s",
}
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.tick.cycle": "60s",
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}  # a hundred of them in one process would measure that process a hundred times


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="what a run takes, the median")
    parser.add_argument("--lose", type=int, default=0, help="workers that are killed when half of the runs are over")
    parser.add_argument("--profile", type=Path, help="a file that gets cProfile's account of the client")
    parser.add_argument("--role", choices=("scheduler", "workers"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where the runs folder is made, and stays; else a temporary one")
    options = parser.parse_args()
    if options.role == "scheduler":
        asyncio.run(_schedule(options.folder))
    elif options.role == "workers":
        asyncio.run(_work(options.folder, options.workers, options.seconds))
    elif options.folder:
        options.folder.mkdir(parents=True)
        _measure(options, options.folder)
    else:
        with tempfile.TemporaryDirectory() as name:
            _measure(options, Path(name))


# The scheduler's process.


async def _schedule(folder: Path) -> None:
    """Be a scheduler, and write every second what it has to do with."""
    said = dict.fromkeys(("sent", "received", "writes", "reads"), 0)
    write, read = IOStream.write_to_fd, IOStream.read_from_fd

    def write_to_fd(stream: IOStream, data: Any) -> int:
        written: int = write(stream, data)
        said["sent"] += written
        said["writes"] += 1
        return written

    def read_from_fd(stream: IOStream, buffer: Any) -> int | None:
        got: int | None = read(stream, buffer)
        said["received"] += got or 0
        said["reads"] += 1
        return got

    with patch.object(IOStream, "write_to_fd", write_to_fd), patch.object(IOStream, "read_from_fd", read_from_fd):
        async with distributed.Scheduler(
            host="127.0.0.1", port=0, dashboard=False, dashboard_address=":0"
        ) as scheduler:
            (folder / ".address").write_text(scheduler.address)
            (folder / ".address").replace(folder / "address")
            while True:
                more = {"workers": len(scheduler.workers), "transitions": scheduler.transition_counter}
                (folder / ".scheduler").write_text(json.dumps(said | more))
                (folder / ".scheduler").replace(folder / "scheduler.json")
                await asyncio.sleep(1)


# A process of workers.


async def _work(folder: Path, number: int, seconds: float) -> None:
    stand_in = _StandIn(folder, seconds)
    jobs_of_a_sweep.run_on_worker = stand_in.run_on_worker  # what is sent is this name
    address = (folder / "address").read_text()
    with config.set(_QUIET):
        workers = [
            await distributed.Worker(
                address, nthreads=1, memory_limit=0, dashboard=False, host="127.0.0.1", local_directory=str(folder)
            )
            for _ in range(number)
        ]
        await asyncio.gather(*(worker.finished() for worker in workers))


class _StandIn:
    """Takes :func:`~l2o_engine.studies.sweep.cluster.run_on_worker`'s place, and notes when which worker did what."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._seconds = seconds
        self._random = np.random.default_rng(os.getpid())
        self._notes = (folder / f"notes-{os.getpid()}").open("a", buffering=1)
        self._pattern = Pattern.of(load(find(_PRESET)), folder / f"pattern-{os.getpid()}")
        self._lock = threading.Lock()

    def run_on_worker(
        self, tables: Mapping[str, Any], folder: str, until: int | None = None, code: Sequence[str] = (), data: str = ""
    ) -> dict[str, Any]:
        began = time()
        if self._is_over(Path(folder)):
            return self._answer(0.0, -8.0) | {"before": True}
        with self._lock:
            seconds = self._seconds * float(self._random.lognormal(0.0, 0.5))
            final = float(self._random.normal(-8.0, 3.0))
            self._notes.write(f"begun {distributed.get_worker().address} {began} 0 {Path(folder).name}\n")
        preset = check(tables)
        changes = {"seed": preset.run.seed, "created": now(), "updated": now()}
        self._pattern.write(Path(folder), status="running", iteration=0, **changes)
        sleep(seconds)
        self._pattern.write_record(Path(folder), average_log_result=final, **changes | {"updated": now()})
        with self._lock:
            self._notes.write(f"over {distributed.get_worker().address} {began} {time()} {Path(folder).name}\n")
        return self._answer(seconds, final)

    def _is_over(self, folder: Path) -> bool:
        try:
            return read_record_once(folder / "run.json").status == "finished"
        except RunError:
            return False

    def _answer(self, seconds: float, final: float) -> dict[str, Any]:
        return {
            "status": "done",
            "message": "",
            "before": False,
            "diverged": False,
            "seconds": seconds,
            "iteration": self._pattern.record["iterations"],
            "final": final,
            "sum_loss": 1.5,
            "took_off": final < -1,
            "host": "simulated",
            "versions": versions(),
        }


# The one that measures.


class _Note(NamedTuple):
    """What a worker has noted: that it has begun a run, or that one is over."""

    what: str
    worker: str
    began: float
    ended: float
    run: str


class _Used(NamedTuple):
    """What a process has used: seconds of CPU, and MB of memory at most."""

    seconds: float
    peak: float


def _measure(options: argparse.Namespace, folder: Path) -> None:
    """Start everything, look on, and say what it cost."""
    ours = [sys.executable, str(Path(__file__).resolve()), "--folder", str(folder), "--seconds", str(options.seconds)]
    groups = _groups(options.workers, options.lose)
    with _Processes() as processes:
        scheduler = processes.start(*ours, "--role", "scheduler")
        _until((folder / "address").exists)
        workers = [processes.start(*ours, "--role", "workers", "--workers", str(number)) for number in groups]
        _until(lambda: _said(folder)["workers"] == options.workers)
        _say(f"{options.workers:,} workers in {len(groups)} processes; {options.runs:,} runs of {options.seconds:g} s")
        idle = _used(scheduler)
        sleep(_IDLE_SECONDS)
        before, there = _used(scheduler), _said(folder)
        share = (before.seconds - idle.seconds) / _IDLE_SECONDS
        _say(f"scheduler, nothing to do: {share:.1%} of a core, {before.peak:.0f} MB")
        began, of_workers = monotonic(), sum(_used(one).seconds for one in workers)
        client = _client(options, folder, processes)
        of_client, of_scheduler, has_begun, is_lost = _used(client), before, False, not options.lose
        while client.poll() is None:
            now_of_client = _used(client)
            if now_of_client.peak:  # else it has just ended
                of_client, of_scheduler, said = now_of_client, _used(scheduler), _said(folder)
                now_of_workers = sum(_used(one).seconds for one in workers)
            if not has_begun and any(note.what == "begun" for note in _notes(folder)):
                has_begun = True
                waited = monotonic() - began
                _say(f"the first run begins after {waited:.1f} s, {of_client.seconds:.1f} s of the client's CPU")
            if not is_lost and sum(note.what == "over" for note in _notes(folder)) > options.runs / 2:
                is_lost = True
                workers[0].send_signal(signal.SIGKILL)
                _say(f"{options.lose} workers killed after {monotonic() - began:.0f} s")
            sleep(0.5)
        took = monotonic() - began
        for name, used in (
            ("scheduler", of_scheduler._replace(seconds=of_scheduler.seconds - before.seconds)),
            ("client", of_client),
        ):
            each = used.seconds / options.runs * 1e3
            _say(
                f"{name}: {used.seconds:.1f} s of CPU in {took:.0f} s, {each:.2f} ms a run, {used.peak:.0f} MB at most"
            )
        each = {name: (said[name] - there[name]) / options.runs for name in there}
        _say(
            f"a run at the scheduler: {each['received']:,.0f} bytes come and {each['sent']:,.0f} go, in "
            f"{each['reads']:.1f} reads and {each['writes']:.1f} writes; {each['transitions']:.1f} transitions"
        )
        _say(f"all workers: {(now_of_workers - of_workers) / options.runs * 1e3:.1f} ms of CPU a run")
        _tell(_notes(folder))
        last = (folder / "said").read_bytes().decode(errors="replace").splitlines()[-1:]
        _say(f"the client's exit code is {client.returncode}; its last line: {last}")


def _tell(notes: Sequence[_Note]) -> None:
    """Say how long workers waited for runs."""
    over, begun = [one for one in notes if one.what == "over"], [one for one in notes if one.what == "begun"]
    distinct = len({one.run for one in over})
    _say(f"{distinct:,} runs done, {len(over) - distinct:,} of them twice; {len(begun) - len(over):,} begun and lost")
    spans: dict[str, list[tuple[float, float]]] = {}
    for one in over:
        spans.setdefault(one.worker, []).append((one.began, one.ended))
    gaps = sorted(later[0] - earlier[1] for each in spans.values() for earlier, later in pairwise(sorted(each)))
    firsts = sorted(min(each)[0] for each in spans.values())
    last = max(one.began for one in begun)  # from then on there are fewer runs than workers
    busy = sum(min(one.ended, last) - one.began for one in over)
    room = sum(last - first for first in firsts)
    _say(f"{len(spans):,} workers did some, the last of them from {firsts[-1] - firsts[0]:.1f} s after the first on")
    if gaps and room:
        high = gaps[int(len(gaps) * 0.95)]
        _say(f"between two runs a worker waits {median(gaps):.2f} s, in 95 % {high:.2f} s, {gaps[-1]:.2f} s at most")
        _say(f"until the last run begins they are busy {busy / room:.1%} of the time")
    moments = sorted(one.began for one in begun)
    window = max(len(moments) // 20, 2)
    fastest = min(moments[place + window - 1] - moments[place] for place in range(len(moments) - window + 1))
    _say(f"runs begun: {len(moments) / (last - moments[0]):.0f} a second, at most {(window - 1) / fastest:.0f}")


class _Processes:
    """The processes that are measured; none outlives this one."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._environment = _SETTINGS | os.environ | {"OMP_NUM_THREADS": "1"}  # where others are set, these

    def __enter__(self) -> "_Processes":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
        for process in self._started:
            process.wait()

    def start(self, *command: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start one."""
        self._started.append(subprocess.Popen(command, env=self._environment, **more))
        return self._started[-1]


def _client(options: argparse.Namespace, folder: Path, processes: _Processes) -> subprocess.Popen[bytes]:
    """Start the sweep on a terminal of its own, whose other end is read."""
    ours, theirs = pty.openpty()
    profiled = ["-m", "cProfile", "-o", str(options.profile)] if options.profile else []
    client = processes.start(
        *(sys.executable, *profiled, "-m", "l2o_tui", "sweep", _PRESET, "--name", "study", "--csv"),
        *("--latin", str(options.runs // _SEEDS), "--seeds", str(_SEEDS)),
        *("--over", "meta.learning_rate=1e-6:1e-1:log", "--over", "meta.epsilon=1e-14:1e-6:log"),
        *("--runs-dir", str(folder / "runs"), "--scheduler", (folder / "address").read_text()),
        stdout=(folder / "table.csv").open("wb"),
        stderr=theirs,
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)

    def read() -> None:
        with (folder / "said").open("ab", buffering=0) as file, suppress(OSError):  # which says that it has ended
            while True:
                file.write(os.read(ours, 65536))

    threading.Thread(target=read, daemon=True).start()
    return client


def _groups(workers: int, lose: int) -> list[int]:
    """Return how many workers each process has, the one that is killed first."""
    groups = [lose] if lose else []
    while sum(groups) < workers:
        groups.append(min(_EACH, workers - sum(groups)))
    return groups


def _notes(folder: Path) -> list[_Note]:
    found = []
    for file in folder.glob("notes-*"):
        for line in file.read_text().splitlines():
            what, worker, began, ended, run = line.split(" ")
            found.append(_Note(what, worker, float(began), float(ended), run))
    return found


def _said(folder: Path) -> dict[str, int]:
    """Return what the scheduler has written last."""
    try:
        said: dict[str, int] = json.loads((folder / "scheduler.json").read_text())
    except FileNotFoundError:
        return {"workers": 0}
    return said


def _used(process: subprocess.Popen[bytes]) -> _Used:
    """Return what a process has used; nothing if it has ended."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return _Used(0.0, 0.0)
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    return _Used((int(fields[11]) + int(fields[12])) / _TICKS, int(peak) * 1024 / 1e6)


def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        sleep(0.1)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
