"""The pictures: what is in them, that they can be written, and that they are the same every time."""

import re
import sys
from math import nan
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.studies.comparison import Group, NamedLevel, baseline_levels, compare
from l2o_engine.training.evaluation import Level
from l2o_tui.charts.base_losses import base_losses
from l2o_tui.charts.comparison import comparison
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.matplotlib import PictureError, check_picture, write_picture
from tests.engine.made import made_run

pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"


def a_group(folder: Path, name: str = "log30", seeds: int = 3, n: int = 3000, *, lost: bool = False) -> Group:
    preset = load(find(name), [f"run.seeds={seeds}", "report.baseline_draws=50"])
    generator = np.random.default_rng(0)
    results = [list(np.linspace(0, -20 - seed, n) + generator.normal(0, 2, n)) for seed in range(seeds)]
    if lost:
        results[0][n // 2 :] = [nan] * (n - n // 2)
    (group,) = compare([made_run(folder / name, preset, results)])
    return group


def texts(path: Path) -> str:
    """Return all the text of an SVG, which must be well-formed."""
    root = ET.parse(path).getroot()  # noqa: S314 (our own file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return "\n".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))


def losses() -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    steps = np.arange(20)
    return {"SGD": 0.5**steps, "RMSProp": 0.1**steps, LEARNED: np.where(steps < 19, 0.05**steps, 0)}


def picture_of(groups: list[Group], levels: list[NamedLevel] | None = None) -> Figure:
    return comparison(groups, baseline_levels(groups) if levels is None else levels, most_bands=4, notebook=True)


def problems(count: int = 3) -> list[Figure]:
    return [base_losses(losses(), title=f"problem {number + 1}") for number in range(count)]


def test_a_picture_of_one_group_names_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "one.svg"
    write_picture([picture_of([a_group(tmp_path)])], path, title="A title")
    found = texts(path)
    for text in (
        "A title",
        "meta-iterations",
        "SGD",
        "RMSProp",
        "log30, 3 seeds",
        "raw results",
        "quartiles",
        "notebook",
    ):
        assert text in found
    assert re.search(r"^10⁻¹⁰$", found, re.MULTILINE)


def test_the_notebook_s_rows_beyond_the_runs_are_left_out(tmp_path: Path) -> None:
    group = a_group(tmp_path, n=50)
    points = picture_of([group]).points
    assert points is not None
    assert points.x.tolist() == [row.it for row in group.published if row.it < 50]


def test_a_picture_of_several_groups_labels_each(tmp_path: Path) -> None:
    groups = [a_group(tmp_path, name, seeds=1) for name in ("log30", "log15_end", "simple_sum")]
    write_picture([picture_of(groups, [])], tmp_path / "several.svg")
    found = texts(tmp_path / "several.svg").splitlines()
    assert all(group.label in found for group in groups)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".SVG"])
def test_the_same_figures_are_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    group = a_group(tmp_path)
    written = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        write_picture([picture_of([group])], path)
        written.append(path.read_bytes())
        write_picture(problems(), path)
        written.append(path.read_bytes())
    assert written[:2] == written[2:]
    assert all(data.startswith(PNG) == (suffix == ".png") for data in written)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 13])
def test_an_svg_is_small_however_much_it_shows(count: int, tmp_path: Path) -> None:
    group = a_group(tmp_path, n=30_000 // count)
    write_picture([picture_of([group] * count)], tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").stat().st_size < 80_000


def test_lost_replicates_and_levels_that_are_nan_leave_a_picture(tmp_path: Path) -> None:
    level = NamedLevel("broken", Level(nan, nan, nan))
    write_picture([picture_of([a_group(tmp_path / "a", lost=True)], [level])], tmp_path / "some.svg")
    assert "broken" not in texts(tmp_path / "some.svg")
    write_picture([picture_of([a_group(tmp_path / "b", seeds=1, n=2, lost=True)], [])], tmp_path / "few.svg")
    (gone,) = compare([made_run(tmp_path / "gone", load(find("log30")), [[nan, nan]])])
    write_picture([picture_of([gone], [])], tmp_path / "none.svg")
    assert "meta-iterations" in texts(tmp_path / "none.svg")


def test_base_charts_show_every_optimizer_on_every_problem(tmp_path: Path) -> None:
    spoilt = base_losses(losses() | {"SGD": np.full(20, np.inf)}, title="problem 3")
    write_picture([*problems(2), spoilt], tmp_path / "base.svg", title="After 10 meta-iterations")
    found = texts(tmp_path / "base.svg").splitlines()
    for text in ("After 10 meta-iterations", "problem 1", "problem 3", "base steps"):
        assert text in found
    assert [found.count(name) for name in (LEARNED, "SGD", "RMSProp")] == [1, 1, 1]  # in one legend


def test_any_name_that_a_preset_allows_is_written_as_it_is(tmp_path: Path) -> None:
    name = "_$a<b&c\\frac$_"
    write_picture([base_losses({name: losses()["SGD"]})], tmp_path / "base.svg", title="50% of $x")
    write_picture([picture_of([a_group(tmp_path)], [NamedLevel(name, Level(-3, 1, 1))])], tmp_path / "convergence.svg")
    assert name in texts(tmp_path / "base.svg")
    assert "50% of $x" in texts(tmp_path / "base.svg")
    assert name in texts(tmp_path / "convergence.svg")


def test_long_names_are_cut_in_the_middle(tmp_path: Path) -> None:
    names = [f"{'a very long name ' * 5}{number}" for number in range(2)]
    write_picture([base_losses(dict.fromkeys(names, losses()["SGD"]))], tmp_path / "base.svg")
    found = texts(tmp_path / "base.svg")
    assert all(re.search(f"^a very.*….*{number}$", found, re.MULTILINE) for number in range(2))


def test_a_picture_replaces_the_one_before_whole(tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    path.write_text("before")
    write_picture(problems(1), path)
    assert "base step" in texts(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["picture.gif", "picture", "picture.svg.txt", "missing/picture.svg", "folder.svg"])
def test_a_name_that_cannot_be_written_to_is_refused_beforehand(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(PictureError):
        check_picture(tmp_path / name)
    with pytest.raises(PictureError):
        write_picture(problems(1), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]


def test_without_matplotlib_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PictureError, match=r"pip install 'l2o-tui\[plots\]'"):
        check_picture(tmp_path / "picture.svg")


def test_drawing_changes_no_setting_of_matplotlib_s(tmp_path: Path) -> None:
    import matplotlib as mpl

    def settings() -> list[object]:
        return [mpl.rcParams[name] for name in ("svg.hashsalt", "svg.fonttype", "font.size", "axes.spines.top")]

    before, had_pyplot = settings(), "matplotlib.pyplot" in sys.modules
    write_picture(problems(1), tmp_path / "picture.svg")
    assert settings() == before
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot
