"""Folders of a user's code, and the permission to run it, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from l2o_engine.support.user_code import allow_code, permission, printed

PROBLEM = """
from pathlib import Path

import torch
from helper import scaled

(Path(__file__).parent / "was_run").write_text("yes")


class Problem:
    def __init__(self, dims=2):
        self.dims = dims

    def init(self, generator):
        return torch.randn(self.dims, generator=generator)

    def batch(self, generator):
        return torch.randn(3, self.dims, generator=generator)

    def loss(self, x, batch):
        return scaled(batch @ x)
"""
HELPER = """
def scaled(values):
    return values.square().mean()
"""
PRESET = """
name = "mine"
[problem]
kind = "python"
factory = "my_problem:Problem"
[problem.arguments]
dims = 3
[unroll]
steps = 4
second_derivatives = false
[network]
layers = 1
hidden = 3
[report]
every = 10
baseline_draws = 3
[run]
iterations = 30
backend = "torch"
checkpoint_every = 10
checkpoint_seconds = 0.0
"""


@contextmanager
def nothing_allowed() -> Iterator[None]:
    """Let no code of a user's be allowed but what is allowed meanwhile, and nothing have been printed by any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permission, "_allowed", [])
        patch.setattr(permission, "_beside", {})
        patch.setattr(printed, "_kept", printed._Kept())
        yield


def write_problem(folder: Path, code: str = PROBLEM, preset: str = PRESET) -> Path:
    """Write a problem of a user's, and return the preset that names it."""
    (folder / "my_problem.py").write_text(code, encoding="utf-8")
    (folder / "helper.py").write_text(HELPER, encoding="utf-8")
    (folder / "my_problem.toml").write_text(preset, encoding="utf-8")
    return folder / "my_problem.toml"


def was_run(folder: Path) -> bool:
    """Return whether anything of a problem was run."""
    return (folder / "was_run").exists()


__all__ = ["HELPER", "PRESET", "PROBLEM", "allow_code", "nothing_allowed", "was_run", "write_problem"]
