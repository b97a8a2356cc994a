"""The keys, as one table: bindings, footer, help, palette and docs/screens.md are all made of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding

# Where a key works: a screen.
TRAINING, HOME, COMPARE, OF_STUDY = "training", "home", "compare", "study"

# What phase the training screen is in, or what is selected on the home screen.
LOADING, RUNNING, PAUSED, FINISHED = "loading", "running", "paused", "finished"
DIVERGED, FAILED, INTERRUPTED = "diverged", "failed", "interrupted"
PRESET, DRIVEN_RUN, IDLE_RUN, UNREADABLE_RUN, NOTHING = "preset", "driven run", "idle run", "unreadable run", "nothing"
STUDY, MORE = "study", "more"
ALWAYS = frozenset(
    {
        *(LOADING, RUNNING, PAUSED, FINISHED, DIVERGED, FAILED, INTERRUPTED),
        *(PRESET, DRIVEN_RUN, IDLE_RUN, UNREADABLE_RUN, STUDY, MORE, NOTHING),
    }
)
ALIVE = frozenset({RUNNING, PAUSED, FINISHED})
SEEN = ALIVE | {DIVERGED, FAILED, INTERRUPTED}  # of which there may be a checkpoint
RUNS = frozenset({DRIVEN_RUN, IDLE_RUN})

# Who drives the run that a training screen shows.
OWN, WATCHED = "own", "watched"

# What a key may need, for not every screen has it at every time.
REPLICATES, FILTER, PINNED, NETWORK, REMEDY = "replicates", "filter", "pinned runs", "network", "remedy"
TWO_MARKED, SWEEP, LIST, SEVERAL = "two marked runs", "sweep", "list", "several settings"
EVERYTHING = frozenset({REPLICATES, FILTER, PINNED, NETWORK, REMEDY, TWO_MARKED, SWEEP, LIST, SEVERAL})


NOT_SERVED = frozenset(
    {
        *("start", "resume", "take_over", "clone", "remedy", "evaluate"),
        *("delete", "export", "save_text", "save_svg", "save_table", "suspend", "describe", "sweep"),
    }
)
"""What a browser's view does not do, which is there to look and to steer: train, judge, write files where it runs."""


@dataclass(frozen=True)
class Key:
    """One thing a user can do.

    Attributes
    ----------
    keys
        The keys, in textual's names, separated by commas; the first is shown.
    action
        The action's name.
    label
        For the footer.
    command
        For the palette: "area: Verb"; empty where another key has the command already.
    help
        What it does, in a sentence.
    screens
        Where it works.
    phases
        When it applies.
    driver
        Whose run it applies to: this process's own, or one that is watched; empty for both.
    shown
        Whether the footer shows it.
    steers
        Whether it asks something of the process that drives the run: one that is watched must be driven for that.
    needs
        What must be there: several replicates, a filter, pinned runs, two marked runs, a network, a finding with a
        setting that may help, a study that a sweep has made, a list that can be seen, several settings to draw
        against; empty for nothing.
    display
        How the footer writes the key, where textual's way will not do.
    """

    keys: str
    action: str
    label: str
    command: str
    help: str
    screens: frozenset[str] = frozenset({TRAINING})
    phases: frozenset[str] = ALWAYS
    driver: str = ""
    shown: bool = True
    steers: bool = False
    needs: str = ""
    display: str = ""


_ALL = frozenset({TRAINING, HOME, COMPARE, OF_STUDY})
_HOME = frozenset({HOME})
_STUDY = frozenset({OF_STUDY})
_CHART = frozenset({TRAINING, COMPARE})
_PICTURE = _CHART | _STUDY

# The footer shows them in this order, and in a narrow terminal only the first.
KEYS = (
    Key(
        "enter",
        "start",
        "start",
        "preset: Start",
        "Start the preset; asks for seed, replicates and length first.",
        _HOME,
        frozenset({PRESET}),
    ),
    Key("enter", "look", "look", "run: Look", "Look at the run.", _HOME, frozenset({IDLE_RUN, UNREADABLE_RUN})),
    Key("enter", "attach", "attach", "run: Attach", "Watch and steer the run.", _HOME, frozenset({DRIVEN_RUN})),
    Key(
        "enter",
        "open_study",
        "open",
        "study: Open",
        "Watch the study: how its runs stand, and what came of its settings so far.",
        _HOME,
        frozenset({STUDY}),
    ),
    Key("u", "unfold", "unfold", "view: Unfold", "Show its runs here, or fold them.", _HOME, frozenset({STUDY})),
    Key(
        "S",
        "sweep",
        "sweep",
        "preset: Sweep",
        "Train the preset with several values of its settings, over seeds, in the background; asks for them first.",
        _HOME,
        frozenset({PRESET}),
    ),
    Key("enter", "more", "more", "view: More runs", "Show more of the older runs.", _HOME, frozenset({MORE})),
    Key(
        "r",
        "resume",
        "resume",
        "run: Resume",
        "Go on with the run from its newest checkpoint; a finished one asks for a new total.",
        _HOME,
        frozenset({IDLE_RUN, UNREADABLE_RUN}),
    ),
    Key("space", "mark", "mark", "run: Mark", "Mark the run, to compare it with others.", _HOME, RUNS),
    Key(
        "c",
        "compare",
        "compare",
        "run: Compare",
        "Compare the marked runs, or this one alone; of a preset, all its runs.",
        _HOME,
        RUNS | {PRESET},
    ),
    Key("e", "export", "export", "run: Export", "Write the run's metrics in another tool's format.", _HOME, RUNS),
    Key(
        "delete,D",
        "delete",
        "delete",
        "run: Delete",
        "Delete the marked runs, or this one alone, once confirmed.",
        _HOME,
        frozenset({IDLE_RUN, UNREADABLE_RUN}),
        display="del",
        shown=False,  # rare, and there is no room for q beside it
    ),
    Key(
        "n",
        "describe",
        "",
        "run: Name, note and tags",
        "Say what the run is called, and what is to be remembered of it.",
        _HOME,
        RUNS,
        shown=False,
    ),
    Key(
        "d",
        "diff",
        "",
        "run: Difference",
        "Show the settings in which the two marked runs differ.",
        _HOME,
        needs=TWO_MARKED,
        shown=False,
    ),
    Key(
        "s",
        "sort",
        "",
        "view: Sort",
        "Sort the runs: the newest first, by preset, by name, the lowest end loss first.",
        _HOME,
        shown=False,
    ),
    Key(
        "slash",
        "filter",
        "filter",
        "view: Filter",
        "Show only what has these words in it: names, tags, states, settings.",
        _HOME,
        display="/",
    ),
    Key("escape", "clear_filter", "", "view: Show all", "Take the filter away.", _HOME, shown=False, needs=FILTER),
    Key("tab", "other_list", "", "view: Other list", "Go from the presets to the runs and back.", _HOME, shown=False),
    Key("enter", "open", "open", "run: Open", "Open the run; of a setting, go to its best run.", _STUDY, needs=LIST),
    Key(
        "space",
        "pause_study",
        "pause",
        "study: Pause",
        "Let all its runs wait, after a checkpoint each, and begin none.",
        _STUDY,
        frozenset({RUNNING}),
        needs=SWEEP,
    ),
    Key(
        "space",
        "go_on",
        "go on",
        "study: Go on",
        "Train again after a pause.",
        _STUDY,
        frozenset({PAUSED}),
        needs=SWEEP,
    ),
    Key(
        "x",
        "stop_study",
        "stop",
        "study: Stop",
        "End the study, after checkpoints, whoever works on it.",
        _STUDY,
        frozenset({RUNNING, PAUSED}),
        needs=SWEEP,
    ),
    Key(
        "r",
        "resume",
        "resume",
        "study: Resume",
        "Go on with what is left of the study, in the background.",
        _STUDY,
        frozenset({INTERRUPTED, FAILED}),
        needs=SWEEP,
    ),
    Key("tab", "other_table", "lists", "view: Other list", "Go from the runs to the settings and back.", _STUDY),
    Key("c", "compare", "compare", "study: Compare", "Compare the runs of its best settings.", _STUDY),
    Key(
        "g",
        "next_setting",
        "setting",
        "chart: Next setting",
        "Draw the final figure against the next setting that is varied.",
        _STUDY,
        needs=SEVERAL,
    ),
    Key(
        "u",
        "under_way",
        "",
        "view: Runs under way",
        "Count the runs that are not over, too, as they are now; or leave them out.",
        _STUDY,
        shown=False,
    ),
    Key(
        "o",
        "sort",
        "",
        "view: Sort the runs",
        "Sort the runs: those under way first, the best first, as they are begun.",
        _STUDY,
        shown=False,
    ),
    Key(
        "m",
        "maximise",
        "",
        "view: Chart or lists",
        "Show the chart alone, then the lists alone, then all again.",
        _STUDY,
        shown=False,
    ),
    Key("escape", "leave", "", "app: Back", "Go back.", _STUDY, shown=False),
    Key("space", "pause", "pause", "run: Pause", "Pause, after a checkpoint.", phases=frozenset({RUNNING})),
    Key("space", "go_on", "go on", "run: Go on", "Train again after a pause.", phases=frozenset({PAUSED})),
    Key(
        "a",
        "remedy",
        "remedy",
        "run: Try the remedy",
        "Start a new run with the setting that may help against what health has found; asks first.",
        phases=SEEN,
        needs=REMEDY,
    ),
    Key("question_mark,f1", "help", "help", "app: Help", "Show this help.", _ALL, display="?"),
    Key("q", "leave", "leave", "app: Leave", "Leave; while training, asks what becomes of the run.", _ALL),
    Key("ctrl+c", "leave", "", "", "Leave, the same.", _ALL, shown=False),
    Key(
        "e",
        "save_table",
        "export",
        "study: Export",
        "Write what came of the settings as CSV into the working folder.",
        _STUDY,
        needs=SWEEP,
    ),
    Key(
        "c", "checkpoint", "checkpoint", "run: Checkpoint", "Save a checkpoint that is kept.", phases=ALIVE, steers=True
    ),
    Key(
        "plus,equals_sign",
        "extend",
        "more",
        "run: Continue further",
        "Set a new total of meta-iterations; a finished run goes on.",
        phases=ALIVE,
        steers=True,
        display="+",
    ),
    Key(
        "d",
        "detach",
        "detach",
        "run: Detach",
        "Leave the run to a background process; `l2o-tui attach` finds it.",
        phases=frozenset({RUNNING, PAUSED}),
        driver=OWN,
        shown=False,  # q offers it
    ),
    Key(
        "x",
        "stop",
        "stop",
        "run: Stop",
        "End the run that is watched, after a checkpoint.",
        phases=frozenset({RUNNING, PAUSED}),
        driver=WATCHED,
    ),
    Key(
        "R",
        "take_over",
        "resume here",
        "run: Resume here",
        "Go on with the run in this program, for nobody drives it any more.",
        phases=frozenset({INTERRUPTED}),
        driver=WATCHED,
    ),
    Key("n", "new_draw", "draw", "view: New draw", "Show another problem in the base chart.", phases=ALIVE),
    Key(
        "N",
        "many_draws",
        "",
        "view: Many draws",
        "Show the median and quartiles over 100 problems, or one.",
        phases=ALIVE,
        shown=False,
    ),
    Key(
        "r",
        "next_seed",
        "",
        "view: Next replicate",
        "Show the base losses of the next replicate's network.",
        phases=ALIVE,
        shown=False,
        needs=REPLICATES,
    ),
    Key(
        "o",
        "other_problem",
        "",
        "view: Other problem",
        "Show the network on another preset's problem in the base chart; after the last one, on its own.",
        phases=SEEN,
        shown=False,
        needs=NETWORK,
    ),
    Key(
        "v",
        "evaluate",
        "",
        "run: Judge",
        "Judge the network on held-out draws of its own problem and others, beside the rivals.",
        frozenset({TRAINING, HOME}),
        SEEN | RUNS,
        shown=False,
        needs=NETWORK,
    ),
    Key(
        "k",
        "clone",
        "",
        "run: Start anew",
        "Start a new run as this one was, with another seed, length or settings; asks for them first.",
        frozenset({TRAINING, HOME}),
        SEEN | RUNS | {LOADING},
        shown=False,
    ),
    Key("y", "scale", "scale", "view: Log or linear", "Draw losses on a logarithmic or a linear axis.", _CHART),
    Key(
        "o",
        "sort",
        "sort",
        "view: Sort the table",
        "Sort the table: as the runs were named, by final, held out, Σ losses, took off.",
        frozenset({COMPARE}),
    ),
    Key("up", "scroll(-1)", "", "view: Scroll the table up", "Scroll the table.", frozenset({COMPARE}), shown=False),
    Key("down", "scroll(1)", "", "view: Scroll the table down", "Scroll it down.", frozenset({COMPARE}), shown=False),
    Key(
        "m",
        "maximise",
        "",
        "view: Chart or table",
        "Show the chart alone, then the table alone, then both again.",
        frozenset({COMPARE}),
        shown=False,
    ),
    Key(
        "g",
        "next_figure",
        "",
        "chart: Next figure",
        "Show the sum of the losses in place of the end loss, then the meta-gradient's norm, min_log, the share lost "
        "to ε, and the end loss again.",
        phases=SEEN,
        shown=False,
    ),
    Key("tab", "next_pane(1)", "pane", "view: Next pane", "Go to the next pane; on a small screen, show it."),
    Key("shift+tab", "next_pane(-1)", "", "view: Previous pane", "Go back to the pane before.", shown=False),
    Key("m", "maximise", "", "view: Maximise", "Show the pane alone; again for all panes.", shown=False),
    Key(
        "left",
        "move_cursor(-1)",
        "",
        "chart: Cursor left",
        "Move the chart's cursor, which reads out values.",
        _CHART,
        shown=False,
    ),
    Key("right", "move_cursor(1)", "", "chart: Cursor right", "Move it to the right.", _CHART, shown=False),
    Key(
        "pageup", "page_cursor(-1)", "", "chart: Cursor far left", "Move it a quarter of the view.", _CHART, shown=False
    ),
    Key(
        "pagedown",
        "page_cursor(1)",
        "",
        "chart: Cursor far right",
        "Move it a quarter to the right.",
        _CHART,
        shown=False,
    ),
    Key(
        "escape",
        "hide_cursor",
        "",
        "chart: Hide the cursor",
        "Take the cursor away.",
        frozenset({TRAINING}),
        shown=False,
    ),
    Key("z", "zoom(1)", "zoom", "chart: Zoom in", "Zoom into the chart, at the cursor.", _CHART),
    Key("Z", "zoom(-1)", "", "chart: Zoom out", "Zoom out again.", _CHART, shown=False),
    Key("h,comma", "pan(-1)", "", "chart: Pan left", "Move the zoomed view to the left.", _CHART, shown=False),
    Key("l,full_stop", "pan(1)", "", "chart: Pan right", "Move the zoomed view to the right.", _CHART, shown=False),
    Key("0", "fit", "", "chart: Show all", "Show the whole run again.", _CHART, shown=False),
    Key(
        "left_square_bracket",
        "change_window(-1)",
        "",
        "chart: Less smoothing",
        "Average over fewer results.",
        _CHART,
        shown=False,
    ),
    Key(
        "right_square_bracket",
        "change_window(1)",
        "",
        "chart: More smoothing",
        "Average over more results.",
        _CHART,
        shown=False,
    ),
    Key("b", "bands", "", "chart: Bands", "Show or hide the bands: raw results, or quartiles.", shown=False),
    Key(
        "s",
        "each_seed",
        "",
        "chart: Each seed",
        "Show each replicate's line, or only their median.",
        _CHART,
        shown=False,
        needs=REPLICATES,
    ),
    Key(
        "p",
        "pin",
        "",
        "chart: Pin a run",
        "Draw the newest other run beside this one; again for the next one too, up to six.",
        shown=False,
    ),
    Key(
        "P",
        "unpin",
        "",
        "chart: Take pinned runs away",
        "Draw this run alone again.",
        shown=False,
        needs=PINNED,
    ),
    Key(
        "w",
        "save_text",
        "",
        "chart: Save as text",
        "Write the chart as text into the run's folder; a comparison into the working folder.",
        _PICTURE,
        shown=False,
    ),
    Key("W", "save_svg", "", "chart: Save as SVG", "Write the chart as a picture, there too.", _PICTURE, shown=False),
    Key(
        "C",
        "copy_chart",
        "",
        "chart: Copy",
        "Copy the chart as text to the clipboard, where the terminal allows it.",
        _PICTURE,
        shown=False,
    ),
    Key(
        "escape",
        "back",
        "",
        "app: Back",
        "Take the cursor away; without one, go back.",
        frozenset({COMPARE}),
        shown=False,
    ),
    Key(
        "ctrl+z",
        "suspend",
        "",
        "app: Suspend",
        "Stop the program, training too, and go back to the shell; `fg` goes on.",
        _ALL,
        shown=False,
    ),
    Key(
        "t",
        "theme",
        "",
        "view: Next theme",
        "Change the colours: dark, light, high contrast, colour-blind.",
        _ALL,
        shown=False,
    ),
)


def on(screen: str) -> list[Key]:
    """Return the keys of a screen."""
    return [key for key in KEYS if screen in key.screens]


def bindings(screen: str) -> list[Binding]:
    """Return textual's bindings for a screen."""
    return [
        Binding(key.keys, key.action, key.label or key.help, show=key.shown, key_display=key.display or None)
        for key in on(screen)
    ]


def applies(screen: str, action: str, phase: str, driver: str = "", there: frozenset[str] = EVERYTHING) -> bool:
    """Return whether an action may be taken; one that the table does not have may always."""
    of_action = [key for key in on(screen) if key.action.partition("(")[0] == action]
    return not of_action or any(_applies(key, phase, driver, there) for key in of_action)


def offered(screen: str, phase: str, driver: str = "", there: frozenset[str] = EVERYTHING) -> list[Key]:
    """Return the keys of a screen that apply now, where of all that keys may need this is there."""
    return [key for key in on(screen) if _applies(key, phase, driver, there)]


def _applies(key: Key, phase: str, driver: str, there: frozenset[str]) -> bool:
    is_idle = driver == WATCHED and phase not in (RUNNING, PAUSED)
    return (
        phase in key.phases
        and key.driver in ("", driver)
        and not (key.steers and is_idle)
        and (not key.needs or key.needs in there)
    )


def readable(key: Key) -> str:
    """Return a key's names for people: "+", "q or ctrl+c"."""
    symbols = {
        "plus": "+",
        "equals_sign": "=",
        "question_mark": "?",
        "slash": "/",
        "comma": ",",
        "full_stop": ".",
        "left_square_bracket": "[",
        "right_square_bracket": "]",
    }
    return " or ".join(symbols.get(name, name) for name in key.keys.split(","))


def help_lines(keys: Iterable[Key], *, with_palette: bool = True) -> list[tuple[str, str]]:
    """Return a line a key: its names, aligned, and what it does."""
    lines = [(readable(key), key.help) for key in keys]
    lines += [("ctrl+p", "Everything by name: the palette.")] if with_palette else []
    return [(names.rjust(_WIDEST), text) for names, text in lines]


_WIDEST = max(len(readable(key)) for key in KEYS)
