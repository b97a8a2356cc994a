"""What installed packages add: kinds of pieces and problems, imported when they are asked for, and told when broken."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2o_engine.optimizers.base import OPTIMIZERS
from l2o_engine.optimizers.learned.inputs.base import INPUTS
from l2o_engine.presets import schema
from l2o_engine.presets.files import check
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.tables import to_dict
from l2o_engine.support.plugins import PluginError, load_plugin, plugins
from l2o_engine.tasks.python import Python

PACKAGE = """
from typing import Literal
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.support.settings import settings

@settings
class Halved(Identity):
    kind: Literal["halved"] = "halved"

@settings
class Slow(Sgd):
    name: str = "slow"
    learning_rate: float = 0.001
    kind: Literal["slow"] = "slow"

class Other:
    pass

class Heat:
    def __init__(self, dims=2):
        self.dims = dims
    def init(self, generator):
        import torch
        return torch.ones(self.dims)
    def loss(self, x):
        return x.square().sum()
"""
ENTRY_POINTS = """
[l2o_engine.inputs]
halved = l2o_test_plugin:Halved
broken = l2o_test_broken
other = l2o_test_plugin:Other

[l2o_engine.optimizers]
slow = l2o_test_plugin:Slow

[l2o_engine.tasks]
heat = l2o_test_plugin:Heat
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "l2o_test_plugin.py").write_text(PACKAGE)
    (tmp_path / "l2o_test_broken.py").write_text("raise RuntimeError('not today')\n")
    info = tmp_path / "l2o_test_plugin-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: l2o-test-plugin\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(INPUTS, "_kinds", dict(INPUTS.kinds))
    monkeypatch.setattr(OPTIMIZERS, "_kinds", dict(OPTIMIZERS.kinds))
    before = dict(schema.Preset.__pydantic_fields__)
    yield
    schema.Preset.__pydantic_fields__.update(before)
    schema.Preset.model_rebuild(force=True)
    sys.modules.pop("l2o_test_plugin", None)


def test_what_is_offered_is_known_without_being_imported() -> None:
    assert list(plugins("l2o_engine.inputs")) == ["broken", "halved", "other"]
    check({"name": "ours"})
    assert "l2o_test_plugin" not in sys.modules


def test_kinds_of_a_package_are_kinds_like_ours() -> None:
    tables = {"name": "theirs", "inputs": {"kind": "halved"}, "baseline": [{"kind": "slow"}, {"kind": "sgd"}]}
    preset = check(tables)
    assert type(preset.inputs).__name__ == "Halved"
    assert [one.name for one in preset.baseline] == ["slow", "SGD"]
    assert check(to_dict(preset)) == preset
    with pytest.raises(PresetError, match=r"\[inputs\] strange: unknown key"):
        check(tables | {"inputs": {"kind": "halved", "strange": 1}})


def test_a_broken_one_is_told_by_its_package_where_it_is_asked_for() -> None:
    with pytest.raises(PluginError, match=r"package l2o-test-plugin offers \"broken\".*RuntimeError: not today"):
        check({"name": "theirs", "inputs": {"kind": "broken"}})
    with pytest.raises(PluginError, match=r'"other" in the group l2o_engine\.inputs is no class of settings'):
        check({"name": "theirs", "inputs": {"kind": "other"}})
    with pytest.raises(PresetError, match="must be one of"):
        check({"name": "theirs", "inputs": {"kind": "nobodys"}})


def test_a_problem_of_a_package_needs_no_permission() -> None:
    problem = Python("heat", {"dims": 3})
    assert problem.size == 3
    assert problem.sources == {"heat": "l2o-test-plugin 1.2"} or list(problem.sources) == ["heat"]
    with pytest.raises(PluginError, match=r'no installed package offers "hea".*did you mean "heat"'):
        load_plugin("l2o_engine.tasks", "hea")
