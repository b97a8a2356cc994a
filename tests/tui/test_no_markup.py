"""The rules that keep strings of strangers from meaning something, held where the code is written.

Texts that stand in the code may have markup. Whatever else is shown goes through one of a few places, which make it
safe: ``PlainText`` and ``Content`` on the screen, ``TextConsole`` and ``say`` in print, and an error by itself.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import l2o_tui

TUI = Path(str(l2o_tui.__file__)).parent
TAKE_MARKUP = {"Static", "Label", "Button", "RadioButton", "_Choice", "from_markup"}
"""What of textual, or made of it, takes its first argument for markup."""
TITLES = {"border_title", "border_subtitle"}
"""What is taken for markup when it is assigned."""
HOMES = {
    "Console": {"text/output.py", "screens/giving.py"},  # the latter records a chart, and prints nothing
    "print": {"text/output.py", "text/streams.py", "text/headless.py"},  # the last one: rows of aligned cells
    "echo": {"cli.py"},  # help and version
    "dumps": {"text/output.py", "commands/show.py", "state/preferences.py"},
    "run_worker": {"state/workers.py", "app.py", "textual_private.py"},  # the latter: a session listens, enter waits
}
"""Who may call what, which every other module has something safer for."""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call, with the last part of its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_safe(node: ast.expr) -> bool:
    """Return whether a text stands in the code, or is of a class that takes no markup."""
    match node:
        case ast.Constant():
            return True
        case ast.IfExp():
            return is_safe(node.body) and is_safe(node.orelse)
        case ast.Call(func=ast.Name(id="Content")):
            return True
        case ast.Name():
            return node.id.lstrip("_").isupper()
        case _:
            return False


@pytest.mark.parametrize("path", sorted(TUI.rglob("*.py")), ids=lambda path: str(path.relative_to(TUI)))
def test_markup_stands_in_the_code_and_what_prints_has_its_home(path: Path) -> None:
    tree, place = ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(TUI))
    uses_textual = any(isinstance(node, ast.ImportFrom) and "textual" in str(node.module) for node in tree.body)
    wrong = []
    for call, name in calls(tree):
        if uses_textual and name in TAKE_MARKUP and call.args and not is_safe(call.args[0]):
            wrong.append(f"line {call.lineno}: {name} takes markup; PlainText and Content take none")
        is_method = isinstance(call.func, ast.Attribute)
        if place not in HOMES.get(name, {place}) and not (name == "print" and is_method):
            wrong.append(f"line {call.lineno}: {name} is for {', '.join(sorted(HOMES[name]))}")
        if name != "__init__" and any(keyword.arg == "markup" for keyword in call.keywords) and place != "app.py":
            wrong.append(f"line {call.lineno}: what is markup is decided elsewhere")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and not is_safe(node.value):
            targets = {one.attr for one in node.targets if isinstance(one, ast.Attribute)}
            wrong += [f"line {node.lineno}: {name} is markup; Content is none" for name in targets & TITLES]
    assert wrong == []
