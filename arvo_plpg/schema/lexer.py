r"""A small SQL lexer: enough to know what is code, what is comment and what is text.

The rules are PostgreSQL's (manual, chapter "SQL Syntax", section "Lexical Structure"):
``--`` to the end of the line, ``/* */`` that nest, ``'…'`` with doubled quotes, ``E'…'``
with backslashes, ``"…"``, and ``$tag$ … $tag$``. Nothing is lost: joining the tokens
gives the text back, also when it is not SQL at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(Enum):
    """What a token is."""

    SPACE = auto()
    COMMENT = auto()
    LITERAL = auto()
    QUOTED = auto()
    DOLLAR = auto()
    WORD = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of the text, verbatim."""

    kind: Kind
    text: str

    @property
    def significant(self) -> bool:
        """Whether the server would see it."""
        return self.kind not in (Kind.SPACE, Kind.COMMENT)

    @property
    def keyword(self) -> str:
        """The word in upper case; empty for anything that is not a bare word."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    @property
    def value(self) -> str:
        """What a literal or quoted identifier stands for (without backslash escapes)."""
        if self.kind is Kind.LITERAL:
            return self.text[self.text.index("'") + 1 : -1].replace("''", "'")
        if self.kind is Kind.QUOTED:
            return self.text[1:-1].replace('""', '"')
        return self.text


_TAG = re.compile(r"\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$")
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_PLAIN = (
    (Kind.SPACE, re.compile(r"[ \t\r\n\f\v]+")),
    (Kind.COMMENT, re.compile(r"--[^\n]*")),
    (Kind.LITERAL, re.compile(r"[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)", re.DOTALL)),
    (Kind.LITERAL, re.compile(r"(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|\Z)")),
    (Kind.QUOTED, re.compile(r'(?:[uU]&)?"(?:[^"]|"")*(?:"|\Z)')),
    (Kind.WORD, re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*")),
    (Kind.SYMBOL, re.compile(r"[0-9]+(?:\.[0-9]+)?[A-Za-z0-9_]*|.", re.DOTALL)),
)


def lex(text: str) -> Iterator[Token]:
    """Cut a text into tokens; their texts, joined, are the text."""
    at = 0
    while at < len(text):
        token = _block_comment(text, at) or _dollar(text, at) or _plain(text, at)
        yield token
        at += len(token.text)


def dollar_parts(text: str) -> tuple[str, str]:
    """Split a dollar-quoted token into its tag (with both dollars) and its inside."""
    tag = text[: text.index("$", 1) + 1]
    return tag, text[len(tag) : len(text) - len(tag)]


def _plain(text: str, at: int) -> Token:
    for kind, pattern in _PLAIN:
        if found := pattern.match(text, at):
            return Token(kind, found[0])
    raise AssertionError("the last pattern takes any character")


def _block_comment(text: str, at: int) -> Token | None:
    if not text.startswith("/*", at):
        return None
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return Token(Kind.COMMENT, text[at : edge.end()])
    return Token(Kind.COMMENT, text[at:])


def _dollar(text: str, at: int) -> Token | None:
    if text[at] != "$" or not (tag := _TAG.match(text, at)):
        return None
    end = text.find(tag[0], tag.end())
    return None if end < 0 else Token(Kind.DOLLAR, text[at : end + len(tag[0])])


@dataclass(frozen=True, slots=True)
class Statement:
    """The tokens of one statement: what stands before it, and the statement itself.

    ``tokens`` ends with the semicolon; both are empty of the other's tokens, so that the
    texts of all statements, joined, are the file.
    """

    before: tuple[Token, ...]
    tokens: tuple[Token, ...]

    @property
    def significant(self) -> list[Token]:
        """The tokens that the server would see."""
        return [token for token in self.tokens if token.significant]

    @property
    def words(self) -> list[str]:
        """Every bare word of the statement, in upper case."""
        return [token.keyword for token in self.tokens if token.keyword]


def statements(text: str) -> Iterator[Statement]:
    """Cut a file at the semicolons of its top level; the last piece may be only trivia."""
    before: list[Token] = []
    tokens: list[Token] = []
    for token in lex(text):
        if not tokens and not token.significant:
            before.append(token)
            continue
        tokens.append(token)
        if token.kind is Kind.SYMBOL and token.text == ";":
            yield Statement(tuple(before), tuple(tokens))
            before, tokens = [], []
    if before or tokens:
        yield Statement(tuple(before), tuple(tokens))
