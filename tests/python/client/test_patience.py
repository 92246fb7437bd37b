"""A lock that somebody holds for long delays the one result that needs it, and nothing else."""

import psycopg

NEW = "com.example.brand.new"


async def test_an_open_transaction_of_another_delays_only_what_needs_its_lock(
    broker, event, recorder, until, dsn, worker_options, ask, log
):
    """Somebody has dispatched to a queue that nobody knew, and has not committed yet."""

    async def emit(_):
        return [event(to=NEW, number=7)]

    others = recorder()
    await broker.register(others, worker_options(concurrency=5))
    await broker.register(recorder("com.example.emitter", emit), worker_options(concurrency=5))
    async with await psycopg.AsyncConnection.connect(dsn) as somebody:
        await somebody.execute("SELECT arvo_v1.dispatch(%s)", [event(to=NEW).to_json()])
        await broker.dispatch(event(to="com.example.emitter"))
        await until(lambda: "somebody holds a lock" in log.text)
        await broker.dispatch(event())
        await until(lambda: others.seen)
        assert ask("SELECT count(*) FROM arvo.queue WHERE name = %s", NEW) == [(0,)]
        await somebody.rollback()
    await until(lambda: ask("SELECT 1 FROM arvo.log WHERE event -> 'data' ->> 'number' = '7'"))
    # Nothing was charged and nothing doubled by the delay.
    assert ask("SELECT count(*) FROM arvo.log WHERE attempt > 1") == [(0,)]
    assert ask("SELECT count(*) FROM arvo.log WHERE event -> 'data' ->> 'number' = '7'") == [(1,)]
