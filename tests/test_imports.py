"""Every module can be imported first, and imports no more than it may: the rooms hold at run time too.

import-linter reads what is written; this sees what is loaded.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

# Forked children, so that each module meets an interpreter that has loaded the libraries but nothing of ours, save the
# rooms below its own: those import no room above them (import-linter), so they were not waiting for it. What a child
# has loaded of the heavy packages is its own doing: of the rooms below, only modules are loaded that do without.
_PROGRAM = """
import gc, importlib, importlib.machinery, importlib.util, json, os, sys
from pathlib import Path
import numpy, pydantic, safetensors, tomli_w  # what nearly every module needs: loaded once
import numba, sympy, torch  # the heavy ones: hidden again, so that who imports one shows

class Hidden:  # puts a package back that was loaded already
    packages = {name: sys.modules.pop(name) for name in ("numba", "sympy", "torch")}
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name in self.packages else None
    def create_module(self, spec):
        return self.packages[spec.name]
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Hidden())
package, *rooms = sys.argv[1:]
before = set(sys.modules)
(folder,) = map(Path, importlib.util.find_spec(package).submodule_search_locations)
files = sorted(path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py"))
names = [".".join(path.parts).removesuffix(".__init__") for path in files]
gc.disable()
gc.freeze()  # or each child would copy all that it collects
found = {}
for room in ["", *rooms]:
    ours = [name for name in names if (name.split(".") + [""])[1] == room]
    for name in ours:
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                importlib.import_module(name)
                answer = sorted({loaded.partition(".")[0] for loaded in set(sys.modules) - before})
            except BaseException as error:
                answer = [repr(error)]
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        os.close(writing)
        with open(reading) as stream:
            found[name] = json.loads(stream.read())
        os.wait()
    for name in ours:
        if package in found[name] and not Hidden.packages.keys() & set(found[name]):
            importlib.import_module(name)
print(json.dumps(found))
"""


def rooms_of(package: str) -> list[str]:
    """Return the names of a package's rooms, those that know no other first."""
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == [package]
    )
    return [room for layer in reversed(layers) for room in layer.split(" | ")]


def loaded_by(package: str) -> dict[str, set[str]]:
    """Return module → the top-level packages that importing it alone loads."""
    command = [sys.executable, "-c", _PROGRAM, package, *rooms_of(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: set(packages) for name, packages in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def engine() -> dict[str, set[str]]:
    return loaded_by("l2o_engine")


def test_every_module_of_the_engine_is_looked_at(engine: dict[str, set[str]]) -> None:
    assert len(engine) > 90
    assert "l2o_engine.backends.fused.pieces.inputs" in engine
    assert engine["l2o_engine"] == {"l2o_engine"}  # the library itself loads nothing


def test_every_module_can_be_imported_first(engine: dict[str, set[str]]) -> None:
    assert {name: packages for name, packages in engine.items() if "l2o_engine" not in packages} == {}


def test_no_module_of_the_engine_loads_a_front_end(engine: dict[str, set[str]]) -> None:
    front_ends = {"textual", "rich", "typer", "matplotlib", "l2o_tui"}
    assert {name: packages & front_ends for name, packages in engine.items() if packages & front_ends} == {}


def test_torch_and_numba_are_loaded_by_the_backends_alone_that_compute_with_them(engine: dict[str, set[str]]) -> None:
    with_torch = {name.removeprefix("l2o_engine.backends.") for name, packages in engine.items() if "torch" in packages}
    many = {f"coordinatewise.{name}" for name in ("backend", "encoding", "gradients", "networks", "recording")}
    many |= {"in_place.steppers", "in_place.tiles"}
    ours = "l2o_engine.torch_optim"  # which is PyTorch's, and steps by a kernel
    assert {name for name in with_torch if not name.startswith(ours)} == {"reference", "course", "imitation", *many}
    names = ("fused", "compiled", "coordinatewise", "in_place")
    server = "l2o_engine.studies.sweep.preloaded"  # for the processes that it forks
    kernels = (*(f"l2o_engine.backends.{name}." for name in names), ours, server)
    assert [name for name, packages in engine.items() if "numba" in packages and not name.startswith(kernels)] == []
    for name in (
        "fused.spec",
        "coordinatewise.spec",
        "in_place.spec",
        "compiled.shape",
    ):  # what a run takes
        assert "numba" not in engine[f"l2o_engine.backends.{name}"]


def test_sympy_is_loaded_by_what_differentiates_alone(engine: dict[str, set[str]]) -> None:
    found = [name for name, packages in engine.items() if "sympy" in packages]
    assert found == ["l2o_engine.tasks.formula.derivatives"]
