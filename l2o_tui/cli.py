"""The commands. Thin: each checks its input, then hands over; heavy imports stay inside, so ``--help`` is quick."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from l2o_engine.runs import DrivenRun

app = typer.Typer(
    name="l2o-tui",
    help="The terminal laboratory for learned optimizers: meta-train a recurrent network to be an optimizer.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXIT_FAILED = 1
EXIT_USAGE = 2


class BackendChoice(StrEnum):
    """The backends by name."""

    auto = "auto"
    fused = "fused"
    torch = "torch"


NoUi = Annotated[bool, typer.Option("--no-ui", help="Print a progress table instead of opening the screen.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, and no screen.")]
JsonDocument = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the run's folder, and no screen.")]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="L2O_RUNS_DIR", help="Where runs are kept.", file_okay=False)
]
Backend = Annotated[BackendChoice | None, typer.Option("--backend", help="What computes; the preset's, if not given.")]
Chunk = Annotated[
    int | None,
    typer.Option("--chunk", min=1, help="Meta-iterations between two looks at the keys. Never changes a result."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help='A folder, a name in the runs folder, or "last".')]
_RUNS = Path("runs")


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"l2o-tui {version('l2o-tui')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A TOML file, or the name of a shipped preset.")],
    no_ui: NoUi = False,
    json: Json = False,
    quiet: Quiet = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Decides the weights and every draw.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Replicates, from --seed on.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Meta-iterations in all.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting of the preset; repeatable."),
    ] = None,
    runs_dir: RunsDir = _RUNS,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="The run's exact folder; never one that is in use.")
    ] = None,
    backend: Backend = None,
    chunk: Chunk = None,
) -> None:
    """Meta-train PRESET, with the live screen."""
    from l2o_engine import preset as presets
    from l2o_engine.backends import choose
    from l2o_engine.runs import DrivenRun, new_folder

    _refuse_both(json, quiet)
    options = {"seed": seed, "seeds": seeds, "iterations": iterations, "backend": backend}
    given = {name: value for name, value in options.items() if value is not None}
    experiment = presets.load(presets.find(preset), settings or (), given)
    if experiment.kind == "meta-training":
        choose(experiment, experiment.run.backend)  # one that cannot be had is an error before anything is made
    driven = DrivenRun.create(experiment, run_dir or new_folder(runs_dir, experiment))
    _drive(driven, no_ui=no_ui, json=json, quiet=quiet, chunk=chunk)


@app.command()
def resume(
    run: RunName,
    no_ui: NoUi = False,
    json: Json = False,
    quiet: Quiet = False,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="A new total.")] = None,
    runs_dir: RunsDir = _RUNS,
    backend: Backend = None,
    chunk: Chunk = None,
) -> None:
    """Go on with RUN from its newest good checkpoint; --iterations continues a finished one."""
    from l2o_engine.backends import choose
    from l2o_engine.runs import DrivenRun, RunError, find_run

    _refuse_both(json, quiet)
    found = find_run(run, runs_dir)
    record = found.record()
    if found.preset().kind == "meta-training":
        choose(found.preset(), backend or "auto")
    if iterations is not None and iterations <= record.iteration:
        raise RunError(f"{found.name} is already at {record.iteration}: --iterations must be above that")
    if iterations is not None and record.status == "diverged" and record.seeds == 1:
        raise RunError(f"{found.name} has diverged at {record.iteration}; there is nothing to continue")
    headless = no_ui or json or quiet or not _is_terminal()
    if iterations is None and record.status == "finished" and headless:
        raise RunError(f"{found.name} is finished at {record.iteration}; continue it with --iterations N")
    driven = DrivenRun.take(found.folder)
    if iterations is not None:
        driven.set_iterations(iterations)
    _drive(driven, no_ui=no_ui, json=json, quiet=quiet, chunk=chunk, backend=backend)


@app.command()
def runs(runs_dir: RunsDir = _RUNS, json: JsonDocument = False) -> None:
    """List the runs."""
    from l2o_tui.listings import print_runs

    print_runs(runs_dir, as_json_document=json)


@app.command()
def show(run: RunName, runs_dir: RunsDir = _RUNS, json: JsonDocument = False) -> None:
    """Show RUN: its settings, state and progress table."""
    from l2o_engine.runs import find_run
    from l2o_tui.listings import print_run

    print_run(find_run(run, runs_dir), as_json_document=json)


@app.command()
def presets(json: JsonDocument = False) -> None:
    """List the shipped presets."""
    from l2o_tui.listings import print_presets

    print_presets(as_json_document=json)


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="A TOML file, or the name of a shipped preset.")],
) -> None:
    """Check FILE without running it."""
    from l2o_engine.preset import PresetError, find, load

    wrong = []
    for file in files:
        try:
            experiment = load(find(file))
            typer.echo(f"{file}: {experiment.name} is a valid preset ({experiment.kind})")
        except PresetError as error:
            wrong.append(str(error))
    if wrong:
        raise PresetError("\n".join(wrong))


@app.command()
def bench(
    preset: Annotated[str, typer.Option("--preset", metavar="PRESET", help="What to measure.")] = "log30",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="For each contestant.")] = 5.0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Also measure so many replicates side by side.")] = 1,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also measure the kernel against dims, steps, hidden, layers, seeds.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure meta-iterations per second of every backend, side by side."""
    from l2o_engine.preset import PresetError, find, load
    from l2o_tui.bench import run_bench

    experiment = load(find(preset), settings or ())
    if experiment.kind != "meta-training":
        raise PresetError(f"{preset} trains no network: there is nothing to measure")
    run_bench(experiment, seconds=seconds, seeds=seeds, scaling=scaling, as_json=json)


def _drive(
    driven: "DrivenRun", *, no_ui: bool, json: bool, quiet: bool, chunk: int | None, backend: str | None = None
) -> NoReturn:
    from l2o_engine.session import Session

    # The training thread needs the interpreter only for moments, between two chunks; it should not wait 5 ms for each.
    sys.setswitchinterval(0.0005)
    wants_screen = not (no_ui or json or quiet)
    if wants_screen and _is_terminal():
        from l2o_tui.app import run_app

        sys.exit(run_app(driven, chunk=chunk, backend=backend))
    if wants_screen:
        typer.echo("l2o-tui: no terminal here, so no screen (as with --no-ui)", err=True)
    from l2o_tui.headless import run_headless

    session = Session(driven, chunk=chunk, backend=backend)
    sys.exit(run_headless(session, driven.current, as_json_lines=json, quiet=quiet))


def _refuse_both(json: bool, quiet: bool) -> None:
    if json and quiet:
        raise typer.BadParameter("--json and --quiet are two answers to one question; give one")


def _is_terminal() -> bool:
    # textual paints on stderr, so that counts too.
    streams = (sys.stdin, sys.stdout, sys.stderr)  # None where the descriptor was closed before we started
    return (
        all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM", "dumb") != "dumb"
    )


def main() -> NoReturn:
    """Run a command; turn what is wrong with its input into one message and exit code 2, a failure into 1."""
    from l2o_engine.errors import Failure, UserError

    try:
        app()
    except UserError as error:
        typer.echo(f"l2o-tui: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except Failure as error:
        typer.echo(f"l2o-tui: {error}", err=True)
        sys.exit(EXIT_FAILED)
    sys.exit(0)
