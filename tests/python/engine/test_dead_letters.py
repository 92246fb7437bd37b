"""Dead letters among very many others: found by index, whatever was resolved before."""

from typing import Any

import pytest

RESOLVED = 200_000
OPEN = 100_000
MINE = 50

FILL = """
INSERT INTO arvo.dead (delivery, queue, dead_letter, event_id, subject_key, event_key, event,
                       attempts, reason, died_at, resolution, resolved_at)
SELECT n, %(queue)s, %(dead_letter)s, 'x' || n, hashtextextended(%(queue)s || n, 0),
       hashtextextended('x' || n, 0), stage.event('x' || n, %(queue)s, %(queue)s || n), 1, 'failed',
       timestamptz '2029-12-01T00:00:00Z', %(resolution)s,
       CASE WHEN %(resolution)s::text IS NOT NULL THEN timestamptz '2029-12-02T00:00:00Z' END
FROM generate_series(1, %(count)s) AS n
"""


def fill(
    actor: Any, queue: str, count: int, dead_letter: str | None, resolution: str | None
) -> None:
    actor.connection.execute(
        FILL,
        {"queue": queue, "count": count, "dead_letter": dead_letter, "resolution": resolution},
    )


@pytest.fixture
def ann(actors):
    """A session, with half of all that was resolved in the queue that is asked about."""
    actor = actors()
    for queue in ("mine", "other", "asked"):
        actor.register(queue)
    fill(actor, "mine", RESOLVED // 2, "asked", "redriven")
    fill(actor, "other", RESOLVED // 2, None, "discarded")
    # The statistics are of this moment: nearly everything is of these queues, and nothing is open.
    actor.connection.execute("ANALYZE arvo.dead")
    fill(actor, "other", OPEN, "elsewhere", None)
    fill(actor, "mine", MINE, None, None)
    return actor


def dead_rows(actor: Any) -> tuple[int, int]:
    """Dead letters that this session read so far: by whole scans, by index."""
    return actor.ask(
        "SELECT seq_tup_read::integer, idx_tup_fetch::integer FROM pg_stat_xact_user_tables"
        " WHERE schemaname = 'arvo' AND relname = 'dead'"
    )[0]


def read(actor: Any, statement: str) -> tuple[int, int, int]:
    """How a statement reads, run once more: rows of dead by whole scans, by index; buffers."""
    actor.ask(statement)  # plans are made, too
    with actor.connection.transaction():
        before = dead_rows(actor)
        blocks = actor.blocks(statement)
        after = dead_rows(actor)
    return after[0] - before[0], after[1] - before[1], blocks


def test_every_way_to_look_for_them_is_by_index(ann):
    subject = "'other' || 77"
    for statement, most in (
        ("dead_letters('mine')", MINE),
        ("dead_letters('asked')", 0),
        ("dead_letters('nobody')", 0),
        ("dead_letters('other', p_limit => 20)", 20),
        ("dead_letters('elsewhere', p_limit => 20)", 20),
        ("dead_letters('other', p_after => 290000, p_limit => 20)", 20),
        ("dead_letters('mine', p_resolved => true, p_limit => 20)", 20),
        ("dead_letters('asked', p_resolved => true, p_limit => 20)", 20),
        ("dead_letters(p_limit => 20)", 20),
        ("dead_letters(p_after => 300000, p_limit => 20)", 20),
        ("dead_letters(p_resolved => true, p_limit => 20)", 20),
        (f"dead_letters(p_subject => {subject}, p_resolved => true)", 2),
        (f"dead_letters(p_subject => {subject})", 2),
        ("dead_letters(p_dead => '{5, 299990, 300010}', p_resolved => true)", 3),
        ("dead_letters(p_dead => '{5, 299990, 300010}')", 3),
        ("redrive(p_dead => '{5, 299990, 300010}', p_dry_run => true)", 3),
        ("redrive('mine', p_limit => 10, p_dry_run => true)", 10),
        ("discard('asked', p_dry_run => true)", 0),
        ("discard('elsewhere', p_limit => 10, p_dry_run => true)", 10),
    ):
        scanned, fetched, blocks = read(ann, f"SELECT * FROM arvo_v1.{statement}")
        assert scanned == 0, statement
        # a redrive finds each, asks for its lane, locks it and reads it
        assert fetched <= 4 * most + 3, statement
        assert blocks < 150 + 20 * most, statement
    # Filters that no index knows ask the open letters of the queue, and no others.
    filters = "p_path => '$.to == \"mine\"', p_text => 'x7'"
    scanned, fetched, _ = read(ann, f"SELECT * FROM arvo_v1.dead_letters('mine', {filters})")
    assert (scanned, fetched) == (0, MINE)


def test_a_redrive_touches_what_it_moves(ann):
    scanned, fetched, blocks = read(ann, "SELECT * FROM arvo_v1.redrive('mine', p_limit => 20)")
    assert scanned == 0
    assert fetched <= 20 * 5 + 3
    assert blocks < 20 * 150
    assert ann.ask("SELECT count(*) FROM arvo_v1.dead_letters('mine')") == [(MINE - 40,)]


def test_letters_that_are_refused_do_not_stop_those_behind_them(actors):
    ann = actors()
    for queue in ("mine", "other"):
        ann.register(queue)
    fill(ann, "mine", 3000, None, None)
    ann.connection.execute("UPDATE arvo.dead SET redrives = 20 WHERE delivery <= 2500")

    told = ann.ask("SELECT outcome, code, dead FROM arvo_v1.redrive('mine', p_limit => 3)")
    assert [(outcome, code) for outcome, code, _ in told] == [
        ("refused", "RV102"), ("refused", "RV102"), ("refused", "RV102"),
        ("redriven", None), ("redriven", None), ("redriven", None),
    ]  # fmt: skip
    assert ann.ask("SELECT delivery FROM arvo.dead WHERE resolution IS NOT NULL ORDER BY 1") == [
        (2501,), (2502,), (2503,),
    ]  # fmt: skip


def test_attempts_and_replays_are_found_by_index_in_a_long_history(actors):
    ann = actors()
    ann.register(retry_limit=0)
    ann.put("needle")
    ann.put("later", after="1 day")
    (taken,) = ann.take()
    ann.settle({"lease": taken[0], "delivery": taken[1], "outcome": "failed"})
    for _ in range(5):
        ann.put_many(1000)
    while more := ann.take(10_000):
        ann.complete(*more)
    ann.connection.execute("ANALYZE")

    for statement, most in (
        ("SELECT * FROM arvo_v1.dead_letter_attempts((SELECT dead FROM arvo.dead))", 10),
        ("SELECT arvo_v1.replay('needle')", 10),
        ("SELECT arvo_v1.replay('later')", 10),
    ):
        ann.ask(statement)
        with ann.connection.transaction():
            before = ann.fetched()
            blocks = ann.blocks(statement)
            after = ann.fetched()
        assert after[0] - before[0] == 0, statement
        assert after[1] - before[1] <= most, statement
        assert blocks < 300, statement
