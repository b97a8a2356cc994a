"""Whether a rival is tuned: on this very problem, over as many steps, with these very settings."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.tuned import Tuned, tuned, tuned_by
from l2o_engine.presets.files import check
from l2o_engine.presets.identity import experiment_settings
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict
from l2o_engine.tasks.quadratic import Quadratic


@dataclass(frozen=True)
class OfANotebook:
    width: int = 2
    height: int = 3


def noted() -> Any:
    found = Adam(0.05)
    return replace(found, tuned=tuned(found, Quadratic(), 20, "sum"))


def test_it_is_tuned_where_it_was_tuned_and_nowhere_else() -> None:
    optimizer = noted()
    assert tuned_by(optimizer, Quadratic(), 20) == "sum"
    assert tuned_by(replace(optimizer, name="other"), Quadratic(), 20) == "sum"
    assert tuned_by(optimizer, Quadratic(), 21) is None
    assert tuned_by(optimizer, Quadratic(dims=3), 20) is None
    assert tuned_by(replace(optimizer, learning_rate=0.06), Quadratic(), 20) is None
    assert tuned_by(replace(optimizer, beta1=0.8), Quadratic(), 20) is None
    assert tuned_by(Adam(), Quadratic(), 20) is None


def test_what_a_later_version_adds_with_a_default_changes_nothing() -> None:
    @dataclass(frozen=True)
    class Later(OfANotebook):
        depth: int = 1

    note: Any = replace(Adam(), tuned=tuned(Adam(), OfANotebook(height=4), 20, "end"))  # type: ignore[arg-type]
    Later.__name__ = "OfANotebook"
    for task, expected in ((Later(height=4), "end"), (Later(height=4, depth=2), None), (Later(), None)):
        assert tuned_by(note, task, 20) == expected  # type: ignore[arg-type]


def preset_of(steps: int = 20) -> Preset:
    return check({"name": "x", "unroll": {"steps": steps}, "baseline": [to_dict_of(noted()), {"kind": "sgd"}]})


def to_dict_of(optimizer: Any) -> dict[str, Any]:
    (table,) = to_dict(Preset(name="x", baseline=(optimizer,)))["baseline"]
    found: dict[str, Any] = table
    return found


def test_a_preset_keeps_the_note_and_says_whose_settings_are_tuned() -> None:
    preset = preset_of()
    assert preset.baseline[0] == noted()
    assert preset.tuned == {"Adam"}
    assert check(to_dict(preset)) == preset
    assert "tuned" not in to_dict(preset)["baseline"][1]
    assert preset_of(steps=30).tuned == frozenset()


def test_how_settings_were_found_makes_no_other_experiment() -> None:
    preset = preset_of()
    plain = check({"name": "x", "baseline": [{"kind": "adam", "learning_rate": 0.05}, {"kind": "sgd"}]})
    assert experiment_settings(preset) == experiment_settings(plain)


@pytest.mark.parametrize("note", [{"metric": "best", "on": "0" * 12}, {"metric": "end", "on": "x"}, "end", {"on": 3}])
def test_a_wrong_note_is_told_by_its_place(note: Any) -> None:
    with pytest.raises(PresetError, match=r"preset: \[baseline\] entry 0 tuned"):
        check({"name": "x", "baseline": [{"kind": "sgd", "tuned": note}]})


def test_a_digest_is_what_it_was() -> None:
    assert tuned(Adam(0.05), Quadratic(), 20, "end") == Tuned("end", "f2b0519fc3a8")
