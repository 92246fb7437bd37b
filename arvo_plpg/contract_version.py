"""Versions of contracts whose types flow: from the models into the functions of handlers.

A version is told once, in models; a type checker then knows what the function of that version gets
and may return::

    GREET_1 = contract_version("1.0.0", accepts=Greet).emitting("evt.hello.said", Said)
    GREET = create_arvo_contract(uri="#/hello", type="com.hello.greet", versions=[GREET_1])

    @GREET_1.handler
    async def greet(context: HandlerContext[Greet]) -> Said:
        return Said(text=f"Hello, {context.payload.name}")

    handler = create_arvo_event_handler(contract=GREET, handler=[greet])
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Never, TypeVar, cast

from arvo_plpg.handlers.version_handler import VersionHandler
from arvo_plpg.payload import EventData, SchemaSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pydantic import TypeAdapter

    from arvo_plpg.handlers.chart import ArvoStateChart
    from arvo_plpg.handlers.event_handler import HandlerContext, Reply
    from arvo_plpg.handlers.resumable import ResumableContext, ResumableResult

_In_co = TypeVar("_In_co", covariant=True)
_Out_co = TypeVar("_Out_co", covariant=True)
_In = TypeVar("_In", bound=EventData)
_Out = TypeVar("_Out", bound=EventData)
_Model = TypeVar("_Model", bound=EventData)


class VersionOf(Generic[_In_co, _Out_co]):
    """One version of a contract, before it is in one.

    Attributes:
        number: X.Y.Z.
        accepts: the schema of what the handler takes.
    """

    def __init__(self, number: str, accepts: SchemaSource) -> None:
        self.number = number
        self.accepts = accepts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number}>"


class ContractVersion(VersionOf[_In, _Out]):
    """A version of a plain contract. Make one by :func:`contract_version`.

    Attributes:
        emits: the schemas of what the handler answers with, by type.
    """

    def __init__(
        self, number: str, accepts: SchemaSource, emits: Mapping[str, SchemaSource]
    ) -> None:
        super().__init__(number, accepts)
        self.emits = MappingProxyType(dict(emits))

    def emitting(
        self,
        type: str,  # noqa: A002 - the attribute's name
        schema: type[_Model] | TypeAdapter[_Model],
    ) -> ContractVersion[_In, _Out | _Model]:
        """Give the version that emits one more type."""
        return ContractVersion(self.number, self.accepts, {**self.emits, type: _source(schema)})

    def handler(
        self, function: Callable[[HandlerContext[_In]], Awaitable[Reply[_Out]] | Reply[_Out]]
    ) -> VersionHandler[HandlerContext[_In], Reply[_Out]]:
        """Decorate the function of this version."""
        return VersionHandler(self, function)


class SimpleVersion(VersionOf[_In, _Out]):
    """A version of a simple contract. Make one by :func:`simple_version`.

    Attributes:
        answer: the schema of the one thing that the handler answers with.
    """

    def __init__(self, number: str, accepts: SchemaSource, answer: SchemaSource) -> None:
        super().__init__(number, accepts)
        self.answer = answer

    def handler(
        self, function: Callable[[HandlerContext[_In]], Awaitable[Reply[_Out]] | Reply[_Out]]
    ) -> VersionHandler[HandlerContext[_In], Reply[_Out]]:
        """Decorate the function of this version."""
        return VersionHandler(self, function)


class WorkflowVersion(VersionOf[_In, _Out]):
    """A version of an orchestrator's contract. Make one by :func:`workflow_version`.

    Attributes:
        answer: the schema of the completion.
    """

    def __init__(self, number: str, accepts: SchemaSource, answer: SchemaSource) -> None:
        super().__init__(number, accepts)
        self.answer = answer

    def resumable(
        self,
        function: Callable[
            [ResumableContext[_In]],
            Awaitable[ResumableResult[_Out] | None] | ResumableResult[_Out] | None,
        ],
    ) -> VersionHandler[ResumableContext[_In], ResumableResult[_Out] | None]:
        """Decorate the function of this version of a resumable."""
        return VersionHandler(self, function)

    def chart(self, chart: type[ArvoStateChart[_Out]]) -> type[ArvoStateChart[_Out]]:
        """Decorate the statechart of this version: its output must be the completion's model."""
        return chart


def contract_version(
    number: str, *, accepts: type[_In] | TypeAdapter[_In]
) -> ContractVersion[_In, Never]:
    """Tell a version for :func:`create_arvo_contract`: ``.emitting(type, model)`` adds answers."""
    return ContractVersion(number, _source(accepts), {})


def simple_version(
    number: str, *, accepts: type[_In] | TypeAdapter[_In], emits: type[_Out] | TypeAdapter[_Out]
) -> SimpleVersion[_In, _Out]:
    """Tell a version for :func:`create_simple_arvo_contract`."""
    return SimpleVersion(number, _source(accepts), _source(emits))


def workflow_version(
    number: str, *, init: type[_In] | TypeAdapter[_In], complete: type[_Out] | TypeAdapter[_Out]
) -> WorkflowVersion[_In, _Out]:
    """Tell a version for :func:`create_arvo_orchestrator_contract`."""
    return WorkflowVersion(number, _source(init), _source(complete))


def _source(schema: object) -> SchemaSource:
    """A TypeVar over models and TypedDicts is no SchemaSource to a type checker."""
    return cast("SchemaSource", schema)
