"""What a function file must look like, judged with PostgreSQL's own parser.

Exactly CREATE OR REPLACE FUNCTION, COMMENT, REVOKE FROM PUBLIC, then GRANTs to roles of ours;
named as its path says; with a fixed search path; no dynamic SQL; every exception of class RV.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pglast import ast, parse_plpgsql, parse_sql
from pglast.enums import ObjectType
from pglast.parser import ParseError
from pglast.stream import RawStream

from arvo_plpg.errors import SqlTreeBroken
from arvo_plpg.schema.defaults import is_comparable
from arvo_plpg.schema.function import Function, Parameter, read_function
from arvo_plpg.schema.lexer import lex
from arvo_plpg.schema.names import ORIGIN, Names

if TYPE_CHECKING:
    from collections.abc import Iterator

DYNAMIC: frozenset[str] = frozenset()
"""Functions that may use EXECUTE: those that make and drop partitions. Each needs a reason."""

_PATH = "search_path=pg_catalog, pg_temp"
_EXCEPTION = 21  # elog.h: ERROR
_ERRCODE = 0  # plpgsql.h: PLPGSQL_RAISEOPTION_ERRCODE
_OUR_TYPE = re.compile(
    rf"\b{ORIGIN}(?:_v[0-9]+)?\.[a-z_][a-z0-9_]*(?P<array>\[\])?(?![a-z0-9_.(%])"
)
_CODE = re.compile(r"'RV(?!000)[0-9]{3}'")


def shape_faults(name: str, text: str, dynamic: frozenset[str] = DYNAMIC) -> list[str]:
    """Return what is wrong with one function file; each fault begins with its name.

    Args:
        name: The qualified name that the file's path spells.
        text: The file.
        dynamic: Functions that may use EXECUTE.
    """
    try:
        faults = list(_faults(name, text, dynamic))
    except (ParseError, SqlTreeBroken) as error:
        faults = [" ".join(str(error).split())]
    return [f"{name}: {fault}" for fault in faults]


def _faults(name: str, text: str, dynamic: frozenset[str]) -> Iterator[str]:
    trees: list[Any] = [raw.stmt for raw in parse_sql(text)]
    kinds = [_kind(tree) for tree in trees]
    if kinds[:3] != ["create", "comment", "revoke"] or set(kinds[3:]) - {"grant"}:
        yield f"must be CREATE, COMMENT, REVOKE, then GRANTs; it is {', '.join(kinds)}"
        return
    create = trees[0]
    found = ".".join(part.sval for part in create.funcname)
    if found != name:
        yield f"the path says {name}, the file defines {found}"
    if not create.replace:
        yield "is not CREATE OR REPLACE"
        return
    yield from _about_itself(create, trees[1:])
    if f"\nAS ${name.partition('.')[2]}$\n" not in text:
        yield "the body's dollar tag must be the function's name, on a line of its own"
    if not text.endswith("\n") or "\r" in text or "--! " in text:
        yield "must end with a newline, have no carriage returns and no block marks"
    read = read_function(text)
    yield from _agreement(create, read)
    yield from _house_rules(name, read)
    if read.language == "plpgsql":
        yield from _body_faults(read, dynamic)


def _about_itself(create: Any, others: list[Any]) -> Iterator[str]:  # noqa: ANN401
    """Find comments and privileges that are about another function."""
    itself = (
        [part.sval for part in create.funcname],
        [_type(p.argType) for p in create.parameters or ()],
    )
    for tree in others:
        if isinstance(tree, ast.GrantStmt) and (tree.grant_option or len(tree.objects or ()) != 1):
            yield "grants one function at a time, without grant option"
        about: Any = tree.object if isinstance(tree, ast.CommentStmt) else tree.objects[0]
        target = ([part.sval for part in about.objname], [_type(t) for t in about.objargs or ()])
        if target != itself:
            yield f"{_kind(tree).upper()} is about another function or signature"


def _kind(tree: Any) -> str:  # noqa: ANN401
    match tree:
        case ast.CreateFunctionStmt():
            return "create"
        case ast.CommentStmt(objtype=ObjectType.OBJECT_FUNCTION):
            return "comment"
        case ast.GrantStmt(objtype=ObjectType.OBJECT_FUNCTION):
            return "grant" if tree.is_grant else "revoke"
        case _:
            return type(tree).__name__


def _type(node: Any) -> str:  # noqa: ANN401
    return str(RawStream()(node))


def _agreement(create: Any, read: Function) -> Iterator[str]:  # noqa: ANN401
    """Prove that the reader used at run time sees what PostgreSQL's parser sees."""
    theirs = [(p.name, _type(p.argType), p.defexpr is None) for p in create.parameters or ()]
    skeleton = ", ".join(f"{p.name} {p.type}" for p in read.parameters)
    again: Any = parse_sql(
        f"CREATE FUNCTION {read.name}({skeleton}) RETURNS {read.returns} LANGUAGE sql AS ''"
    )[0].stmt
    ours = [
        (p.name, _type(p.argType), mine.default is None)
        for p, mine in zip(again.parameters or (), read.parameters, strict=True)
    ]
    if ours != theirs:
        yield "parameters are not of the house's form: IN or VARIADIC, p_name type [DEFAULT …]"
    returned = create.returnType
    if returned is None or bool(returned.setof) != read.setof:
        yield "RETURNS is not of the house's form: a type, or SETOF a named one"
    options: dict[str, Any] = {}
    settings = []
    for option in create.options or ():
        if option.defname == "set":
            settings.append(option.arg.name)
        else:
            options[option.defname] = option.arg
    body = options["as"][0].sval
    flags = {"immutable": "i", "stable": "s", "volatile": "v"}
    volatility = flags[options["volatility"].sval] if "volatility" in options else ""
    if (body, sorted(settings)) != (read.body, sorted(s.split("=")[0] for s in read.settings)):
        yield "body or settings are not of the house's form"
    if volatility != read.volatility:
        yield "must say VOLATILE, STABLE or IMMUTABLE, even where it is the default"
    if ("security" in options and bool(options["security"].boolval)) != read.definer:
        yield "SECURITY is not of the house's form"


def _house_rules(name: str, read: Function) -> Iterator[str]:
    names = Names()
    private = name.startswith(f"{ORIGIN}.")
    if _PATH not in read.settings:
        yield "lacks SET search_path = pg_catalog, pg_temp"
    if read.public:
        yield "lacks REVOKE ALL … FROM PUBLIC"
    if not read.comment:
        yield "lacks COMMENT ON FUNCTION"
    if private and read.grants:
        yield "is private: nobody but the owner may execute it"
    if not private and not read.definer:
        yield "is of the contract: it must be SECURITY DEFINER"
    if strangers := sorted(read.grants - set(names.groups)):
        yield f"is granted to roles that are not ours: {', '.join(strangers)}"
    for parameter in read.parameters:
        yield from _parameter_faults(parameter)
    if read.language not in ("sql", "plpgsql"):
        yield f"is written in {read.language}"


def _parameter_faults(parameter: Parameter) -> Iterator[str]:
    if not parameter.name.startswith("p_"):
        yield f"parameters must begin with p_: {parameter.name}"
    if parameter.default is not None and not is_comparable(parameter.default):
        yield f"{parameter.name}: a default is a constant of a built-in type, or f()"


def _body_faults(read: Function, dynamic: frozenset[str]) -> Iterator[str]:
    for kind, node in _walk(parse_plpgsql(_without_our_types(read))):
        line = node.get("lineno", "?")
        if read.name not in dynamic and ("dyn" in kind or "dynquery" in node):
            yield f"line {line} of the body uses EXECUTE"
        if kind == "PLpgSQL_stmt_raise" and node.get("elog_level") == _EXCEPTION:
            codes = [
                option["PLpgSQL_raise_option"]["expr"]["PLpgSQL_expr"]["query"]
                for option in node.get("options", ())
                if option["PLpgSQL_raise_option"].get("opt_type", _ERRCODE) == _ERRCODE
            ]
            again = "message" not in node and "condname" not in node and not codes
            if not again and not (len(codes) == 1 and _CODE.fullmatch(codes[0])):
                yield f"line {line} of the body raises without ERRCODE = 'RV…'"


def _without_our_types(read: Function) -> str:
    """Return the function with ``record`` for types of our schemas.

    The parser stands outside of any database: it knows the types of pg_catalog only, and
    refuses to look for others where it must know a type, in the head and after DECLARE.
    """
    names = ", ".join(f"{p.name} {_known(p.type)}" for p in read.parameters)
    returns = ("SETOF " if read.setof else "") + _known(read.returns)
    parts: list[str] = []
    start = 0
    for section in _declarations(read.body):
        parts += (read.body[start : section.start], _known(read.body[section.start : section.stop]))
        start = section.stop
    body = "".join(parts) + read.body[start:]
    return (
        f"CREATE FUNCTION checked({names}) RETURNS {returns} LANGUAGE plpgsql "
        f"AS $checked${body}$checked$"
    )


def _declarations(body: str) -> Iterator[slice]:
    """Find where variables are declared: from each DECLARE to its BEGIN."""
    at, start = 0, None
    for token in lex(body):
        if token.keyword == "DECLARE":
            start = at
        elif token.keyword == "BEGIN" and start is not None:
            yield slice(start, at)
            start = None
        at += len(token.text)


def _known(kind: str) -> str:
    return _OUR_TYPE.sub(_stand_in, kind)


def _stand_in(found: re.Match[str]) -> str:
    return "jsonb[]" if found["array"] else "record"


def _walk(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    if isinstance(node, str):
        node = json.loads(node)
    if isinstance(node, list):
        for item in node:
            yield from _walk(item)
    elif isinstance(node, dict):
        for kind, value in node.items():
            if isinstance(value, dict):
                yield kind, value
            if isinstance(value, (dict, list)):
                yield from _walk(value)
