"""Match: an answer against what a scenario expects of it, and the names that scenarios give.

An expected object may leave out fields of the answer; an expected array has as many items as the
answer. ``"*"`` stands for anything but null. ``"$name"`` stands for one value: the first time it
takes it, from then on it is it. ``{"unordered": […]}`` is an array in any order,
``{"containing": […]}`` one that has such items among others, ``{"keys": […]}`` an object with these
keys in this order.
"""

from __future__ import annotations

from typing import Any

Names = dict[str, Any]


def fault(expected: Any, answer: Any, names: Names, path: str = "answer") -> str | None:  # noqa: ANN401
    """Give the first difference, None if there is none; names are bound on the way."""
    if isinstance(expected, dict):
        return _object_fault(expected, answer, names, path)
    if isinstance(expected, list):
        return _array_fault(expected, answer, names, path)
    if expected == "*":
        return None if answer is not None else f"{path} is null"
    if isinstance(expected, str) and expected.startswith("$"):
        if expected not in names:
            names[expected] = answer
            return None if answer is not None else f"{path} is null"
        expected = names[expected]
    if _same(expected, answer):
        return None
    return f"{path} is {_shown(answer)}, not {_shown(expected)}"


def filled(given: Any, names: Names) -> Any:  # noqa: ANN401 - any JSON
    """Give what a step says, with the values in place of their names.

    Raises:
        KeyError: no value has been met for a name.
    """
    if isinstance(given, dict):
        return {key: filled(value, names) for key, value in given.items()}
    if isinstance(given, list):
        return [filled(value, names) for value in given]
    if isinstance(given, str) and given.startswith("$"):
        return names[given]
    return given


def _object_fault(expected: dict[str, Any], answer: Any, names: Names, path: str) -> str | None:  # noqa: ANN401
    if len(expected) == 1:
        ((form, wanted),) = expected.items()
        if form in _FORMS:
            return _FORMS[form](wanted, answer, names, path)
    if not isinstance(answer, dict):
        return f"{path} is {_shown(answer)}, not an object"
    for key, value in expected.items():
        if key not in answer:
            return f"{path}.{key} is missing"
        if found := fault(value, answer[key], names, f"{path}.{key}"):
            return found
    return None


def _array_fault(expected: list[Any], answer: Any, names: Names, path: str) -> str | None:  # noqa: ANN401
    if not isinstance(answer, list):
        return f"{path} is {_shown(answer)}, not an array"
    if len(answer) != len(expected):
        return f"{path} has {len(answer)} items, not {len(expected)}: {_shown(answer)}"
    for place, (wanted, got) in enumerate(zip(expected, answer, strict=True)):
        if found := fault(wanted, got, names, f"{path}[{place}]"):
            return found
    return None


def _containing_fault(expected: list[Any], answer: Any, names: Names, path: str) -> str | None:  # noqa: ANN401
    if not isinstance(answer, list):
        return f"{path} is {_shown(answer)}, not an array"
    left = list(answer)
    for wanted in expected:
        for got in left:
            attempt = dict(names)
            if fault(wanted, got, attempt) is None:
                names.update(attempt)
                left.remove(got)
                break
        else:
            return f"{path} is {_shown(answer)}, without {_shown(wanted)}"
    return None


def _unordered_fault(expected: list[Any], answer: Any, names: Names, path: str) -> str | None:  # noqa: ANN401
    if isinstance(answer, list) and len(answer) != len(expected):
        return f"{path} has {len(answer)} items, not {len(expected)}: {_shown(answer)}"
    return _containing_fault(expected, answer, names, path)


def _keys_fault(expected: list[str], answer: Any, _names: Names, path: str) -> str | None:  # noqa: ANN401
    keys = list(answer) if isinstance(answer, dict) else None
    return None if keys == expected else f"{path} has the keys {keys}, in this order"


_FORMS = {"unordered": _unordered_fault, "containing": _containing_fault, "keys": _keys_fault}


def _same(expected: Any, answer: Any) -> bool:  # noqa: ANN401
    if isinstance(expected, bool) or isinstance(answer, bool):
        return expected is answer
    if isinstance(expected, int) and isinstance(answer, str):  # int8 may come as its digits
        return str(expected) == answer
    if isinstance(expected, str) and isinstance(answer, int):
        return expected == str(answer)
    return bool(expected == answer)


def _shown(value: Any) -> str:  # noqa: ANN401
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"  # noqa: PLR2004 - of a line
