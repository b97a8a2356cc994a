"""From which folders a user's code may be imported: from those that he has named to this process, and no other.

A permission is of the process, as importing is. It is written nowhere: another process is told by whoever starts it.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from l2o_engine.support.errors import UserError

_allowed: list[Path] = []
_beside: dict[Path, None] = {}  # where presets were read, the last one last: only to say where a module may be
_MOST_BESIDE = 32


class CodeError(UserError):
    """A user's code has failed, does what no task can, or may not run. The message names file and line."""


class NotAllowedError(CodeError):
    """Code would have to run that nobody has allowed. The message says what would run, and how to allow it."""


def allow_code(*folders: str | PathLike[str]) -> None:
    """Allow this process to import and run the Python modules of folders: those that ``kind = "python"`` names.

    Parameters
    ----------
    folders
        The folders; what lies in folders below them belongs to packages there.

    Raises
    ------
    UserError
        If one is no folder.
    """
    for folder in folders:
        found = Path(folder).expanduser()
        if not found.is_dir():
            raise UserError(f"--allow-code {folder}: there is no such folder")
        if found.resolve() not in _allowed:
            _allowed.append(found.resolve())


def allowed_folders() -> tuple[Path, ...]:
    """Return the folders that were allowed, in the order in which they were."""
    return tuple(_allowed)


def seen_beside(folder: Path) -> None:
    """Note where a preset was read: its module may lie there, which a message can say. Nothing is allowed by it."""
    _beside.pop(folder, None)
    _beside[folder] = None
    if len(_beside) > _MOST_BESIDE:
        del _beside[next(iter(_beside))]


def file_of(module: str, folders: Sequence[Path] | None = None) -> tuple[Path, Path] | None:
    """Return the folder that has a module, and its file there, of the allowed folders or of others; None if none has.

    Parameters
    ----------
    module
        Its name, with dots where it is in a package.
    folders
        Where to look; the allowed ones, if not given.
    """
    for folder in allowed_folders() if folders is None else folders:
        inside = folder.joinpath(*module.split("."))
        for file in (inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
            if file.is_file():
                return folder, file
    return None


def refusal(factory: str, arguments: str) -> NotAllowedError:
    """Return what is said where a factory's code was not allowed to run.

    Parameters
    ----------
    factory
        "module:callable".
    arguments
        What it would be called with, as it would be written.
    """
    module, _, name = factory.partition(":")
    if _allowed:
        folders = " and ".join(map(str, map(_short, _allowed)))
        return NotAllowedError(
            f'[problem] kind = "python" wants {factory}, and there is no {module.replace(".", "/")}.py in {folders}, '
            "where code is allowed: --allow-code names the folder that has it"
        )
    found = file_of(module, [*reversed(_beside), Path()])
    where = f"DIR, the folder with {module.replace('.', '/')}.py" if found is None else str(_short(found[0]))
    file = f"{module.replace('.', '/')}.py" if found is None else str(_short(found[1]))
    return NotAllowedError(
        f'[problem] kind = "python" would run code of yours: {file}, then {name}({arguments}) in it. Nothing of it was '
        f"run. If you trust that code, allow its folder: --allow-code {where}"
    )


def _short(path: Path) -> Path:
    """Return a path as it is written from the working folder, where it lies below that."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path
