"""Digests of what training gives: ``metrics.csv`` and final weights of every shipped preset, to be compared.

A change that must move no number is held to this: write the digests down before it, run it again after it.

    .venv/bin/python benchmarks/digests.py --output before.json
    .venv/bin/python benchmarks/digests.py --compare before.json

Digests hold for one type of CPU. The program is driven by its command line alone, so that a checkout of any age can be
measured: ``--python`` names the interpreter that it runs in, ``--checkout`` the folder that it is imported from.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from safetensors import safe_open

ITERATIONS = 2000
SEEDS = (0, 1)
BACKENDS = ("fused", "torch")
DOUBLE = "log30"
"""The preset that is measured in float64 too."""

Case = tuple[str, str, str, int]
"""Preset, backend, dtype, seed."""


def cases(presets: list[str]) -> Iterator[Case]:
    """Yield what is measured; a preset that trains nothing has no backend."""
    for preset in presets:
        for backend in ("auto",) if preset == "baselines" else BACKENDS:
            for dtype in ("float32", "float64") if preset == DOUBLE else ("float32",):
                for seed in SEEDS:
                    yield preset, backend, dtype, seed


def digests(case: Case, python: str, checkout: Path) -> dict[str, str]:
    """Run a case and return the digests of its metrics and of its last checkpoint's weights."""
    preset, backend, dtype, seed = case
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [python, "-m", "l2o_tui", "run", preset, "--no-ui", "--quiet", "--run-dir", str(run)]
        command += ["--iterations", str(ITERATIONS), "--seed", str(seed), "--backend", backend]
        command += ["--set", f"run.dtype={dtype}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)
        return {
            "metrics": hashlib.sha256((run / "metrics.csv").read_bytes()).hexdigest(),
            "weights": _weights(max((run / "checkpoints").glob("*.safetensors"))),
        }


def _weights(path: Path) -> str:
    """Return a digest of the network's weights, whatever else the checkpoint holds and however it names them."""
    digest = hashlib.sha256()
    with safe_open(path, framework="np") as file:
        names = file.keys()
        named = {name.partition("weights.")[2]: name for name in names if "weights." in name}
        for parameter in sorted(named):
            digest.update(parameter.encode())
            digest.update(file.get_tensor(named[parameter]).tobytes())
    return digest.hexdigest()


def main() -> int:
    """Measure, and write or compare."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write the digests into this file")
    parser.add_argument("--compare", type=Path, help="compare with the digests in this file")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--checkout", type=Path, default=here)
    parser.add_argument("--preset", action="append", help="only this one (repeatable)")
    options = parser.parse_args()
    presets = options.preset or sorted(path.stem for path in (options.checkout / "presets").glob("*.toml"))
    expected = json.loads(options.compare.read_text()) if options.compare else {}
    found: dict[str, dict[str, str]] = {}
    differing = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = list(cases(presets))
        results = pool.map(lambda case: digests(case, options.python, options.checkout), chosen)
        for case, result in zip(chosen, results, strict=True):
            name = " ".join(map(str, case))
            found[name] = result
            if expected:
                is_same = expected.get(name) == result
                differing += not is_same
                print(f"{'same' if is_same else 'DIFFERENT' if name in expected else 'NOT COMPARED'}  {name}")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} cases, {differing} differing" if expected else f"{len(found)} cases")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
