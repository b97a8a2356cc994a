"""constraints.txt has an exact version of everything that pyproject.toml names, in whatever extra."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    exact = [line.partition("==") for line in lines if not line.startswith("#")]
    assert all(version for _, _, version in exact)
    return {canonicalize_name(name): version for name, _, version in exact}


def test_everything_that_is_named_has_an_exact_version_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    named += [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    pinned = pins()
    assert len(named) > 30
    for requirement in map(Requirement, named):
        if requirement.name != "l2o-tui":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_packages_are_pinned_once_and_in_order() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    names = [canonicalize_name(line.partition("==")[0]) for line in lines if not line.startswith("#")]
    assert names == sorted(set(names))
