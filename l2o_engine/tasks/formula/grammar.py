"""The grammar of a formula: what a user may write, read into a tree; nothing of it is ever run as Python.

    sum    := term (("+" | "-") term)*
    term   := factor (("*" | "/") factor)*
    factor := "-" factor | power
    power  := atom ["**" factor]                    so -x[0]**2 is -(x[0]**2), and 2**3**2 is 2**9
    atom   := number | name | name "[" sum "]" | "(" sum ")" | function "(" sum ")"
            | "sum" "(" name "," [sum "," sum ","] sum ")"

White space, line breaks too, may stand between any two of these. Which names there are, and that indices are whole
numbers within their bounds, is looked at where the tree is made an expression of (:mod:`.expression`). The parser goes
through the text once and down no further than :data:`DEEPEST`, so what it takes is bounded by the text's length.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from l2o_engine.support.settings import SettingError
from l2o_engine.support.wording import nearest, quote, shown

MOST_CHARACTERS = 2000
"""Of a formula's text."""
DEEPEST = 30
"""Levels of parentheses, indices, powers and signs within one another."""

FUNCTIONS = ("abs", "cos", "exp", "expm1", "log", "log1p", "sin", "sqrt", "tan", "tanh")
"""The functions of one number."""
SUM = "sum"
POINT = "x"
DIMS = "dims"
CONSTANTS = ("e", "pi")
RESERVED = frozenset({*FUNCTIONS, *CONSTANTS, SUM, POINT, DIMS})
"""Names that mean something in every formula."""

_BEFORE, _AFTER = 50, 20  # characters of a long text that are shown around a place
_INDENT = "    "
_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|"
    r"(?P<sign>\*\*|[-+*/()\[\],])"
)
_HINTS = {
    ".": "nothing has attributes here, and a number's point stands beside a digit",
    '"': "a formula has no strings",
    "'": "a formula has no strings",
    "^": "a power is written **",
    "{": "parentheses are round: ( )",
    "}": "parentheses are round: ( )",
    ":": "an index is one number: x[0]",
    ";": "a formula is one expression",
    **dict.fromkeys("<>=!&|~", "a formula computes one number: nothing is compared or assigned"),
    **dict.fromkeys("%@", "there are + - * / **"),
}


class FormulaError(SettingError):
    """A formula that cannot be used; what is wrong, and the text with the place marked below it.

    Parameters
    ----------
    said
        What is wrong, in a sentence.
    text
        The formula.
    at
        The place in it: an index of a character, or its length for the end.
    """

    def __init__(self, said: str, text: str, at: int) -> None:
        super().__init__("loss", f"{said} (character {at + 1:,})", *_marked(text, at))


def _marked(text: str, at: int) -> tuple[str, str]:
    """Return the part of a text around a place, and a line that marks it there.

    What stands before the place has been read, so it is made of plain characters and white space.
    """
    first = at - _BEFORE if at > _BEFORE + _AFTER else 0
    last = at + _AFTER if len(text) > at + 2 * _AFTER else len(text)
    before, rest = re.sub(r"[ \t\r\n]", " ", text[first:at]), re.sub(r"[ \t\r\n]", " ", text[at:last])
    head = "… " if first else ""
    tail = " …" if last < len(text) else ""
    return f"{_INDENT}{head}{before}{shown(rest)}{tail}", f"{_INDENT}{' ' * len(head + before)}^"


# The tree. ``at`` is where in the text a node stands, for messages.


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    text: str
    at: int


@dataclass(frozen=True)
class Name:
    """A parameter, a constant, ``dims`` or the index of a sum."""

    name: str
    at: int


@dataclass(frozen=True)
class Element:
    """A coordinate, or a number of a parameter that has several."""

    name: str
    index: "Node"
    at: int


@dataclass(frozen=True)
class Negative:
    """-operand."""

    operand: "Node"
    at: int


@dataclass(frozen=True)
class Sign:
    """+, -, * or / between two operands."""

    text: str
    at: int


@dataclass(frozen=True)
class Chain:
    """Operands with signs between them, from left to right: either + and -, or * and /."""

    operands: "tuple[Node, ...]"
    signs: tuple[Sign, ...]

    @property
    def at(self) -> int:
        """Where the first sign is."""
        return self.signs[0].at


@dataclass(frozen=True)
class Power:
    """base ** exponent."""

    base: "Node"
    exponent: "Node"
    at: int


@dataclass(frozen=True)
class Call:
    """A function of one number."""

    function: str
    argument: "Node"
    at: int


@dataclass(frozen=True)
class Sum:
    """The sum of ``body`` over an index, from first to last inclusive; over all coordinates where they are None."""

    index: str
    first: "Node | None"
    last: "Node | None"
    body: "Node"
    at: int


Node: TypeAlias = Number | Name | Element | Negative | Chain | Power | Call | Sum


def parse(text: str) -> Node:
    """Return the tree of a formula.

    Raises
    ------
    FormulaError
        If the text is none, is too long, or is nested too deeply.
    """
    if len(text) > MOST_CHARACTERS:
        raise FormulaError(
            f"a formula has at most {MOST_CHARACTERS:,} characters, this one has {len(text):,}", text, MOST_CHARACTERS
        )
    return _Parser(text).whole()


@dataclass(frozen=True)
class _Token:
    kind: str  # "number", "name", "sign" or "end"
    text: str
    at: int
    end: int


class _Parser:
    """Goes through a text, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._token = self._read(0)

    def whole(self) -> Node:
        """Return the tree of the whole text."""
        if self._token.kind == "end":
            self._fail("the formula is empty")
        tree = self._sum(0)
        if self._token.kind != "end":
            closes = "it closes nothing"
            why = {")": closes, "]": closes, ",": "commas stand in sum(…) alone"}
            self._unexpected(why.get(self._token.text, "a sign is missing before it"))
        return tree

    # The grammar's rules, by their names. ``depth`` counts how often they have called each other.

    def _sum(self, depth: int) -> Node:
        return self._chain(("+", "-"), self._term, depth)

    def _term(self, depth: int) -> Node:
        return self._chain(("*", "/"), self._factor, depth)

    def _chain(self, among: tuple[str, str], operand: Callable[[int], Node], depth: int) -> Node:
        operands, signs = [operand(depth)], []
        while self._token.kind == "sign" and self._token.text in among:
            sign = self._advance()
            signs.append(Sign(sign.text, sign.at))
            operands.append(operand(depth))
        return Chain(tuple(operands), tuple(signs)) if signs else operands[0]

    def _factor(self, depth: int) -> Node:
        if depth > DEEPEST:
            self._fail(f"is nested more than {DEEPEST} levels deep")
        if self._is("-"):
            at = self._advance().at
            return Negative(self._factor(depth + 1), at)
        return self._power(depth)

    def _power(self, depth: int) -> Node:
        base = self._atom(depth)
        if not self._is("**"):
            return base
        at = self._advance().at
        return Power(base, self._factor(depth + 1), at)

    def _atom(self, depth: int) -> Node:
        token = self._token
        if token.kind == "number":
            self._advance()
            return Number(token.text, token.at)
        if token.kind == "name":
            self._advance()
            return self._named(token, depth + 1)
        if self._is("("):
            self._advance()
            inner = self._sum(depth + 1)
            self._closed_by(")", token)
            return inner
        return self._unexpected("here a number, a name or a parenthesis is due")

    def _named(self, name: _Token, depth: int) -> Node:
        opening = self._token
        if self._is("("):
            if name.text == SUM:
                return self._sum_over(name, depth)
            if name.text not in FUNCTIONS:
                hint = nearest(name.text, [*FUNCTIONS, SUM]) or f"; there are {', '.join(FUNCTIONS)} and {SUM}"
                raise FormulaError(f"there is no function {quote(name.text)}{hint}", self._text, name.at)
            self._advance()
            argument = self._sum(depth)
            self._closed_by(")", opening)
            return Call(name.text, argument, name.at)
        if name.text in FUNCTIONS or name.text == SUM:
            raise FormulaError(f"the function {name.text} needs parentheses: {name.text}(…)", self._text, name.at)
        if self._is("["):
            self._advance()
            index = self._sum(depth)
            self._closed_by("]", opening)
            return Element(name.text, index, name.at)
        return Name(name.text, name.at)

    def _sum_over(self, name: _Token, depth: int) -> Node:
        """Read a sum from its opening parenthesis on."""
        opening = self._advance()
        index = self._token
        parts: list[Node] = []
        if index.kind == "name":
            self._advance()
            while self._is(",") and len(parts) < 3:
                self._advance()
                parts.append(self._sum(depth))
        if not self._is(")") or len(parts) not in (1, 3):
            raise FormulaError("a sum is sum(i, term) or sum(i, first, last, term)", self._text, name.at)
        self._closed_by(")", opening)
        first, last = (parts[0], parts[1]) if len(parts) == 3 else (None, None)
        return Sum(index.text, first, last, parts[-1], name.at)

    # Tokens.

    def _is(self, sign: str) -> bool:
        return self._token.kind == "sign" and self._token.text == sign

    def _advance(self) -> _Token:
        """Return the token that is due, and read the next one."""
        token = self._token
        self._token = self._read(token.end)
        return token

    def _read(self, start: int) -> _Token:
        space = _SPACE.match(self._text, start)
        at = space.end() if space else start
        if at == len(self._text):
            return _Token("end", "", at, at)
        found = _TOKEN.match(self._text, at)
        if found is None:
            hint = _HINTS.get(self._text[at])
            raise FormulaError(
                f"{quote(self._text[at])} has no meaning here{f': {hint}' if hint else ''}", self._text, at
            )
        return _Token(found.lastgroup or "", found[0], at, found.end())

    def _closed_by(self, sign: str, opening: _Token) -> None:
        if not self._is(sign):
            what = "is never closed" if self._token.kind == "end" else f"is not closed by {quote(sign)} here"
            raise FormulaError(
                f"{quote(opening.text)} at character {opening.at + 1:,} {what}", self._text, self._token.at
            )
        self._advance()

    def _unexpected(self, why: str) -> NoReturn:
        token = self._token
        what = "the end" if token.kind == "end" else quote(token.text)
        self._fail(f"{what} is out of place: {why}")

    def _fail(self, said: str) -> NoReturn:
        raise FormulaError(said, self._text, self._token.at)
