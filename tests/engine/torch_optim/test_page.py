"""What docs/torch-optimizer.md shows is true."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/torch-optimizer.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    shutil.copy(ROOT / "tests/data/optimizers/rnnprop_digits.safetensors", tmp_path)
    program = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
