"""What installed packages add: kinds of pieces, and problems, by entry points.

A package names its class in its own pyproject.toml,

    [project.entry-points."l2o_engine.inputs"]
    my_inputs = "my_package.inputs:MyInputs"

and a preset then says ``kind = "my_inputs"``. It is trusted by being installed, and imported only when that kind is
asked for.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import nearest, quote, shown

TASK_GROUP = "l2o_engine.tasks"
"""Problems: kinds of [problem] that are classes of settings, and what ``kind = "python"`` calls by a name alone."""


class PluginError(UserError):
    """Something that an installed package offers cannot be had. The message names the package."""


def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Return name → what installed packages offer in a group; nothing of it is imported."""
    return {one.name: one for one in sorted(entry_points(group=group), key=lambda one: one.name)}


def load_plugin(group: str, name: str) -> Any:
    """Return what an installed package offers by a name.

    Raises
    ------
    PluginError
        If nobody does, or it cannot be imported.
    """
    offered = plugins(group)
    if name not in offered:
        others = f"; there are {', '.join(map(shown, offered))}" if offered else "; none is installed"
        raise PluginError(
            f"no installed package offers {quote(name)} in the group {group}{nearest(name, offered) or others}"
        )
    entry = offered[name]
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # whatever a package raises that is broken
        raise PluginError(
            f"the package {shown(entry.dist.name if entry.dist else '?')} offers {quote(name)} in the group {group}, "
            f"and {shown(entry.value)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
