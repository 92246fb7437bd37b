"""A claim that looked before the log turned does not go by the cursor of the slot from before."""

from concurrent.futures import ThreadPoolExecutor

LOOK = "SELECT kind, event ->> 'id' FROM arvo_v1.look('{q}', 10)"
WAITS = "SELECT pg_blocking_pids(%s) <> '{}'"
TURN = (
    "INSERT INTO arvo.generation (number, slot, opened_at) OVERRIDING SYSTEM VALUE"
    " SELECT number + 1, (slot + 1) %% 4, %s FROM arvo.generation ORDER BY number DESC LIMIT 1"
    " RETURNING slot, setval('arvo.generation_number_seq', number)"
)


def test_what_another_claimed_after_the_turn_is_not_handed_out_again(actors, eventually):
    ann, bob, judge = actors(), actors(), actors()
    ann.register()
    ann.put("before")
    assert ann.ask(LOOK) == [("claimed", "before")]  # a cursor in the slot in use
    bob.ask(LOOK)  # or he would open the ledger before he does anything else
    ann.put("once")
    ((lane,),) = ann.ask("SELECT lane FROM arvo.lane")
    pid = bob.connection.info.backend_pid
    ann.connection.autocommit = False
    # Bob finds out which slot is in use, then waits for the ledger. The log turns, and Ann
    # claims: as she does who lets go of the lane just before Bob asks for it.
    ann.connection.execute("LOCK TABLE arvo.lease IN ACCESS EXCLUSIVE MODE")
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(bob.ask, LOOK)
        assert eventually(lambda: judge.ask(WAITS, pid)[0][0])
        assert ann.ask(TURN, "2030-01-01T00:00:00Z")[0][0] == 1
        taken = ann.ask(
            "SELECT cardinality((arvo.claim_lane(%s, 10, 'ann', '30 seconds')).batch)", lane
        )
        ann.connection.commit()
        found = told.result(timeout=20)
    assert taken == [(1,)]
    assert [kind for kind, _ in found] == ["idle"]
    assert judge.faults() == []
