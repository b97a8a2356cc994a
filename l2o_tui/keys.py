"""The keys, as one table: bindings, footer, help and palette are all made of it."""

from dataclasses import dataclass

from textual.binding import Binding

LOADING, RUNNING, PAUSED, FINISHED, DIVERGED, FAILED = "loading", "running", "paused", "finished", "diverged", "failed"
ALWAYS = frozenset({LOADING, RUNNING, PAUSED, FINISHED, DIVERGED, FAILED, "interrupted"})
ALIVE = frozenset({RUNNING, PAUSED, FINISHED})


@dataclass(frozen=True)
class Key:
    """One thing a user can do on the training screen.

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
    phases
        When it applies.
    shown
        Whether the footer shows it.
    display
        How the footer writes the key, where textual's way will not do.
    """

    keys: str
    action: str
    label: str
    command: str
    help: str
    phases: frozenset[str] = ALWAYS
    shown: bool = True
    display: str = ""


KEYS = (
    Key("space", "pause", "pause", "run: Pause", "Pause, after a checkpoint.", frozenset({RUNNING})),
    Key("space", "go_on", "go on", "run: Go on", "Train again after a pause.", frozenset({PAUSED})),
    Key("question_mark,f1", "help", "help", "app: Help", "Show this help.", display="?"),
    Key("q", "leave", "leave", "app: Leave", "Leave; while training, asks whether to checkpoint and quit."),
    Key("ctrl+c", "leave", "", "", "Leave, the same.", shown=False),
    Key("c", "checkpoint", "checkpoint", "run: Checkpoint", "Save a checkpoint that is kept.", ALIVE),
    Key(
        "plus,equals_sign",
        "extend",
        "more",
        "run: Continue further",
        "Set a new total of meta-iterations; a finished run goes on.",
        ALIVE,
        display="+",
    ),
    Key("n", "new_draw", "draw", "view: New draw", "Show another problem in the base chart.", ALIVE),
    Key("y", "scale", "scale", "view: Log or linear", "Draw losses on a logarithmic or a linear axis."),
    Key("tab", "next_pane(1)", "pane", "view: Next pane", "Go to the next pane; on a small screen, show it."),
    Key("shift+tab", "next_pane(-1)", "", "view: Previous pane", "Go back to the pane before.", shown=False),
)


def bindings() -> list[Binding]:
    """Return textual's bindings."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label or key.help,
            show=key.shown,
            key_display=key.display or None,
        )
        for key in KEYS
    ]


def applies(action: str, phase: str) -> bool:
    """Return whether an action may be taken in a phase; one that is not in the table may always."""
    names = {key.action.partition("(")[0]: key.phases for key in KEYS}
    return phase in names.get(action, ALWAYS)


def readable(key: Key) -> str:
    """Return a key's names for people: "+", "q or ctrl+c"."""
    symbols = {"plus": "+", "equals_sign": "=", "question_mark": "?"}
    return " or ".join(symbols.get(name, name) for name in key.keys.split(","))
