"""What people call a run: a name, a note and tags. They mean nothing to the program, and are bounded."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from l2o_engine.records.events import Described
from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import quote, shown, shown_lines

MOST_NAME = 100
"""Characters of a run's name."""
MOST_NOTE = 1000
"""Characters of a note."""
MOST_TAG = 40
"""Characters of a tag."""
MOST_TAGS = 16
"""Tags of a run."""

_TAG = re.compile(r"[^\s,]+")


class AboutError(UserError):
    """A name, note or tag that no run can have. The message is meant for the user."""


@dataclass(frozen=True)
class About:
    """A person's words for a run.

    Attributes
    ----------
    name
        What it is called; empty for what the program calls it.
    note
        What is to be remembered of it, in one line or several.
    tags
        Words to find it by, each once.

    Raises
    ------
    AboutError
        If one is too long, holds what cannot be seen or a terminal would obey, or is no text.
    """

    name: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("the name", self.name, MOST_NAME)
        _check("the note", self.note, MOST_NOTE, lines=True)
        for tag in self.tags:
            _check("a tag", tag, MOST_TAG)
            if not _TAG.fullmatch(tag):
                raise AboutError(f"a tag is one word, without a comma: {quote(tag)}")
        if len(self.tags) > MOST_TAGS:
            raise AboutError(f"a run has at most {MOST_TAGS} tags")
        object.__setattr__(self, "tags", tuple(dict.fromkeys(self.tags)))

    @property
    def told(self) -> Described:
        """The event that says so, of which a run.json that is lost is made anew."""
        return Described(self.name, self.note, self.tags)

    def with_tags(self, added: Iterable[str], removed: Iterable[str] = ()) -> "About":
        """Return the same with some tags more and some fewer."""
        gone = set(removed)
        return About(self.name, self.note, (*(tag for tag in self.tags if tag not in gone), *added))


def _check(what: str, text: object, most: int, *, lines: bool = False) -> None:
    if not isinstance(text, str):
        raise AboutError(f"{what} is text, not {quote(text)}")
    if len(text) > most:
        raise AboutError(f"{what} may have {most:,} characters; this has {len(text):,}")
    if (shown_lines(text, most_lines=most) if lines else shown(text)) != text:
        raise AboutError(f"{what} holds what nobody can see, or what a terminal would obey: {shown(text)}")


NOTHING_SAID = About()
"""Of a run of which nobody has said anything."""
