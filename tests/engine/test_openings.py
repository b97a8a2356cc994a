"""Nobody in runs and live opens, lists or removes files but through ``support/files.py``, which follows no links."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import l2o_engine

ENGINE = Path(l2o_engine.__file__).parent
READERS = sorted([*(ENGINE / "runs").glob("*.py"), *(ENGINE / "live").glob("*.py"), ENGINE / "presets" / "files.py"])

_METHODS = {
    *("open", "read_bytes", "read_text", "write_bytes", "write_text", "touch", "iterdir", "glob", "rglob", "walk"),
    *("unlink", "rmdir", "mkdir", "rename", "symlink_to", "hardlink_to", "chmod", "readlink"),
}
_OF_OS = {
    *("open", "fdopen", "scandir", "listdir", "unlink", "remove", "rmdir", "mkdir", "makedirs", "rename", "replace"),
    *("truncate", "link", "symlink", "chmod", "mkfifo", "walk"),
}
_OTHERS = {"open", "safe_open", "mmap", "copyfile", "copytree", "rmtree", "move", "fromfile", "NamedTemporaryFile"}

# What is beside a run's files, each with its reason.
ALLOWED = {
    ("catalogue.py", "mkdir"): "makes a run's folder, in the folder that the user named",
    ("catalogue.py", "glob"): "lists the runs folder, which the user named: a run there may be a link",
    ("catalogue.py", "unlink"): "a run that is a link: the link goes",
    ("catalogue.py", "rmtree"): "follows no links",
    ("driven.py", "mkdir"): "makes the folder that the user named",
    ("driven.py", "rmdir"): "removes the folder of a run that could not be made, where it is empty",
    ("export.py", "open"): "a pipe or a device that the user named as output",
    ("export.py", "mkdir"): "makes the output folder that the user named",
    ("export.py", "rmdir"): "removes output folders that it has made, where they are empty",
    ("session.py", "open"): "opens a pipeline, no file",
    ("record.py", "read_text"): "what the kernel says of the CPU",
}


def openings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of every call that opens, lists, makes or removes something."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name("os"), attr=name) if name in _OF_OS:
                yield node.lineno, name
            case ast.Attribute(attr=name) if name in _METHODS | _OTHERS:
                yield node.lineno, name
            case ast.Name(name) if name in _OTHERS:
                yield node.lineno, name


@pytest.mark.parametrize("path", READERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_are_opened_by_the_one_module_for_it(path: Path) -> None:
    found = [(line, name) for line, name in openings(path) if (path.name, name) not in ALLOWED]
    assert found == [], f"{path}: use l2o_engine.support.files"


def test_what_is_allowed_is_there() -> None:
    found = {(path.name, name) for path in READERS for _, name in openings(path)}
    assert ALLOWED.keys() - found == set()
