"""Deliveries that a redrive withdrew from a dead-letter queue do not stand in the way of others."""

COUNT = 500


def test_a_claim_gets_past_any_number_of_withdrawn_deliveries(actors):
    ann = actors()
    ann.register(retry_limit=0, dead_letter="dlq")
    ann.put_many(COUNT)
    ann.settle(*({"lease": t[0], "delivery": t[1], "outcome": "rejected"} for t in ann.take(COUNT)))
    redriven = ann.ask("SELECT count(*) FROM arvo_v1.redrive('q', p_limit => %s)", COUNT)
    assert redriven == [(COUNT,)]
    ann.put("later", "dlq")
    ann.ask("SELECT set_config('max_stack_depth', '200kB', false)")

    assert [t[2] for t in ann.take(1, "dlq")] == ["later"]
    assert ann.ask("SELECT count(*) FROM arvo.tombstone") == [(0,)]
    assert ann.faults() == []
