"""Editions: the SQL files under another name, or without roles.

The files are written for the name ``arvo`` and are, byte for byte, what a default database
runs. An edition is the same text with other names in it; nothing else is ever replaced.

===================  ==========================================================
code                 ``arvo``, ``arvo_vN``, the five roles and ``arvo_wake``
comments             the same words
quoted identifiers   the same, when the whole identifier is one of them
literals             the same, when the whole literal is one of them; also
                     ``'arvo.queue'`` where PostgreSQL reads it as an object's
                     name (``::regclass`` and kin, ``nextval``, ``to_regclass``)
dollar quotes        transparent: the rules hold inside
===================  ==========================================================

So queue names (``'arvo.unroutable'``), settings (``arvo.frozen_clock``) and prose stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arvo_plpg.errors import SqlTreeBroken
from arvo_plpg.schema.lexer import Kind, Statement, Token, dollar_parts, lex, statements
from arvo_plpg.schema.names import GROUPS, ORIGIN, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = frozenset({"frozen_clock"})
"""Settings ``arvo.<name>``: they belong to the program, not to one installation."""

_SUFFIX = rf"(?P<suffix>_v[0-9]+|_wake|_owner|_(?:{'|'.join(GROUPS)}))?"
_NAME = re.compile(rf"{ORIGIN}{_SUFFIX}")
_IN_COMMENT = re.compile(
    rf"(?<![\w$])(?<!\w-){_NAME.pattern}(?![\w$]|-\w)(?!\.(?:{'|'.join(sorted(SETTINGS))})\b)"
)
_OBJECT = re.compile(rf"{ORIGIN}(?P<suffix>_v[0-9]+)?(?P<rest>\.[a-z_][a-z0-9_]*(?:\(.*\))?)")
_TAKES_OBJECT_NAME = re.compile(r"nextval|currval|setval|pg_get_serial_sequence|to_reg[a-z]+")
_ORIGIN_ROLES = frozenset(Names().all_roles)


@dataclass(frozen=True, slots=True)
class Edition:
    """One way to install: under which name, with or without roles."""

    names: Names

    @property
    def original(self) -> bool:
        """Whether the files are this edition as they are."""
        return self.names == Names()

    def text(self, source: str) -> str:
        """Return a file's text in this edition.

        Args:
            source: The text as written, for the name ``arvo`` with roles.

        Raises:
            SqlTreeBroken: A statement names a role in a way that cannot be left out.
        """
        kept = source if self.names.roles else without_roles(source)
        return kept if self.names.schema == ORIGIN else rename(kept, self.names.schema)


def rename(source: str, schema: str) -> str:
    """Return the text with the names of another installation in it."""
    tokens = list(lex(source))
    return "".join(_renamed(tokens, at, schema) for at in range(len(tokens)))


def _renamed(tokens: Sequence[Token], at: int, schema: str) -> str:
    token = tokens[at]
    match token.kind:
        case Kind.COMMENT:
            return _IN_COMMENT.sub(lambda found: schema + (found["suffix"] or ""), token.text)
        case Kind.DOLLAR:
            tag, inside = dollar_parts(token.text)
            return f"{tag}{rename(inside, schema)}{tag}"
        case Kind.WORD:
            return token.text if _is_setting(tokens, at) else _name(token.text, schema)
        case Kind.QUOTED:
            return token.text.replace(token.value, _name(token.value, schema))
        case Kind.LITERAL:
            return _literal(tokens, at, schema)
        case _:
            return token.text


def _name(word: str, schema: str) -> str:
    found = _NAME.fullmatch(word)
    return schema + (found["suffix"] or "") if found else word


def _is_setting(tokens: Sequence[Token], at: int) -> bool:
    after = tokens[at + 1 : at + 3]
    return len(after) == 2 and after[0].text == "." and after[1].text in SETTINGS  # noqa: PLR2004


def _literal(tokens: Sequence[Token], at: int, schema: str) -> str:
    token = tokens[at]
    if _NAME.fullmatch(token.value):
        return token.text.replace(token.value, _name(token.value, schema))
    found = _OBJECT.fullmatch(token.value)
    if found and _names_an_object(tokens, at):
        name = f"{schema}{found['suffix'] or ''}{rename(found['rest'], schema)}"
        return token.text.replace(token.value, name)
    return token.text


def _names_an_object(tokens: Sequence[Token], at: int) -> bool:
    after = [token.text for token in tokens[at + 1 : at + 8] if token.significant]
    if after[:2] == [":", ":"] and after[2:3] and after[2].lower().startswith("reg"):
        return True
    before = [token.text for token in tokens[max(0, at - 4) : at] if token.significant]
    called = before[-2].lower() if before[-1:] == ["("] and len(before) > 1 else ""
    return _TAKES_OBJECT_NAME.fullmatch(called) is not None


def without_roles(source: str) -> str:
    """Return the text without the top-level statements that only serve roles.

    Left out are GRANT and REVOKE to roles of ours, SET ROLE, OWNER TO, default privileges
    and comments on roles; ``CREATE SCHEMA … AUTHORIZATION arvo_owner`` loses its last two
    words. Everything then belongs to the user who migrates.

    Raises:
        SqlTreeBroken: Another statement names a role, or one mixes roles with PUBLIC.
    """
    out: list[str] = []
    swallow = False
    for statement in statements(source):
        before = "".join(token.text for token in statement.before)
        if swallow and before.startswith("\n"):
            before = before[1:]
        kept = _without_role(statement)
        swallow = not kept
        out += (before, kept)
    return "".join(out)


def _without_role(statement: Statement) -> str:
    text = "".join(token.text for token in statement.tokens)
    if not any(token.value in _ORIGIN_ROLES for token in statement.significant):
        return text
    words = statement.words
    match words:
        case ["GRANT" | "REVOKE", *rest] | ["ALTER", "DEFAULT", *rest] if "PUBLIC" not in rest:
            return ""
        case (
            ["SET", "LOCAL" | "SESSION", "ROLE", *_]
            | ["SET", "ROLE", *_]
            | ["COMMENT", "ON", "ROLE", *_]
            | ["ALTER", *_, "OWNER", "TO", _]
        ):
            return ""
        case ["CREATE", "SCHEMA", *_]:
            return re.sub(r"\s+AUTHORIZATION\s+\w+", "", text, flags=re.IGNORECASE)
        case _:
            raise SqlTreeBroken(
                "statement cannot be installed without roles",
                detail=f"it begins: {' '.join(text.split())[:80]}",
                hint="Name our roles only in statements of their own, apart from PUBLIC.",
            )
