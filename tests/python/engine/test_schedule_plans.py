"""Looking for due fires costs the same after many of them, while somebody holds an old snapshot."""

from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 1, tzinfo=UTC)
FIRES = 150


def test_nothing_due_is_found_out_by_as_many_blocks_as_before(actors):
    holder, clock, worker = actors(), actors(), actors()
    clock.ask(
        "SELECT arvo_v1.schedule('s' || n, '* * * * * *', stage.tick('s'))"
        " FROM generate_series(1, 3) AS n"
    )
    holder.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    holder.ask("SELECT 1")
    worker.ask("SELECT arvo.fire_schedules(), arvo.next_fire() FROM generate_series(1, 6)")
    before = [worker.blocks(f"SELECT arvo.{f}()") for f in ("fire_schedules", "next_fire")]
    for second in range(1, FIRES + 1):
        clock.freeze((START + timedelta(seconds=second)).isoformat())
        assert clock.ask("SELECT arvo.fire_schedules()") == [(3,)]
    worker.freeze((START + timedelta(seconds=FIRES)).isoformat())
    worker.ask("SELECT arvo.fire_schedules(), arvo.next_fire() FROM generate_series(1, 6)")
    after = [worker.blocks(f"SELECT arvo.{f}()") for f in ("fire_schedules", "next_fire")]
    assert max(after) <= max(before) + 10, (before, after)
    everything = worker.blocks("SELECT FROM arvo.schedule WHERE next_at <= '2040-01-01'")
    assert everything > 3 * max(after), "there is much to walk over, had one to"
    holder.connection.rollback()
