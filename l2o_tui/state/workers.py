"""Work that the screens do in the background: the one place where it is started, so that nothing it meets ends them.

A screen reads what others have written: a neighbour's run may be damaged in ways that nobody has thought of. Whatever
goes wrong at reading it, or at showing what was read, becomes a message.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from textual.app import App
from textual.widget import Widget
from textual.worker import Worker, get_current_worker

from l2o_engine.support.errors import Failure, UserError

Found = TypeVar("Found")


def in_background(
    owner: App[Any] | Widget,
    work: Callable[[], Found],
    then: Callable[[Found], object] | None = None,
    *,
    failed: Callable[[str], object] | None = None,
    group: str = "default",
    exclusive: bool = False,
) -> Worker[None]:
    """Do something in a thread; show what came of it in the app's.

    Parameters
    ----------
    owner
        Whose work it is: it is cancelled where its owner is taken away, and nothing is shown of it then.
    work
        Runs in a thread of its own, and touches no widget.
    then
        Is called in the app's thread with what ``work`` returned.
    failed
        Is called there with the message if one of them failed; without it the message is a toast.
    group, exclusive
        Whether the group's work that is under way is cancelled.
    """
    app = owner.app
    say = failed or (lambda message: app.notify(message, severity="error"))

    def run() -> None:
        worker = get_current_worker()
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 (what a damaged folder may raise is open-ended)
            app.call_from_thread(tell, worker, message_of(error))
        else:
            app.call_from_thread(show, worker, found)

    def tell(worker: Worker[Any], message: str) -> None:
        if not worker.is_cancelled:
            say(message)

    def show(worker: Worker[Any], found: Found) -> None:
        try:
            if then is not None and not worker.is_cancelled:
                then(found)
        except Exception as error:  # noqa: BLE001 (the same)
            say(message_of(error))

    return owner.run_worker(run, thread=True, exit_on_error=False, group=group, exclusive=exclusive)


def message_of(error: Exception) -> str:
    """Return what is said of an error: our own say it themselves, of any other its kind as well."""
    return str(error) if isinstance(error, Failure | UserError) else f"{type(error).__name__}: {error}"
