"""Made-up runs: folders with the files that a run leaves, made without training anything."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.driven import DrivenRun

_EMPTY = ("metrics.csv", "events.jsonl", ".lock")


@dataclass(frozen=True)
class Pattern:
    """What made-up runs of a preset are made after: ``run.json`` as the library writes it, and ``preset.toml``."""

    record: dict[str, Any]
    preset: str

    @classmethod
    def of(cls, preset: Preset, folder: Path) -> "Pattern":
        """Make a run of a preset in a folder, which stays, and is at its end by what it says of itself."""
        driven = DrivenRun.create(preset, folder)
        driven.update(
            status="finished", iteration=preset.run.iterations, elapsed_seconds=3.2, backend="fused", message=""
        )
        driven.close()
        return cls(json.loads((folder / "run.json").read_text()), to_toml(preset))

    def write(self, folder: Path, **changes: Any) -> None:
        """Write the files of a run without rows and checkpoints, in whose ``run.json`` these keys are others."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write_record(folder, **changes)
        (folder / "preset.toml").write_text(self.preset)
        for empty in _EMPTY:
            (folder / empty).touch()

    def write_record(self, folder: Path, **changes: Any) -> None:
        """Write ``run.json`` alone."""
        text = json.dumps(self.record | changes, indent=2) + "\n"
        beside = folder / ".run.json.tmp"
        beside.write_text(text)
        beside.replace(folder / "run.json")
