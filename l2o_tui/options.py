"""Options and arguments that several commands have, and what a shell's completion offers for each."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from l2o_tui.charts.terminal import PLAIN_VARIABLE


class HangUp(StrEnum):
    """What becomes of a run when its terminal is gone."""

    detach = "detach"
    checkpoint = "checkpoint"


class BackendChoice(StrEnum):
    """The backends by name."""

    auto = "auto"
    fused = "fused"
    coordinatewise = "coordinatewise"
    torch = "torch"


class State(StrEnum):
    """The states of a run."""

    running = "running"
    paused = "paused"
    finished = "finished"
    interrupted = "interrupted"
    failed = "failed"
    diverged = "diverged"


class SortBy(StrEnum):
    """What runs are sorted by."""

    newest = "newest"
    oldest = "oldest"
    name = "name"
    preset = "preset"
    result = "result"


class Rival(StrEnum):
    """The hand-designed optimizers that are tuned, by name."""

    sgd = "sgd"
    momentum = "momentum"
    nesterov = "nesterov"
    rmsprop = "rmsprop"
    adam = "adam"
    vsgd = "vsgd"


def complete_presets(incomplete: str) -> list[str]:
    """Offer presets and files of presets."""
    from l2o_tui.commands.completion import presets

    return presets(incomplete)


def complete_runs(context: typer.Context, incomplete: str) -> list[str]:
    """Offer runs."""
    from l2o_tui.commands.completion import runs

    return runs(incomplete, _runs_of(context))


def complete_runs_and_presets(context: typer.Context, incomplete: str) -> list[str]:
    """Offer runs, and presets."""
    return [*complete_runs(context, incomplete), *complete_presets(incomplete)]


def complete_groups(incomplete: str) -> list[str]:
    """Offer what can be reproduced."""
    from l2o_tui.commands.completion import groups

    return groups(incomplete)


def complete_settings(incomplete: str) -> list[str]:
    """Offer settings, and what they may be."""
    from l2o_tui.commands.completion import settings

    return settings(incomplete)


def complete_varied(incomplete: str) -> list[str]:
    """Offer settings, and values that are left of a list."""
    from l2o_tui.commands.completion import varied

    return varied(incomplete)


def complete_conditions(incomplete: str) -> list[str]:
    """Offer settings, and the presets' names."""
    from l2o_tui.commands.completion import conditions

    return conditions(incomplete)


def complete_tags(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the tags of runs."""
    from l2o_tui.commands.completion import tags

    return tags(incomplete, _runs_of(context))


def complete_studies_and_presets(context: typer.Context, incomplete: str) -> list[str]:
    """Offer studies that were begun, and presets."""
    from l2o_tui.commands.completion import studies

    return [*studies(incomplete, _runs_of(context)), *complete_presets(incomplete)]


def _runs_of(context: typer.Context) -> Path:
    """Return the runs folder, as far as the command's words say by now."""
    return Path(context.params.get("runs_dir") or os.environ.get("L2O_RUNS_DIR") or RUNS)


NoUi = Annotated[bool, typer.Option("--no-ui", help="Print a progress table instead of opening the screen.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, and no screen.")]
JsonDocument = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the run's folder, and no screen.")]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="L2O_RUNS_DIR", help="Where runs are kept.", file_okay=False)
]
Backend = Annotated[BackendChoice | None, typer.Option("--backend", help="What computes; the preset's, if not given.")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="Where it computes: cpu; or, with the backend torch, cuda, cuda:1, mps, or auto, the first that is here. "
        "The preset's, if not given.",
    ),
]
Chunk = Annotated[
    int | None,
    typer.Option("--chunk", min=1, help="Meta-iterations between two looks at the keys. Never changes a result."),
]
OnHangup = Annotated[
    HangUp,
    typer.Option(
        "--on-hangup",
        help="When the terminal of a screen is gone (SIGHUP): train on in the background, or checkpoint and end.",
    ),
]
Fps = Annotated[float, typer.Option("--fps", min=0.1, max=20, help="How often the screen is drawn a second, at most.")]


def draw_plainly(value: bool) -> None:
    """Say it to whatever draws a chart, and to the processes that this one starts."""
    if value:
        os.environ[PLAIN_VARIABLE] = "1"


Ascii = Annotated[
    bool, typer.Option("--ascii", callback=draw_plainly, help="Draw charts in plain characters, without braille.")
]

DATA_VARIABLE = "L2O_DATA_DIR"  # as tasks/data/base.py has it, which is not imported for the help alone


def _look_for_data_in(value: Path | None) -> None:
    """Say it to whatever reads a data set, and to the processes that this one starts."""
    if value is not None:
        os.environ[DATA_VARIABLE] = str(value.absolute())


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar=DATA_VARIABLE,
        callback=_look_for_data_in,
        help="Where data sets are, each in a folder of its name; data, if not given.",
        file_okay=False,
    ),
]


def _allow_code(value: list[Path] | None) -> None:
    """Let this process import a user's modules from these folders; those that it starts are told by their options."""
    if value:
        from l2o_engine.support.user_code import allow_code

        allow_code(*value)


AllowCode = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow-code",
        metavar="DIR",
        callback=_allow_code,
        help='Let Python code of this folder run, for a problem of kind "python"; repeatable.',
    ),
]
RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help='A folder, a name in the runs folder, or "last".', autocompletion=complete_runs),
]
RunOrFile = Annotated[
    str,
    typer.Argument(
        metavar="RUN|FILE",
        help='A folder, a name in the runs folder, or "last"; or a file that `export --format optimizer` wrote.',
        autocompletion=complete_runs,
    ),
]
RunsOrFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN|FILE...",
        help='Folders, names in the runs folder, or "last"; or files that `export --format optimizer` wrote.',
        autocompletion=complete_runs,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Change a setting of the preset; repeatable.",
        autocompletion=complete_settings,
    ),
]
PresetName = Annotated[
    str,
    typer.Argument(
        metavar="PRESET", help="A TOML file, or the name of a shipped preset.", autocompletion=complete_presets
    ),
]
RUNS = Path("runs")
FPS = 2.0
STDOUT = Path("-")
