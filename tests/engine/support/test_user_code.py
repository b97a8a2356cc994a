"""A user's code: where it is said to have failed, what it prints, what it imports, and how a call is ended."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2o_engine.support.user_code import (
    CodeError,
    StoppedError,
    allow_code,
    end_hanging,
    hanging,
    is_hanging,
    load,
    take_printed,
    users_code,
)
from tests.own_code import nothing_allowed


@pytest.fixture(autouse=True)
def _nothing_allowed() -> Iterator[None]:
    with nothing_allowed():
        yield


def test_what_is_beside_a_module_is_found_after_what_is_installed(tmp_path: Path) -> None:
    package = tmp_path / "parts"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "one.py").write_text("from ..two import VALUE\n")
    (package / "two.py").write_text("VALUE = 2\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('it was run')\n")
    (tmp_path / "main_one.py").write_text("import json\nfrom parts.deep.one import VALUE\njson.dumps(VALUE)\n")
    allow_code(tmp_path)
    module = load("main_one")
    assert module is not None
    assert module.module.VALUE == 2
    assert sorted(module.sources) == ["main_one.py", "parts/__init__.py", "parts/deep/one.py", "parts/two.py"]
    with pytest.raises(ImportError):
        __import__("parts.deep.three")
    assert load("parts.nowhere") is None


def test_elsewhere_nothing_of_an_allowed_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "lonely.py").write_text("")
    allow_code(tmp_path)
    with pytest.raises(ImportError):
        __import__("lonely")


def test_an_error_is_told_by_the_users_last_line(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("import json\n\ndef parse():\n    return json.loads('{')\n")
    allow_code(tmp_path)
    module = load("failing")
    assert module is not None
    with pytest.raises(CodeError) as error, users_code("parse"):
        module.module.parse()
    assert str(error.value).startswith(f"{tmp_path / 'failing.py'}:4, in parse: JSONDecodeError: Expecting")


def test_what_it_prints_is_kept_and_what_others_print_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    is_inside, may_go = threading.Event(), threading.Event()

    def inside() -> None:
        with users_code("here"):
            sys.stdout.write("its line\n")
            sys.stdout.write("half a line")
            sys.stderr.write("an error\n")
            is_inside.set()
            assert may_go.wait(60)

    thread = threading.Thread(target=inside)
    thread.start()
    assert is_inside.wait(60)
    sys.stdout.write("another's\n")
    may_go.set()
    thread.join()
    sys.stdout.write("after\n")
    assert take_printed() == ["your code says: its line", "your code says: half a linean error"]
    assert capsys.readouterr() == ("another's\nafter\n", "")


def test_very_much_is_counted_and_then_not_told_any_more() -> None:
    for _ in range(30):
        with users_code("here"):
            for line in range(8):
                sys.stdout.write(f"{line}\n")
        told = take_printed()
    assert told == []
    with users_code("here"):
        sys.stdout.write("more\n")
    assert take_printed() == []


def test_a_call_that_does_not_return_is_ended_and_said() -> None:
    ended: list[BaseException] = []

    def endless() -> None:
        try:
            with users_code("endless"):
                while True:
                    time.sleep(0.001)
        except StoppedError as error:
            ended.append(error)

    thread = threading.Thread(target=endless)
    thread.start()
    while not is_hanging(0.0):
        time.sleep(0.001)
    assert f"{__file__}:" in hanging()
    while thread.is_alive():
        end_hanging(0.0)
        thread.join(0.01)
    (error,) = ended
    assert "in endless: did not return for" in str(error)
    assert hanging() == ""


def test_a_stream_that_is_exchanged_is_kept_for_good() -> None:
    """print() holds no reference to sys.stdout (CPython 3.11): one that goes meanwhile crashes the process."""
    seen = []
    for _ in range(2):
        with users_code("here"):
            seen.append((sys.stdout, sys.stderr, sys.stdin))
    for first, second in zip(*seen, strict=True):
        assert first is second
    assert sys.stdout is not seen[0][0]
