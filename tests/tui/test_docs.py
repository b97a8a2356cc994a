"""docs/screens.md: its key tables are those of the program, its pictures are there and small."""

import re
import runpy
from pathlib import Path

from l2o_tui.state import keys

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 120_000


def page() -> str:
    return (DOCS / "screens.md").read_text(encoding="utf-8")


def test_the_key_tables_are_those_of_the_program() -> None:
    made = runpy.run_path(str(DOCS / "make_screens.py"))["with_key_tables"](page())
    assert made == page(), "run .venv/bin/python docs/make_screens.py"
    for screen in (keys.TRAINING, keys.HOME, keys.COMPARE, keys.OF_STUDY):
        for key in keys.on(screen):
            assert f"| `{keys.readable(key)}` | {key.help} |" in page()


def test_every_picture_is_shown_and_small() -> None:
    shown = {DOCS / name for name in re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", page())}
    assert shown == {DOCS / "screen.svg", *(DOCS / "screens").glob("*.svg")}
    assert max(picture.stat().st_size for picture in shown) <= MOST_BYTES
