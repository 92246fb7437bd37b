"""The doctor of a database that is what its migrations made it also says what health() warns of."""

from arvo_plpg.schema import doctor


def test_processes_that_disagree_are_named(actors, stage, dsn):
    ann = actors()
    ann.register("q")
    ann.ask("SELECT arvo.tally_lanes()")
    stage.execute("DROP SCHEMA stage CASCADE")
    assert [w for w in doctor(dsn).warnings if w.startswith("registrations")] == []
    stage.execute(
        "INSERT INTO arvo.registration (queue, worker, options, at) VALUES"
        " ('q', 'w1', '{\"priority\": 1}', now()), ('q', 'w2', '{\"priority\": 2}', now())"
    )
    report = doctor(dsn)
    assert report.healthy
    (told,) = [w for w in report.warnings if w.startswith("registrations")]
    assert '"w1" wants 1, "w2" wants 2' in told


def test_what_is_not_ours_is_not_run(connection, dsn):
    connection.execute(
        "CREATE OR REPLACE FUNCTION arvo.vitals_of_history() RETURNS SETOF arvo_v1.vital"
        " LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run'; END $$"
    )
    report = doctor(dsn)
    assert not report.healthy
    assert report.warnings == []
