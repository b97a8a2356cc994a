"""What the engine may be imported without."""

import subprocess
import sys

_PROGRAM = """
import importlib, pkgutil, sys
import l2o_engine
for module in pkgutil.walk_packages(l2o_engine.__path__, "l2o_engine."):
    if module.name != "l2o_engine.backends.reference":
        importlib.import_module(module.name)
print(*sorted({"torch", "textual", "rich", "typer", "matplotlib", "l2o_tui"} & set(sys.modules)))
"""


def test_the_engine_is_imported_without_torch_and_without_any_front_end() -> None:
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
