"""The documentation: every page has its place, every link leads somewhere, the reference has every public name.

``make docs`` makes the site, and complains of what mkdocs cannot resolve; this needs no mkdocs.
"""

import inspect
import io
import pkgutil
import re
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache, partial
from pathlib import Path

import pytest

import l2o_engine
from l2o_engine.support.registry import Registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
FROM_THE_ROOT = {"index.md": ROOT / "README.md", "security.md": ROOT / "SECURITY.md"}
"""Pages of the site that docs/mkdocs_hooks.py makes of files elsewhere."""
_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SHOWN = re.compile(r"^::: (\S+)$", re.MULTILINE)


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> set[str]:
    """What a link can lead to in a page, as GitHub and the site name its headings."""
    headings = [re.sub(r"[`*]", "", heading).strip().lower() for heading in _HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each relative link of a page: as it is written, the file and the anchor that it leads to."""
    for link in _LINK.findall(_CODE.sub("", prose(page))):
        if not link.startswith(("https:", "http:")):
            target, _, anchor = link.partition("#")
            yield link, (page.parent / target).resolve() if target else page, anchor


def test_every_page_has_its_place_in_the_site_and_every_place_a_page() -> None:
    _, _, nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")
    placed = re.findall(r"^ +- [^#\n]*?([\w-]+\.md)$", nav, re.MULTILINE)
    assert sorted({FROM_THE_ROOT.get(name, DOCS / name) for name in placed}) == PAGES
    assert len(placed) == len(PAGES)  # and one alone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_of_the_repository_and_to_a_heading_in_it(page: Path) -> None:
    for link, target, anchor in links(page):
        assert target.is_file(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}: there is no such heading"


def test_there_are_links_to_look_at() -> None:
    assert sum(1 for page in PAGES for _ in links(page)) > 100
    assert "kind--lstm" in anchors(DOCS / "presets.md")


def test_the_reference_has_every_public_name() -> None:
    page = prose(DOCS / "reference.md")
    names = _SHOWN.findall(page)
    assert len(names) == len(set(names))  # a branch merged twice
    shown = [pkgutil.resolve_name(name) for name in names]
    for name in l2o_engine.__all__:
        public = getattr(l2o_engine, name)
        pieces = (
            {piece: getattr(public, piece) for piece in dir(public)} if inspect.ismodule(public) else {name: public}
        )
        for piece, what in pieces.items():
            if isinstance(what, Registry):
                continue  # of the pieces that are named here
            if isinstance(what, partial):  # a shipped formula: a formula with its settings
                assert f"`{piece}`" in page or f"l2o.tasks.{piece}(" in page, f"docs/reference.md does not name {piece}"
            else:
                assert what in shown, f"docs/reference.md does not show {name}, {piece}"


def test_the_script_of_the_start_runs_with_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```$", (DOCS / "start.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    l2o_engine.train("log30", iterations=5, set={"network.hidden": 4, "report.every": 5, "run.backend": "torch"})
    said = io.StringIO()
    with redirect_stdout(said), warnings.catch_warnings(action="ignore", category=l2o_engine.OutsideTrainingWarning):
        exec(compile(script, "start.md", "exec"), {})  # noqa: S102 (the page's own)
    assert [line.split()[0] for line in said.getvalue().splitlines()] == ["0", "20", "40", "60", "80", "99"]
