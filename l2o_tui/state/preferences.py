"""What a user prefers, kept between sessions in the XDG config folder: a few lines of TOML, safe to delete."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import tomli_w

from l2o_engine.support.files import write_atomically
from l2o_tui.state.place import preferences_path
from l2o_tui.state.themes import DEFAULT_THEME


@dataclass(frozen=True)
class Settings:
    """The settings of the screens.

    Attributes
    ----------
    theme
        A theme's name.
    layout
        "auto" for what the terminal's size suggests, "one" for one pane at a time.
    window
        Results in the convergence chart's rolling mean; 0 for the preset's.
    logarithmic
        Whether losses are drawn by their logarithm.
    """

    theme: str = DEFAULT_THEME
    layout: str = "auto"
    window: int = 0
    logarithmic: bool = True


class Preferences:
    """The settings as they were left, and as they are changed.

    They are written in a thread: a disk takes its time, and a key must not wait for it to have its effect.
    """

    def __init__(self) -> None:
        self.settings = _read()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="preferences")

    def change(self, **changes: Any) -> None:
        """Change settings, and keep them; where they cannot be kept they last as long as the program."""
        changed = replace(self.settings, **changes)
        if changed != self.settings:
            self.settings = changed
            self._writer.submit(_write, changed)

    def close(self) -> None:
        """Wait until all is written. The end of the program waits by itself."""
        self._writer.shutdown()


def _read() -> Settings:
    """Return what is written; what is not there, or not of its kind, has its default."""
    try:
        written: dict[str, Any] = tomllib.loads(preferences_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Settings()
    known = {
        field.name: written[field.name]
        for field in fields(Settings)
        if type(written.get(field.name)) is type(field.default)
    }
    return Settings(**known)


def _write(settings: Settings) -> None:
    with suppress(OSError):
        preferences_path().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(preferences_path(), tomli_w.dumps(asdict(settings)).encode())
