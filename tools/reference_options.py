"""The page docs/reference/options.md: every option of the package, from the code.

Names, types, ranges and Python's defaults come from the classes, meanings from their docstrings,
and defaults of what is kept in the database from a queue that is registered without any option.
"""

from __future__ import annotations

import inspect
import re
import types
from dataclasses import MISSING
from dataclasses import fields as fields_of
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from arvo_plpg import (
    DispatchOptions,
    HandlerOptions,
    LockConfig,
    MemoryConfig,
    PostgresEventBroker,
    QueueOptions,
    WorkerOptions,
)
from arvo_plpg.page import PageOptions
from arvo_plpg.sync import Broker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg
    from pydantic import BaseModel

HEAD = """\
# Options

Written by `tools/reference.py` from the classes of the package and the defaults of the database: do
not edit. A duration is a number of the unit that its name or its row says. `none` as a default is
the absence of that rule. [Queues](../queues.md) and [workers](../workers.md) show them at work.

| class | is given to |
|---|---|
| [`PostgresEventBroker`](#postgreseventbroker) | itself: how a process connects and works |
| [`HandlerOptions`](#handleroptions) | `register` and the listeners; it holds the next two |
| [`QueueOptions`](#queueoptions) | `HandlerOptions(queue=…)` |
| [`WorkerOptions`](#workeroptions) | `HandlerOptions(worker=…)` |
| [`DispatchOptions`](#dispatchoptions) | `dispatch` and its kin, and the adapters |
| [`MemoryConfig`](#memoryconfig), [`LockConfig`](#lockconfig) | `connect_postgres_machine_memory` |
| [`PageOptions`](#pageoptions) | `create_app` of [the page](../page.md) |
"""
STORED = """\
Kept with the queue, for all processes, but for those whose default is marked *of the process*. One
that is left out stays as it is in the database; a new queue has the default.
"""
OF_QUEUE = """\
Kept with the queue, for all processes. One that is left out stays as it is in the database; a new
queue has the default.
"""
OF_ONE = "Of single deliveries. One that is left out is that of the queue.\n"
UNITS = {"_seconds": "s", "_millis": "ms", "_ms": "ms", "_bytes": "bytes"}
IN_SECONDS = {"retry_delay", "retry_delay_max", "start_after"}
OF_THE_PROCESS = {"concurrency", "prefetch", "batch_size", "polling_interval_seconds"}
TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "`True` or `False`",
    "AwareDatetime": "`datetime` with a zone",
}
OF_ITS_OWN = {"singleton_key": "what `key_from` finds", "must_be_registered": "`False`"}
NAMES_IN_SQL = {"singleton_seconds": "singleton_for"}


def page(connection: psycopg.Connection[Any]) -> str:
    """Give the whole page.

    Args:
        connection: to a migrated database; what is registered there is rolled back.
    """
    stored = _stored(connection)
    sections = [
        _section("PostgresEventBroker", "", _of_signature(PostgresEventBroker)),
        _section("HandlerOptions", "", _of_model(HandlerOptions)),
        _section("QueueOptions", OF_QUEUE, _of_model(QueueOptions, stored)),
        _section("WorkerOptions", STORED, _of_model(WorkerOptions, stored)),
        _section("DispatchOptions", OF_ONE, _of_model(DispatchOptions, {})),
        _section("MemoryConfig", "", _of_model(MemoryConfig)),
        _section("LockConfig", "", _of_model(LockConfig)),
        _section("PageOptions", "", _of_dataclass(PageOptions)),
    ]
    return "\n".join([HEAD, *sections])


def _stored(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Ask the database for the options of queues that nobody has given any."""
    with connection.transaction(force_rollback=True):
        broker = Broker(connection)
        plain = broker.register_queue("com.example.plain")
        stateful = broker.register_queue("com.example.stateful", stateful=True)
    named = {field.name: getattr(plain, field.name) for field in fields_of(plain)}
    return named | {"policy": f"`{plain.policy}`; of stateful handlers `{stateful.policy}`"}


def _section(name: str, lead: str, rows: Iterable[str]) -> str:
    head = ["| option | type | unit | default | meaning |", "|---|---|---|---|---|"]
    return "\n".join([f"## {name}\n", *([lead] if lead else []), *head, *rows, ""])


def _of_model(model: type[BaseModel], stored: dict[str, Any] | None = None) -> Iterator[str]:
    meanings = _meanings(model, "Attributes")
    for name, field in model.model_fields.items():
        told = _type(field.annotation, field.metadata)
        if stored is None or name in OF_THE_PROCESS:
            default = "none" if field.default is None else _value(field.default)
            if not field.repr:
                default = "none" if field.default is None else "…"
            default += "" if stored is None else ", *of the process*"
        elif not stored:
            default = OF_ITS_OWN.get(name, "that of the queue")
        else:
            default = _value(stored[_contract_name(name, stored)])
        yield _row(name, told, default, meanings[name])


def _of_signature(noun: type[Any]) -> Iterator[str]:
    meanings = _meanings(noun, "Args")
    for name, given in inspect.signature(noun.__init__, eval_str=True).parameters.items():
        if name != "self":
            needed = given.default is inspect.Parameter.empty
            default = "needed" if needed else _value(given.default)
            yield _row(name, _type(given.annotation, []), default, meanings[name])


def _of_dataclass(noun: type[Any]) -> Iterator[str]:
    meanings = _meanings(noun, "Attributes")
    hints = inspect.get_annotations(noun, eval_str=True)
    for field in fields_of(noun):
        default = "needed" if field.default is MISSING else _value(field.default)
        yield _row(field.name, _type(hints[field.name], []), default, meanings[field.name])


def _row(name: str, told: str, default: str, meaning: str) -> str:
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
    unit = "s" if name in IN_SECONDS else unit
    return f"| `{name}` | {told} | {unit} | {default} | {meaning} |".replace("  ", " ")


def _contract_name(name: str, stored: dict[str, Any]) -> str:
    known = NAMES_IN_SQL.get(name, name)
    return known if known in stored else known.removesuffix("_seconds")


def _meanings(noun: type[Any], section: str) -> dict[str, str]:
    """Give what the section of a docstring says of each name, in one line."""
    text = inspect.getdoc(noun) or ""
    (body,) = re.findall(rf"^{section}:\n((?:    .*\n|\n)*)", text + "\n", re.MULTILINE)
    found = re.findall(r"^    (\w+): (.*\n(?:     .*\n|\n)*)", body, re.MULTILINE)
    return {name: " ".join(said.split()).replace("``", "`") for name, said in found}


def _type(annotation: Any, metadata: Iterable[Any]) -> str:  # noqa: ANN401 - any type at all
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        annotation, *more = arguments
        return _type(annotation, [*metadata, *_constraints(more)])
    if origin in {Union, types.UnionType}:
        given = [one for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys(_type(one, metadata) for one in given))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return "a mapping"
    if origin in {tuple, frozenset}:
        return "names"
    told = TYPES.get(name := annotation.__name__, f"`{name}`")
    return told + _range(list(metadata))


def _constraints(given: Iterable[Any]) -> Iterator[Any]:
    for one in given:
        yield from getattr(one, "metadata", [one])


def _range(metadata: list[Any]) -> str:
    least = next((one.ge for one in metadata if hasattr(one, "ge")), None)
    most = next((one.le for one in metadata if hasattr(one, "le")), None)
    longest = next((one.max_length for one in metadata if hasattr(one, "max_length")), None)
    if longest is not None:
        return f" of at most {longest}"
    if most is not None:
        return f", {least} to {most}"
    if least is not None and least > -(2**31):
        return f", {least} or more"
    return ""


def _value(value: object) -> str:
    if isinstance(value, timedelta):
        return _duration(value)
    if value is None or value in ({}, ()):
        return "none"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value).removesuffix(".0")
    if isinstance(value, frozenset):
        return ", ".join(f"`{one}`" for one in sorted(value))
    told = str(value) if isinstance(value, str | bool) else f"{type(value).__name__}()"
    return told if told.startswith("`") else f"`{told}`"


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds:.0f} ({seconds / size:.0f} {name})"
    return f"{seconds:g}"
