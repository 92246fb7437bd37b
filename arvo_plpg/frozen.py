"""JSON values that cannot be changed.

They are subclasses of ``dict`` and ``list``: they compare equal to plain ones and every JSON
encoder takes them, which a ``MappingProxyType`` or a ``tuple`` would not give.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NoReturn

from pydantic import BaseModel

from arvo_plpg.model_error import ModelError

MAX_DEPTH = 200
"""Levels of nesting accepted in event data and workflow state."""

_SHOWN = 120


class JsonValueError(ModelError):
    """A value is not JSON, or JSON that PostgreSQL cannot keep; the message has its path."""


def _refuse(self: Any, *_args: Any, **_named: Any) -> NoReturn:  # noqa: ANN401
    message = f"{type(self).__name__} is immutable; change a copy made by thaw() or to_dict()"
    raise TypeError(message)


class FrozenDict(dict[str, Any]):
    """A JSON object that refuses every change."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, _memo: object) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A JSON array that refuses every change."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> FrozenList:
        return self

    def __deepcopy__(self, _memo: object) -> FrozenList:
        return self

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return FrozenList, (list(self),)


_SCALARS = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})


def freeze(value: Any, path: str = "data", depth: int = 0) -> Any:  # noqa: ANN401
    """Give an unchangeable deep copy of a JSON value.

    Args:
        value: mappings with text keys, lists, tuples, text, numbers, booleans, None; pydantic
            models are dumped in JSON mode by alias.
        path: the name of the value in error messages.
        depth: how many levels lie above the value.

    Raises:
        JsonValueError: another type, a key that is not text, NaN, Infinity, or more than
            ``MAX_DEPTH`` levels. Texts are not looked at here.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        if not isfinite(value):
            raise JsonValueError(f"{_shown(path)} is {value}; JSON has only finite numbers")
        return value
    if depth >= MAX_DEPTH:
        raise JsonValueError(f"{_shown(path)} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return FrozenDict(
            {
                _text_key(key, path): (
                    item if type(item) in _SCALARS else freeze(item, f"{path}.{key}", depth + 1)
                )
                for key, item in value.items()
            }
        )
    if isinstance(value, list | tuple):
        return FrozenList(
            item if type(item) in _SCALARS else freeze(item, f"{path}[{position}]", depth + 1)
            for position, item in enumerate(value)
        )
    if isinstance(value, BaseModel):
        return freeze(value.model_dump(mode="json", by_alias=True), path, depth)
    return _plain_scalar(value, path)


class NotPlainError(ValueError):
    """A value is not as JSON is read; it may be JSON all the same."""


def freeze_plain(value: dict[str, Any], depth: int = 0) -> FrozenDict:
    """Give what :func:`freeze` gives, in half of its time, of a value as JSON is read.

    Raises:
        NotPlainError: there is something else in it than ``dict``, ``list``, text, finite numbers,
            booleans and None, a subclass, say; or it is too deep.
    """
    if depth >= MAX_DEPTH or not _TEXT.issuperset(map(type, value)):
        raise NotPlainError
    if _SCALARS.issuperset(map(type, value.values())):
        return FrozenDict(value)
    return FrozenDict({key: _plain_item(item, depth + 1) for key, item in value.items()})


def _plain_item(item: Any, depth: int) -> Any:  # noqa: ANN401
    kind = type(item)
    if kind in _SCALARS or (kind is float and isfinite(item)):
        return item
    if kind is dict:
        return freeze_plain(item, depth)
    if kind is list and depth < MAX_DEPTH:
        if _SCALARS.issuperset(map(type, item)):
            return FrozenList(item)
        return FrozenList([_plain_item(one, depth + 1) for one in item])
    raise NotPlainError


def _shown(path: str) -> str:
    """Make a path of untrusted keys fit for one line of a log."""
    line = path.encode("unicode_escape").decode()
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _text_key(key: object, path: str) -> str:
    if type(key) is str:
        return key
    if isinstance(key, str):  # an enumeration member, say
        return str.__str__(key)
    raise JsonValueError(f"{_shown(path)} has the key {key!r}; keys of a JSON object are text")


def _plain_scalar(value: object, path: str) -> str | int | float:
    """Reduce a subclass of a JSON scalar (an enumeration, a NumPy float) to the scalar."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and isfinite(value):
        return float(value)
    raise JsonValueError(
        f"{_shown(path)} is a {type(value).__name__}, which is not JSON; convert it first"
    )


def thaw(value: Any) -> Any:  # noqa: ANN401
    """Give a plain, changeable deep copy of a JSON value."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value
