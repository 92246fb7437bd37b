"""Tables: what the database says afterwards, read from its rooms and not through its functions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Mapping

_DELIVERIES = """
WITH entry AS MATERIALIZED (
    SELECT delivery, lane, attempt, event, origin_delivery, false AS put_off
    FROM arvo.log
    WHERE lane > 0  -- not those that are nothing but keys
    UNION ALL
    SELECT later.delivery, later.lane, later.attempt, later.event, later.origin_delivery, true
    FROM arvo.deferred AS later
    WHERE NOT EXISTS (SELECT FROM arvo.log WHERE log.delivery = later.delivery)
),
leased AS MATERIALIZED (
    SELECT DISTINCT ON (taken.delivery) taken.delivery, lease.token
    FROM arvo.lease CROSS JOIN LATERAL unnest(lease.deliveries) AS taken (delivery)
    WHERE lease.token <> 0
    ORDER BY taken.delivery, lease.token DESC
),
closed AS MATERIALIZED (
    SELECT gone.delivery, closure.token,
           closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome
    FROM arvo.closure
    CROSS JOIN LATERAL unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
)
SELECT
    told.event ->> 'id' AS event,
    told.event ->> 'parentid' AS parent,
    told.event ->> 'subject' AS subject,
    (told.event -> 'data' ->> 'number')::integer AS number,
    (told.event -> 'data' ->> 'amount')::integer AS amount,
    queue.name AS queue,
    entry.delivery,
    coalesce(entry.origin_delivery, entry.delivery) AS first,
    entry.attempt,
    coalesce(
        closed.outcome,
        CASE
            WHEN leased.token IS NOT NULL THEN 'leased'
            WHEN entry.put_off THEN 'deferred'
            WHEN EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = entry.delivery)
                THEN 'parked'
            ELSE 'queued'
        END
    ) AS place
FROM entry
INNER JOIN arvo.lane ON lane.lane = entry.lane
INNER JOIN arvo.queue ON queue.queue = lane.queue
CROSS JOIN LATERAL (
    SELECT coalesce(entry.event, (
        SELECT origin.event FROM arvo.log AS origin
        WHERE origin.delivery = entry.origin_delivery AND origin.event IS NOT NULL
        UNION ALL
        SELECT origin.event FROM arvo.deferred AS origin
        WHERE origin.delivery = entry.origin_delivery AND origin.event IS NOT NULL
        LIMIT 1
    )) AS event
) AS told
LEFT JOIN leased ON leased.delivery = entry.delivery
LEFT JOIN closed ON closed.delivery = entry.delivery
    AND (closed.token = leased.token OR closed.outcome NOT IN ('released', 'expired'))
ORDER BY entry.delivery
"""
# A delivery that was closed twice, under whatever leases, has two rows: that is for the checker.


@dataclass(frozen=True)
class Delivery:
    """One delivery of an event.

    Attributes:
        event: id of the event.
        parent: id of the event that it was emitted for; None for one that a producer dispatched.
        subject: its workflow.
        number: its place among the events of its producer and subject.
        amount: what its handler books.
        queue: name of its queue.
        delivery: number of the delivery.
        first: number of the first delivery of the event there: the order of acceptance.
        attempt: which attempt it is.
        place: its outcome, or where it is when it has none.
    """

    event: str
    parent: str | None
    subject: str
    number: int | None
    amount: int | None
    queue: str
    delivery: int
    first: int
    attempt: int
    place: str


@dataclass(frozen=True)
class Effect:
    """What a handler did to the business table, idempotently.

    Attributes:
        event: for which event.
        amount: what it booked.
    """

    event: str
    amount: int


@dataclass(frozen=True)
class State:
    """The state of one workflow.

    Attributes:
        version: as stored.
        numbers: its steps, in the order in which they were made.
    """

    version: int
    numbers: list[int]


@dataclass(frozen=True)
class Tables:
    """Everything that the checker wants to know of the database.

    Attributes:
        deliveries: all deliveries, in the order of their numbers.
        effects: rows of the business table of effects.
        balance: sum of all accounts, which each effect was added to once.
        requests: ids of events whose business row was committed with their dispatch.
        states: the stored states, by subject.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    balance: int = 0
    requests: list[str] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give them as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Tables:
        """Read what :meth:`to_dict` gave."""
        return cls(
            [Delivery(**one) for one in told["deliveries"]],
            [Effect(**one) for one in told["effects"]],
            told["balance"],
            list(told["requests"]),
            {subject: State(**one) for subject, one in told["states"].items()},
        )


def read(dsn: str) -> Tables:
    """Read the tables of a database, in one snapshot, as its owner."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        deliveries = [Delivery(*row) for row in connection.execute(_DELIVERIES)]
        effects = [
            Effect(*row) for row in connection.execute("SELECT event, amount FROM business.effect")
        ]
        (balance,) = connection.execute(
            "SELECT coalesce(sum(balance), 0)::bigint FROM business.account"
        ).fetchone() or (0,)
        requests = [row[0] for row in connection.execute("SELECT event FROM business.request")]
        states = {
            subject: State(version, data.get("numbers", []))
            for subject, version, data in connection.execute(
                "SELECT subject, version, data FROM arvo.state"
            )
        }
    return Tables(deliveries, effects, balance, requests, states)
