"""An event broker and workflow memory for Arvo that live inside PostgreSQL."""

from arvo_plpg.broker import PostgresEventBroker
from arvo_plpg.contract import (
    ArvoContract,
    ArvoOrchestratorContract,
    OrchestratorVersionDefinition,
    SimpleVersionDefinition,
    VersionDefinition,
    VersionedContract,
    VersionedOrchestratorContract,
    create_arvo_contract,
    create_arvo_orchestrator_contract,
    create_simple_arvo_contract,
)
from arvo_plpg.dataschema import DataSchema, parse_dataschema
from arvo_plpg.domain import ArvoDomain, resolve_event_domain
from arvo_plpg.errors import (
    AlreadyRegistered,
    ArvoError,
    BrokerNotStarted,
    CallerError,
    ClientTooOld,
    ConflictError,
    DatabaseUnreachable,
    DeadlineExceeded,
    InvalidArgument,
    InvalidOption,
    LockLost,
    LostError,
    PrivilegeMissing,
    SchemaError,
    SchemaMissing,
    SchemaTooOld,
    UnknownEvent,
    UnknownQueue,
    VersionConflict,
)
from arvo_plpg.event import ARVO_CONTENT_TYPE, MAX_EVENT_BYTES, ArvoEvent, create_arvo_event
from arvo_plpg.event_factory import (
    ArvoEventFactory,
    ArvoOrchestratorEventFactory,
    create_arvo_event_factory,
)
from arvo_plpg.event_id import EventId, create_arvo_event_id, parse_arvo_event_id
from arvo_plpg.handler import AnyHandler, Handler, StatefulHandler, is_stateful
from arvo_plpg.handlers.chart import ArvoStateChart
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.emission_builder import EmissionDomains
from arvo_plpg.handlers.event_handler import (
    ArvoEventHandler,
    HandlerContext,
    create_arvo_event_handler,
)
from arvo_plpg.handlers.machine import ArvoMachine, create_arvo_machine
from arvo_plpg.handlers.orchestrator import ArvoOrchestrator, create_arvo_orchestrator
from arvo_plpg.handlers.resumable import (
    ArvoResumable,
    Completion,
    ResumableContext,
    ResumableResult,
    create_arvo_resumable,
)
from arvo_plpg.machine_memory import MachineMemory, MemoryMetadata, StateRecord
from arvo_plpg.memory import (
    LockConfig,
    MemoryConfig,
    PostgresMachineMemory,
    connect_postgres_machine_memory,
    release_postgres_machine_memory,
)
from arvo_plpg.model_error import (
    EventTooLargeError,
    InvalidContractError,
    InvalidEventError,
    InvalidSubjectError,
    ModelError,
)
from arvo_plpg.options import DispatchOptions, HandlerOptions, QueueOptions, WorkerOptions
from arvo_plpg.payload import SystemErrorData
from arvo_plpg.runtime.delivery import Delivery, current_delivery
from arvo_plpg.subject import ArvoOrchestrationSubject, SubjectContent
from arvo_plpg.violation import (
    ConfigViolation,
    ContractViolation,
    ExecutionViolation,
    TransactionViolation,
    TransactionViolationCause,
    ViolationError,
    is_violation_error,
)

__all__ = [
    "ARVO_CONTENT_TYPE",
    "MAX_EVENT_BYTES",
    "AlreadyRegistered",
    "AnyHandler",
    "ArvoContract",
    "ArvoDomain",
    "ArvoError",
    "ArvoEvent",
    "ArvoEventFactory",
    "ArvoEventHandler",
    "ArvoMachine",
    "ArvoOrchestrationSubject",
    "ArvoOrchestrator",
    "ArvoOrchestratorContract",
    "ArvoOrchestratorEventFactory",
    "ArvoResumable",
    "ArvoStateChart",
    "BrokerNotStarted",
    "CallerError",
    "ClientTooOld",
    "Completion",
    "ConfigViolation",
    "ConflictError",
    "ContractViolation",
    "DataSchema",
    "DatabaseUnreachable",
    "DeadlineExceeded",
    "Delivery",
    "DispatchOptions",
    "Emission",
    "EmissionDomains",
    "EventId",
    "EventTooLargeError",
    "ExecutionViolation",
    "Handler",
    "HandlerContext",
    "HandlerOptions",
    "InvalidArgument",
    "InvalidContractError",
    "InvalidEventError",
    "InvalidOption",
    "InvalidSubjectError",
    "LockConfig",
    "LockLost",
    "LostError",
    "MachineMemory",
    "MemoryConfig",
    "MemoryMetadata",
    "ModelError",
    "OrchestratorVersionDefinition",
    "PostgresEventBroker",
    "PostgresMachineMemory",
    "PrivilegeMissing",
    "QueueOptions",
    "ResumableContext",
    "ResumableResult",
    "SchemaError",
    "SchemaMissing",
    "SchemaTooOld",
    "SimpleVersionDefinition",
    "StateRecord",
    "StatefulHandler",
    "SubjectContent",
    "SystemErrorData",
    "TransactionViolation",
    "TransactionViolationCause",
    "UnknownEvent",
    "UnknownQueue",
    "VersionConflict",
    "VersionDefinition",
    "VersionedContract",
    "VersionedOrchestratorContract",
    "ViolationError",
    "WorkerOptions",
    "connect_postgres_machine_memory",
    "create_arvo_contract",
    "create_arvo_event",
    "create_arvo_event_factory",
    "create_arvo_event_handler",
    "create_arvo_event_id",
    "create_arvo_machine",
    "create_arvo_orchestrator",
    "create_arvo_orchestrator_contract",
    "create_arvo_resumable",
    "create_simple_arvo_contract",
    "current_delivery",
    "is_stateful",
    "is_violation_error",
    "parse_arvo_event_id",
    "parse_dataschema",
    "release_postgres_machine_memory",
    "resolve_event_domain",
]
