"""What a sweep costs beside its training: 48 runs by local processes and on Dask, on a quick and a slow file system.

    python benchmarks/sweep_cost.py                      # 3 rates x 4 sizes x 4 seeds of log15_end_log, four ways
    python benchmarks/sweep_cost.py --on local --late 0  # one of them
    python benchmarks/sweep_cost.py --kills              # killed again and again: what was done twice, and the bytes
    python benchmarks/sweep_cost.py --source /path/to/old/checkout

*wall* is from the start of the command to its end. *runs* is the sum over the runs of ``elapsed_seconds`` in their
``run.json``: from a run's first meta-iteration to its last, with what is written meanwhile. *efficiency* is that sum
over wall times workers. Where cores are shared a run takes longer by what others do meanwhile; so *CPU* is the second
figure: the processor's seconds that the same runs take one after the other in one process, measured here first, over
those that the command and all of its processes took. Where a run's folder is late, *runs* is that of the quick one,
for waiting is no training.

A slow file system is made by tests/reliability/faults.c (LD_PRELOAD): each open, stat, sync, rename, unlink and mkdir
of a path below the runs folder comes so many milliseconds late, in every process. It needs Linux and ``cc``; Dask needs
the extra ``cluster``.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

_HERE = Path(__file__).resolve().parents[1]
_RATES, _SIZES = "1e-4,3e-4,1e-3", "5,10,15,20"
_WORKERS = 2
_CALLS = "open,create,sync,sync_folder,rename,unlink,mkdir,stat"
_SUBREAPER = 36  # of prctl: whoever outlives its parent is ours to wait for, and so its time is ours to count
_ALONE = """
import sys
from pathlib import Path
from time import process_time
from l2o_engine.studies.sweep import Sweep, read_study
from l2o_engine.studies.sweep.seeds import run_seed
folder = Path(sys.argv[1])
sweep = Sweep(read_study(folder, follows=False), runs_dir=folder.parent)
sweep.begin()
spent = -1.0
for job in [sweep.jobs[0], *sweep.jobs]:
    function, arguments = sweep._call(job)
    began = process_time()
    function(*arguments)
    spent = spent + process_time() - began if spent >= 0 else 0.0  # the first loads what all need
print(spent)
"""


@dataclass(frozen=True)
class Cost:
    """What one sweep took.

    Attributes
    ----------
    wall
        Seconds from its start to its end.
    runs
        Seconds that its runs trained, added up.
    cpu
        The processor's seconds, of all its processes; those of Dask's scheduler and workers too.
    digests
        Run -> SHA-256 of its metrics.csv.
    """

    wall: float
    runs: float
    cpu: float
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Laboratory:
    """Where it all happens, and what is run.

    Attributes
    ----------
    folder
        For runs and all else.
    source
        The checkout that is measured.
    iterations
        Of a run.
    library
        faults.c, compiled.
    """

    folder: Path
    source: Path
    iterations: int
    library: Path

    def environment(self, late: int) -> dict[str, str]:
        """Return the environment of a process for which the runs folder is late."""
        found = os.environ | {"PYTHONPATH": str(self.source), "OMP_NUM_THREADS": "1"}
        found.setdefault("L2O_CACHE_DIR", str(self.folder / "cache"))
        if late:
            rule = "\t".join([_CALLS, f"{self.folder / 'runs'}/*", "1", "0", "delay", str(late), "", "any"])
            found |= {"LD_PRELOAD": str(self.library), "L2O_FAULTS": rule}
        return found

    def command(self, name: str, *options: str) -> list[str]:
        """Return the command of a sweep."""
        over = ["--over", f"meta.learning_rate={_RATES}", "--over", f"network.hidden={_SIZES}", "--seeds", "4"]
        where = ["--runs-dir", str(self.folder / "runs"), "--name", name, "--iterations", str(self.iterations)]
        return [*_L2O, "sweep", "log15_end_log", *over, *where, "--json", *options]

    def started(self, command: Sequence[str], late: int = 0) -> "subprocess.Popen[bytes]":
        """Start a command in a process group of its own."""
        said = (self.folder / "said.txt").open("ab")
        with said:
            return subprocess.Popen(
                command,
                env=self.environment(late),
                cwd=self.folder,
                stdout=said,
                stderr=said,
                process_group=0,
            )

    def digests(self, name: str) -> dict[str, str]:
        """Return the digests of a study's metrics."""
        paths = sorted((self.folder / "runs" / name).glob("*/metrics.csv"))
        return {path.parent.name: sha256(path.read_bytes()).hexdigest() for path in paths}

    def records(self, name: str) -> list[dict[str, object]]:
        """Return what the run.json of a study's runs say."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / "runs" / name).glob("*/run.json"))]

    def sweep(self, name: str, *options: str, late: int = 0) -> Cost:
        """Run a sweep to its end."""
        before, began = _cpu(), monotonic()
        process = self.started(self.command(name, *options), late)
        code = process.wait()
        wall = monotonic() - began
        if code:
            sys.exit(f"the sweep ended with {code}: {(self.folder / 'said.txt').read_text()[-2000:]}")
        _wait_for_all()
        runs = sum(float(str(record["elapsed_seconds"])) for record in self.records(name))
        return Cost(wall, runs, _cpu() - before, self.digests(name))

    @contextmanager
    def cluster(self, late: int) -> "Iterator[Cluster]":
        """Yield a real scheduler on loopback, with workers of one thread each, and end them."""
        cluster = Cluster(self, late)
        try:
            cluster.start_scheduler()
            for _ in range(_WORKERS):
                cluster.start_worker()
            cluster.wait_until_there()
            yield cluster
        finally:
            cluster.end()


_L2O = [sys.executable, "-P", "-m", "l2o_tui"]


class Cluster:
    """Dask's processes.

    Parameters
    ----------
    laboratory, late
        Where they work, and how late the runs folder is for them.
    """

    def __init__(self, laboratory: Laboratory, late: int) -> None:
        self._laboratory = laboratory
        self._late = late
        self.file = laboratory.folder / "scheduler.json"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start_scheduler(self) -> None:
        """Start a scheduler, at the same port if there was one before."""
        port = "0"
        if self.file.exists():
            port = json.loads(self.file.read_text())["address"].rpartition(":")[2]
            self.file.unlink()
        options = ["--no-dashboard", "--host", "127.0.0.1", "--port", port, "--scheduler-file", str(self.file)]
        self.scheduler = self._laboratory.started([sys.executable, "-P", "-m", "dask", "scheduler", *options])
        while not self.file.exists():
            sleep(0.05)

    def start_worker(self) -> None:
        """Start one more worker."""
        place = ["--local-directory", str(self._laboratory.folder / "dask")]
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", str(self.file), *place]
        command = [sys.executable, "-P", "-m", "dask", "worker", *options]
        self.workers.append(self._laboratory.started(command, self._late))

    def wait_until_there(self) -> None:
        """Wait until all workers have come, and have loaded what a run needs: they are there before a study is."""
        distributed: Any = import_module("distributed")
        with distributed.Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(len(self.workers))
            for name in ("l2o_engine.studies.sweep.seeds", "numba"):
                client.run(import_module, name)

    def end(self) -> None:
        """End all of them."""
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            process.kill()
            process.wait()
        _wait_for_all()


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _wait_for_all(seconds: float = 2.0) -> None:
    """Wait for processes whose parents are gone, as the server of a pool: only then their time is known.

    A cluster's stay, and are waited for in vain.
    """
    deadline = monotonic() + seconds
    with suppress(ChildProcessError):  # there is none any more
        while monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                sleep(0.02)


def measure(laboratory: Laboratory, where: str, late: int, alone: float, quick: Cost | None) -> Cost:
    """Run the sweep one way, print a line of what it cost, and return it."""
    name = f"{where}{late}"
    if where == "local":
        cost = laboratory.sweep(name, "--jobs", str(_WORKERS), late=late)
    else:
        before = _cpu()
        with laboratory.cluster(late) as cluster:
            cost = laboratory.sweep(name, "--scheduler", str(cluster.file), late=late)
        cost = Cost(cost.wall, cost.runs, _cpu() - before, cost.digests)
    number = len(cost.digests)
    runs = quick.runs if quick is not None else cost.runs
    beside = (_WORKERS * cost.wall - runs) / number
    share = f"{runs / (_WORKERS * cost.wall):10.2f}"
    cpu = f"{alone / cost.cpu:5.2f}" if where == "local" else "    -"  # Dask's own processes stay, and only wait
    print(f"{where:6} {late:5} ms {cost.wall:8.1f} s {runs:7.1f} s {share} {beside:9.2f} s {cpu}", flush=True)
    return cost


def kills(laboratory: Laboratory, reference: Mapping[str, str]) -> None:
    """Kill a local sweep twice, then workers and the scheduler of one on Dask; print what was done again."""
    for share in (1 / 3, 2 / 3):
        process = laboratory.started(laboratory.command("killed", "--jobs", str(_WORKERS)))
        _wait_for_share(laboratory, "killed", share)
        os.killpg(process.pid, signal.SIGKILL)  # all of its processes at once
        process.wait()
        _wait_for_all()
        _tell(laboratory, "killed", f"local: all processes killed at {share:.0%}")
    laboratory.sweep("killed", "--jobs", str(_WORKERS))
    _tell(laboratory, "killed", "local: gone on to the end", reference)
    with laboratory.cluster(0) as cluster:
        process = laboratory.started(laboratory.command("dask", "--scheduler", str(cluster.file)))
        _wait_for_share(laboratory, "dask", 1 / 4)
        _wait_for_checkpoint(laboratory, "dask")
        cluster.workers[0].kill()
        _tell(laboratory, "dask", "dask: a worker killed in mid-run")
        _wait_for_share(laboratory, "dask", 2 / 5)
        cluster.start_worker()
        _tell(laboratory, "dask", "dask: another worker added")
        _wait_for_share(laboratory, "dask", 3 / 5)
        if cluster.scheduler is not None:
            cluster.scheduler.kill()
            cluster.scheduler.wait()
        _tell(laboratory, "dask", "dask: the scheduler killed")
        sleep(2)
        cluster.start_scheduler()
        for worker in cluster.workers:  # without a scheduler they end, or look for it where it was
            worker.kill()
        for _ in range(_WORKERS):
            cluster.start_worker()
        code = process.wait()
        _tell(laboratory, "dask", f"dask: a new scheduler and workers, ended with {code}", reference)


def _wait_for_share(laboratory: Laboratory, name: str, share: float) -> None:
    """Wait until a share of the runs is at their end."""
    wanted = share * len(_RATES.split(",")) * len(_SIZES.split(",")) * 4
    while sum(record["status"] == "finished" for record in laboratory.records(name)) < wanted:
        sleep(0.1)


def _wait_for_checkpoint(laboratory: Laboratory, name: str) -> None:
    """Wait until a run under way has a checkpoint."""
    while not any(
        json.loads((path.parents[1] / "run.json").read_text())["status"] == "running"
        for path in (laboratory.folder / "runs" / name).glob("*/checkpoints/*.safetensors")
    ):
        sleep(0.02)


def _tell(laboratory: Laboratory, name: str, what: str, reference: Mapping[str, str] | None = None) -> None:
    """Print how a study stands, and what of it was done more than once, by its runs' events."""
    begun = again = repeated = 0
    for path in (laboratory.folder / "runs" / name).glob("*/events.jsonl"):
        lines = []
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:  # the last one, of a process that was killed
                continue
        starts = [event for event in lines if event["event"] == "start"]
        begun += bool(starts)
        again += len(starts) > 1
        furthest = -1
        for event in lines:
            if event["event"] == "start":
                repeated += max(furthest - (-1 if event.get("resumed_from") is None else event["resumed_from"]), 0)
            furthest = max(furthest, event.get("iteration") or 0) if event["event"] != "start" else furthest
    done = sum(record["status"] == "finished" for record in laboratory.records(name))
    bytes_ = ""
    if reference is not None:
        same = sum(reference[run] == digest for run, digest in laboratory.digests(name).items())
        bytes_ = f", metrics.csv the same bytes {same} of {len(reference)}"
    print(
        f"{what}: {done} done, {begun} begun, {again} gone on with, {repeated:,} meta-iterations done twice{bytes_}",
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--on", choices=("local", "dask"), help="one of the two; both, if not given")
    parser.add_argument("--late", type=int, help="milliseconds; 0 and 50, if not given")
    parser.add_argument("--iterations", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=1, help="how often")
    parser.add_argument("--source", type=Path, default=_HERE, help="the checkout that is measured")
    parser.add_argument("--kills", action="store_true")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        library = folder / "late.so"
        source = _HERE / "tests" / "reliability" / "faults.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
        laboratory = Laboratory(folder, asked.source.resolve(), asked.iterations, library)
        cold = laboratory.sweep("first", "--jobs", str(_WORKERS))
        number = len(cold.digests)
        print(f"{number} runs, {_WORKERS} workers; the first time, with kernels to compile: {cold.wall:.1f} s")
        if asked.kills:
            kills(laboratory, cold.digests)
            return
        alone = _alone(laboratory)
        print(f"one after the other in one process they take {alone:.1f} s of CPU\n")
        print("where      late     wall      runs  efficiency  beside a run   CPU")
        for turn in range(asked.turns):
            for where in [asked.on] if asked.on else ["local", "dask"]:
                quick: Cost | None = None
                for late in [0, 50] if asked.late is None else [asked.late]:
                    cost = measure(laboratory, where, late, alone, quick)
                    quick = quick or cost
                    if cost.digests != cold.digests:
                        print("  other bytes than the first time!")
            if turn + 1 < asked.turns:
                subprocess.run(["rm", "-r", *map(str, (folder / "runs").glob("[ld]*[0-9]"))], check=True)


def _alone(laboratory: Laboratory) -> float:
    """Return the processor's seconds that the runs take one after the other in one process, which has begun before."""
    runs = laboratory.folder / "runs"
    (runs / "alone").mkdir()
    study = (runs / "first" / "study.toml").read_text().replace('name = "first"', 'name = "alone"')
    (runs / "alone" / "study.toml").write_text(study)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _ALONE, str(runs / "alone")],
        env=laboratory.environment(0),
        check=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
