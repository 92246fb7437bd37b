"""doctor, migrate and rollback as the command line tells them."""

from __future__ import annotations

import psycopg
import pytest

from arvo_plpg.schema.advice import _RULES, advise

POOR = {
    "default_transaction_isolation": "'serializable'",
    "synchronous_commit": "off",
    "track_activities": "off",
}


def test_advice_and_health_with_remedies(arvo, connection):
    ran = arvo("doctor")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("healthy")
    assert "! maintenance" in ran.out
    assert "! fsync = off" in ran.out  # of the tests' own server
    assert "→ ALTER SYSTEM SET fsync = 'on'; SELECT pg_reload_conf();" in ran.out
    assert "✓" not in ran.out
    assert "✓ clock" in arvo("doctor", "--all").out
    told = arvo("doctor", "--json").json
    assert set(told) == {
        "healthy", "schema", "roles", "revision", "pending", "functions", "findings", "warnings",
        "vitals", "advice",
    }  # fmt: skip
    assert set(told["vitals"][0]) == {"topic", "level", "value", "detail", "remedy"}
    assert set(told["advice"][0]) == {"setting", "level", "value", "detail", "remedy"}
    assert {vital["topic"] for vital in told["vitals"]} >= {
        "clock", "oldest_snapshot", "listeners", "history", "lag", "registrations"
    }  # fmt: skip
    assert arvo("doctor", "--strict").code == 1


@pytest.mark.parametrize("setting", POOR)
def test_settings_of_a_database_are_seen(arvo, connection, dsn, setting):
    name = connection.info.dbname
    before = {advice.setting for advice in advise(connection)} - set(POOR)
    connection.execute(f"ALTER DATABASE {name} SET {setting} = {POOR[setting]}")
    with psycopg.connect(dsn, autocommit=True) as other:
        found = {advice.setting: advice for advice in advise(other)}
    assert set(found) >= before | {setting}
    assert found[setting].remedy


def test_every_rule_names_a_setting_that_exists(connection):
    names = [rule.setting for rule in _RULES]
    known = connection.execute(
        "SELECT count(*) FROM pg_settings WHERE name = ANY (%s)", [names]
    ).fetchone()
    assert known == (len(names),)


def test_drift_is_exit_code_1(arvo, connection):
    connection.execute("GRANT EXECUTE ON FUNCTION arvo.clock() TO PUBLIC")
    ran = arvo("doctor")
    assert ran.code == 1
    assert "PUBLIC may execute it" in ran.out
    assert ran.out.splitlines()[-1].endswith("1 difference")


def test_migrate_and_rollback_as_json(arvo):
    assert arvo("migrate", "--json").json == {"applied": []}
    assert arvo("migrate", "--dry-run", "--json").json == {"would_apply": []}
    assert set(arvo("migrate", "--sql", "--json").json) == {"sql"}
    told = arvo("rollback", "--to", 4, "--dry-run", "--json").json
    assert set(told) == {"would_undo"}


def test_an_error_as_json(arvo):
    ran = arvo("pause", "nobody", "--json")
    assert (ran.code, ran.out) == (1, "")
    import json

    told = json.loads(ran.err)
    assert set(told) == {"error", "sqlstate", "message", "detail", "hint", "field"}
    assert (told["error"], told["sqlstate"]) == ("UnknownQueue", "RV003")


def test_takeover_at_home(arvo):
    assert arvo("rebase", "--dry-run", "--json").json["outcome"] == "home"
    assert arvo("accept-cluster").code == 1
    assert arvo("accept-cluster", "--yes-take-over", "--json").json == {"accepted": False}
