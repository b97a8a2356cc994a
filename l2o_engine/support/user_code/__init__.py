"""A user's own Python: it runs only where that was allowed, and what goes wrong in it is told with its file and line.

``permission`` says from which folders code may be imported, and nothing is without it. ``loading`` imports a module of
such a folder, by file. ``calling`` is around every call of what was imported: an error becomes one message that names
the user's line and not ours, what is printed is kept for whoever tells it, and a call that does not return can be
ended.
"""

from l2o_engine.support.user_code.calling import (
    Ending,
    StoppedError,
    end_hanging,
    hanging,
    is_hanging,
    is_stuck,
    line_of,
    place_in,
    told_where,
    users_code,
)
from l2o_engine.support.user_code.loading import Module, load
from l2o_engine.support.user_code.permission import CodeError, NotAllowedError, allow_code, allowed_folders, seen_beside
from l2o_engine.support.user_code.printed import take_printed

__all__ = [
    "CodeError",
    "Ending",
    "Module",
    "NotAllowedError",
    "StoppedError",
    "allow_code",
    "allowed_folders",
    "end_hanging",
    "hanging",
    "is_hanging",
    "is_stuck",
    "line_of",
    "load",
    "place_in",
    "seen_beside",
    "take_printed",
    "told_where",
    "users_code",
]
