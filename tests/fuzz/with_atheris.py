"""``python -m tests.fuzz.with_atheris TARGET [FOLDER] [-runs=N] [-max_total_time=S]``: let coverage choose the inputs.

It needs atheris, the extra ``fuzz``. Inputs that reach new code are kept in FOLDER, and begun with; what fails is
written to a file ``crash-…``.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(
    include=["l2o_engine.presets", "l2o_engine.records", "l2o_engine.runs", "tomllib", "json"]
):
    from tests.fuzz.targets import TARGETS, kept


def main() -> None:
    """Fuzz the target that the first argument names."""
    name = sys.argv.pop(1)
    target = TARGETS[name]
    with TemporaryDirectory() as folder:
        for place, content in enumerate([*kept(name), *target.good()]):
            Path(folder, str(place)).write_bytes(content)
        atheris.Setup([*sys.argv, folder], target.feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
