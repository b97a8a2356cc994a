"""Importing a user's module, by file, from one folder that he has allowed.

The folder is not put on Python's path: a ``random.py`` there takes nobody else's place. While a module of it is
imported, or called, this thread alone also finds what lies beside it, after Python's own modules and the installed
ones. What is run is what was read and what the digest is of: no compiled file is looked for, and none is written.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location, spec_from_loader
from pathlib import Path
from threading import RLock, local
from types import ModuleType

from l2o_engine.support.files import read_bytes
from l2o_engine.support.user_code.calling import users_code
from l2o_engine.support.user_code.permission import CodeError, file_of

_MOST_BYTES = 10_000_000  # of a module's text
_importing = RLock()
_here = local()  # .folder: where this thread finds modules; .wanted: the first one's package, found there by all means
_digests: dict[Path, dict[Path, str]] = {}  # folder → its files that were run, and their SHA-256
_modules: dict[str, Path] = {}  # name of an imported module → its folder


class Module:
    """A user's module that was imported.

    Attributes
    ----------
    module
        The module.
    folder
        Where it was found.
    """

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self.module = module
        self.folder = folder

    @property
    def sources(self) -> Mapping[str, str]:
        """File → SHA-256 of all that was run of the folder so far; files are named from the folder on."""
        found = _digests.get(self.folder, {})
        return {file.relative_to(self.folder).as_posix(): digest for file, digest in sorted(found.items())}

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Let this thread import what lies beside the module: for functions that import where they are called."""
        with _finding(self.folder, ""):
            yield


def load(name: str) -> Module | None:
    """Import a module from the allowed folders, anew if a file of it has changed; None where they have none.

    Parameters
    ----------
    name
        Its name, with dots where it is in a package.

    Raises
    ------
    CodeError
        If it cannot be imported, or another module of its name is imported already. What the import raises is told
        with the user's line.
    """
    found = file_of(name)
    if found is None:
        return None
    folder, file = found
    with _importing:
        if not _is_as_it_was(folder):
            _forget(folder)
        if _modules.get(name) != folder:
            for other in {home for home in _modules.values() if home != folder}:
                _forget(other)  # whose names may be the same; what was made of it stays as it is
            _check_name(name, folder, file)
        with _finding(folder, name.partition(".")[0]), users_code(str(file)):
            return Module(importlib.import_module(name), folder)


def _check_name(name: str, folder: Path, file: Path) -> None:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise CodeError(f'{file}: Python has a module "{top}" of its own; give the file another name')
    there = sys.modules.get(top)
    if there is not None and top not in _modules:
        origin = getattr(there, "__file__", None) or next(iter(getattr(there, "__path__", [])), "")
        if not Path(origin or "/").resolve().is_relative_to(folder):
            raise CodeError(f'{file}: another module "{top}" is imported already; give the file another name')
        for known in [one for one in sys.modules if one.partition(".")[0] == top]:
            del sys.modules[known]  # who has imported it himself, in a notebook, may have edited it since


def _is_as_it_was(folder: Path) -> bool:
    try:
        return all(_digest(file) == digest for file, digest in _digests.get(folder, {}).items())
    except OSError:
        return False


def _forget(folder: Path) -> None:
    for name in [name for name, home in _modules.items() if home == folder]:
        sys.modules.pop(name, None)
        del _modules[name]
    _digests.pop(folder, None)


def _digest(file: Path) -> str:
    return sha256(read_bytes(file, _MOST_BYTES, follows=True)).hexdigest()


@contextmanager
def _finding(folder: Path, wanted: str) -> Iterator[None]:
    before = getattr(_here, "folder", None), getattr(_here, "wanted", "")
    _here.folder, _here.wanted = folder, wanted
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    try:
        yield
    finally:
        _here.folder, _here.wanted = before


class _Loader(SourceLoader):
    """Reads a module's text, once, and keeps its digest."""

    is_of_l2o_user = True

    def __init__(self, name: str, file: Path, folder: Path) -> None:
        self._name = name
        self._file = file
        self._folder = folder

    def get_filename(self, fullname: str) -> str:
        return str(self._file)

    def get_data(self, path: str | bytes) -> bytes:
        file = Path(path if isinstance(path, str) else path.decode())
        if file != self._file:  # a compiled file, which is not looked at
            raise OSError("only the module's text is read")
        data = read_bytes(file, _MOST_BYTES, follows=True)
        _digests.setdefault(self._folder, {})[file] = sha256(data).hexdigest()
        _modules[self._name] = self._folder
        return data


class _Finder(MetaPathFinder):
    """Finds the modules of the folder that this thread's code is of; any other thread's imports are none of its."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder: Path | None = getattr(_here, "folder", None)
        if folder is None:
            return None
        top = fullname.partition(".")[0]
        is_ours = top == _here.wanted or any(name.partition(".")[0] == top for name in _modules)
        if not is_ours and (path is not None or _is_elsewhere(self, fullname, folder)):
            return None
        inside = folder.joinpath(*fullname.split("."))
        for file in (inside / "__init__.py", inside.with_name(f"{inside.name}.py")):
            if file.is_file():
                places = [str(inside)] if file.name == "__init__.py" else None
                loader = _Loader(fullname, file, folder)
                return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=places)
        if is_ours and inside.is_dir():  # a package without __init__.py
            spec = spec_from_loader(fullname, None, is_package=True)
            if spec is not None:
                spec.submodule_search_locations = [str(inside)]
            return spec
        return None


def _is_elsewhere(finder: _Finder, name: str, folder: Path) -> bool:
    """Return whether Python finds a module without us: an installed one, or its own, comes first."""
    for other in sys.meta_path:
        spec = other.find_spec(name, None) if other is not finder and hasattr(other, "find_spec") else None
        if spec is not None:
            return spec.origin is None or not Path(spec.origin).resolve().is_relative_to(folder)
    return False


_FINDER = _Finder()
