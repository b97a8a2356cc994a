"""``l2o-tui reproduce episode3``: experiments against their rivals, and the page that tells of it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.tuned import tuned
from l2o_engine.presets import shipped as shipped_presets
from l2o_engine.presets.files import load, override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.studies import episode3 as study
from l2o_tui.commands.reproduce import episode3
from tests.engine.tiny import tiny_baselines, tiny_preset
from tests.tui.conftest import call, files_below

FORMULA = 'kind="formula", loss="(1 - x[0])**2 + b*(x[1] - x[0]**2)**2", parameters={b=[1, 2]}'


def third(name: str, *settings: str, learning_rate: float = 0.1) -> Preset:
    """Return a tiny experiment of Episode 3 whose SGD is said to be tuned."""
    preset = tiny_preset(f"name={name}", f"title=The tiny {name}", "episode=3", *settings)
    rate = Sgd(learning_rate=learning_rate)
    note = tuned(rate, preset.problem, preset.unroll.steps, "end")
    table = f'{{kind="sgd", learning_rate={learning_rate}, tuned={{metric="end", on="{note.on}"}}}}'
    return override(preset, [f"baseline=[{table}]"])


def reference(held_out: float, tolerance: float) -> str:
    rows = "rows=[{it=30, average_log_result=-1.0}]"
    return f"reference={{seeds=8, held_out={held_out}, tolerance={tolerance}, {rows}}}"


ROTATED = third("rotated2", "problem.rotation=uniform", reference(-1.0, 50.0), "place=1")
VALLEY = third("rosenbrock", f"problem={{{FORMULA}}}", "place=2", learning_rate=1e-9)
GENERALIST = third("generalist", "problem.scale=[1.0, 2.0]", "place=3")
BOWL = override(tiny_baselines("name=bowl", "episode=3"), [f"problem={{{FORMULA}}}"])


def without_reference(name: str) -> Preset:
    return {one.name: one for one in (ROTATED, VALLEY, GENERALIST)}[name].model_copy(update={"reference": None})


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny experiments in place of the shipped ones, threads in place of processes, one unseen function."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for preset in (tiny_preset("name=log30", "run.iterations=20"), ROTATED, VALLEY, GENERALIST, BOWL):
        (folder / f"{preset.name}.toml").write_text(to_toml(preset), encoding="utf-8")
    monkeypatch.setattr(shipped_presets, "shipped_folder", lambda: folder)
    monkeypatch.setattr("l2o_tui.commands.reproduce.command.process_pool", ThreadPoolExecutor)
    monkeypatch.setattr(study, "UNSEEN", ("bowl",))
    monkeypatch.setattr(study, "RIVALS", ("sgd",))
    few = partial(episode3.write_episode3, draws=20, tuning_draws=5)
    monkeypatch.setattr("l2o_tui.commands.reproduce.command.write_episode3", few)
    return folder


def test_experiments_are_told_with_their_best_tuned_rivals(shipped: Path, workplace: Path) -> None:
    result = call("reproduce", "episode3", "--seeds", "2")
    assert result.code == 0
    ends, sums = (part.splitlines() for part in result.out.split("\n\n")[:2])
    assert ends[0].startswith("last loss  reference held out")
    assert [line.split()[0] for line in ends[1:]] == ["rotated2", "rosenbrock", "generalist"]
    assert ends[1].split()[1] == "-1.00"
    assert ends[1].endswith("reproduced")
    assert all("SGD" in line for line in (*ends[1:], *sums[1:]))
    assert "On 10,000 held-out draws each." in result.out
    assert max(map(len, ends)) <= 100


def test_json_has_what_each_rival_reaches_and_who_wins(shipped: Path, workplace: Path) -> None:
    result = call("reproduce", "episode3", "--seeds", "2", "--only", "rosenbrock", "--only", "rotated2", "--json")
    rotated, valley = map(json.loads, result.out.splitlines())
    assert (rotated["experiment"], rotated["reference"], rotated["notebook"]) == ("rotated2", -1.0, None)
    assert rotated["held_out_verdict"] == "reproduced"
    assert (valley["reference"], valley["held_out_verdict"], valley["episode"]) == (None, None, 3)
    for document in (rotated, valley):
        for figure in ("end_log10_mean", "sum_mean", "sum_median"):
            best = document[f"{figure}_best_rival"]
            assert best["optimizer"] == "SGD"
            assert document[f"{figure}_wins"] is (document[figure] < best[figure])


def test_a_held_out_median_far_from_our_reference_is_told_and_ends_with_1(shipped: Path, workplace: Path) -> None:
    far = override(ROTATED, [reference(-30.0, 0.5)])
    (shipped / "rotated2.toml").write_text(to_toml(far), encoding="utf-8")
    result = call("reproduce", "episode3", "--seeds", "1", "--only", "rotated2")
    assert result.code == 1
    assert re.search(r"rotated2: differs by \+\d+\.\d\d from our reference", result.err)


def test_the_page_has_every_section_its_commands_and_pictures(shipped: Path, workplace: Path) -> None:
    pytest.importorskip("matplotlib")
    (workplace / "mine.toml").write_text(to_toml(override(VALLEY, ["meta.learning_rate=0.01"])), encoding="utf-8")
    assert call("run", "mine.toml", "--no-ui", "--quiet", "--run-dir", "runs/mine").code == 0
    assert call("reproduce", "all", "--seeds", "1", "--report", "out").code == 0
    page = Path("out/episode3.md").read_text(encoding="utf-8")
    assert "    l2o-tui reproduce all --seeds 1 --report out\n" in page
    assert "$ l2o-tui tune log30 --set problem.rotation=uniform --draws 5\n" in page
    assert "$ l2o-tui evaluate runs/reproduction/rotated2-s*\n" in page
    assert re.search(r"^- rosenbrock: (wins|loses) on the last loss, \S+ against SGD's", page, re.MULTILINE)
    assert "SGD-of-mixture" in page
    assert "no finished run of logv_sum_log, div_sum_log, logdiv_sum_log in " in page  # log30's are there
    assert "$ l2o-tui evaluate runs/reproduction/log30-s* --on rotated2 --steps 100 --draws 20\n" in page
    assert "Of rotated10, rastrigin, mixture there is no run to judge yet." in page
    linked = re.findall(r"!\[[^]]+\]\((episode3/[^)]+)\)", page)
    assert sorted(linked) == [path for path in files_below(Path("out")) if path.startswith("episode3/") and "." in path]
    recipes = page.partition("## Recipes")[2].partition("\n## ")[0]
    assert "rosenbrock lr 0.01" in recipes  # a run of the runs folder, told from the experiment
    tables = re.findall(r"presets/(\w+)\.toml:\n\n```toml\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in tables] == ["rotated2", "rosenbrock", "generalist"]
    for name, table in tables:
        (workplace / "pasted.toml").write_text(to_toml(without_reference(name)) + "\n" + table, encoding="utf-8")
        pasted = load(workplace / "pasted.toml").reference
        assert pasted is not None
        assert [row.it for row in pasted.rows] == [0, 10, 20, 30]
    assert "rotated2" not in Path("out/reproduction.md").read_text(encoding="utf-8")


def test_without_runs_to_judge_the_page_says_so(shipped: Path, workplace: Path) -> None:
    pytest.importorskip("matplotlib")
    blocked = workplace / "runs" / "reproduction" / "rotated2-s0"
    blocked.mkdir(parents=True)
    (blocked / "mine.txt").touch()
    result = call("reproduce", "episode3", "--seeds", "1", "--only", "rotated2", "--report", "out")
    assert result.code == 1
    page = Path("out/episode3.md").read_text(encoding="utf-8")
    for said in ("No experiment has a run to judge yet.", "It has no run to judge yet.", "There is nothing yet:"):
        assert said in page
    assert not Path("out/reproduction.md").exists()
