"""Starting processes of ours: a child imports what its parent did, and nothing from the folder that it works in.

A Python that is started with ``-m`` or ``-c`` imports from the working folder first. A ``random.py`` that lies there by
chance would take the place of Python's own, and in a clone of this project a detached run would go on with the clone's
code. So our children are started with ``-P``, and are told where this process imports from.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

NUMBA_SETTINGS = tuple(
    f"NUMBA_{name}" for name in ("DISABLE_JIT", "CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "DISABLE_INTEL_SVML")
)
"""What the environment may tell Numba: whether to compile, and for which CPU.

Its other settings would have it keep code elsewhere, make other code, or print to stdout.
"""

_ROOT = str(Path(__file__).parents[2])  # what our own packages were imported from


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours; it is to be started with :func:`environment`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a child: ours, and imports from where we import."""
    return os.environ | _settings()


class EndedError(Exception):
    """A child was ended before it had done what it was started for."""


class Child:
    """A process that is waited for in one thread, and may be ended from another.

    Attributes
    ----------
    is_ended
        Whether it was; then none is started any more.
    """

    def __init__(self) -> None:
        self.is_ended = False
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def run(
        self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command to its end, in a session of its own, for ctrl+c on the terminal is for us to answer.

        Raises
        ------
        OSError
            If it cannot be started.
        EndedError
            If it was ended.
        """
        with self._lock:
            if self.is_ended:
                raise EndedError("it was told to end before it began")
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        try:
            output, said = self._process.communicate()
        except BaseException:
            self._process.kill()
            raise
        if self.is_ended:
            raise EndedError("it was told to end")
        return subprocess.CompletedProcess(command, self._process.returncode, output, said)

    def end(self) -> None:
        """End it at once."""
        with self._lock:
            self.is_ended = True
            if self._process is not None:
                self._process.kill()


@contextmanager
def environment_for_children() -> Iterator[None]:
    """Let children that somebody else starts, multiprocessing's servers, have :func:`environment` too.

    It changes our own environment for that long, so it is for the main thread.
    """
    settings = _settings()
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _settings() -> Mapping[str, str]:
    return {"PYTHONPATH": os.pathsep.join(import_path()), "PYTHONSAFEPATH": "1"}


def import_path() -> list[str]:
    """Return where this process imports from, absolute, without the folders that Python has put in front by itself.

    Those are the working folder, or the folder of the script that was started. They stay where the user has named them
    in ``PYTHONPATH``, and where our own packages lie there.
    """
    wanted = {_real(entry) for entry in [_ROOT, *os.environ.get("PYTHONPATH", "").split(os.pathsep)] if entry}
    unwanted = _put_in_front() - wanted
    return [os.path.abspath(entry) for entry in sys.path if entry and _real(entry) not in unwanted]  # noqa: PTH100 (links stay)


def _put_in_front() -> set[str]:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return {_real("")} | ({_real(os.path.dirname(script))} if script else set())  # noqa: PTH120 (text, like sys.path)


def _real(path: str) -> str:
    return os.path.realpath(path)
