"""What the screen is like on a terminal while `log30` trains as fast as it can: the bounds that it must keep.

    python benchmarks/screen.py                      all of it, some four minutes
    python benchmarks/screen.py keys --presses 300   a part: keys, rate, bytes, finished, resize or attach

The real program runs on a pseudo-terminal of 120x40; an emulator (pyte) keeps what a user would see. The emulator
takes its share of the machine, as every terminal does: a third process beside the training and the screen.
"""

import argparse
import os
import queue
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import numpy as np
import pexpect
import pyte

from l2o_engine.records.events import GoOn, Pause
from l2o_engine.runs.commands import send
from l2o_engine.runs.folder import Run

COLUMNS, LINES = 120, 40
ITERATIONS = 10_000_000  # two minutes' at 80,000 a second
PROGRAM = [sys.executable, "-m", "l2o_tui"]
PATIENCE = 60.0  # seconds for what surely comes: PyTorch to load, the kernel to be compiled
TURNS = 8
WARM_UP = 8.0  # seconds until the charts have something to show and the rate is steady


class Terminal:
    """The program on a terminal of its own, and what that terminal shows.

    Attributes
    ----------
    screen
        The emulated screen.
    received
        When, in seconds of the monotonic clock, how many bytes came.
    """

    def __init__(self, home: Path, *arguments: str) -> None:
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_CONFIG_HOME": str(home)}
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            PROGRAM[0], [*PROGRAM[1:], *arguments], env=environment, dimensions=(LINES, COLUMNS)
        )
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._parts: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.received: list[tuple[float, int]] = []
        # In a thread: the emulator takes its time, which must not count as the program's.
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that the other end is closed
            while part := os.read(self._child.child_fd, 65536):
                self._parts.put((monotonic(), part))
        self._parts.put((monotonic(), b""))

    def send(self, keys: str) -> float:
        """Press keys and return when."""
        self._child.send(keys)
        return monotonic()

    def resize(self, columns: int, lines: int) -> None:
        """Change the terminal's size."""
        self.screen.resize(lines, columns)
        self._child.setwinsize(lines, columns)

    def wait(self, until: Callable[[pyte.Screen], object], seconds: float = PATIENCE) -> float:
        """Wait until the screen shows something, and return when the bytes came that made it so."""
        deadline, came = monotonic() + seconds, monotonic()
        while not until(self.screen):
            try:
                came, part = self._parts.get(timeout=max(deadline - monotonic(), 0))
            except queue.Empty:
                raise TimeoutError("\n".join(["this does not show what it should:", *self.screen.display])) from None
            if not part:
                raise RuntimeError("\n".join(["the program has ended:", *self.screen.display]))
            self.received.append((came, len(part)))
            self._stream.feed(part)
        return came

    def look(self, seconds: float) -> None:
        """Let the program go on for so long."""
        with suppress(TimeoutError):
            self.wait(lambda _: False, seconds)

    def bytes_between(self, begin: float, end: float) -> int:
        """Return how many bytes came in between."""
        return sum(size for at, size in self.received if begin <= at < end)

    @property
    def is_alive(self) -> bool:
        """Whether the program runs."""
        return bool(self._child.isalive())

    def close(self) -> None:
        """End the program as who closes the terminal with `--on-hangup checkpoint` does."""
        self._child.terminate(force=True)
        self._child.close()


def line(screen: pyte.Screen, *texts: str) -> str:
    """Return the first line of the screen that holds one of the texts; empty where none does."""
    return next((row for row in screen.display if any(text in row for text in texts)), "")


def shows(text: str) -> Callable[[pyte.Screen], bool]:
    """Return a condition: that the screen shows a text."""
    return lambda screen: bool(line(screen, text))


def state(screen: pyte.Screen) -> str:
    """Return the first words of the screen: "● running", "‖ paused", or what has been asked for, with an ellipsis."""
    return screen.display[0].partition("·")[0].strip()


def last_tick(screen: pyte.Screen) -> Hashable:
    """Return the last label below the convergence chart's axis."""
    axis = next((row for row, text in enumerate(screen.display) if "└" in text[:20]), 0)
    return screen.display[axis + 1][: COLUMNS // 2].strip("│ ").split()[-1:] == ["10M"]


def corners(screen: pyte.Screen) -> Hashable:
    """Return the colours of the panes' corners: the active one's differs."""
    return tuple(
        screen.buffer[row][column].fg
        for row, text in enumerate(screen.display)
        for column, character in enumerate(text)
        if character == "╭"
    )


def cursor(screen: pyte.Screen) -> Hashable:
    """Return which meta-iteration the convergence chart's cursor reads out."""
    found = re.search(r" it ([\d,]+) ·", line(screen, " it ")[: COLUMNS // 2])
    return found and found[1]


def cells(screen: pyte.Screen) -> list[pyte.screens.Char]:
    """Return what is shown, with its colours."""
    return [screen.buffer[row][column] for row in range(LINES) for column in range(COLUMNS)]


def is_logarithmic(screen: pyte.Screen) -> Hashable:
    """Return whether the convergence chart's axis has powers of ten."""
    return any("1e-" in row[:10] for row in screen.display)


KEYS: tuple[tuple[str, str, Callable[[pyte.Screen], Hashable]], ...] = (
    ("y", "y", is_logarithmic),
    ("y", "y", is_logarithmic),
    ("tab", "\t", corners),
    ("tab", "\x1b[Z", corners),
    ("z, 0", "z", last_tick),
    ("z, 0", "0", last_tick),
    ("cursor", "\x1b[C", cursor),
    ("cursor", "\x1b[D", cursor),
    ("space", " ", state),
    ("space", " ", state),
)
"""Name, what the terminal sends, and what of the screen it changes, and nothing else does."""


def _changes(effect: Callable[[pyte.Screen], Hashable], before: Hashable) -> Callable[[pyte.Screen], bool]:
    return lambda screen: effect(screen) != before


def say(what: str, figure: str, bound: str = "") -> None:
    """Print a line of the table."""
    print(f"{what:44}{figure:>36}  {bound}".rstrip(), flush=True)


@contextmanager
def training(home: Path, name: str, iterations: int = ITERATIONS) -> Iterator[Terminal]:
    """Train with the screen."""
    options = (f"--iterations={iterations}", "--on-hangup=checkpoint", f"--run-dir={home / name}")
    terminal = Terminal(home, "run", "log30", *options)
    try:
        terminal.wait(shows("it/s"))
        yield terminal
    finally:
        terminal.close()


@contextmanager
def headless(home: Path, name: str, iterations: int = ITERATIONS) -> Iterator[Run]:
    """Train without it."""
    options = [f"--iterations={iterations}", f"--run-dir={home / name}", "--quiet"]
    process = subprocess.Popen(
        [*PROGRAM, "run", "log30", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = monotonic() + PATIENCE
        while not (home / name / "metrics.csv").exists() and monotonic() < deadline:
            sleep(0.1)
        yield Run(home / name)
    finally:
        process.terminate()
        process.wait()


def rates_by_turns(runs: tuple[Run, Run], look: Callable[[float], None], seconds: float) -> list[tuple[float, float]]:
    """Let one of two runs train while the other is paused, and so on; return both rates of every turn.

    So both meet the same machine, however busy it is with other things.
    """
    both = []
    for run in runs:
        send(run.commands_path, Pause())
    for _ in range(TURNS):
        rates = []
        for run in runs:
            look(1.0)  # until it is paused, and says so
            before = run.record()
            send(run.commands_path, GoOn())
            look(seconds)
            send(run.commands_path, Pause())
            look(1.0)
            after = run.record()
            rates.append((after.iteration - before.iteration) / (after.elapsed_seconds - before.elapsed_seconds))
        both.append((rates[0], rates[1]))
    return both


def say_rates(what: str, rates: list[tuple[float, float]], bound: str) -> None:
    """Print the rates of two runs, and the quartiles of their ratio."""
    alone, watched = np.median(rates, axis=0)
    low, middle, high = np.quantile([one / other for other, one in rates], [0.25, 0.5, 0.75])
    say(f"training rate, headless / {what}", f"{alone:,.0f} / {watched:,.0f} it/s")
    say(f"    ratio, median (quartiles) of {len(rates)} turns", f"{middle:.2f} ({low:.2f}–{high:.2f})", bound)


def measure_keys(home: Path, presses: int, seconds: float) -> None:
    """Print how long it takes from a key to its effect."""
    chance, latencies = np.random.default_rng(0), []
    with training(home, "keys") as terminal:
        terminal.look(WARM_UP)
        for press in range(presses):
            name, keys, effect = KEYS[press % len(KEYS)]
            terminal.look(chance.uniform(0.05, 0.35))  # at any moment between two redraws
            terminal.wait(lambda screen: "…" not in state(screen))
            before = effect(terminal.screen)
            at = terminal.send(keys)
            came = terminal.wait(_changes(effect, before))
            latencies.append((name, (came - at) * 1e3))
    for name in ("all", *dict.fromkeys(name for name, _, _ in KEYS)):
        of_name = [latency for key, latency in latencies if name in ("all", key)]
        p50, p95 = np.quantile(of_name, [0.5, 0.95])
        figure = f"{p50:.0f} / {p95:.0f} / {max(of_name):.0f} ms"
        say(f"key to effect, {name} ({len(of_name)}): p50/p95/max", figure, "p95 ≤ 150 ms" if name == "all" else "")


def measure_rate(home: Path, presses: int, seconds: float) -> None:
    """Print the training rate with the screen and without it, by turns."""
    with headless(home, "headless") as alone, training(home, "screen") as terminal:
        terminal.look(WARM_UP)
        rates = rates_by_turns((alone, Run(home / "screen")), terminal.look, seconds / TURNS)
    say_rates("with the screen", rates, "≥ 0.95")


def measure_bytes(home: Path, presses: int, seconds: float) -> None:
    """Print what a training screen sends."""
    with training(home, "bytes") as terminal:
        terminal.look(WARM_UP)
        began = monotonic()
        terminal.look(seconds)
        sent = [terminal.bytes_between(began + second, began + second + 1) / 1024 for second in range(int(seconds))]
    p50, p95 = np.quantile(sent, [0.5, 0.95])
    say(f"bytes, training, {seconds:.0f} s: mean", f"{np.mean(sent):.1f} KiB/s", "≤ 20 KiB/s")
    say("    of its seconds: p50/p95/max", f"{p50:.1f} / {p95:.1f} / {max(sent):.1f} KiB/s")


def measure_finished(home: Path, presses: int, seconds: float) -> None:
    """Print what the screen of a finished run sends."""
    with training(home, "finished", ITERATIONS // 10) as terminal:
        ended = terminal.wait(shows("finished ·"))
        terminal.look(7)
        say("bytes, finished: in the first second", str(terminal.bytes_between(ended, ended + 1)))
        say("    in the 6 s after it", str(terminal.bytes_between(ended + 1, ended + 7)), "0")


def measure_resize(home: Path, presses: int, seconds: float) -> None:
    """Print whether the screen is whole after many resizes."""
    chance = np.random.default_rng(0)
    with training(home, "resize") as terminal:
        for _ in range(50):
            terminal.resize(int(chance.integers(40, 251)), int(chance.integers(10, 71)))
            terminal.look(chance.uniform(0.02, 0.4))
        terminal.resize(40, 10)
        terminal.wait(shows("too small"))
        terminal.resize(COLUMNS, LINES)
        terminal.wait(shows("running ·"))
        terminal.send(" ")
        terminal.wait(shows("paused ·"))
        terminal.look(1.5)
        picture = cells(terminal.screen)
        terminal.resize(COLUMNS - 1, LINES - 1)
        terminal.look(1.5)
        terminal.resize(COLUMNS, LINES)
        terminal.look(1.5)
        differing = sum(one != other for one, other in zip(picture, cells(terminal.screen), strict=True))
        say("50 resizes: the program lives", "yes" if terminal.is_alive else "no", "yes")
        say("    cells unlike those of a fresh redraw", str(differing), "0")


def measure_attach(home: Path, presses: int, seconds: float) -> None:
    """Print what a viewer of another process's run is sent, and what it costs that run."""
    with headless(home, "alone") as alone, headless(home, "watched") as watched:
        viewer = Terminal(home, "attach", str(watched.folder))
        viewer.wait(shows("it/s"))
        viewer.look(WARM_UP)
        began = monotonic()
        viewer.look(seconds)
        sent = viewer.bytes_between(began, began + seconds) / seconds / 1024
        rates = rates_by_turns((alone, watched), viewer.look, seconds / TURNS)
        viewer.close()
    say(f"bytes to a viewer, two runs train, {seconds:.0f} s: mean", f"{sent:.1f} KiB/s", "≤ 20 KiB/s")
    say_rates("watched", rates, "")


PARTS: dict[str, Callable[[Path, int, float], None]] = {
    "keys": measure_keys,
    "rate": measure_rate,
    "bytes": measure_bytes,
    "finished": measure_finished,
    "resize": measure_resize,
    "attach": measure_attach,
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all, if none is given")
    parser.add_argument("--presses", type=int, default=100, help="how many keys are pressed")
    parser.add_argument("--seconds", type=float, default=20.0, help="for which bytes are counted, and each run trains")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    sys.setswitchinterval(0.0005)  # the thread that reads must not wait for the emulator
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    say(f"l2o-tui run log30, {COLUMNS}x{LINES}, {os.cpu_count()} cores", f"load {load}", "bound")
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="l2o-screen-") as home:
            PARTS[part](Path(home), options.presses, options.seconds)


if __name__ == "__main__":
    main()
