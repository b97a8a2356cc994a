"""The example problems in Python that are shipped: a module and the preset beside it, to begin one's own from."""

import re
import sys
from pathlib import Path

from l2o_engine.support.errors import UserError
from l2o_engine.support.files import write_atomically
from l2o_engine.support.wording import quote


def examples_folder() -> Path:
    """Return the folder of the examples: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "examples"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "examples"


def example_names() -> list[str]:
    """Return the names of the examples, sorted."""
    return sorted(path.stem for path in examples_folder().glob("*.toml"))


def write_example(file: Path, example: str, *, force: bool = False) -> Path:
    """Write an example's module, and its preset beside it, under another name; return the preset's path.

    Parameters
    ----------
    file
        The module, "my_problem.py": its name is a name in Python.
    example
        Which example.
    force
        Whether files that are there are replaced.

    Raises
    ------
    UserError
        If the name is no module's, there is no such example, or a file is there already or cannot be written.
    """
    preset, name = file.with_suffix(".toml"), file.stem
    if file.suffix != ".py" or not name.isidentifier() or not name.isascii():
        raise UserError(f"{quote(file.name)} is no name of a Python module: write it as my_problem.py")
    if name in sys.stdlib_module_names:
        raise UserError(f'Python has a module "{name}" of its own; give the file another name')
    if example not in example_names():
        raise UserError(f"there is no example {quote(example)}; there are {', '.join(example_names())}")
    texts = {
        path: _renamed((examples_folder() / f"{example}{path.suffix}").read_text("utf-8"), example, name)
        for path in (file, preset)
    }
    for path in texts:
        if path.exists() and not force:
            raise UserError(f"{path} is there already; --force replaces it")
    try:
        for path, text in texts.items():
            write_atomically(path, text.encode())
    except OSError as error:
        raise UserError(f"cannot write {error.filename or file}: {error.strerror or error}") from error
    return preset


def _renamed(text: str, example: str, name: str) -> str:
    """Return an example's text with its files, its preset and its module called by another name."""
    text = re.sub(rf"\b{example}\.(py|toml)\b", rf"{name}.\1", text)
    return text.replace(f'"{example}:', f'"{name}:').replace(f'name = "{example}"', f'name = "{name}"')
