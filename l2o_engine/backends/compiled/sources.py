"""The text that kernels are made of: a kernel is known by it."""

from pathlib import Path


def sources_of(*modules: str) -> tuple[bytes, ...]:
    """Return the text of every module beside these files and below, but of those that only call a kernel.

    What kernels share, beside this file, comes first. To be called at import: a file that is edited under a running
    program must not mix with the code already loaded.

    Parameters
    ----------
    modules
        The files of modules.
    """
    return tuple(
        path.read_bytes()
        for module in (__file__, *modules)
        for path in sorted(Path(module).parent.rglob("[!.]*.py"))
        if path.name != "backend.py"
    )
