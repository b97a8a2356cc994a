"""The test functions that are shipped, in functions.toml: settings of the family by name."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def shipped_functions() -> Mapping[str, Mapping[str, Any]]:
    """Return name → settings as a preset's [problem] has them."""
    with (Path(__file__).parent / "functions.toml").open("rb") as file:
        return tomllib.load(file)


def name_in_python(name: str) -> str:
    """Return what the library calls a function: "StyblinskiTang"."""
    return "".join(part.capitalize() for part in name.split("_"))
