"""What a run was made of: what its own settings are told against, and those of a run that is made of it again."""

from pathlib import Path

from l2o_engine.presets.changed import shipped_settings
from l2o_engine.presets.files import load, override
from l2o_engine.presets.identity import told_settings
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs import origin
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from tests.engine.made import change_record
from tests.engine.tiny import tiny_preset


def test_a_file_is_what_it_holds_unless_it_has_a_shipped_presets_name(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(to_toml(tiny_preset()))
    (tmp_path / "copy.toml").write_text(to_toml(override(load(find("log30")), ["meta.epsilon=1e-12"])))
    (tmp_path / "half.toml").write_text("format = 1")
    assert origin.of_file(tmp_path / "own.toml") == told_settings(tiny_preset())
    assert [origin.of_file(tmp_path / name) for name in ("copy.toml", "half.toml", "none.toml")] == [None] * 3


def test_what_is_made_of_a_run_is_told_against_what_that_was_made_of(tmp_path: Path) -> None:
    """Of another kind, too, which has settings that the first one lacks, and lacks some of its."""
    own = tiny_preset()
    other = override(own, ['inputs={kind="ratio"}', "meta.epsilon=1e-12"])
    DrivenRun.create(other, tmp_path / "one", origin=origin.of_preset(own)).close()
    run = Run(tmp_path / "one")
    assert "meta.epsilon" in (run.record().changed or {})
    assert origin.of_run(run) == told_settings(own)
    change_record(run.folder, changed={})  # as where preset.toml was edited: what it was made of is not known any more
    assert origin.of_run(Run(run.folder)) == told_settings(other)
    (run.folder / "preset.toml").write_text("half")
    assert origin.of_run(run) is None


def test_what_is_made_of_a_run_of_a_shipped_preset_is_told_against_that(tmp_path: Path) -> None:
    DrivenRun.create(override(load(find("log30")), ["meta.epsilon=1e-12"]), tmp_path / "one").close()
    assert origin.of_run(Run(tmp_path / "one")) == shipped_settings("log30")
    change_record(tmp_path / "one", changed=None, origin="")  # a run of an older version
    assert origin.of_run(Run(tmp_path / "one")) is None
