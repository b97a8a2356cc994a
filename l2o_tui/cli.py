"""The commands' options, and nothing else: each hands over to its module, imported then, so ``--help`` is quick."""

import os
import signal
import sys
import traceback
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Protocol, runtime_checkable

import typer

from l2o_tui import exit_codes
from l2o_tui.options import (
    DATA_VARIABLE,
    FPS,
    RUNS,
    STDOUT,
    AllowCode,
    Ascii,
    Backend,
    BackendChoice,
    Chunk,
    DataDir,
    Device,
    Fps,
    HangUp,
    Json,
    JsonDocument,
    NoUi,
    OnHangup,
    PresetName,
    Quiet,
    Rival,
    RunName,
    RunOrFile,
    RunsDir,
    RunsOrFiles,
    Settings,
    SortBy,
    State,
    complete_conditions,
    complete_groups,
    complete_presets,
    complete_runs,
    complete_runs_and_presets,
    complete_settings,
    complete_studies_and_presets,
    complete_tags,
    complete_varied,
    draw_plainly,
)
from l2o_tui.text import streams
from l2o_tui.text.commands import proposed

if TYPE_CHECKING:
    from l2o_tui.commands.drive import FrontEnd


app = typer.Typer(
    name="l2o-tui",
    help="The terminal laboratory for learned optimizers: meta-train a recurrent network to be an optimizer.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    runs_dir: RunsDir = RUNS,
    on_hangup: OnHangup = HangUp.detach,
    fps: Fps = FPS,
    plain: Ascii = False,
    allow_code: AllowCode = None,
) -> None:
    """With no command: the home screen on a terminal, else this help."""
    command = context.invoked_subcommand
    if command is not None:
        for name in ("runs_dir", "on_hangup", "fps", "plain", "allow_code"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                option = "--ascii" if name == "plain" else f"--{name.replace('_', '-')}"
                raise typer.BadParameter(f"{option} goes behind the command: l2o-tui {command} … {option} …")
        return
    from l2o_tui.commands.screen import has_terminal, open_home

    if not has_terminal():
        typer.echo(context.get_help())
        return
    sys.exit(open_home(runs_dir=runs_dir, on_hangup=on_hangup.value, fps=fps))


@app.command()
def run(
    preset: PresetName,
    no_ui: NoUi = False,
    json: Json = False,
    quiet: Quiet = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Decides the weights and every draw.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Replicates, from --seed on.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Meta-iterations in all.")] = None,
    settings: Settings = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN|FILE",
            help="Begin with the weights of a run, or of a file that `export --format optimizer` wrote, in place of "
            "drawn ones: every replicate with the same.",
            autocompletion=complete_runs,
        ),
    ] = None,
    from_checkpoint: Annotated[
        str | None,
        typer.Option("--from-checkpoint", metavar="best|newest|N", help="Of that run; the best, if not given."),
    ] = None,
    from_seed: Annotated[
        int | None,
        typer.Option("--from-seed", min=0, help="Which replicate of that run; the first one, if not given."),
    ] = None,
    runs_dir: RunsDir = RUNS,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="The run's exact folder; never one that is in use.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the run is called in lists.")] = "",
    note: Annotated[str, typer.Option("--note", help="What is to be remembered of it.")] = "",
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A word to find it by; repeatable.", autocompletion=complete_tags),
    ] = None,
    resume_or_start: Annotated[
        bool,
        typer.Option(
            "--resume-or-start",
            help="Go on with the run in --run-dir, if there is one, unless it is finished: for a job that is repeated.",
        ),
    ] = False,
    backend: Backend = None,
    device: Device = None,
    chunk: Chunk = None,
    on_hangup: OnHangup = HangUp.detach,
    fps: Fps = FPS,
    plain: Ascii = False,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Meta-train PRESET, with the live screen."""
    front_end = _front_end(no_ui=no_ui, json=json, quiet=quiet, chunk=chunk, on_hangup=on_hangup, fps=fps)
    from l2o_engine.runs.about import About
    from l2o_tui.commands.run import run_preset

    code = run_preset(
        preset,
        settings=settings or (),
        options={"seed": seed, "seeds": seeds, "iterations": iterations, "backend": backend, "device": device},
        runs_dir=runs_dir,
        run_dir=run_dir,
        resumes=resume_or_start,
        about=About(name, note, tuple(tags or ())),
        front_end=front_end,
        start_from=start_from,
        from_checkpoint=from_checkpoint,
        from_seed=from_seed,
    )
    sys.exit(code)


@app.command()
def resume(
    run: RunName,
    no_ui: NoUi = False,
    json: Json = False,
    quiet: Quiet = False,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="A new total.")] = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on though the run's preset.toml, or the code of its problem, was edited: train the changed "
            "experiment, and record it.",
        ),
    ] = False,
    runs_dir: RunsDir = RUNS,
    backend: Backend = None,
    device: Device = None,
    chunk: Chunk = None,
    on_hangup: OnHangup = HangUp.detach,
    fps: Fps = FPS,
    plain: Ascii = False,
    data_dir: DataDir = None,
    start_paused: Annotated[bool, typer.Option("--start-paused", hidden=True)] = False,
    allow_code: AllowCode = None,
) -> None:
    """Go on with RUN from its newest good checkpoint; --iterations continues a finished one."""
    front_end = _front_end(no_ui=no_ui, json=json, quiet=quiet, chunk=chunk, on_hangup=on_hangup, fps=fps)
    from l2o_tui.commands.resume import resume_run

    code = resume_run(
        run,
        iterations=iterations,
        accept_changes=accept_changes,
        backend=backend,
        device=device,
        start_paused=start_paused,
        runs_dir=runs_dir,
        front_end=front_end,
    )
    sys.exit(code)


@app.command()
def attach(
    run: RunName,
    runs_dir: RunsDir = RUNS,
    fps: Fps = FPS,
    plain: Ascii = False,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Watch and steer RUN, which another process drives, or a study; leaving ends neither."""
    from l2o_tui.commands.attach import attach_run

    sys.exit(attach_run(run, runs_dir=runs_dir, fps=fps))


@app.command()
def runs(
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="TABLE.KEY=VALUE",
            help="Only those with this setting; repeatable: with all.",
            autocompletion=complete_conditions,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            help="Only those with this tag; repeatable: with all.",
            autocompletion=complete_tags,
        ),
    ] = None,
    states: Annotated[
        list[State] | None, typer.Option("--state", help="Only those in this state; repeatable: in one of them.")
    ] = None,
    order: Annotated[
        SortBy, typer.Option("--sort", help="By what; those of one preset stand together by preset.")
    ] = SortBy.newest,
    unfold: Annotated[bool, typer.Option("--all", help="A line for each run of a study, too.")] = False,
    runs_dir: RunsDir = RUNS,
    json: JsonDocument = False,
) -> None:
    """List the runs, the newest first; those of a study in one line."""
    from l2o_engine.runs.selection import Selection
    from l2o_tui.commands.runs import print_runs

    selection = Selection(tuple(where or ()), tuple(tags or ()), tuple(state.value for state in states or ()))
    print_runs(runs_dir, selection=selection, order=order.value, unfolds=unfold, as_json_document=json)


@app.command()
def show(run: RunOrFile, runs_dir: RunsDir = RUNS, json: JsonDocument = False) -> None:
    """Show RUN: its settings, state and progress table; or what an optimizer file holds and where it is from."""
    from l2o_engine.runs.catalogue import find_run
    from l2o_engine.runs.exported import names_file
    from l2o_tui.commands.show import print_run
    from l2o_tui.commands.show_optimizer import print_optimizer

    if names_file(run):
        return print_optimizer(Path(run), as_json_document=json)
    return print_run(find_run(run, runs_dir), as_json_document=json)


@app.command()
def diff(
    first: RunName,
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another.", autocompletion=complete_runs)],
    runs_dir: RunsDir = RUNS,
    json: JsonDocument = False,
) -> None:
    """Show the settings in which two runs differ."""
    from l2o_tui.commands.diff import diff_runs

    diff_runs(first, second, runs_dir=runs_dir, as_json_document=json)


@app.command()
def note(
    run: RunName,
    text: Annotated[str | None, typer.Argument(metavar="[NOTE]", help="The note, in place of the one it has.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the run is called in lists.")] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A tag to add; repeatable.", autocompletion=complete_tags),
    ] = None,
    untags: Annotated[
        list[str] | None,
        typer.Option("--untag", metavar="TAG", help="A tag to take away; repeatable.", autocompletion=complete_tags),
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Change RUN's note, name and tags, while it runs too; with RUN alone, print them."""
    from l2o_tui.commands.note import note_run

    note_run(run, note=text, name=name, tags=tags or (), untags=untags or (), runs_dir=runs_dir)


@app.command()
def export(
    run: RunName,
    file_format: Annotated[
        Literal["csv", "json", "optimizer", "parquet", "tensorboard"],
        typer.Option(
            "--format",
            help="csv: the rows of metrics.csv. json: one document with settings, progress and metrics by column. "
            "parquet: a table of typed columns. tensorboard: a folder of event files. optimizer: no metrics, but the "
            "trained optimizer, one file.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="PATH", help='A file, or "-" for stdout; for tensorboard a folder.')
    ] = STDOUT,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Only meta-iterations that this divides, and the last.")
    ] = 1,
    decimal: Annotated[
        Literal[".", ","] | None,
        typer.Option(
            "--decimal", help='Of csv: "," writes 0,5 and semicolons, as spreadsheets of many languages read it.'
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Whose optimizer; the first replicate's, if not given.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="best|newest|N",
            help="Which checkpoint's optimizer: the best, if not given, the newest, or that of meta-iteration N.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that is there.")] = False,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Write RUN's metrics in another tool's format, or its trained optimizer as a file of its own."""
    is_optimizer = file_format == "optimizer"
    if not is_optimizer and (seed is not None or checkpoint is not None):
        raise typer.BadParameter("--seed and --checkpoint say which optimizer is meant: --format optimizer")
    if is_optimizer and every != 1:
        raise typer.BadParameter("--every is of metrics; --format optimizer writes none")
    if decimal is not None and file_format != "csv":
        raise typer.BadParameter("--decimal is of --format csv")
    from l2o_engine.runs.catalogue import find_run
    from l2o_tui.commands.export import export_run, export_run_optimizer

    if file_format == "optimizer":
        return export_run_optimizer(
            find_run(run, runs_dir), output, seed=seed, checkpoint=checkpoint or "best", force=force
        )
    return export_run(find_run(run, runs_dir), file_format, output, every=every, decimal=decimal or ".", force=force)


@app.command()
def convert(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS.npz",
            help="Plain arrays by the names of DeepMind's code: lstm_1/w_gates, lstm_1/b_gates, …, linear/w, linear/b.",
        ),
    ],
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="PRESET",
            help="What they were trained as: dm_mnist, rnnprop_mnist, ….",
            autocompletion=complete_presets,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where the optimizer is written.")],
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that is there.")] = False,
) -> None:
    """Make an optimizer file of weights that were trained elsewhere, by DeepMind's code or what is made of it."""
    from l2o_tui.commands.convert import convert_weights

    convert_weights(weights, preset, output, settings=settings or (), force=force)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|PRESET...",
            help='Folders, names in the runs folder, or "last"; or presets, whose runs are all compared.',
            autocompletion=complete_runs_and_presets,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Also draw a picture: a name in .svg, .png or .pdf.")
    ] = None,
    json: JsonDocument = False,
    runs_dir: RunsDir = RUNS,
    plain: Ascii = False,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Compare runs, or all of a preset: convergence in a chart, medians over seeds in a table, beside the baselines."""
    from l2o_tui.commands.compare import compare_runs

    sys.exit(compare_runs(runs, runs_dir=runs_dir, output=output, as_json=json))


@app.command()
def evaluate(
    runs: RunsOrFiles,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="PRESET",
            help='A preset, or a shipped function such as rosenbrock; "own", the default, is the run\'s. Repeatable.',
            autocompletion=complete_presets,
        ),
    ] = None,
    steps: Annotated[
        list[str] | None,
        typer.Option("--steps", metavar="N[,N...]", help="Horizons in base steps; the problems' own, if not given."),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws",
            min=1,
            max=10_000_000,
            help="Held-out tasks of each problem; 10,000, if not given, and fewer of networks.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Decides the draws: from a stream that nothing is trained on.")
    ] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="problem.KEY=VALUE",
            help="Change every problem; repeatable.",
            autocompletion=complete_settings,
        ),
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Judge the newest checkpoint, not the best by the report's figure.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Also draw a picture: a name in .svg, .png or .pdf."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for each optimizer on each problem.")
    ] = False,
    runs_dir: RunsDir = RUNS,
    backend: Annotated[
        BackendChoice, typer.Option("--backend", help="What computes the networks.")
    ] = BackendChoice.auto,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Judge the networks of RUN, and the hand-designed optimizers beside them, on problems nobody trained on."""
    from l2o_tui.commands.evaluate import evaluate_runs

    code = evaluate_runs(
        runs,
        on=on or (),
        steps=steps or (),
        settings=settings or (),
        draws=draws,
        seed=seed,
        newest=newest,
        backend=backend,
        output=output,
        as_json=json,
        runs_dir=runs_dir,
    )
    sys.exit(code)


@app.command()
def reproduce(
    group: Annotated[
        str,
        typer.Argument(
            metavar="GROUP",
            help="episode1, episode2, episode3, beyond (ours, on the notebook's problem), or all of these; deepmind "
            "takes hours.",
            autocompletion=complete_groups,
        ),
    ],
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1024, help="Seeds of each experiment, from 0 on.")] = 8,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this experiment of GROUP; repeatable.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Also write a page there, with pictures.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes side by side; as many as cores, if not given.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for each experiment when it is over.")
    ] = False,
    runs_dir: RunsDir = RUNS,
    backend: Backend = None,
    data_dir: DataDir = None,
) -> None:
    """Run the experiments of GROUP over seeds, and print ours beside what is published, with a verdict on each."""
    from l2o_tui.commands.reproduce.command import run_reproduce

    code = run_reproduce(
        group,
        seeds=seeds,
        only=only or (),
        report=report,
        jobs=jobs,
        as_json=json,
        runs_dir=runs_dir,
        backend=backend,
        command=proposed(*sys.argv[1:]),
    )
    sys.exit(code)


@app.command()
def sweep(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PRESET",
            help="A TOML file, or the name of a shipped preset; a study's file; or the folder of a study, to go on.",
            autocompletion=complete_studies_and_presets,
        ),
    ],
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="TABLE.KEY=A,B,C",
            help="Vary a setting; repeatable. With --random or --latin also a range, LOW:HIGH or LOW:HIGH:log.",
            autocompletion=complete_varied,
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, max=1024, help="Seeds of each setting.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The first seed; the preset's.")] = None,
    random: Annotated[int | None, typer.Option("--random", min=1, help="Draw so many points.")] = None,
    latin: Annotated[int | None, typer.Option("--latin", min=1, help="Draw so many, as a Latin hypercube.")] = None,
    draw_seed: Annotated[int, typer.Option("--draw-seed", min=0, help="Decides the points that are drawn.")] = 0,
    halving: Annotated[
        bool,
        typer.Option("--halving", help="Give up the worse half of the settings, by successive halving, at reports."),
    ] = False,
    halving_from: Annotated[
        int | None, typer.Option("--halving-from", min=1, help="Not before this meta-iteration.")
    ] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Meta-iterations of each run.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="Change a setting of every run; repeatable.",
            autocompletion=complete_settings,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The study's, and its folder's in the runs folder.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Runs that train side by side; as many as cores, if not given.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Run on Dask: tcp://host:port, or a scheduler's file."),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the study of this folder, whoever runs it, after checkpoints.")
    ] = False,
    pause: Annotated[
        bool, typer.Option("--pause", help="Let the study of this folder wait, whoever runs it, after checkpoints.")
    ] = False,
    go_on: Annotated[bool, typer.Option("--go-on", help="Let the study of this folder go on after a pause.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print what is there, and train nothing.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Also draw a picture: a name in .svg, .png or .pdf.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for each setting, the best first.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV in place of the table.")] = False,
    runs_dir: RunsDir = RUNS,
    backend: Backend = None,
    plain: Ascii = False,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Run PRESET with every combination of settings over seeds; the same command goes on."""
    if json and csv:
        raise typer.BadParameter("--json and --csv are two answers to one question; give one")
    if random and latin:
        raise typer.BadParameter("--random and --latin are two answers to one question; give one")
    if stop + pause + go_on > 1:
        raise typer.BadParameter("--stop, --pause and --go-on are three commands; give one")
    from l2o_engine.studies.process_server import start_server

    if not (stop or pause or go_on or show or scheduler):
        # It imports what the processes need that it forks, while this process still finds out what they are to do.
        start_server(["l2o_tui.cli"])
    from l2o_tui.commands.sweep.command import Asked, run_sweep, steer_sweep

    if stop or pause or go_on:
        sys.exit(steer_sweep(what, "stop" if stop else "pause" if pause else "go_on", runs_dir))
    asked = Asked(
        what=what,
        over=over or (),
        set=settings or (),
        random=random,
        latin=latin,
        draw_seed=draw_seed,
        seed=seed,
        seeds=seeds,
        iterations=iterations,
        backend=backend.value if backend else None,
        halving=halving,
        halving_from=halving_from,
        name=name,
    )
    code = run_sweep(
        asked,
        runs_dir=runs_dir,
        jobs=jobs,
        scheduler=scheduler,
        form="json" if json else "csv" if csv else "table",
        output=output,
        only_show=show,
    )
    sys.exit(code)


@app.command()
def tune(
    preset: PresetName,
    metric: Annotated[
        Literal["end", "sum"] | None,
        typer.Option(
            "--metric",
            help="What settings are the best by: the mean log10 of the last loss, or the median of the losses' sum. "
            "Both, if not given.",
        ),
    ] = None,
    rivals: Annotated[
        list[Rival] | None, typer.Option("--rival", help="Only this one; repeatable. All, if not given.")
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=1, max=1_000_000, help="Problems to tune on, and as many others to judge by.")
    ] = 5000,
    rate_only: Annotated[
        bool, typer.Option("--rate-only", help="Search the learning rate alone, and no β or decay.")
    ] = False,
    settings: Settings = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Decides the problems; the preset's, if not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE.toml", help="Write the [[baseline]] tables there.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for each that is found.")] = False,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Find the best settings of hand-designed rivals on PRESET's problem, as [[baseline]] tables to paste."""
    from l2o_tui.commands.tune import run_tune

    code = run_tune(
        preset,
        settings=settings or (),
        metric=metric,
        rivals=[rival.value for rival in rivals or Rival],
        draws=draws,
        seed=seed,
        rate_only=rate_only,
        as_json=json,
        output=output,
        force=force,
    )
    sys.exit(code)


@app.command()
def presets(json: JsonDocument = False) -> None:
    """List the shipped presets."""
    from l2o_tui.commands.presets import print_presets

    print_presets(as_json_document=json)


@app.command()
def paths(
    context: typer.Context, runs_dir: RunsDir = RUNS, data_dir: DataDir = None, json: JsonDocument = False
) -> None:
    """Say where runs, presets, compiled kernels, preferences and data sets are looked for."""
    from l2o_tui.commands.paths import print_paths

    said_by = {}
    for name, option in (("runs_dir", "--runs-dir"), ("data_dir", "--data-dir")):
        source = context.get_parameter_source(name)
        told = {"COMMANDLINE": option, "ENVIRONMENT": {"runs_dir": "L2O_RUNS_DIR"}.get(name, DATA_VARIABLE)}
        said_by[name] = told.get(source.name if source else "", "default")
    print_paths(runs_dir, runs_said_by=said_by["runs_dir"], data_said_by=said_by["data_dir"], as_json_document=json)


@app.command(name="new-task")
def new_task(
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="The module to write; its preset goes beside it.")],
    example: Annotated[
        Literal["quadratic", "logistic", "ode"],
        typer.Option(
            "--example",
            help="What to begin with: least squares; logistic regression with minibatches and held-out data; "
            "a differential equation fitted to measurements.",
        ),
    ] = "quadratic",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write FILE.py, a problem of your own to edit, and a preset that trains an optimizer for it."""
    from l2o_tui.commands.new_task import write_task

    write_task(file, example, force=force)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; one that others reach asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port.")] = 8000,
    token: Annotated[
        bool | None,
        typer.Option(
            "--token/--no-token",
            help="Ask for a token (L2O_SERVE_TOKEN, or a new one, in the link that is printed). On 127.0.0.1 none is "
            "asked for, if not given, though every user of this machine can connect there.",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Show the home screen in a browser, to look at runs and steer them; it trains nothing itself."""
    from l2o_tui.commands.serve import run_server

    sys.exit(run_server(host=host, port=port, token=token, runs_dir=runs_dir))


@app.command(name="serve-session", hidden=True)
def serve_session(runs_dir: RunsDir = RUNS, fps: Fps = FPS) -> None:
    """Show the home screen to one browser: what `serve` starts."""
    from l2o_tui.commands.serve import show_session

    sys.exit(show_session(runs_dir=runs_dir, fps=fps))


@app.command()
def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="A TOML file, or the name of a shipped preset.", autocompletion=complete_presets
        ),
    ],
    allow_code: AllowCode = None,
) -> None:
    """Check FILE without running it."""
    from l2o_tui.commands.check import check_presets

    sys.exit(check_presets(files))


@app.command()
def bench(
    preset: Annotated[
        str, typer.Option("--preset", metavar="PRESET", help="What to measure.", autocompletion=complete_presets)
    ] = "log30",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="For each contestant.")] = 5.0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Also measure so many replicates side by side.")] = 1,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also measure the kernel against dims, steps, hidden, layers, seeds.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="TABLE.KEY=VALUE", help="Change a setting; repeatable.", autocompletion=complete_settings
        ),
    ] = None,
    json: Json = False,
    data_dir: DataDir = None,
    allow_code: AllowCode = None,
) -> None:
    """Measure meta-iterations per second of every backend, side by side."""
    from l2o_tui.commands.bench import run_bench

    run_bench(preset, settings=settings or (), seconds=seconds, seeds=seeds, scaling=scaling, as_json=json)


def _front_end(*, no_ui: bool, json: bool, quiet: bool, chunk: int | None, on_hangup: HangUp, fps: float) -> "FrontEnd":
    """Return what a run is shown with; two answers to one question are refused before anything heavy is imported."""
    if json and quiet:
        raise typer.BadParameter("--json and --quiet are two answers to one question; give one")
    from l2o_tui.commands.drive import FrontEnd

    return FrontEnd(no_ui=no_ui, json=json, quiet=quiet, chunk=chunk, on_hangup=on_hangup.value, fps=fps)


def main() -> NoReturn:
    """Run a command; turn what is wrong with its input, or a failure, into one message and its exit code."""
    from l2o_engine.support.errors import Failure, UserError
    from l2o_engine.support.processes import NUMBA_SETTINGS
    from l2o_engine.support.user_code import is_stuck, place_in, take_printed

    for name in [name for name in os.environ if name.startswith("NUMBA_") and name not in NUMBA_SETTINGS]:
        del os.environ[name]
    # One thread for PyTorch, here and in the processes that this one starts: with tensors of 2 x 20 a second one only
    # costs. The environment says it, for PyTorch may never be imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    draw_plainly(not streams.prepare())
    if "_L2O_TUI_COMPLETE" in os.environ or any(word.endswith("-completion") for word in sys.argv[1:]):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while a shell asks, ctrl+c ends it without a word
        from l2o_tui import typer_private

        typer_private.prepare()
    code: object = exit_codes.FAILED
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        streams.say(f"l2o-tui: {error}")
        sys.exit(code := exit_codes.USAGE)
    except Failure as error:
        streams.say(f"l2o-tui: {error}")
        sys.exit(exit_codes.FAILED)
    except SystemExit as error:
        code = error.code
        raise
    except Exception as error:
        if isinstance(error, _Usage):
            streams.say(_said(error))
            sys.exit(code := error.exit_code)
        if isinstance(error.__cause__, KeyboardInterrupt):
            where = place_in(error.__cause__.__traceback__)  # of a user's code, which did not return perhaps
            streams.say(f"l2o-tui: ended by SIGINT{f'; it was at {where}' if where else ''}")
            sys.exit(code := exit_codes.of_signal(signal.SIGINT))
        # A fault of ours, to be reported. What it quotes may be anybody's, and the interpreter would not look at it.
        sys.excepthook = _tell_fault
        raise
    finally:
        for line in take_printed():
            streams.say(line)
        if is_stuck():  # the interpreter would wait for that thread, for ever
            os._exit(code if isinstance(code, int) else exit_codes.FAILED)
    sys.exit(code if isinstance(code, int) else exit_codes.DONE)


@runtime_checkable
class _Usage(Protocol):
    """What typer raises where a command is called wrongly; click's error, wherever typer has it from."""

    exit_code: int

    def show(self, file: IO[Any] | None = None) -> None: ...
    def format_message(self) -> str: ...


def _said(error: _Usage) -> str:
    """Return what typer says of wrong usage, which quotes what was typed."""
    said = StringIO()
    error.show(said)
    return said.getvalue().rstrip("\n")


def _tell_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, as the interpreter would, of what can be shown."""
    said = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
    streams.say(said, most_lines=said.count("\n") + 1)  # the last one says most
