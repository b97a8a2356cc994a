"""The page of tables and keys is what the schema says now, and says something of everything."""

from pathlib import Path

from l2o_engine.presets.documentation import markdown
from l2o_engine.presets.schema import PIECES, Preset
from l2o_engine.support.settings import fields_of

PAGE = Path(__file__).parents[3] / "docs" / "presets.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "write it anew: .venv/bin/python docs/make_presets.py"


def test_every_table_kind_and_key_is_on_it() -> None:
    page = markdown()
    for name in Preset.model_fields:
        assert f"## [{name}]" in page or f"## [[{name}]]" in page or f"| `{name}` |" in page, name
    for registry in PIECES.values():
        for kind, cls in registry.kinds.items():
            section = page.partition(f'### kind = "{kind}"')[2].partition("\n#")[0]
            assert section, kind
            for key in set(fields_of(cls)) - {"kind"}:
                assert f"| `{key}` |" in section, (kind, key)


def test_every_key_has_a_meaning_and_no_markup_of_docstrings_is_left() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    for row in rows:
        assert row.rstrip(" |").split(" | ")[-1], row
        assert "typing." not in row
        assert ":attr:" not in row
