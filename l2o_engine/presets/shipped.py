"""The shipped presets, and finding the file that a user means."""

from pathlib import Path

from l2o_engine.presets.messages import PresetError
from l2o_engine.support.wording import nearest


def shipped_folder() -> Path:
    """Return the folder of the shipped presets: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "presets"


def shipped_names() -> list[str]:
    """Return the names of the shipped presets, sorted."""
    return sorted(path.stem for path in shipped_folder().glob("*.toml"))


def find(reference: str) -> Path:
    """Return the file a user means by a path or by the name of a shipped preset.

    Raises
    ------
    PresetError
        If there is no such file and no shipped preset of that name.
    """
    path = Path(reference)
    shipped = shipped_folder() / f"{reference}.toml"
    looks_like_a_path = path.suffix == ".toml" or len(path.parts) != 1
    if not looks_like_a_path and reference in shipped_names():
        return shipped
    try:
        if reference and path.is_dir():
            raise PresetError(f"{reference} is a folder, not a preset file")
        if reference and path.exists():
            return path
    except OSError as error:  # no name that the file system knows
        raise PresetError(f"{reference}: {error.strerror}") from error
    if looks_like_a_path and reference:
        raise PresetError(f"there is no file {reference}")
    hint = nearest(reference, shipped_names()) or "."
    raise PresetError(
        f'there is no shipped preset "{reference}"{hint} '
        f"Shipped: {', '.join(shipped_names())}. A file of yours is named by its path, ending in .toml"
    )
