"""The commands that messages propose, as a shell takes them."""

import subprocess
from pathlib import Path

import pytest

from l2o_engine.support.wording import shown
from l2o_tui.text.commands import proposed


def test_a_plain_name_stays_plain() -> None:
    assert proposed("resume", Path("runs/log30-s0"), "--iterations", "2000") == (
        "l2o-tui resume runs/log30-s0 --iterations 2000"
    )


@pytest.mark.parametrize(
    "name",
    ["a b (1)", "it's", "$(rm -rf x)", "-x", "a\x1b]0;x\x07b", "a\nb", "\u202ea\\b'c", "均 é", "b\udcff", "*", "~"],
)
def test_bash_takes_it_back_whatever_a_folder_is_called(name: str, tmp_path: Path) -> None:
    line = proposed("resume", Path(name))
    assert shown(line) == line
    script = "l2o-tui() { printf '%s' \"$2\"; }\n" + line
    taken = subprocess.run(["bash", "-c", script.encode("utf-8", "surrogateescape")], capture_output=True, check=True)
    assert taken.stdout.decode("utf-8", "surrogateescape") == (f"./{name}" if name.startswith("-") else name)
