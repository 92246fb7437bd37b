"""The Python layer is the contract, function by function; and it stays thin."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import arvo_plpg
from arvo_plpg import aio, rows, stream, sync
from arvo_plpg.errors import ArvoError

ROOT = Path(__file__).parents[2]
PACKAGE = Path(arvo_plpg.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a parameter or attribute of an SQL type is in Python.
PARAMETERS = {
    "text": str,
    "text[]": Sequence[str],
    "integer": int,
    "integer[]": Sequence[int],
    "bigint": int,
    "bigint[]": Sequence[int],
    "boolean": bool,
    "interval": timedelta,
    "timestamp with time zone": datetime,
    "double precision": float,
    "jsonpath": str,
}
JSON_PARAMETERS = {
    "event": arvo_plpg.ArvoEvent,
    "events": Sequence[arvo_plpg.ArvoEvent],
    "results": Sequence[Mapping[str, Any]],
    "rows": Sequence[Mapping[str, Any]],
    "data": Mapping[str, Any],
    "details": Mapping[str, Any],
    "edit": Mapping[str, Any],
    "options": Mapping[str, Any],
    "error_rules": Mapping[str, Any],
}
TEMPLATES = {"schedule"}  # functions whose event is not whole yet: a mapping
STREAMS = {"dispatch_copy"}  # methods that call their function as often as it takes
ATTRIBUTES = {
    "text": str,
    "text[]": list[str],
    "integer": int,
    "bigint": int,
    "double precision": float,
    "boolean": bool,
    "interval": timedelta,
    "timestamp with time zone": datetime,
    "jsonb": dict[str, Any],
    "bigint[]": list[int],
}


@pytest.fixture(scope="module")
def catalog(server, template):
    """Functions and row types of arvo_v1, as the database has them."""
    import psycopg

    name = server.create(template)
    with psycopg.connect(server.dsn_of(name), autocommit=True) as connection:
        functions = connection.execute(
            """SELECT p.proname, p.proretset, t.typname, t.typtype::text,
                      coalesce(p.proargnames, '{}'),
                      array(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) a),
                      p.pronargdefaults
               FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
               WHERE p.pronamespace = 'arvo_v1'::regnamespace"""
        ).fetchall()
        attributes = connection.execute(
            """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
               WHERE c.relnamespace = 'arvo_v1'::regnamespace AND c.relkind = 'c'
               ORDER BY c.relname, a.attnum"""
        ).fetchall()
    server.drop(name)
    composites: dict[str, dict[str, str]] = {}
    for composite, attribute, kind in attributes:
        composites.setdefault(composite, {})[attribute] = kind
    return {name: rest for name, *rest in functions}, composites


def public_methods(*classes):
    return {
        name: getattr(cls, name)
        for cls in classes
        for part in cls.__mro__[:-1]
        for name in vars(part)
        if not name.startswith("_")
    }


def hints(function):
    """Annotations of a method, with names that are imported for type checkers only."""
    import psycopg

    known = {name: getattr(rows, name) for name in vars(rows)} | {
        "Mapping": Mapping, "Sequence": Sequence, "timedelta": timedelta, "datetime": datetime,
        "Any": Any, "Events": stream.Events, "AsyncEvents": stream.AsyncEvents,
        "ArvoEvent": arvo_plpg.ArvoEvent, "AsyncConnection": psycopg.AsyncConnection,
        "Connection": psycopg.Connection,
    }  # fmt: skip
    return typing.get_type_hints(function, localns=known)


def without_none(hint):
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        arguments = [a for a in typing.get_args(hint) if a is not type(None)]
        assert len(arguments) == 1, hint
        return arguments[0]
    return hint


@pytest.mark.parametrize("twin", [aio, sync], ids=["async", "sync"])
def test_each_function_has_one_method_and_each_method_a_function(catalog, twin):
    functions, _ = catalog
    broker, memory = public_methods(twin.Broker), public_methods(twin.Memory)
    assert not broker.keys() & memory.keys()
    assert broker.keys() | memory.keys() == functions.keys()


@pytest.mark.parametrize("twin", [aio, sync], ids=["async", "sync"])
def test_methods_have_the_functions_parameters_in_order(catalog, twin):
    functions, _ = catalog
    for name, method in public_methods(twin.Broker, twin.Memory).items():
        _, _, _, names, kinds, defaults = functions[name]
        found = [p for p in inspect.signature(method).parameters.values() if p.name != "self"]
        expected = [text.removeprefix("p_") for text in names[: len(kinds)]]
        assert [p.name.rstrip("_") for p in found] == expected, name
        assert all(p.name == p.name.rstrip("_") or p.name in {"for_", "from_"} for p in found), name
        hinted = hints(method)
        required = len(kinds) - defaults
        for ordinal, (parameter, kind) in enumerate(zip(found, kinds, strict=True)):
            hint = hinted[parameter.name]
            wanted = JSON_PARAMETERS[parameter.name] if kind == "jsonb" else PARAMETERS[kind]
            if parameter.name == "event" and name in TEMPLATES:
                wanted = Mapping[str, Any]
            if parameter.name == "events" and name in STREAMS:
                wanted = stream.AsyncEvents if twin is aio else stream.Events
            assert (
                hint if name in STREAMS and parameter.name == "events" else without_none(hint)
            ) == wanted, (name, parameter.name)
            optional = parameter.default is not inspect.Parameter.empty
            assert optional == (ordinal >= required), (name, parameter.name)
            # Defaults live in SQL: None means "not given". Only an empty batch may be spelled.
            assert parameter.default in {inspect.Parameter.empty, None, ()}, (name, parameter.name)


def names(row):
    """Fields of a row: a dataclass or a named tuple."""
    if is_dataclass(row):
        return [field.name for field in fields(row)]
    return list(getattr(row, "_fields", ()))


@pytest.mark.parametrize("twin", [aio, sync], ids=["async", "sync"])
def test_methods_answer_what_the_functions_answer(catalog, twin):
    functions, composites = catalog
    scalars = {"bool": bool, "int4": int, "int8": int, "text": str}
    for name, method in public_methods(twin.Broker, twin.Memory).items():
        returns_set, kind, kind_of_type, *_ = functions[name]
        hint = hints(method)["return"]
        if returns_set and typing.get_origin(hint) is list:
            (hint,) = typing.get_args(hint)
        else:
            hint = without_none(hint)
        if kind_of_type == "c":
            assert names(hint) == list(composites[kind]), name
        else:
            assert hint is scalars[kind], name


def test_rows_have_the_attributes_and_types_of_the_row_types(catalog):
    _, composites = catalog
    classes = {
        cls.__name__.lower(): cls
        for cls in vars(rows).values()
        if names(cls) and cls.__module__ == rows.__name__
    }
    assert classes.keys() == {name.replace("_", "") for name in composites}
    for name, attributes in composites.items():
        cls = classes[name.replace("_", "")]
        assert names(cls) == list(attributes), name
        for attribute, annotation in typing.get_type_hints(cls).items():
            hint = without_none(annotation)
            if typing.get_origin(hint) is typing.Literal:
                hint = type(typing.get_args(hint)[0])
            assert hint == ATTRIBUTES[attributes[attribute]], (name, attribute)
        assert issubclass(cls, tuple) or cls.__dataclass_params__.frozen, name


def test_a_default_of_none_reaches_the_database_as_the_functions_default(connection):
    from arvo_plpg.sync import Broker

    queue = Broker(connection).register_queue("com.example.defaults")
    assert (queue.retry_limit, queue.expire_in) == (2, timedelta(minutes=15))
    again = Broker(connection).register_queue("com.example.defaults", retry_limit=7)
    assert (again.retry_limit, again.change) == (7, "retry_limit")
    assert Broker(connection).register_queue("com.example.defaults").retry_limit == 7


# --- thin


def strings(tree):
    """String constants of a module, without its docstrings."""
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documented
    ]


STATEMENT = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|LISTEN)\b")


def may_hold_sql(path):
    place = path.relative_to(PACKAGE)
    return place.parts[0] == "schema" or place.as_posix() in {
        "_call.py",
        "runtime/wakeup.py",
        "testing/databases.py",  # makes databases, which no contract does
    }


@pytest.mark.parametrize(
    "path", [p for p in MODULES if not may_hold_sql(p)], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_no_sql_outside_the_caller(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [text for text in strings(tree) if STATEMENT.search(text)] == []


def test_the_search_for_sql_finds_it():
    tree = ast.parse((PACKAGE / "_call.py").read_text(encoding="utf-8"))
    assert [text for text in strings(tree) if STATEMENT.search(text)]


# --- imports point one way

LAYERS = [
    {"errors", "rows", "event", "jsonb", "_call"},
    {"_async.session", "_sync.session"},
    {"_async.broker", "_sync.broker", "_async.memory", "_sync.memory"},
    {
        "runtime.backoff", "runtime.connect", "runtime.delivery", "runtime.heartbeat",
        "runtime.memory_span", "runtime.batch", "runtime.claim", "runtime.desk", "runtime.emitted",
        "runtime.gate", "runtime.loaders", "runtime.judge", "runtime.pace", "runtime.rest",
        "runtime.settlement",
        "runtime.slot", "runtime.station", "runtime.step", "runtime.watch",
        "runtime.route", "runtime.thread", "runtime.turns", "runtime.vigil", "runtime.wakeup",
        "runtime.worker", "runtime.cleaner", "runtime.exchange", "runtime.registry",
        "runtime.restless", "runtime.stations", "runtime.terms",
    },
    {"broker", "memory", "adapters"},
    {"demo", "cli", "testing"},
]  # fmt: skip


def layer_of(module):
    parts = module.split(".")
    for number, layer in enumerate(LAYERS):
        if module in layer or parts[0] in layer:
            return number
    return None


def imported(path):
    """Modules of the package that a module imports, type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("arvo_plpg."):
            found.add(node.module.removeprefix("arvo_plpg."))
    return found


def test_imports_point_one_way():
    seen = 0
    for path in MODULES:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        mine = layer_of(module)
        if mine is None:
            continue
        for other in imported(path):
            theirs = layer_of(other)
            if theirs is not None:
                seen += 1
                assert theirs <= mine, f"{module} imports {other}"
    assert seen > 50


@pytest.mark.parametrize("twin", ["_async", "_sync"])
def test_broker_and_memory_do_not_know_each_other(twin):
    other = {"_async": "_sync", "_sync": "_async"}[twin]
    for name, stranger in (("broker", "memory"), ("memory", "broker")):
        known = imported(PACKAGE / twin / f"{name}.py")
        assert f"{twin}.{stranger}" not in known
        assert not any(module.startswith(other) for module in known)
    assert "memory" not in imported(PACKAGE / "broker.py")
    assert "broker" not in imported(PACKAGE / "memory.py")


def test_the_front_door_needs_neither_the_migration_tool_nor_the_command_line():
    program = (
        "import sys, arvo_plpg; "
        "print(*sorted({'yoyo', 'sqlparse', 'argparse', 'arvo_plpg.embedded'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "yoyo" not in done.stdout
    assert "arvo_plpg.embedded" not in done.stdout


# --- errors


def codes_in_functions():
    text = ""
    for path in (ROOT / "sql" / "functions").rglob("*.sql"):
        text += "\n".join(
            line for line in path.read_text(encoding="utf-8").splitlines()
            if not line.lstrip().startswith("--")
        )  # fmt: skip
    return set(re.findall(r"'(RV\d{3})'", text))


def test_sqlstates_of_functions_classes_and_readme_agree():
    readme = (ROOT / "sql" / "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| (RV\d{3}) \| `(\w+)` \|", readme, flags=re.MULTILINE))
    classes = {code: cls.__name__ for code, cls in ArvoError.by_sqlstate.items()}
    assert codes_in_functions() == classes.keys()
    assert table == classes


def test_cards_name_the_codes_that_their_functions_raise():
    for path in (ROOT / "sql" / "functions").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        raised = set(re.findall(r"ERRCODE = '(RV\d{3})'", text))
        card = {
            code
            for line in text.splitlines()
            if line.startswith("--")
            for code in re.findall(r"RV\d{3}", line)
        }
        assert raised <= card, path.name


def test_the_drawn_tree_names_every_error():
    import arvo_plpg.errors as module
    from arvo_plpg import model_error

    drawn = module.__doc__ + model_error.__doc__
    for cls in descendants(ArvoError):
        if cls.__module__ in {module.__name__, model_error.__name__}:
            assert re.search(rf"\b{cls.__name__}\b", drawn), cls.__name__
            if cls.sqlstate and "sqlstate" in vars(cls):
                assert re.search(rf"{cls.__name__}\s+{cls.sqlstate}\b", drawn), cls.__name__


def descendants(cls):
    for child in cls.__subclasses__():
        yield child
        yield from descendants(child)


def test_a_code_cannot_be_registered_twice():
    with pytest.raises(TypeError, match="RV101 is registered twice"):
        type("Second", (ArvoError,), {}, sqlstate="RV101")


# --- what users see


def test_everything_public_says_what_it_is():
    for module in (arvo_plpg, aio, sync):
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.isclass(thing) and not inspect.isfunction(thing):
                continue
            assert thing.__doc__, name
            if inspect.isclass(thing) and thing.__module__.startswith("arvo_plpg"):
                for method, function in vars(thing).items():
                    if not method.startswith("_") and inspect.isfunction(function):
                        assert inspect.getdoc(getattr(thing, method)), f"{name}.{method}"


def test_the_names_that_users_of_the_broker_and_the_memory_need():
    assert {
        "PostgresEventBroker", "PostgresMachineMemory", "connect_postgres_machine_memory",
        "release_postgres_machine_memory", "MemoryConfig", "LockConfig", "HandlerOptions",
        "QueueOptions", "WorkerOptions", "ArvoError", "VersionConflict", "ConflictError",
        "AlreadyRegistered", "InvalidOption", "DatabaseUnreachable", "SchemaMissing",
        "current_delivery",
    } <= set(arvo_plpg.__all__)  # fmt: skip


def test_what_the_broker_raises_can_be_caught_at_the_front_door():
    told = {
        name
        for method in vars(arvo_plpg.PostgresEventBroker).values()
        if "Raises:" in (inspect.getdoc(method) or "")
        for name in re.findall(
            r"^    (\w+): ", inspect.getdoc(method).split("Raises:")[1], re.MULTILINE
        )
    }
    assert "SourceMismatch" in told
    assert told <= set(arvo_plpg.__all__)


def test_the_blocking_twins_are_pressed_from_the_source():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "unasync.py", "--check"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
