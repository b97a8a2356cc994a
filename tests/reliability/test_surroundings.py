"""Odd surroundings: strings that others chose, and locales that cannot say everything."""

from pathlib import Path

import pytest

from tests import hostile, soak
from tests.reliability.laboratory import EXPERIMENTS, Laboratory
from tests.reliability.outcome import NOTHING_LOST

HOSTILE = {
    "markup": hostile.MARKUP,
    "what terminals obey": hostile.OBEYED,
    "what nobody sees": hostile.UNSEEN,
    "all of it": hostile.EVIL,
    "wide": "均方根传播法",
    "lines": "one\ntwo\rthree\tfour",
}
ENCODINGS = {
    "ISO-8859-1": {"PYTHONIOENCODING": "latin-1"},
    "GBK": {"PYTHONIOENCODING": "gbk"},
    "EUC-JP": {"PYTHONIOENCODING": "euc-jp"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LANG": "POSIX", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
TINY = EXPERIMENTS["fused"][:5]


@pytest.mark.soak
@pytest.mark.parametrize("what", HOSTILE)
def test_strings_of_others_reach_no_stream(what: str, laboratory: Laboratory) -> None:
    text, folder = HOSTILE[what], laboratory.new()
    escaped = "".join(f"\\U{ord(character):08x}" for character in text)
    presets = {
        "title": f'title = "{escaped}"\n',
        "key": f'"{escaped}" = 1\n',
        "baseline": f'[[baseline]]\nkind = "sgd"\nname = "{escaped}"\nlearning_rate = 0.1\n',
        "kind": f'[inputs]\nkind = "{escaped}"\n',
    }
    wrong: list[str] = []

    def ask(*args: str | Path) -> None:
        process = laboratory.start(*args, folder=laboratory.streams(folder))
        process.wait()
        wrong.extend(f"{args[0]}: {complaint}" for complaint in process.complaints)
        if unseen := hostile.unseen_in(process.out + process.err):
            wrong.append(f"{args[0]}: unseen characters: {unseen!a}")

    for name, table in presets.items():
        path = folder.parent / f"{name}.toml"
        path.write_text(f'name = "x"\n{table}', encoding="utf-8")
        run = folder.parent / f"{name}-run"
        ask("check", path)
        ask("run", path, *TINY[1:3], "--no-ui", "--backend=torch", "--iterations=3", "--run-dir", run)
        if run.exists():
            ask("show", run)
    named = folder.parent / f"a {text}".replace("/", "|")[:100]
    ask("run", *TINY, "--no-ui", "--backend=torch", "--iterations=3", "--run-dir", named)
    ask("show", named)
    ask("resume", named)
    ask("runs", "--runs-dir", folder.parent)
    ask("compare", named)
    ask("show", text)
    ask("run", text)
    ask("run", "log30", "--set", f"{text}=1")
    laboratory.keep("hostile strings", "in presets, names of runs and arguments", what, wrong, NOTHING_LOST)


@pytest.mark.soak
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_is_an_error(encoding: str, fresh_laboratory: Laboratory) -> None:
    laboratory, env = fresh_laboratory, ENCODINGS[encoding]
    folder = laboratory.new()
    wrong = []
    commands: list[tuple[str | Path, ...]] = [
        (
            "run",
            *TINY,
            "--no-ui",
            "--backend=fused",
            "--iterations=2000",
            "--set=report.every=500",
            "--run-dir",
            folder,
        ),
        ("show", folder),
        ("runs", "--runs-dir", folder.parent),
        ("compare", folder),
        ("presets",),
        ("bench", "--seconds", "0.1"),
    ]
    for args in commands:
        if soak.is_over():
            return
        process = laboratory.start(*args, folder=laboratory.streams(folder), env=env)
        process.wait()
        wrong += [f"{args[0]}: {complaint}" for complaint in process.complaints]
        wrong += [f"{args[0]} ended with {process.code}: {process.err[-200:]}"] if process.code else []
    how = "PYTHONIOENCODING, LC_ALL; run, show, runs, compare, presets, bench"
    laboratory.keep("an odd locale", how, encoding, wrong, NOTHING_LOST)
