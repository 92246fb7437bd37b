"""Events in the transactions of other libraries: the real ones, on a real server."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import django
import psycopg
import pytest
from django.conf import settings
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from arvo_plpg import DispatchOptions, HandlerNotRegistered, InvalidEventError, InvalidOption
from arvo_plpg.adapters import django as in_django
from arvo_plpg.adapters import psycopg as in_psycopg
from arvo_plpg.adapters import sqlalchemy as in_sqlalchemy
from arvo_plpg.errors import InvalidArgument, SchemaMissing
from arvo_plpg.sync import Broker

ORDER = "INSERT INTO customer_order (number) VALUES (1)"


class TurnedBackError(Exception):
    """The application changes its mind."""


class Calls:
    """What a test's work is given: the adapter's two functions, SQL, and a savepoint."""

    def __init__(self, dispatch, dispatch_many, execute, savepoint):
        self.dispatch, self.dispatch_many = dispatch, dispatch_many
        self.execute, self.savepoint = execute, savepoint


def through_psycopg(dsn, work):
    with psycopg.connect(dsn) as connection:
        return work(
            Calls(
                partial(in_psycopg.dispatch, connection),
                partial(in_psycopg.dispatch_many, connection),
                connection.execute,
                connection.transaction,
            )
        )


def sqlalchemy_calls(place):
    return Calls(
        partial(in_sqlalchemy.dispatch, place),
        partial(in_sqlalchemy.dispatch_many, place),
        lambda statement: place.execute(text(statement)),
        place.begin_nested,
    )


@contextmanager
def engine_of(dsn):
    engine = create_engine("postgresql+psycopg://", connect_args=conninfo_to_dict(dsn))
    try:
        yield engine
    finally:
        engine.dispose()


def through_session(dsn, work):
    with engine_of(dsn) as engine, Session(engine) as session, session.begin():
        return work(sqlalchemy_calls(session))


def through_autobegun_session(dsn, work):
    with engine_of(dsn) as engine, Session(engine) as session:
        found = work(sqlalchemy_calls(session))
        session.commit()
        return found


def through_scoped_session(dsn, work):
    with engine_of(dsn) as engine:
        session = scoped_session(sessionmaker(engine))
        try:
            with session.begin():
                return work(sqlalchemy_calls(session))
        finally:
            session.remove()


def through_connection(dsn, work):
    with engine_of(dsn) as engine, engine.begin() as connection:
        return work(sqlalchemy_calls(connection))


def through_autobegun_connection(dsn, work):
    with engine_of(dsn) as engine, engine.connect() as connection:
        found = work(sqlalchemy_calls(connection))
        connection.commit()
        return found


def through_async(open_place):
    """Run blocking work against an asynchronous place: in a thread, call by call."""

    def through(dsn, work):
        async def run():
            engine = create_async_engine(
                "postgresql+psycopg://", connect_args=conninfo_to_dict(dsn), poolclass=NullPool
            )
            loop = asyncio.get_running_loop()

            def blocking(function):
                def call(*arguments, **named):
                    return asyncio.run_coroutine_threadsafe(
                        function(*arguments, **named), loop
                    ).result(30)

                return call

            async with open_place(engine) as place, place.begin():

                @contextmanager
                def savepoint():
                    async def begin():
                        return await place.begin_nested()

                    async def end(nested, method):
                        await getattr(nested, method)()

                    nested = blocking(begin)()
                    try:
                        yield
                    except BaseException:
                        blocking(end)(nested, "rollback")
                        raise
                    blocking(end)(nested, "commit")

                calls = Calls(
                    blocking(partial(in_sqlalchemy.dispatch_async, place)),
                    blocking(partial(in_sqlalchemy.dispatch_many_async, place)),
                    lambda statement: blocking(place.execute)(text(statement)),
                    savepoint,
                )
                return await asyncio.to_thread(work, calls)

        return asyncio.run(run())

    return through


def through_django(dsn, work):
    alias = configured(dsn)
    try:
        with transaction.atomic(using=alias):
            return work(
                Calls(
                    partial(in_django.dispatch, using=alias),
                    partial(in_django.dispatch_many, using=alias),
                    lambda statement: connections[alias].cursor().execute(statement),
                    partial(transaction.atomic, using=alias),
                )
            )
    finally:
        connections[alias].close()


def configured(dsn):
    """Tell Django of a database; gives the alias."""
    if not settings.configured:
        settings.configure(USE_TZ=True, DATABASES={})
        django.setup()
    given = conninfo_to_dict(dsn)
    alias = given["dbname"]
    whole = connections.configure_settings(
        {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": alias,
                **{key.upper(): given[key] for key in ("host", "port", "user") if key in given},
                **({"PASSWORD": given["password"]} if "password" in given else {}),
            }
        }
    )
    connections.settings[alias] = whole["default"]
    return alias


PLACES = {
    "psycopg": through_psycopg,
    "sqlalchemy session": through_session,
    "sqlalchemy autobegun session": through_autobegun_session,
    "sqlalchemy scoped session": through_scoped_session,
    "sqlalchemy connection": through_connection,
    "sqlalchemy autobegun connection": through_autobegun_connection,
    "sqlalchemy async session": through_async(AsyncSession),
    "sqlalchemy async connection": through_async(lambda engine: engine.connect()),
    "django": through_django,
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def inside(request, dsn, connection):
    connection.execute("CREATE TABLE customer_order (number integer)")
    return partial(request.param, dsn)


@pytest.fixture
def seen(connection):
    """What others can see: the number of orders, and of events by queue."""

    def look():
        (orders,) = connection.execute("SELECT count(*) FROM customer_order").fetchone()
        stats = Broker(connection).queue_stats()
        return orders, {one.name: one.queued_count + one.deferred_count for one in stats}

    return look


def test_what_is_committed_is_there_and_not_before(inside, seen, event):
    def work(calls):
        calls.execute(ORDER)
        done = calls.dispatch(event())
        assert seen() == (0, {})
        return done

    done = inside(work)
    assert (done.outcome, done.queue) == ("unroutable", "com.example.task")
    assert seen() == (1, {"com.example.task": 1})


def test_dispatching_alone_begins_the_transaction(inside, seen, event):
    def work(calls):
        calls.dispatch(event())
        assert seen() == (0, {})

    inside(work)
    assert seen() == (0, {"com.example.task": 1})


def test_what_is_rolled_back_leaves_nothing(inside, seen, event):
    def work(calls):
        calls.execute(ORDER)
        calls.dispatch(event())
        calls.dispatch_many([event(), event()])
        raise TurnedBackError

    with pytest.raises(TurnedBackError):
        inside(work)
    assert seen() == (0, {})


def test_a_savepoint_takes_back_what_came_after_it(inside, seen, event):
    def turn_back(calls):
        with calls.savepoint():
            calls.execute(ORDER)
            calls.dispatch(event("com.example.after"))
            raise TurnedBackError

    def work(calls):
        calls.dispatch(event("com.example.before"))
        with pytest.raises(TurnedBackError):
            turn_back(calls)
        with calls.savepoint():
            calls.dispatch(event("com.example.kept"))

    inside(work)
    assert seen() == (0, {"com.example.before": 1, "com.example.kept": 1})


def test_the_whole_signature_arrives(inside, connection, event):
    Broker(connection).register_queue("com.example.task")

    def work(calls):
        return [
            calls.dispatch(event(), start_after=timedelta(hours=1), priority=7),
            calls.dispatch(event(), start_after=datetime(2033, 2, 3, tzinfo=UTC)),
            calls.dispatch(
                event(),
                priority=3,
                options=DispatchOptions(priority=4, retry_limit=0, singleton_key="k"),
            ),
            *calls.dispatch_many([event(), event()], options=DispatchOptions(start_after=60)),
        ]

    done = inside(work)
    assert [one.outcome for one in done] == ["deferred", "deferred", "queued", *["deferred"] * 2]
    assert [one.ordinal for one in done] == [1, 1, 1, 1, 2]
    contract = Broker(connection)
    (claimed,) = contract.claim(["com.example.task"], 9)
    assert (claimed.event["id"], claimed.delivery) == (done[2].event_id, done[2].delivery)
    error = {"name": "RuntimeError", "message": "no", "stack": None}
    failed = {"lease": claimed.lease, "delivery": claimed.delivery, "outcome": "failed"}
    (verdict,) = contract.settle([failed | {"error": error}])
    assert verdict.outcome == "dead"  # the queue's own limit is 2


def test_the_same_event_twice_is_told(inside, event):
    one = event()
    assert inside(lambda calls: [calls.dispatch(one).outcome, calls.dispatch(one).outcome]) == [
        "unroutable",
        "duplicate",
    ]


def test_errors_are_ours_and_spoil_only_their_savepoint(inside, seen, event):
    def too_strict(calls):
        with calls.savepoint():
            calls.dispatch(event(), options=DispatchOptions(must_be_registered=True))

    def work(calls):
        calls.execute(ORDER)
        with pytest.raises(HandlerNotRegistered):
            too_strict(calls)
        calls.dispatch(event("com.example.other"))

    inside(work)
    assert seen() == (1, {"com.example.other": 1})


def test_what_is_wrong_is_refused_before_anything_is_sent(inside, seen, event):
    def work(calls):
        with pytest.raises(InvalidArgument, match="ArvoEvent"):
            calls.dispatch({"id": "1"})
        with pytest.raises(InvalidArgument, match="ArvoEvent"):
            calls.dispatch_many([event(), None])
        with pytest.raises(InvalidOption, match="DispatchOptions"):
            calls.dispatch(event(), options={"priority": 1})
        with pytest.raises(InvalidOption, match="priority"):
            calls.dispatch(event(), priority="high")
        with pytest.raises(TypeError, match="'colour'"):
            calls.dispatch(event(), colour="red")
        calls.execute(ORDER)

    inside(work)
    assert seen() == (1, {})


def test_what_the_database_refuses_is_typed(inside, seen, event):
    def work(calls):
        nearly = event(data={"text": [0] * 500_000})
        with pytest.raises(InvalidEventError), calls.savepoint():
            calls.dispatch(nearly)

    inside(work)
    assert seen() == (0, {})


def test_another_installation_may_be_named(inside, event):
    def work(calls):
        with pytest.raises(SchemaMissing), calls.savepoint():
            calls.dispatch(event(), schema="elsewhere")

    inside(work)


def test_another_driver_of_sqlalchemy_is_refused(event):
    engine = create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(InvalidArgument, match="is sqlite3"):
        in_sqlalchemy.dispatch(session, event())
    engine.dispose()


def test_another_driver_of_django_is_refused(dsn, event):
    configured(dsn)
    whole = connections.configure_settings(
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    )
    connections.settings["lite"] = whole["default"]
    try:
        with pytest.raises(InvalidArgument, match="'lite' is sqlite3"):
            in_django.dispatch(event(), using="lite")
    finally:
        connections["lite"].close()


def test_outside_of_atomic_django_accepts_at_once(dsn, connection, event):
    alias = configured(dsn)
    try:
        in_django.dispatch(event(), using=alias)
        assert [one.name for one in Broker(connection).queue_stats()] == ["com.example.task"]
    finally:
        connections[alias].close()


def test_a_broken_transaction_of_django_is_told_in_its_words(dsn, event):
    alias = configured(dsn)

    def broken():
        with transaction.atomic(using=alias):
            transaction.set_rollback(True, using=alias)
            in_django.dispatch(event(), using=alias)

    try:
        with pytest.raises(TransactionManagementError):
            broken()
    finally:
        connections[alias].close()


def test_an_engine_in_autocommit_accepts_at_once(dsn, connection, event):
    engine = create_engine(
        "postgresql+psycopg://",
        connect_args=conninfo_to_dict(dsn),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as place:
        in_sqlalchemy.dispatch(place, event())
        assert [one.name for one in Broker(connection).queue_stats()] == ["com.example.task"]
    engine.dispose()


def test_a_connection_that_is_given_back_can_be_used_again(dsn, connection, event):
    """The pool resets what it lends: a dispatch that nobody committed is gone."""
    with engine_of(dsn) as engine:
        with engine.connect() as place:
            in_sqlalchemy.dispatch(place, event("com.example.lost"))
        with engine.begin() as place:
            in_sqlalchemy.dispatch(place, event("com.example.kept"))
    assert [one.name for one in Broker(connection).queue_stats()] == ["com.example.kept"]
