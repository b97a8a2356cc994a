"""What runs ask of a file system: every system call on files of one run of a sweep, as a worker drives it, by strace.

    .venv/bin/python benchmarks/run_files.py                                   # log15_end_log, some seconds
    .venv/bin/python benchmarks/run_files.py --set run.backend=torch --set run.iterations=20000
    .venv/bin/python benchmarks/run_files.py --set run.checkpoint_seconds=60

Counted is what goes to the run's folder and to the study's above it, and what a server would hear of: not what is asked
of a file that is open already, nor where in it we are. What a fresh process asks for as it loads Python, NumPy, torch
and us is told beside it. strace makes a run slower: what goes by the clock (``run.json`` once a second, checkpoints) is
told for each second of the traced run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from l2o_engine.presets.files import load, override
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import to_dict
from l2o_engine.studies.sweep.study import STUDY_FILE

_CALL = re.compile(r"^\d+ +(?:\[[^]]*\] +)?(?P<name>\w+)\((?P<rest>.*)$")
_WRITTEN = re.compile(r"= (\d+)$")
_KINDS = {
    "opened": ("openat", "open"),
    "of these made": (),
    "looked at (stat)": ("stat", "newfstatat", "statx", "lstat", "access", "faccessat", "faccessat2"),
    "listed": ("getdents64",),
    "read": ("read", "pread64", "mmap"),
    "written": ("write", "pwrite64", "writev"),
    "synced": ("fsync", "fdatasync"),
    "renamed": ("rename", "renameat", "renameat2"),
    "removed": ("unlink", "unlinkat", "rmdir"),
    "folders made": ("mkdir", "mkdirat"),
    "locked": ("flock",),
    "cut": ("ftruncate",),
}
_BY_NAME = ("opened", "looked at (stat)", "listed")
_WORKER = """
import json, sys
from l2o_engine.studies.sweep.seeds import run_seed
answer = run_seed(json.loads(sys.argv[1]), sys.argv[2])
print(json.dumps(answer))
"""


def main() -> None:
    """Trace a run and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="log15_end_log")
    parser.add_argument("--set", action="append", default=[], help="as of run")
    options = parser.parse_args()
    preset = override(load(find(options.preset)), options.set)
    with tempfile.TemporaryDirectory() as name:
        study = Path(name).resolve() / "study"
        study.mkdir()
        (study / STUDY_FILE).write_text("")
        run, trace = study / "run", Path(name) / "trace"
        calls = "%file,%desc"
        command = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={calls}", "-o", str(trace)]
        command += [sys.executable, "-c", _WORKER, json.dumps(to_dict(preset)), str(run)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        answer = json.loads(done.stdout)
        if answer["status"] != "done":
            sys.exit(f"{answer['status']}: {answer['message']}")
        seconds = answer["seconds"]
        print(f"{preset.name}, {preset.run.iterations:,} meta-iterations in {seconds:.1f} s, slowed down by strace")
        _tell(trace, study, seconds)
        files = [path for path in run.rglob("*") if path.is_file()]
        folders = [path for path in run.rglob("*") if path.is_dir()]
        size = sum(path.stat().st_size for path in files)
        print(f"it leaves {len(files)} files and {len(folders) + 1} folders, {size / 1e6:.2f} MB:")
        for path in sorted(files):
            print(f"  {path.relative_to(run)!s:45} {path.stat().st_size:>10,}")


def _tell(trace: Path, study: Path, seconds: float) -> None:
    ours, others, written, by_file = Counter[str](), 0, Counter[str](), Counter[tuple[str, str]]()
    with trace.open() as lines:
        for line in lines:
            call = _CALL.match(line)
            if call is None:
                continue
            kind = next((kind for kind, names in _KINDS.items() if call["name"] in names), "")
            if not kind or "AT_EMPTY_PATH" in call["rest"]:
                continue
            if str(study) not in call["rest"]:
                others += kind in _BY_NAME and "/" in call["rest"]
                continue
            ours[kind] += 1
            ours["of these made"] += kind == "opened" and "O_CREAT" in call["rest"]
            file = _name_of(call["rest"], study)
            by_file[file, kind] += 1
            if kind == "written" and (size := _WRITTEN.search(line)):
                written[file] += int(size[1])
    total = sum(ours.values()) - ours["of these made"]
    print(f"{total:,} calls below the study's folder, {total / seconds:.0f} a second; {others:,} by name elsewhere:")
    for kind in _KINDS:
        if ours[kind]:
            print(f"  {kind:20} {ours[kind]:>8,} {ours[kind] / seconds:>8.1f} a second")
    print(f"{sum(written.values()) / 1e6:.2f} MB written, {sum(written.values()) / seconds / 1e3:.0f} kB a second:")
    for file, count in written.most_common():
        calls, syncs = by_file[file, "written"], by_file[file, "synced"]
        print(f"  {file:30} {count:>12,} bytes in {calls:>6,} writes, {syncs:>5,} syncs")


def _name_of(rest: str, study: Path) -> str:
    """Return which file a call is about: without what differs from one temporary name or checkpoint to the next."""
    inside = re.findall(rf"<{re.escape(str(study))}/run/([^>]*)>", rest)
    name = inside[-1] if inside else "the folder"
    name = re.sub(r"^(.*?)\.?([^/]+)\.\d+\.tmp$", r"\1\2", name)
    return re.sub(r"\d{12}[-\w]*\.safetensors", "*.safetensors", name)


if __name__ == "__main__":
    main()
