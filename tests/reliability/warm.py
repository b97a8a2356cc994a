"""A warm interpreter: it has imported the program, and becomes one in a forked child for every line on stdin.

Starting Python, NumPy and PyTorch takes seconds, which hundreds of kills cannot spend. What is forked is the real
program with its real arguments, environment, streams and session; it differs from a fresh one in what is imported.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
from typing import Any

_IMPORTED = (
    "torch",
    "l2o_engine.backends.fused.backend",
    "l2o_engine.backends.reference",
    "l2o_engine.live.session",
    "l2o_tui.app",
    "l2o_tui.commands.attach",
    "l2o_tui.commands.export",
    "l2o_tui.commands.resume",
    "l2o_tui.commands.run",
    "l2o_tui.text.headless",
)


def serve() -> dict[str, Any]:
    """Answer start and wait; return, in a forked child, what it is to be."""
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "wait" in asked:
            answer: dict[str, int | None] = {"code": _code_of(asked["wait"], asked["seconds"])}
        else:
            child = os.fork()
            if child == 0:
                return asked
            answer = {"pid": child}
        print(json.dumps(answer), flush=True)  # noqa: T201 (the answer)
    sys.exit(0)


def _code_of(pid: int, seconds: float) -> int | None:
    """Return the exit code of a child, None if it does not end in time."""
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if ended else None


def become(asked: dict[str, Any]) -> None:
    """Take the session, the signals, the streams, the working folder, the environment and the faults asked for."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for heard in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(heard, signal.SIG_DFL)
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    terminal = asked["terminal"]
    if terminal:
        opened = [os.open(terminal, os.O_RDWR)] * 3  # a session's leader: it becomes its terminal
    else:
        opened = [os.open(os.devnull, os.O_RDONLY)]
        opened += [os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in ("out", "err")]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(opened[number], number)
        buffering = 1 if terminal or name == "stderr" else -1
        stream = os.fdopen(number, "w" if number else "r", buffering, closefd=False)
        for of_sys in (name, f"__{name}__"):
            setattr(sys, of_sys, stream)
    for descriptor in set(opened):
        os.close(descriptor)
    if asked["faults"]:
        ctypes.CDLL(None).faults_begin(asked["faults"].encode(), asked["log"].encode())
    sys.argv = ["l2o-tui", *asked["args"]]


if __name__ == "__main__":
    for name in _IMPORTED:
        importlib.import_module(name)
    print("{}", flush=True)  # noqa: T201 (the first answer)
    gc.freeze()  # or each child would copy all that it collects
    become(serve())
    from l2o_tui.cli import main

    try:
        main()
    except SystemExit as ended:
        # What the interpreter does at the end, but for taking PyTorch apart, which takes longer than most runs here.
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)
