"""Registries: a piece is one file, which who asks for the kinds finds."""

import sys
from pathlib import Path
from typing import Literal, get_args

import pytest

from l2o_engine.presets.schema import PIECES
from l2o_engine.support.registry import kind_of
from l2o_engine.support.settings import Whole, fields_of, settings

PIECE = """
from typing import Literal
from l2o_engine.support.settings import Whole, settings
from animals.base import ANIMALS

@ANIMALS.register
@settings
class {name}:
    legs: Whole = {legs}
    kind: Literal["{kind}"] = "{kind}"
"""


@pytest.fixture
def animals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "animals"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text(
        "from l2o_engine.support.registry import Registry\nANIMALS = Registry('animal', __package__)\n"
    )
    (package / "bird.py").write_text(PIECE.format(name="Bird", legs=2, kind="bird"))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "animals"]:
        monkeypatch.delitem(sys.modules, name)
    return package


def test_a_new_file_is_a_new_kind(animals: Path) -> None:
    (animals / "ant.py").write_text(PIECE.format(name="Ant", legs=6, kind="ant"))
    from animals.base import ANIMALS  # type: ignore[import-not-found]

    assert list(ANIMALS.kinds) == ["ant", "bird"]
    assert ANIMALS.named("Ant")(legs=4).legs == 4
    assert ANIMALS.named("Bird")().kind == "bird"


def test_two_files_of_one_kind_are_told(animals: Path) -> None:
    (animals / "sparrow.py").write_text(PIECE.format(name="Sparrow", legs=2, kind="bird"))
    from animals.base import ANIMALS

    with pytest.raises(ValueError, match='two of kind "bird" want to be the animal: Bird and Sparrow'):
        _ = ANIMALS.kinds


def test_a_name_that_is_no_piece_s_is_told_without_importing_any(animals: Path) -> None:
    (animals / "broken.py").write_text("raise RuntimeError")
    from animals.base import ANIMALS

    with pytest.raises(AttributeError, match="wings"):
        ANIMALS.named("wings")


@pytest.mark.parametrize("table", PIECES)
def test_every_piece_s_module_holds_one_kind_and_is_named_like_it(table: str) -> None:
    for kind, cls in PIECES[table].kinds.items():
        assert kind_of(cls) == kind == fields_of(cls)["kind"].default
        assert cls.__module__.rpartition(".")[2] == kind
        assert cls.__doc__


def test_settings_take_no_conversion_no_infinity_and_no_other_key() -> None:
    @settings
    class Piece:
        count: Whole = 1
        kind: Literal["piece"] = "piece"

    assert Piece(2) == Piece(count=2)
    for wrong in ({"count": "2"}, {"count": 2.0}, {"count": True}, {"cuont": 2}, {"kind": "other"}):
        with pytest.raises(ValueError, match="Piece"):
            Piece(**wrong)


def test_a_registry_of_one_kind_is_that_class_and_of_several_their_union(animals: Path) -> None:
    from animals.base import ANIMALS

    assert ANIMALS.what == "animal"
    assert ANIMALS.union() is ANIMALS.kinds["bird"]
    assert set(get_args(get_args(PIECES["network"].union())[0])) == set(PIECES["network"])
