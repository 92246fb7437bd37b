"""VersionHandler: the function of one version of a contract, made by its decorator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from arvo_plpg.model_error import InvalidContractError

if TYPE_CHECKING:
    from arvo_plpg.contract import ArvoContract
    from arvo_plpg.contract_version import VersionOf

_Context_contra = TypeVar("_Context_contra", contravariant=True)
_Result_co = TypeVar("_Result_co", covariant=True)


class VersionHandler(Generic[_Context_contra, _Result_co]):
    """A function that knows the version that it is for. It may be called as the function was.

    Attributes:
        version: the version.
        function: the function, as it was written.
    """

    def __init__(
        self,
        version: VersionOf[Any, Any],
        function: Callable[[_Context_contra], Awaitable[_Result_co] | _Result_co],
    ) -> None:
        self.version = version
        self.function = function
        self.__doc__ = function.__doc__

    def __call__(self, context: _Context_contra) -> Awaitable[_Result_co] | _Result_co:
        """Call the function."""
        return self.function(context)


def functions_by_version(
    contract: ArvoContract, given: Mapping[str, Any] | Sequence[VersionHandler[Any, Any]]
) -> dict[str, Any]:
    """Give the functions of a handler by version, whichever way they were told.

    Raises:
        InvalidContractError: a function is for a version that this contract is not made of, or
            there are two of one version.
    """
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        pairs = [(_decorated(one).version.number, one) for one in given]
    numbers = [number for number, _ in pairs]
    if len(set(numbers)) < len(numbers):
        raise InvalidContractError(f"Contract {contract.uri} has two functions of one version")
    functions: dict[str, Any] = {}
    for number, function in pairs:
        if isinstance(function, VersionHandler):
            if contract.version(function.version).version != number:
                raise InvalidContractError(
                    f"Contract {contract.uri}: the function given for version {number} is of "
                    f"version {function.version.number}"
                )
            functions[number] = function.function
        else:
            functions[number] = function
    return functions


def _decorated(one: object) -> VersionHandler[Any, Any]:
    if not isinstance(one, VersionHandler):
        raise InvalidContractError(
            f"a list of functions holds decorated ones, not {type(one).__name__}; "
            "decorate it by its version, or give a mapping by version"
        )
    return one
