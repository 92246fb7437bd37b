"""How many subtransactions a transaction of many dispatches has: more than 64 overflow a cache.

docs/performance.md says so: other sessions then look transactions up in pg_subtrans.
"""

import pytest

OF_SESSION = """
SELECT (found.state).subxact_count, (found.state).subxact_overflowed
FROM (
    SELECT pg_stat_get_backend_subxact(backend) AS state
    FROM pg_stat_get_backend_idset() AS backend
    WHERE pg_stat_get_backend_pid(backend) = %s
) AS found
"""


@pytest.mark.parametrize(
    ("calls", "size", "found"),
    [(70, 99, (0, False)), (1, 100, (1, False)), (64, 100, (64, False)), (65, 100, (64, True))],
)
def test_a_call_of_a_hundred_makes_one_and_a_smaller_call_none(actors, calls, size, found):
    ann, judge = actors(), actors()
    if judge.connection.info.server_version < 160_000:
        pytest.skip("the server does not tell before 16")
    ann.register("q", deduplicate_for="1 hour")
    ann.connection.autocommit = False
    for _ in range(calls):
        ann.put_many(size)
    assert judge.ask(OF_SESSION, ann.connection.info.backend_pid) == [found]


def test_without_deduplication_there_are_none(actors):
    ann, judge = actors(), actors()
    if judge.connection.info.server_version < 160_000:
        pytest.skip("the server does not tell before 16")
    ann.register("q", deduplicate_for="0")
    ann.connection.autocommit = False
    ann.put_many(100)
    assert judge.ask(OF_SESSION, ann.connection.info.backend_pid) == [(0, False)]
