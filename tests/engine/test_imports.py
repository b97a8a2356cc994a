"""What the engine may be imported without."""

import subprocess
import sys


def test_the_engine_is_imported_without_torch_and_without_any_front_end() -> None:
    program = (
        "import sys, pkgutil, importlib, l2o_engine\n"
        "for module in pkgutil.iter_modules(l2o_engine.__path__):\n"
        "    if module.name != 'unroll':\n"
        "        importlib.import_module(f'l2o_engine.{module.name}')\n"
        "print(*sorted({'torch', 'textual', 'rich', 'typer', 'matplotlib', 'l2o_tui'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
