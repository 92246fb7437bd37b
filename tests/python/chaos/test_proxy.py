"""The proxy passes everything, and stands still at the moment that a trap names."""

import threading

import psycopg
import pytest

from arvo_plpg import create_arvo_event
from arvo_plpg.sync import Broker
from chaos.proxy import Trap


def event(number):
    return create_arvo_event(
        id=f"e{number}",
        source="test.chaos.proxy",
        type="com.test.happened",
        subject="s",
        to="com.test.proxy",
        data={},
    )


@pytest.fixture
def count(port, address):
    """How many events the server has, asked past the proxy."""

    def ask():
        with psycopg.connect(address(port)) as connection:
            return connection.execute("SELECT count(*) FROM arvo.log WHERE lane > 0").fetchone()[0]

    return ask


def test_everything_passes(through, proxy, port):
    with psycopg.connect(through, autocommit=True) as connection:
        assert connection.execute("SELECT 1; SELECT 2").fetchall() == [(1,)]
        for number in range(10):  # prepared on the way
            (found,) = connection.execute("SELECT repeat('x', %s)", [number * 100_000]).fetchone()
            assert len(found) == number * 100_000
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with connection.pipeline():
            numbers = [connection.execute("SELECT %s::int", [n]) for n in range(5)]
        assert [cursor.fetchone() for cursor in numbers] == [(n,) for n in range(5)]
        connection.execute("CREATE TEMPORARY TABLE copied (n int)")
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row([number])
        assert connection.execute("SELECT count(*) FROM copied").fetchone() == (1000,)
        assert proxy.pids() == [connection.info.backend_pid]


def test_notifications_pass_while_nothing_is_asked(through, port, address):
    with psycopg.connect(through, autocommit=True) as listener:
        listener.execute("LISTEN somewhere")
        with psycopg.connect(address(port), autocommit=True) as another:
            another.execute("NOTIFY somewhere, 'hello'")
        (notification,) = listener.notifies(timeout=10, stop_after=1)
        assert notification.payload == "hello"


def test_a_trap_before_a_commit_reaches_the_server(through, proxy, port, address, count):
    seen = []

    def fault(passing):
        with psycopg.connect(address(port)) as another:
            seen.append(
                another.execute("SELECT count(*) FROM arvo.log WHERE lane > 0").fetchone()[0]
            )
        passing.cut()

    before = count()
    proxy.set(Trap("commit", "sent", fault))
    with psycopg.connect(through) as connection:
        Broker(connection).dispatch(event("before"))
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert seen == [before]
    assert count() == before


def test_a_trap_after_the_server_has_committed(through, proxy, count):
    before = count()
    trap = Trap("commit", "answered", lambda passing: passing.cut())
    proxy.set(trap)
    with psycopg.connect(through) as connection:
        Broker(connection).dispatch(event("after"))
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert trap.fired.wait(10)
    assert count() == before + 1


def test_a_trap_waits_for_the_answer_that_it_names(through, proxy):
    trap = Trap("claim", "answered", lambda _: None, holds=b"claimed")
    proxy.set(trap)
    with psycopg.connect(through, autocommit=True) as connection:
        broker = Broker(connection)
        broker.register_queue("com.test.proxy")
        while broker.look(["com.test.proxy"], 10)[0].kind == "claimed":
            trap.taken = False
            trap.fired.clear()
        assert not trap.fired.is_set()
        broker.dispatch(event("one"))
        assert broker.look(["com.test.proxy"])[0].kind == "claimed"
        assert trap.fired.is_set()


def test_calls_by_prepared_statements_are_known(through, proxy):
    fired = threading.Event()
    with psycopg.connect(through, autocommit=True, prepare_threshold=0) as connection:
        broker = Broker(connection)
        broker.register_queue("com.test.proxy")
        for _ in range(3):
            broker.work([])
        proxy.set(Trap("settle", "sent", lambda _: fired.set()))
        broker.work([])
    assert fired.is_set()


def test_a_blackhole_passes_nothing_until_it_ends(through, proxy):
    with psycopg.connect(through, autocommit=True) as connection:
        proxy.blackhole = True
        answered = []

        def ask():
            answered.extend(connection.execute("SELECT 1").fetchall())

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(0.2)
        assert asking.is_alive()
        proxy.blackhole = False
        asking.join(10)
        assert answered == [(1,)]


def test_new_connections_may_be_refused_and_old_ones_dropped(through, proxy):
    with psycopg.connect(through, autocommit=True) as connection:
        proxy.refuses = True
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(through)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        proxy.drop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
