"""Two checkouts side by side: the meta-iterations per second that ``l2o-tui bench`` finds in each, in turns.

    .venv/bin/python benchmarks/beside.py /path/to/old/checkout
    .venv/bin/python benchmarks/beside.py /path/to/old/checkout --turns 9 --preset logdiv_sum_log

Absolute rates say little on a shared machine, so what is reported are the ratios of neighbouring turns: their median
and their range.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median


def rates(checkout: Path, preset: str, seconds: float) -> dict[str, float]:
    """Return what a checkout's ``bench`` says: contestant → seed-iterations per second."""
    command = [sys.executable, "-P", "-m", "l2o_tui", "bench", "--preset", preset, "--seconds", str(seconds), "--json"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as elsewhere:  # a checkout's own folder would come before PYTHONPATH
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=elsewhere
        )
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    return {document["name"]: document["median"] for document in documents if "median" in document}


def main() -> None:
    """Measure and print the ratios new / old."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a checkout to compare with")
    parser.add_argument("--new", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--preset", default="log30")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each contestant of a turn")
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    for turn in range(options.turns + 1):
        checkouts = (options.old, options.new) if turn % 2 else (options.new, options.old)
        measured = {checkout: rates(checkout, options.preset, options.seconds) for checkout in checkouts}
        if turn:  # the first one compiles
            for name, rate in measured[options.new].items():
                found.setdefault(name, []).append(rate / measured[options.old][name])
    for name, ratios in found.items():
        spread = f"{min(ratios):.3f} … {max(ratios):.3f}"
        print(f"{name:<8} new / old {median(ratios):.3f} ({spread}) over {len(ratios)} turns")


if __name__ == "__main__":
    main()
