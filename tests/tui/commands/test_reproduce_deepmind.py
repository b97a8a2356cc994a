"""``l2o-tui reproduce deepmind``: the page of networks that optimize networks, from runs that are there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from l2o_engine.presets import shipped as shipped_presets
from l2o_engine.presets.tables import to_toml
from l2o_engine.studies import deepmind as study
from l2o_engine.studies.deepmind import Other
from l2o_engine.tasks.data import FOLDER_VARIABLE
from l2o_tui.commands.reproduce import deepmind
from tests.engine.digits import write_digits
from tests.engine.tiny import tiny_preset
from tests.tui.conftest import call, files_below

TRUNCATED = ("episode=deepmind", "unroll.steps=100", "unroll.truncation=20", "unroll.second_derivatives=false")
NETWORK = 'problem={kind = "network", sizes = [2], batch = 4}'
SHORT = ("run.iterations=6", "run.checkpoint_every=3", "report.every=3", "report.baseline_draws=1")
QUADRATIC = tiny_preset("name=dm_quadratic", "title=Quadratic", *TRUNCATED, *SHORT, "place=1")
DIGITS = tiny_preset("name=dm_digits", "title=Digits", *TRUNCATED, *SHORT, NETWORK, "place=2")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny experiments in place of the shipped ones, on made digits, and short horizons in place of long ones."""
    folder, data = tmp_path / "shipped", tmp_path / "data"
    folder.mkdir()
    for preset in (QUADRATIC, DIGITS):
        (folder / f"{preset.name}.toml").write_text(to_toml(preset), encoding="utf-8")
    write_digits(data)
    monkeypatch.setenv(FOLDER_VARIABLE, str(data))
    monkeypatch.setattr(shipped_presets, "shipped_folder", lambda: folder)
    # A pool's processes are forked off a server that may be older than the variable.
    monkeypatch.setattr("l2o_tui.commands.reproduce.command.process_pool", ThreadPoolExecutor)
    monkeypatch.setattr(study, "IMAGES", ("dm_digits",))
    monkeypatch.setattr(study, "HORIZONS", (120,))
    monkeypatch.setattr(study, "OTHERS", (Other("40 units", ("problem.sizes=[4]",), 100, (0.195, 0.32)),))
    few = partial(deepmind.write_deepmind, draws=2, long_draws=1)
    monkeypatch.setattr("l2o_tui.commands.reproduce.command.write_deepmind", few)


def test_the_page_tells_what_was_trained_beside_rivals_and_the_paper(shipped: None, workplace: Path) -> None:
    result = call("reproduce", "deepmind", "--seeds", "2", "--report", "docs")
    assert result.code == 0, result.err
    assert files_below(workplace / "docs") == [
        "deepmind",
        "deepmind.md",
        *(f"deepmind/{name}.svg" for name in PICTURES),
    ]
    page = (workplace / "docs" / "deepmind.md").read_text(encoding="utf-8")
    assert page.startswith("# DeepMind's experiments\n\nWritten by\n\n    l2o-tui reproduce deepmind --seeds 2")
    for name in PICTURES:
        assert f"(deepmind/{name}.svg)" in page
    _, own = page.split("Quadratic:") if "Quadratic:" in page else ("", page)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in own.splitlines() if line.startswith("|")]
    titles = [row[0] for row in rows]
    assert titles.count("**dm_digits**, 2 seeds") == 1
    assert (
        "(0.041)" in next(row for row in rows if row[0] == "**dm_quadratic**, 2 seeds")[3]
    )  # the paper's, beside ours
    assert next(row for row in rows if row[0] == "40 units")[-2:] == ["0.195", "0.32"]
    assert {"120 steps, minibatch", "120 steps, test"} <= set(titles)


PICTURES = ("horizon-digits", "images0", "quadratic")


def test_tables_of_several_data_sets_stand_in_one_and_what_is_not_of_a_data_set_is_a_dash(
    shipped: None, workplace: Path
) -> None:
    call("reproduce", "deepmind", "--seeds", "1", "--only", "dm_digits")
    (group,) = study.groups_below(workplace / "runs" / "reproduction", ("dm_digits",), 1)
    digits = study.over_horizon([group], 120, draws=1, told=lambda share: None)
    (workplace / "deepmind").mkdir()
    clothes = replace(digits, data="clothes", rows={"rnnprop": digits.rows["dm_digits"]})
    lines = deepmind.horizon_lines([digits, clothes], workplace / "deepmind", 1)
    rows = {cells[1].strip(): cells[2:] for cells in (line.split("|") for line in lines) if len(cells) > 1}
    place = [name.strip() for name in rows[""]].index("rnnprop")
    assert rows["digits, 120 steps, test"][place].strip() == "–"
    assert float(rows["clothes, 120 steps, test"][place]) > 0
    assert files_below(workplace / "deepmind") == ["horizon-clothes.svg", "horizon-digits.svg"]


def test_what_is_not_there_is_said(shipped: None, workplace: Path) -> None:
    result = call("reproduce", "deepmind", "--seeds", "1", "--only", "dm_quadratic", "--report", "docs")
    assert result.code == 0, result.err
    page = (workplace / "docs" / "deepmind.md").read_text(encoding="utf-8")
    assert page.count("There is nothing yet.") == 3
