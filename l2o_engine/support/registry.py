"""Registries: the kinds of a piece, each of which is one file.

A room of pieces (tasks, optimizers, …) has a ``base`` module with what they have in common and a registry. Every other
module of its package (or a package, for a piece of several files) registers its class, which a preset names by its
``kind``; who asks for the kinds has all of them imported first. So a new piece is a new file, and nothing else has to
know it.
"""

import pkgutil
from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import Field

from l2o_engine.support.plugins import PluginError, load_plugin, plugins
from l2o_engine.support.settings import fields_of

Piece = TypeVar("Piece")
Class = TypeVar("Class", bound=type[Any])


class Registry(Generic[Piece]):
    """The kinds of one piece.

    Parameters
    ----------
    what
        What the pieces are, in a word: "optimizer".
    package
        The package whose modules hold them.
    """

    def __init__(self, what: str, package: str) -> None:
        self.what = what
        self._package = package
        self._kinds: dict[str, type[Piece]] = {}
        self._is_complete = False

    def register(self, cls: Class) -> Class:
        """Take in a class, by the one value that its field ``kind`` can have.

        Raises
        ------
        ValueError
            If another class has that kind.
        """
        kind = kind_of(cls)
        known = self._kinds.get(kind)
        is_itself = known is not None and (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
        if known is not None and not is_itself:  # what is run twice, as a notebook's cell is, replaces itself
            raise ValueError(f'two of kind "{kind}" want to be the {self.what}: {known.__name__} and {cls.__name__}')
        self._kinds[kind] = cls
        return cls

    @property
    def kinds(self) -> Mapping[str, type[Piece]]:
        """Kind → class, sorted by kind."""
        if not self._is_complete:
            self._import_all()
            self._is_complete = True
        return dict(sorted(self._kinds.items()))

    @property
    def group(self) -> str:
        """The entry points by which installed packages add to the kinds: "l2o_engine.inputs"."""
        return f"l2o_engine.{self._package.rpartition('.')[2]}"

    def take_plugin(self, kind: str) -> bool:
        """Take in a kind that an installed package offers; return whether there is something new now.

        Raises
        ------
        PluginError
            If one offers it, and what it offers cannot be imported or is no such class.
        """
        if kind in self.kinds or kind not in plugins(self.group):
            return False
        found = load_plugin(self.group, kind)
        if not isinstance(found, type) or not fields_of(found) or kind != _kind_or_nothing(found):
            raise PluginError(
                f'what an installed package offers as the {self.what} "{kind}" in the group {self.group} is no class '
                f'of settings of that kind (kind: Literal["{kind}"])'
            )
        self.register(found)
        return True

    def _import_all(self, without: Collection[str] = ()) -> None:
        package = import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            name = f"{self._package}.{module.name}"
            if name not in without:
                import_module(name)

    def __iter__(self) -> Iterator[type[Piece]]:
        return iter(self.kinds.values())

    def named(self, name: str) -> type[Piece]:
        """Return the class of a name.

        Raises
        ------
        AttributeError
            If none has it.
        """
        if not name[:1].isupper():  # asked for by the import of a module of the package, perhaps: nothing is imported
            raise AttributeError(name)
        for cls in self:
            if cls.__name__ == name:
                return cls
        raise AttributeError(f"there is no {self.what} {name}; there are {', '.join(c.__name__ for c in self)}")

    def union(self) -> Any:
        """Return the type of a table that may be of any kind, for a pydantic model."""
        return self._union(list(self))

    def union_of(self, base: type[Any], *without: str) -> Any:
        """Return the type of a table that may be of any kind made of a class, for a piece that is made of others.

        Parameters
        ----------
        base
            The class.
        without
            The module that asks, which is being imported, and those that ask for it in turn; no kind of these is
            among them.
        """
        self._import_all(without)
        return self._union([cls for _, cls in sorted(self._kinds.items()) if issubclass(cls, base)])

    @staticmethod
    def _union(classes: list[type[Any]]) -> Any:
        return Annotated[reduce(or_, classes), Field(discriminator="kind")] if len(classes) > 1 else classes[0]


def _kind_or_nothing(cls: type[Any]) -> str:
    try:
        return kind_of(cls)
    except (KeyError, ValueError, AttributeError):
        return ""


def kind_of(cls: type[Any]) -> str:
    """Return the kind of a piece's class."""
    (kind,) = get_args(cls.__annotations__["kind"])
    return str(kind)
