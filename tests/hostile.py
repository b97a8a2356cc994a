"""Strings that strangers may write, and where: in presets, in the files of a run, in names of files and folders."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.folder import Run
from l2o_engine.support.wording import is_seen
from tests.engine.made import made_run
from tests.engine.tiny import tiny_baselines, tiny_preset

MARKUP = "[/][@click='x]y[red]%s{0}:bomb:"
OBEYED = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\x08\x7f"
UNSEEN = "\u202e\u200b\ufeff\u2066"
EVIL = f"a{OBEYED}{UNSEEN}\n\t{MARKUP}<b>&z"
NAME = EVIL.replace("/", "|")[:100] + "\udcff"
"""A file's or a folder's name: any bytes but a slash."""
LABEL = "R\u202e\u200bé[red]均"
"""A baseline's name: short, without control characters."""


def evil_preset(*settings: str) -> Preset:
    """Return a preset that trains a network and whose texts are all evil."""
    return _evil(tiny_preset(*settings))


def evil_baselines(*settings: str) -> Preset:
    """Return a preset that trains nothing, and so takes no time."""
    return _evil(tiny_baselines("run.iterations=20", *settings))


def _evil(preset: Preset) -> Preset:
    first, *others = preset.baseline
    named = type(first)(**(vars(first) | {"name": LABEL}))
    return preset.model_copy(update={"title": EVIL, "baseline": (named, *others)})


def evil_run(folder: Path, preset: Preset | None = None) -> Run:
    """Write a run whose files are evil wherever a text may stand."""
    preset = preset or evil_preset()
    run = made_run(folder, preset, [[-1.0 - k / 25 for k in range(25)]])
    record = json.loads(run.record_path.read_text())
    texts = {name: EVIL for name, value in record.items() if isinstance(value, str)}
    for kept in ("status", "created", "updated"):
        del texts[kept]
    record |= texts | {"versions": {EVIL: EVIL}, "status": "interrupted"}
    run.record_path.write_text(json.dumps(record))
    (folder / "preset.toml").write_text(to_toml(preset), encoding="utf-8")
    lines: list[dict[str, Any]] = [
        {"event": "start", "backend": EVIL, "device": EVIL},
        {"event": "notice", "message": EVIL},
        {"event": EVIL, "iteration": 3},
        {
            "event": "finding",
            "iteration": 20,
            "code": EVIL,
            "message": EVIL,
            "remedy": EVIL,
            "optimizer": "RNN",
            "seed": 0,
        },
        {"event": "checkpoint", "iteration": 20, "path": EVIL, "requested": True, "seed": 0},
        {"event": "end", "status": "failed", "iteration": 24, "average_log_result": -2.0, "elapsed_seconds": 1.0}
        | {"message": EVIL, "optimizer": "RNN", "seed": 0},
    ]
    run.events_path.write_text("".join(json.dumps({"time": EVIL} | line) + "\n" for line in lines))
    (folder / "commands").mkdir(exist_ok=True)
    (folder / "commands" / NAME.replace("|", "_")).write_text("no command")
    return run


def unseen_in(text: str) -> set[str]:
    """Return the characters of what was written that a terminal obeys or nobody sees, but for line breaks."""
    return {character for character in text if character != "\n" and not is_seen(character)}


def text_of_svg(path: Path) -> str:
    """Return all text of an SVG, which must be well-formed."""
    return "".join(ET.parse(path).getroot().itertext())  # noqa: S314 (our own file)
