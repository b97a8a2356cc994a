"""Libraries that the program can do without: what needs one loads it when it is asked, or says how it is installed."""

from importlib import import_module
from typing import Any

from l2o_engine.support.errors import UserError


class MissingLibraryError(UserError, ImportError):
    """A library that is not part of the program is not installed. The message says what brings it."""


def library(module: str, what: str, *, extra: str) -> Any:
    """Return a module of a library that need not be installed.

    Parameters
    ----------
    module
        Its name.
    what
        What needs it: how the message begins.
    extra
        The extra of ours that brings it.

    Raises
    ------
    MissingLibraryError
        If it is not there.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        message = f"{what} needs {name}, which is not installed: pip install 'l2o-tui[{extra}]'"
        raise MissingLibraryError(message) from error
