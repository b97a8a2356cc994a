"""What is found by name when it is asked for is known to type checkers by name, too: no piece is forgotten."""

import ast
import importlib
import inspect
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import l2o_engine
from l2o_engine.tasks.formula.functions import name_in_python, shipped_functions

ROOMS = {
    "tasks": "TASKS",
    "optimizers": "OPTIMIZERS",
    "optimizers.learned.inputs": "INPUTS",
    "optimizers.learned.networks": "NETWORKS",
    "meta.objectives": "OBJECTIVES",
}


def known_to_type_checkers(module: Any) -> dict[str, str]:
    """Return what a module's ``if TYPE_CHECKING`` names: name → where it is from, or its annotation."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for one in node.body:
                if isinstance(one, ast.ImportFrom):
                    found |= {alias.asname or alias.name: str(one.module) for alias in one.names}
                elif isinstance(one, ast.AnnAssign):
                    found[ast.unparse(one.target)] = ast.unparse(one.annotation)
    return found


def public_pieces() -> dict[str, Any]:
    """Return what the public names stand for, and the pieces in the rooms among them."""
    found = {name: getattr(l2o_engine, name) for name in l2o_engine.__all__}
    rooms = {name: one for name, one in found.items() if inspect.ismodule(one)}
    return {name: one for name, one in found.items() if name not in rooms} | {
        f"{room}.{name}": getattr(module, name)
        for room, module in rooms.items()
        for name in known_to_type_checkers(module)
    }


def unsaid(piece: Any) -> set[str]:
    """Return the parameters of a piece that its docstring has no entry for."""
    classes = [cls for cls in getattr(piece, "__mro__", [piece]) if cls.__module__.startswith("l2o_engine")]
    lines = [line.strip() for cls in classes for line in (cls.__doc__ or "").splitlines()]
    entries = [line for line in lines if re.fullmatch(r"\*{0,2}\w+(, \*{0,2}\w+)*", line)]
    said = {word.strip() for line in entries for word in line.split(",")}
    return set(inspect.signature(piece).parameters) - said - {"kind", "args", "kwargs", "options"}


def test_the_docstrings_say_what_every_parameter_is() -> None:
    pieces = {name: piece for name, piece in public_pieces().items() if hasattr(piece, "__module__")}
    pieces = {name: piece for name, piece in pieces.items() if not isinstance(piece, partial)}  # they are Formula's
    pieces = {name: one for name, one in pieces.items() if not (isinstance(one, type) and issubclass(one, Warning))}
    assert len(pieces) > 40
    assert {name: missing for name, piece in pieces.items() if (missing := unsaid(piece))} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_piece_of_a_room_is_known(room: str) -> None:
    module = importlib.import_module(f"l2o_engine.{room}")
    shipped = [
        cls for cls in getattr(module, ROOMS[room]) if cls.__module__.startswith("l2o_engine.")
    ]  # others are of plugins and tests
    known = known_to_type_checkers(module)
    for cls in shipped:
        assert getattr(importlib.import_module(known[cls.__name__]), cls.__name__) is cls
        assert getattr(module, cls.__name__) is cls
    functions = {name_in_python(name) for name in shipped_functions()} if room == "tasks" else set()
    of_users = (
        {"Custom", "Definition", "ModuleProblem"} if room == "tasks" else set()
    )  # what makes a family, and is no kind
    assert set(known) == {cls.__name__ for cls in shipped} | functions | of_users
    assert set(known) < set(module.__all__) <= set(dir(module))


def test_every_shipped_function_is_known_as_what_makes_a_formula() -> None:
    known = known_to_type_checkers(l2o_engine.tasks)
    families = {cls.__name__ for cls in l2o_engine.tasks.TASKS}  # one of such a name is what it stands for
    for name in {name_in_python(name) for name in shipped_functions()} - families:
        assert known[name] == "Callable[..., Formula]"
        assert isinstance(getattr(l2o_engine.tasks, name)(), l2o_engine.tasks.Formula)


def test_every_public_name_is_known() -> None:
    known = known_to_type_checkers(l2o_engine)
    assert set(known) == set(l2o_engine.__all__)
    for name, home in known.items():
        assert getattr(importlib.import_module(home), name) is getattr(l2o_engine, name)
