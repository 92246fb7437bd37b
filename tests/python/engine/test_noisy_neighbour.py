"""A queue is read by its own range of an index: what others have in theirs costs it nothing."""

from typing import Any

import psycopg

NOISE = 1_000_000
CLAIM = "SELECT * FROM arvo_v1.claim('{quiet}', 10)"
STEPS = 40


def fill(stage: psycopg.Connection, queue: str, rows: int) -> None:
    """So many ready, in ten transactions, as if they had been dispatched."""
    for part in range(10):
        stage.execute(
            "INSERT INTO arvo.log"
            " (slot, lane, delivery, attempt, at, subject_key, event_key, event)"
            " SELECT 0, (SELECT lane FROM arvo.lane INNER JOIN arvo.queue USING (queue)"
            " WHERE name = %s), nextval('arvo.delivery_number'), 1, '2030-01-01', n, n, '{}'"
            " FROM generate_series(%s::integer, %s::integer) AS n",
            (queue, part * rows // 10 + 1, (part + 1) * rows // 10),
        )


def costs(actor: Any) -> dict[str, int]:
    """Blocks that the dearest claim and settlement of the quiet queue touch, and a usual dispatch.

    One dispatch in many finds a page full, and splits or extends something.
    """
    dispatches, claims, settlements = [], [], []
    for step in range(STEPS):
        dispatch = f"SELECT * FROM arvo_v1.dispatch(stage.event('e{step}', 'quiet'))"
        dispatches.append(actor.blocks(dispatch))
        claims.append(actor.blocks(CLAIM))
        ((token, deliveries),) = actor.ask(
            "SELECT token, deliveries FROM arvo.lease INNER JOIN arvo.lane USING (lane)"
            " INNER JOIN arvo.queue USING (queue) WHERE name = 'quiet'"
            " ORDER BY number DESC LIMIT 1"
        )
        assert len(deliveries) == 1
        settlements.append(
            actor.blocks(
                "SELECT * FROM arvo_v1.settle(jsonb_build_array(jsonb_build_object("
                f"'lease', {token}, 'delivery', {deliveries[0]}, 'outcome', 'completed')))"
            )
        )
    return {
        "dispatch": sorted(dispatches)[STEPS // 2],
        "claim": max(claims),
        "settle": max(settlements),
    }


def test_a_queue_beside_a_million_ready_events_of_another_costs_as_much_as_before(actors, stage):
    ann = actors()
    ann.register("noisy")
    ann.register("quiet")
    costs(ann)  # plans and catalogs
    alone = costs(ann)
    fill(stage, "noisy", NOISE)
    beside = costs(ann)
    # Some trees are a level higher, and now and then a page is split.
    assert all(beside[verb] < 1.3 * alone[verb] + 20 for verb in alone), (alone, beside)

    # The noisy one itself is claimed from as if it were short.
    taken = ann.blocks("SELECT * FROM arvo_v1.claim('{noisy}', 10)")
    assert taken < 1.3 * beside["claim"] + 30, (taken, beside)
