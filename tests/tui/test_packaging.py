"""The wheel holds all that an installed program needs, and works from any folder."""

import configparser
import re
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tui.conftest import spawn

_ROOT = Path(__file__).parents[2]
_SHIPPED = sorted(path.name for path in (_ROOT / "presets").glob("*.toml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(_ROOT)]
    result = spawn(*build, command=[sys.executable])
    assert result.code == 0, result.out + result.err
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_every_shipped_preset(unpacked: Path) -> None:
    assert len(_SHIPPED) >= 7
    assert sorted(path.name for path in (unpacked / "l2o_engine" / "presets" / "shipped").glob("*.toml")) == _SHIPPED


def test_the_wheel_says_that_both_packages_are_typed(unpacked: Path) -> None:
    assert (unpacked / "l2o_engine" / "py.typed").is_file()
    assert (unpacked / "l2o_tui" / "py.typed").is_file()


def test_the_wheel_holds_every_file_of_the_packages(unpacked: Path) -> None:
    """Style sheets and the like too, not only Python's."""
    files = [path for package in ("l2o_engine", "l2o_tui") for path in (_ROOT / package).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(_ROOT)) for path in files if "__pycache__" not in path.parts}
    assert wanted - {str(path.relative_to(unpacked)) for path in unpacked.rglob("*")} == set()


def test_the_wheel_brings_no_tests(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == {
        "l2o_engine",
        "l2o_tui",
    }


def test_the_wheel_has_the_entry_point_and_the_licence(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    entry_points = configparser.ConfigParser()
    entry_points.read(info / "entry_points.txt")
    assert entry_points["console_scripts"]["l2o-tui"] == "l2o_tui.cli:main"
    assert list(info.rglob("LICENSE"))


def test_the_readme_of_the_package_links_to_nothing_that_is_not_beside_it(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    text = metadata.read_text(encoding="utf-8")
    assert "Description-Content-Type: text/markdown" in text
    assert "(docs/start.md)" in text
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []


def test_an_unpacked_wheel_finds_the_presets_inside_itself_from_any_folder(unpacked: Path, workplace: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        "from l2o_engine.presets.files import load\n"
        "from l2o_engine.presets.shipped import find, shipped_folder, shipped_names\n"
        "print(shipped_folder())\n"
        "print(*(load(find(name)).name for name in shipped_names()))\n"
    )
    result = spawn("-c", code, command=[sys.executable])
    assert result.code == 0, result.err
    folder, names = result.out.splitlines()
    assert Path(folder) == unpacked / "l2o_engine" / "presets" / "shipped"
    assert [f"{name}.toml" for name in names.split()] == _SHIPPED


def test_an_unpacked_wheel_runs_a_shipped_preset_from_any_folder(unpacked: Path, workplace: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r})\nfrom l2o_tui.cli import main\nmain()\n"
    result = spawn("run", "baselines", "--quiet", "--iterations=20", command=[sys.executable, "-c", code])
    assert result.code == 0, result.err
    assert (workplace / result.out.strip() / "preset.toml").is_file()


def test_the_wheel_holds_every_example_of_a_problem_in_python(unpacked: Path) -> None:
    examples = {path.name for path in (_ROOT / "examples").iterdir() if path.is_file()}
    assert {"quadratic.py", "quadratic.toml"} <= examples
    assert {path.name for path in (unpacked / "l2o_engine" / "presets" / "examples").iterdir()} == examples
