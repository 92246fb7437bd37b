"""Reads a function file: what the catalog must say once it has been applied.

This reads the house's form only: CREATE OR REPLACE FUNCTION with a dollar-quoted body, then
COMMENT, REVOKE and GRANT. It exists so that an installed package needs no parser; the press,
which has PostgreSQL's own, proves for every file that both see the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arvo_plpg.errors import SqlTreeBroken
from arvo_plpg.schema.lexer import Kind, Statement, Token, dollar_parts, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

_MODES = frozenset({"IN", "VARIADIC"})
_PARALLEL = {"SAFE": "s", "RESTRICTED": "r", "UNSAFE": "u"}
_FLAGS: dict[str, tuple[str, str | bool]] = {
    "IMMUTABLE": ("volatility", "i"),
    "STABLE": ("volatility", "s"),
    "VOLATILE": ("volatility", "v"),
    "STRICT": ("strict", True),
    "LEAKPROOF": ("leakproof", True),
}
_CLAUSES = frozenset(
    {
        *_FLAGS,
        *("AS", "COST", "LANGUAGE", "PARALLEL", "RETURNS", "ROWS", "SECURITY", "SET"),
    }
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: name, type as written, default as written."""

    name: str
    type: str
    default: str | None = None
    variadic: bool = False


@dataclass(slots=True)
class Function:
    """What one function file promises.

    ``returns`` and parameter types are as written (``timestamptz``): PostgreSQL itself
    resolves them when they are compared.
    """

    name: str = ""
    parameters: tuple[Parameter, ...] = ()
    returns: str = ""
    setof: bool = False
    language: str = ""
    body: str = ""
    volatility: str = "v"
    parallel: str = "u"
    definer: bool = False
    strict: bool = False
    leakproof: bool = False
    cost: float = 100.0
    rows: float = 0.0
    settings: list[str] = field(default_factory=list)
    comment: str | None = None
    public: bool = True
    grants: frozenset[str] = frozenset()

    @property
    def signature(self) -> str:
        """The name with its parameter types, as DROP FUNCTION wants it."""
        return f"{self.name}({', '.join(p.type for p in self.parameters)})"

    @property
    def shape(self) -> tuple[object, ...]:
        """What CREATE OR REPLACE cannot change: parameters and what is returned.

        Removing a default is refused too, and adding a parameter makes a second function.
        """
        return (
            tuple((p.name, p.type, p.variadic, p.default is None) for p in self.parameters),
            self.returns,
            self.setof,
        )


def read_function(text: str) -> Function:
    """Read one function file or sealed block.

    Raises:
        SqlTreeBroken: The text is not of the house's form.
    """
    function = Function()
    for statement in statements(text):
        match statement.words:
            case []:
                continue
            case ["CREATE", "OR", "REPLACE", "FUNCTION", *_]:
                _Head(statement, function).read()
            case ["COMMENT", "ON", "FUNCTION", *_]:
                function.comment = next(
                    t.value for t in statement.significant if t.kind is Kind.LITERAL
                )
            case ["REVOKE", "ALL", "ON", "FUNCTION", *_, "FROM", "PUBLIC"]:
                function.public = False
            case ["GRANT", "EXECUTE", "ON", "FUNCTION", *_]:
                function.grants |= frozenset(_grantees(statement))
            case _:
                raise _unreadable(statement.tokens, "statement does not belong in a function file")
    if not function.body:
        raise SqlTreeBroken("function file defines no function", detail=text[:80])
    return function


def _grantees(statement: Statement) -> list[str]:
    tokens = statement.significant
    depth, start = 0, 0
    for at, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.keyword == "TO":
            start = at + 1
    return [t.text for t in tokens[start:] if t.kind is Kind.WORD]


def _unreadable(tokens: Sequence[Token], why: str) -> SqlTreeBroken:
    text = " ".join("".join(token.text for token in tokens).split())
    return SqlTreeBroken(why, detail=f"at: {text[:80]}")


def written(tokens: Sequence[Token]) -> str:
    """Return tokens as text, with every run of space made one space."""
    parts = (" " if t.kind is Kind.SPACE else t.text for t in tokens if t.kind is not Kind.COMMENT)
    return "".join(parts).strip()


class _Head:
    """The CREATE statement, read from left to right."""

    def __init__(self, statement: Statement, function: Function) -> None:
        self.tokens = [t for t in statement.tokens if t.kind is not Kind.COMMENT]
        self.function = function
        self.at = 0

    def read(self) -> None:
        for _ in range(4):  # CREATE OR REPLACE FUNCTION
            self.take()
        self.function.name = written(self.until_symbol("("))
        self.function.parameters = tuple(map(_parameter, self.arguments()))
        rows_given = False
        while (token := self.take()).text != ";":
            rows_given |= token.keyword == "ROWS"
            self.clause(token)
        if self.function.setof and not rows_given:
            self.function.rows = 1000.0

    def take(self) -> Token:
        """Return the next token that is not space."""
        while self.tokens[self.at].kind is Kind.SPACE:
            self.at += 1
        self.at += 1
        return self.tokens[self.at - 1]

    def until_symbol(self, symbol: str) -> list[Token]:
        start = self.at
        while self.tokens[self.at].text != symbol:
            self.at += 1
        return self.tokens[start : self.at]

    def arguments(self) -> list[list[Token]]:
        """Return the tokens of each argument between the parentheses."""
        depth, found = 0, [list[Token]()]
        while True:
            token = self.tokens[self.at]
            self.at += 1
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
            if depth == 0:
                return [tokens for tokens in found if written(tokens)]
            if depth == 1 and token.text == ",":
                found.append([])
            elif depth > 1 or token.text != "(":
                found[-1].append(token)

    def clause(self, token: Token) -> None:
        function = self.function
        match token.keyword:
            case "RETURNS":
                self.returns()
            case "SET":
                self.setting()
            case "AS":
                self.body()
            case "LANGUAGE":
                function.language = self.take().value
            case "SECURITY":
                function.definer = self.take().keyword == "DEFINER"
            case "PARALLEL":
                function.parallel = _PARALLEL[self.take().keyword]
            case "COST" | "ROWS":
                setattr(function, token.text.lower(), float(self.take().text))
            case keyword if keyword in _FLAGS:
                attribute, value = _FLAGS[keyword]
                setattr(function, attribute, value)
            case _:
                raise _unreadable(self.tokens[self.at - 1 :], "clause is not of the house's form")

    def returns(self) -> None:
        words = self.until_clause()
        if words and words[0].keyword == "SETOF":
            self.function.setof = True
            words = words[1:]
        if words and words[0].keyword == "TABLE":
            raise _unreadable(words, "RETURNS TABLE is not of the house's form")
        self.function.returns = written(words)

    def setting(self) -> None:
        name = self.take().value
        if self.take().keyword not in ("", "TO"):
            raise _unreadable(self.tokens[self.at - 1 :], "SET has no value")
        values = [t.value for t in self.until_clause() if t.significant and t.text != ","]
        self.function.settings.append(f"{name}={', '.join(values)}")

    def body(self) -> None:
        token = self.take()
        if token.kind is not Kind.DOLLAR:
            raise _unreadable([token], "body is not dollar-quoted")
        self.function.body = dollar_parts(token.text)[1]

    def until_clause(self) -> list[Token]:
        """Return the tokens up to the next clause or the end."""
        start = self.at
        while True:
            token = self.tokens[self.at]
            if token.keyword in _CLAUSES or token.text == ";":
                break
            self.at += 1
        found = self.tokens[start : self.at]
        while found and found[0].kind is Kind.SPACE:
            found = found[1:]
        return found


def _parameter(tokens: list[Token]) -> Parameter:
    words = [t for t in tokens if t.kind is not Kind.SPACE]
    mode = words[0].keyword if words[0].keyword in _MODES else ""
    if mode:
        tokens = tokens[tokens.index(words[0]) + 1 :]
    while tokens[0].kind is Kind.SPACE:
        tokens = tokens[1:]
    name, rest, default = tokens[0], tokens[1:], None
    for at, token in enumerate(rest):
        if token.keyword == "DEFAULT" or token.text == "=":
            rest, default = rest[:at], written(rest[at + 1 :])
            break
    kind = written(rest)
    if name.keyword in ("OUT", "INOUT") or not kind:
        raise _unreadable(tokens, "parameter is not of the form p_name type")
    return Parameter(name.value, kind, default, variadic=mode == "VARIADIC")
