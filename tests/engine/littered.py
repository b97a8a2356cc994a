"""A working folder with files that are called like modules."""

from pathlib import Path

import pytest


def litter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the working folder, and put files into it that are called like modules, and a clone of ours."""
    folder.mkdir(exist_ok=True)
    (folder / "token.py").write_text("raise SystemExit('token.py of the working folder')")
    (folder / "random.py").write_text("")
    for package in ("l2o_engine", "l2o_tui", "numpy"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("raise SystemExit('the clone')")
    monkeypatch.chdir(folder)
    return folder
