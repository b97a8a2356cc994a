"""The server that forks the processes of a pool: started early, it imports what they need while its parent goes on.

It is multiprocessing's. To import this takes next to nothing, so a program may start it before anything else. What it
has imported its children have from their first moment, and share the memory of.
"""

import signal
from collections.abc import Sequence
from multiprocessing import forkserver

from l2o_engine.support.processes import environment_for_children

HEARD_BY_THE_PARENT = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a scheduler, or a terminal, sends to every process of a job: the parent tells the others."""


_PRELOADED = "l2o_engine.studies.sweep.preloaded"


def start_server(also: Sequence[str] = ()) -> None:
    """Start the server that has imported what jobs need, if it is not there yet. To be called in the main thread.

    Started while they are ignored, the server and all that it forks ignore signals from their first moment: one to the
    whole process group must not end it.

    Parameters
    ----------
    also
        Modules that it imports beside them: those that our program's main module does, which each child imports again.
    """
    ignored = (*HEARD_BY_THE_PARENT, signal.SIGTERM)
    forkserver.set_forkserver_preload([*also, _PRELOADED])
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        with environment_for_children():
            forkserver.ensure_running()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
