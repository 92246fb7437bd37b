"""Attacks: each role tries what is not its own, over real logins."""

import asyncio
import json
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb

from arvo_plpg import ArvoEvent, InvalidEventError, PostgresEventBroker, create_arvo_event
from arvo_plpg.cli import main
from arvo_plpg.errors import CopyInterrupted, LockLost, PrivilegeMissing, QueueClosed
from arvo_plpg.sync import Broker, Memory

GROUPS = ("client", "worker", "operator", "monitor")
SECRET = "SECRET-4711"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u2028\u2029]|\n")


@dataclass
class Town:
    """A database with logins.

    Attributes:
        root: A superuser's session.
        dsn: Its connection string.
        prefix: What the names of logins begin with: roles are the whole server's.
    """

    root: psycopg.Connection
    dsn: str
    prefix: str
    password: str
    open: list[psycopg.Connection]

    def name(self, who: str) -> str:
        return f"{self.prefix}_{who}"

    def login(self, who: str, *groups: str, options: str = "") -> psycopg.Connection:
        """A session of a new login with the rights of some groups."""
        name = self.name(who)
        self.root.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(name), sql.Literal(self.password)
            )
        )
        for group in groups:
            self.root.execute(
                sql.SQL("GRANT {} TO {}").format(
                    sql.Identifier(f"arvo_{group}"), sql.Identifier(name)
                )
            )
        session = psycopg.connect(self.address(who), autocommit=True, options=options)
        self.open.append(session)
        return session

    def address(self, who: str) -> str:
        return make_conninfo(self.dsn, user=self.name(who), password=self.password)


@pytest.fixture
def town(dsn, connection):
    place = Town(connection, dsn, f"atk_{secrets.token_hex(4)}", secrets.token_hex(8), [])
    yield place
    for session in place.open:
        session.close()
    names = connection.execute(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [place.prefix]
    ).fetchall()
    for (name,) in names:
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def event(number, to, **more) -> ArvoEvent:
    given = {"data": {"n": number}, "subject": f"order/{number}", "source": "com.atk.shop"}
    return create_arvo_event(id=f"{to}/{number}", type="com.atk.event", to=to, **(given | more))


def fails(session, statement, *values):
    """The SQLSTATE that a statement ends in."""
    with pytest.raises(psycopg.Error) as caught:
        session.execute(statement, values or None)
    return caught.value.sqlstate


# --- what belongs to another role


@pytest.mark.parametrize("group", [*GROUPS, None])
def test_a_role_gets_into_nothing_but_its_own_functions(town, group):
    session = town.login("mallory", *([group] if group else []))
    functions = town.root.execute(
        """SELECT p.oid::regprocedure::text, n.nspname,
                  has_function_privilege(%s, p.oid, 'EXECUTE'),
                  (SELECT string_agg(format('NULL::%%s', format_type(a, NULL)), ', ')
                   FROM unnest(p.proargtypes) AS a), p.proname
           FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
           WHERE n.nspname IN ('arvo', 'arvo_v1')""",
        [town.name("mallory")],
    ).fetchall()
    assert len(functions) > 200
    tried = 0
    for signature, schema, allowed, arguments, name in functions:
        if schema == "arvo_v1" and allowed:
            assert group is not None, signature
            continue
        tried += 1
        assert fails(session, f"SELECT {schema}.{name}({arguments or ''})") == "42501", signature
    assert tried > 150
    relations = town.root.execute(
        """SELECT c.oid::regclass::text FROM pg_class AS c
           WHERE c.relnamespace = 'arvo'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')"""
    ).fetchall()
    assert len(relations) > 40
    for (relation,) in relations:
        for statement in ("SELECT * FROM {}", "DELETE FROM {}", "DROP TABLE {}"):
            assert fails(session, statement.format(relation)) in {"42501", "42809"}, relation
    for statement in (
        "SET ROLE arvo_owner",
        "ALTER ROLE arvo_owner LOGIN",
        "GRANT arvo_operator TO CURRENT_USER",
        "CREATE TABLE arvo_v1.mine (n integer)",
        "CREATE FUNCTION arvo.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION arvo_v1.about() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION arvo_v1.dispatch",
        "DROP SCHEMA arvo CASCADE",
        "LISTEN arvo_wake; SELECT pg_read_file('/etc/passwd')",
    ):
        assert fails(session, statement) == "42501", statement


def test_a_python_caller_is_told_which_role_to_ask_for(town):
    broker = Broker(town.login("carl", "client"))
    with pytest.raises(PrivilegeMissing, match="may not do this"):
        broker.pause_queue("com.a")


def test_what_a_caller_puts_before_the_catalogue_is_not_looked_at(town):
    town.root.execute("CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO PUBLIC")
    session = town.login("eve", "client", "worker", "operator", "monitor")
    # Functions, operators, casts by name, and tables in the temporary schema and in one of hers.
    session.execute(
        """
        CREATE FUNCTION evil.spring() RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'sprung as %', current_user USING ERRCODE = 'P0666'; END $$;
        CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN PERFORM evil.spring(); RETURN true; END $$;
        CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
        CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
        CREATE FUNCTION evil.get(jsonb, text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN PERFORM evil.spring(); RETURN 'x'; END $$;
        CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.get);
        CREATE FUNCTION evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN PERFORM evil.spring(); RETURN 'object'; END $$;
        CREATE FUNCTION evil.coalesce_of(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
        CREATE FUNCTION pg_temp.hashtextextended(text, bigint) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN PERFORM evil.spring(); RETURN 1; END $$;
        CREATE FUNCTION pg_temp.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN PERFORM evil.spring(); RETURN 1; END $$;
        CREATE TEMPORARY TABLE queue (queue integer, name text);
        CREATE TEMPORARY TABLE log (lane integer);
        CREATE TEMPORARY TABLE pg_class (oid oid);
        CREATE TYPE pg_temp.options AS (priority integer);
        SET search_path = pg_temp, evil, pg_catalog
        """
    )
    assert fails(session, "SELECT 'a'::text = 'b'::text") == "P0666"  # the trap works
    broker, memory = Broker(session), Memory(session)
    broker.register_queue("com.a", policy="ordered")
    broker.subscribe("com.a", "com.**")
    assert broker.dispatch(event(1, "com.a")).outcome == "queued"
    assert broker.dispatch_many([event(2, "com.a"), event(3, "com.a")])[1].outcome == "queued"
    broker.publish(event(4, "com.a"))
    held = broker.claim(["com.*"], limit=2)
    done = [{"lease": one.lease, "delivery": one.delivery, "outcome": "completed"} for one in held]
    assert {verdict.outcome for verdict in broker.settle(done)} == {"completed"}
    memory.write_state("order/1", {"a": 1}, 0)
    assert memory.read_state("order/1").data == {"a": 1}
    broker.grant_queue("com.z", town.name("eve"), ["operate"])
    for call in (
        broker.trace, broker.queue_stats, broker.health, broker.operations, broker.maintain,
        broker.dead_letters, broker.workers, broker.schedules, broker.queue_grants,
    ):  # fmt: skip
        call("order/1") if call == broker.trace else call()


def test_a_clients_clock_decides_nothing(town):
    session = town.login("carl", "client", "worker")
    session.execute("SET arvo.frozen_clock = '2040-01-01'")
    broker = Broker(session)
    broker.register_queue("com.a")
    broker.dispatch(event(1, "com.a"), start_after=timedelta(hours=1))
    assert broker.claim(["com.a"]) == []


# --- leases and locks that are not one's own


def test_a_lease_that_was_guessed_settles_nothing(town):
    mine, other = (Broker(town.login(who, "client", "worker")) for who in ("ann", "bob"))
    for queue in ("com.a", "com.b"):
        mine.register_queue(queue)
        mine.dispatch(event(1, queue))
    (own,) = mine.claim(["com.a"])
    (foreign,) = other.claim(["com.b"])

    def said(lease, delivery):
        found = [{"lease": lease, "delivery": delivery, "outcome": "completed"}]
        (verdict,) = mine.settle(found)
        return verdict.accepted, verdict.code

    # Another's delivery under one's own lease, one's own under another's, and numbers near by.
    assert said(own.lease, foreign.delivery) == (False, "RV301")
    assert said(foreign.lease, own.delivery) == (False, "RV301")
    for step in (-4096, -1, 1, 4096):
        assert said(foreign.lease + step, foreign.delivery) == (False, "RV301")
    assert not mine.extend([foreign.lease + 4096])[0].held
    # Numbers can be read in trace(): only a closed queue keeps other workers out.
    town.root.execute("SELECT arvo_v1.grant_queue('com.b', %s, '{consume}')", [town.name("bob")])
    assert said(foreign.lease, foreign.delivery) == (False, "RV007")
    assert not mine.extend([foreign.lease])[0].held
    assert other.extend([foreign.lease])[0].held
    done = [{"lease": foreign.lease, "delivery": foreign.delivery, "outcome": "completed"}]
    assert other.settle(done)[0].accepted


def test_one_foreign_result_spoils_no_other(town):
    mine, other = (Broker(town.login(who, "client", "worker")) for who in ("ann", "bob"))
    for queue in ("com.a", "com.b"):
        mine.register_queue(queue)
        mine.dispatch(event(1, queue))
    (own,), (foreign,) = mine.claim(["com.a"]), other.claim(["com.b"])
    town.root.execute("SELECT arvo_v1.grant_queue('com.b', %s, '{consume}')", [town.name("bob")])
    verdicts = mine.settle(
        [
            {"lease": held.lease, "delivery": held.delivery, "outcome": "completed"}
            for held in (foreign, own)
        ]
    )
    assert [verdict.code for verdict in verdicts] == ["RV007", None]


def test_a_lock_that_was_guessed_is_not_held(town):
    mine, other = (Memory(town.login(who, "worker")) for who in ("ann", "bob"))
    lock = mine.acquire_lock("order/1")
    assert not other.release_lock("order/1", lock.token + 1)
    with pytest.raises(LockLost):
        other.write_state("order/1", {}, 0, lock=lock.token + 1)


# --- permissions per queue have no back door


@pytest.fixture
def closed(town):
    """com.secret is the business of its own people; mallory has every group role, and com.own."""
    vera = Broker(town.login("vera", *GROUPS))
    mallory = Broker(town.login("mallory", *GROUPS))
    for queue in ("com.secret", "com.own"):
        vera.register_queue(queue, retry_limit=0)
    vera.grant_queue("com.secret", town.name("vera"), ["dispatch", "consume", "operate"])
    vera.dispatch(event(1, "com.secret", data={"text": SECRET}))
    vera.dispatch(event(2, "com.own"))
    return vera, mallory


def test_nobody_else_gets_an_event_in(town, closed):
    vera, mallory = closed
    secret = event(7, "com.secret")
    vera.subscribe("com.secret", "com.atk.**")
    template = {"type": "com.atk.event", "source": "s", "to": "com.secret", "data": {}}
    vera.grant_queue("arvo.domain.human", town.name("vera"), ["dispatch"])
    ways = {
        "dispatch": lambda: mallory.dispatch(secret),
        "late": lambda: mallory.dispatch(secret, start_after=timedelta(hours=1)),
        "many": lambda: mallory.dispatch_many([event(8, "com.own"), secret]),
        "domain": lambda: mallory.dispatch(event(8, "com.own", domain="human")),
        "schedule": lambda: mallory.schedule("s", "* * * * *", template),
        "redrive": lambda: mallory.redrive("com.own", to="com.secret"),
        "move": lambda: mallory.move("com.secret", queue="com.own"),
        "replay": lambda: mallory.replay("com.own/2", queue="com.secret"),
        "dead letter": lambda: mallory.register_queue("com.own", dead_letter="com.secret"),
    }
    for way, call in ways.items():
        with pytest.raises(QueueClosed) as caught:
            call()
        assert caught.value.field == "queue", way
        assert "right: dispatch" in caught.value.detail, way
        assert town.name("mallory") in caught.value.detail, way
        assert "grant_queue" in caught.value.hint, way

    with pytest.raises(CopyInterrupted) as interrupted:
        mallory.dispatch_copy([event(8, "com.own"), secret])
    assert isinstance(interrupted.value.__cause__, QueueClosed)

    # A handler's events are its worker's; the delivery can still be settled without them.
    (own,) = mallory.claim(["com.own"])
    result = {"lease": own.lease, "delivery": own.delivery, "outcome": "completed"}
    emitted = [json.loads(event(9, "com.secret").to_json())]
    (verdict,) = mallory.settle([result | {"events": emitted}])
    assert (verdict.accepted, verdict.code) == (False, "RV007")
    worked = mallory.work([result | {"events": [*emitted, *emitted]}])
    assert [row.code for row in worked] == ["RV007"]

    # What is published passes over the queue, by whatever way.
    (told,) = mallory.publish(event(10, "com.own"))
    assert (told.queue, told.outcome, told.delivery) == ("com.secret", "closed", None)
    (told,) = mallory.dispatch_many([event(11, "arvo.publish")])
    assert (told.queue, told.outcome, told.delivery) == ("com.secret", "closed", None)
    published = [json.loads(event(n, "arvo.publish").to_json()) for n in (12, 13)]
    assert mallory.settle([result | {"events": published}])[0].accepted
    assert [held.event["id"] for held in vera.claim(["com.secret"], 10)] == ["com.secret/1"]


def test_nobody_stops_others_who_publish_by_subscribing(town, closed):
    """A subscription to everything, of a queue that only its owner may dispatch to."""
    vera, mallory = closed
    paul = Broker(town.login("paul", *GROUPS))
    vera.grant_queue("com.trap", town.name("vera"), ["dispatch"])
    mallory.subscribe("com.trap", "**")  # its consumption is nobody's in particular
    paul.subscribe("com.own", "com.atk.**")
    told = {row.queue: row.outcome for row in paul.publish(event(20, "com.own"))}
    assert told == {"com.own": "queued", "com.trap": "closed"}
    told = {row.queue: row.outcome for row in vera.publish(event(21, "com.own"))}
    assert told == {"com.own": "queued", "com.trap": "unroutable"}
    held = paul.claim(["com.own"], 10)[0]
    result = {"lease": held.lease, "delivery": held.delivery, "outcome": "completed"}
    emitted = [json.loads(event(22, "arvo.publish").to_json())]
    assert paul.settle([result | {"events": emitted}])[0].accepted


def test_nobody_keeps_an_operator_from_his_schedule_by_subscribing(town, closed):
    vera, mallory = closed
    otto = Broker(town.login("otto", *GROUPS))
    template = {"type": "com.atk.event", "source": "s", "data": {}, "to": "arvo.publish"}
    otto.schedule("daily", "@daily", template)
    vera.grant_queue("com.trap", town.name("vera"), ["operate"])
    mallory.subscribe("com.trap", "**")
    assert [row.change for row in otto.pause_schedule("daily")] == ["paused"]
    assert [row.change for row in otto.resume_schedule("daily")] == ["resumed"]
    assert otto.schedule("daily", "@hourly", template).change.startswith("cron")
    assert otto.unschedule("daily")


def test_nobody_else_gets_an_event_out(town, closed):
    vera, mallory = closed
    (held,) = vera.claim(["com.secret"])
    vera.settle([
        {"lease": held.lease, "delivery": held.delivery, "outcome": "failed",
         "error": {"name": "E", "message": SECRET}}
    ])  # fmt: skip
    vera.dispatch(event(3, "com.secret", data={"text": SECRET}))
    vera.dispatch(event(4, "com.secret"), start_after=timedelta(hours=1))
    (letter,) = vera.dead_letters("com.secret")
    refused = {
        "claim": lambda: mallory.claim(["com.secret"]),
        "work": lambda: mallory.work((), ["com.own", "com.secret"]),
        "look": lambda: mallory.look(["com.secret"]),
        "register": lambda: mallory.register_queue("com.secret", dead_letter="com.own"),
        "subscribe": lambda: mallory.subscribe("com.secret", "com.**"),
        "unsubscribe": lambda: mallory.unsubscribe("com.secret"),
        "pause": lambda: mallory.pause_queue("com.secret"),
        "pause all": lambda: mallory.pause_queue("com.*"),
        "resume": lambda: mallory.resume_queue("com.*"),
        "drain": lambda: mallory.drain_queue("com.secret"),
        "purge": lambda: mallory.purge_queue("com.secret", dry_run=True),
        "drop": lambda: mallory.drop_queue("com.secret", purge=True),
        "recreate": lambda: mallory.recreate_queue("com.secret"),
        "cancel": lambda: mallory.cancel(queue="com.secret"),
        "retry": lambda: mallory.retry_now(queue="com.secret"),
        "move": lambda: mallory.move("com.own", queue="com.secret"),
        "priority": lambda: mallory.reprioritize(9, queue="com.secret"),
        "redrive": lambda: mallory.redrive("com.secret", to="com.own"),
        "discard": lambda: mallory.discard("com.secret"),
        "replay": lambda: mallory.replay("com.secret/3", queue="com.own"),
        "grant": lambda: mallory.grant_queue("com.secret", "public", ["consume"]),
        "grant wider": lambda: mallory.grant_queue("com.*", town.name("mallory"), ["operate"]),
        "revoke": lambda: mallory.revoke_queue("com.secret", town.name("vera"), ["operate"]),
    }
    for way, call in refused.items():
        with pytest.raises(QueueClosed) as caught:
            call()
        assert caught.value.field == "queue", way
    # What is not named is not there for her: by number, event, tree or a search for its text.
    for found in (
        mallory.claim(["*"], 10)[1:],
        mallory.cancel(event_id="com.secret/3"),
        mallory.cancel(tree="order/3", include_running=True),
        mallory.move("com.own", event_id="com.secret/3"),
        mallory.move("com.own", subject="order/4"),
        mallory.retry_now(event_type="com.atk.event"),
        mallory.redrive(dead=[letter.dead], to="com.own"),
        mallory.redrive(text=SECRET, dry_run=True),
        mallory.discard(dead=[letter.dead]),
        mallory.dead_letters(text=SECRET),
        mallory.dead_letters(dead=[letter.dead], resolved=True),
        mallory.dead_letter_attempts(letter.dead),
    ):
        assert found == []
    assert SECRET not in str(mallory.trace("order/1"))
    assert SECRET in str(vera.trace("order/1"))
    assert SECRET in str(vera.dead_letters())


def test_a_narrower_role_is_narrower_and_a_definer_lends_nothing(town, closed):
    vera, _ = closed
    vera_role, pool_role = town.name("vera"), town.name("pool")
    pool = town.login("pool")
    town.root.execute(f"GRANT {vera_role} TO {pool_role}")
    town.root.execute(f"CREATE ROLE {town.name('tenant')} NOLOGIN IN ROLE arvo_client")
    town.root.execute(f"GRANT {town.name('tenant')} TO {pool_role}")
    broker = Broker(pool)
    pool.execute(f"SET ROLE {vera_role}")
    assert broker.dispatch(event(5, "com.secret")).outcome == "queued"
    vera_audit = vera.grant_queue("com.x", "arvo_client", ["dispatch"])
    assert vera_audit[0].roles == ["arvo_client"]
    broker.pause_queue("com.own")
    newest = vera.operations(limit=1)[0]
    assert (newest.by, newest.role) == (pool_role, vera_role)
    pool.execute(f"SET ROLE {town.name('tenant')}")
    with pytest.raises(QueueClosed, match=town.name("tenant")):
        broker.dispatch(event(6, "com.secret"))
    # A definer function of somebody who may lends its owner's EXECUTE, not its rights on queues.
    town.root.execute(
        f"""CREATE SCHEMA lent; GRANT ALL ON SCHEMA lent TO PUBLIC;
        CREATE FUNCTION lent.put(jsonb) RETURNS text LANGUAGE sql SECURITY DEFINER AS
        $$ SELECT (arvo_v1.dispatch($1)).outcome $$;
        ALTER FUNCTION lent.put OWNER TO {vera_role}"""
    )
    body = Jsonb(json.loads(event(6, "com.secret").to_json()))
    assert fails(pool, "SELECT lent.put(%s)", body) == "RV007"


def test_a_role_that_was_renamed_meanwhile_is_nobody(town, closed):
    vera_role = town.name("vera")
    session = psycopg.connect(town.dsn, autocommit=True)
    town.open.append(session)
    session.execute(f"SET ROLE {vera_role}")
    broker = Broker(session)
    assert broker.dispatch(event(5, "com.secret")).outcome == "queued"
    town.root.execute(f"ALTER ROLE {vera_role} RENAME TO {town.name('vicky')}")
    with pytest.raises(QueueClosed, match=vera_role):
        broker.dispatch(event(6, "com.secret"))


def test_who_has_no_guards_is_not_asked(town):
    broker = Broker(town.login("ann", "client", "worker"))
    broker.register_queue("com.a")
    broker.dispatch(event(1, "com.a"))
    (held,) = broker.claim(["com.a"])
    assert held.event["id"] == "com.a/1"
    assert town.root.execute("SELECT count(*) FROM arvo.queue WHERE guarded").fetchone() == (0,)


# --- monitors


def test_a_monitor_sees_no_payload_whatever_it_calls(town):
    broker = Broker(town.login("vera", "client", "worker", "operator"))
    broker.register_queue("com.a", retry_limit=0)
    data = {"text": SECRET}
    for number in (1, 2, 3):
        broker.dispatch(event(number, "com.a", data=data))
    held = broker.claim(["com.a"])[0]
    broker.settle([
        {"lease": held.lease, "delivery": held.delivery, "outcome": "failed",
         "error": {"name": "E", "message": SECRET, "stack": SECRET}}
    ])  # fmt: skip
    Memory(broker._session.connection).write_state("order/1", data, 0)
    broker.schedule("s", "0 0 1 1 *", {"type": "com.atk.event", "source": "s", "data": data})
    broker.redrive("com.a", text=SECRET, edit={"data": data}, dry_run=False)
    monitor = town.login("mona", "monitor")
    functions = town.root.execute(
        """SELECT p.proname, p.proargnames[1:cardinality(p.proargtypes::oid[])],
                  array(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) AS a)
           FROM pg_proc AS p WHERE p.pronamespace = 'arvo_v1'::regnamespace
           AND has_function_privilege(%s, p.oid, 'EXECUTE')""",
        [town.name("mona")],
    ).fetchall()
    known = {
        "p_subject": "order/1", "p_root": "order/1", "p_delivery": held.delivery,
        "p_queue": "com.a", "p_name": "s", "p_cron": "@daily",
    }  # fmt: skip
    assert {"trace", "read_state", "schedules", "operations", "health"} <= {f[0] for f in functions}
    for name, arguments, _ in functions:
        asked = [argument for argument in arguments or () if argument in known]
        given = ", ".join(f"{argument} => %s" for argument in asked)
        rows = monitor.execute(
            f"SELECT to_jsonb(row)::text FROM arvo_v1.{name}({given}) AS row",
            [known[argument] for argument in asked],
        ).fetchall()
        assert SECRET not in str(rows), name
    assert SECRET in str(broker.trace("order/1"))
    broker.grant_queue("*", town.name("mona"), ["read"])
    for statement in ("trace('order/1')", "read_state('order/1')", "schedules()"):
        rows = monitor.execute(f"SELECT to_jsonb(r)::text FROM arvo_v1.{statement} AS r").fetchall()
        assert SECRET in str(rows), statement


# --- payloads


@pytest.mark.parametrize(
    "data",
    [
        "[1e131071]",
        "[" + ",".join(["1e131071"] * 100_000) + "]",
        "[" * 3_000 + "]" * 3_000,
        '{"a":' * 600 + "1" + "}" * 600,
        '"' + "x" * 1_048_600 + '"',
    ],
    ids=["digits", "bomb", "arrays", "objects", "long"],
)
def test_an_event_that_nobody_could_read_is_refused_at_the_door(town, data):
    session = town.login("carl", "client", "worker")
    broker = Broker(session)
    broker.register_queue("com.a")
    text = json.loads(event(1, "com.a").to_json()) | {"data": {"x": "@"}}
    hostile = json.dumps(text).replace('"@"', data)
    assert fails(session, "SELECT arvo_v1.dispatch(%s::jsonb)", hostile) == "RV001"
    assert (
        fails(session, "SELECT arvo_v1.dispatch_many(jsonb_build_array(%s::jsonb))", hostile)
        == "RV001"
    )
    broker.dispatch(event(2, "com.a"))
    (held,) = broker.claim(["com.a"], 10)
    result = {"lease": held.lease, "delivery": held.delivery, "outcome": "completed"}
    written = json.dumps([result | {"events": [text]}]).replace('"@"', data)
    rows = session.execute("SELECT code FROM arvo_v1.settle(%s::jsonb)", [written]).fetchall()
    assert rows == [("RV001",)]
    if len(data) < 1_000_000 or "e131071" in data:
        state = '{"x": ' + data + "}"
        assert fails(session, "SELECT arvo_v1.write_state('s', %s::jsonb, 0)", state) == "RV006"


def test_extensions_that_look_like_the_engines_own_change_nothing(town):
    broker = Broker(town.login("carl", "client", "worker", "operator"))
    broker.register_queue("com.a", retry_limit=0)
    forged = {
        "schedulename": "nightly", "firetime": "2000-01-01T00:00:00Z", "attempt": 99, "lease": 1,
        "delivery": 1, "redrives": 100, "hops": 9, "outcome": "dead", "priority": 100,
        "role": "root",
    }  # fmt: skip
    broker.dispatch(event(1, "com.a", extensions=forged))
    (held,) = broker.claim(["com.a"])
    assert (held.attempt, held.cause, held.queue) == (1, None, "com.a")
    assert {name: held.event[name] for name in forged} == forged
    assert broker.schedules() == []
    with pytest.raises(InvalidEventError):
        broker.schedule("s", "@daily", {"type": "com.a.b", "source": "s", "data": {}, **forged})


# --- logs and secrets


class Fails:
    source = "com.forger"

    async def execute(self, event):
        raise RuntimeError("boom\n2030-01-01 CRITICAL arvo_plpg: forged\x1b[31m\r\u2028")


def test_nothing_that_others_send_writes_a_line_of_its_own_into_the_log(town, caplog, eventually):
    forged = "x\nERROR: forged\x1b[2J"

    async def run():
        async with PostgresEventBroker(town.dsn) as broker:
            await broker.register(Fails())
            await broker.dispatch(event(1, "com.forger", subject=forged, source="urn:x"))
            with psycopg.connect(town.dsn, autocommit=True) as session:
                body = json.loads(event(2, "com.forger").to_json()) | {"id": forged}
                session.execute("SELECT arvo_v1.dispatch(%s)", [Jsonb(body)])

            def both_dead():
                return town.root.execute("SELECT count(*) FROM arvo.dead").fetchone() == (2,)

            assert await asyncio.to_thread(eventually, both_dead, 30)

    with caplog.at_level(logging.DEBUG, logger="arvo_plpg"):
        asyncio.run(run())
    messages = [record.getMessage() for record in caplog.records if record.name == "arvo_plpg"]
    assert any("forged" in message for message in messages)
    assert [message for message in messages if CONTROL.search(message)] == []
    # What the database says of them comes escaped, too.
    session = town.login("mallory", "worker", "client")
    for statement in (
        "SELECT arvo_v1.claim(ARRAY[%s])",
        "SELECT arvo_v1.register_queue(%s)",
        "SELECT arvo_v1.subscribe(%s, 'com.**')",
        "SELECT arvo_v1.next_fires(%s)",
        "SELECT arvo_v1.register_queue('q', p_reset => ARRAY[%s])",
    ):
        with pytest.raises(psycopg.Error) as caught:
            session.execute(statement, [forged])
        diag = caught.value.diag
        said = (diag.message_primary, diag.message_detail, diag.message_hint, diag.column_name)
        assert [part for part in said if part and CONTROL.search(part)] == [], statement


def test_a_password_stands_in_no_error_and_in_no_log(town, caplog, capsys, monkeypatch):
    password = "hunter2-" + secrets.token_hex(8)
    facts = conninfo_to_dict(town.dsn)
    wrong = {
        "keyword": make_conninfo(town.dsn, user="nobody_of_that_name", password=password),
        "uri": f"postgresql://nobody:{password}@{facts.get('host', 'localhost')}:1/nowhere"
        if not str(facts.get("host", "")).startswith("/")
        else f"postgresql://nobody:{password}@127.0.0.1:1/nowhere",
        "malformed": f"postgresql://nobody:{password}@[::1/nowhere?bad=%zz",
    }

    async def start(dsn):
        async with asyncio.timeout(20):
            async with PostgresEventBroker(dsn):
                pass

    with caplog.at_level(logging.DEBUG):
        for dsn in wrong.values():
            with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
                asyncio.run(start(dsn))
            error, seen = caught.value, []
            while error is not None and error not in seen:
                seen.append(error)
                assert password not in f"{error!r} {error}", type(error)
                error = error.__cause__ or error.__context__
            monkeypatch.setenv("DATABASE_URL", dsn)
            for command in (["migrate"], ["doctor"]):
                with pytest.raises(SystemExit):
                    raise SystemExit(main(command))
    shown = capsys.readouterr()
    assert password not in caplog.text
    assert password not in shown.out + shown.err
    assert password not in repr(PostgresEventBroker(wrong["keyword"]))
