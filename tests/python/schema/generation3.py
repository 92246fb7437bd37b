"""The client of revision 3, frozen: the calls that it made, with the columns that it asked for.

It knows nothing of what came later. As it is documented for every client, it makes a call again,
as it was, that fails with one of REPEATED: then the schema was migrated while it ran.
"""

import psycopg

REPEATED = {
    "0A000", "40P01", "42703", "42704", "42804", "42846", "42883", "42P01", "55P03", "XX000",
}  # fmt: skip
REGISTER = "SELECT queue FROM arvo_v1.register_queue(p_queue => %s, p_retry_limit => %s)"
DISPATCH = (
    "SELECT ordinal, event_id, delivery, queue, outcome FROM arvo_v1.dispatch(p_event => %s::jsonb)"
)
CLAIM = (
    "SELECT lease, delivery, queue, attempt, expires_at, expire_in, event, cause, state,"
    " state_version, key FROM arvo_v1.claim(p_queues => %s::text[], p_limit => %s, p_worker => %s,"
    " p_lease => %s::interval)"
)
SETTLE = (
    "SELECT ordinal, lease, delivery, accepted, outcome, code, detail, state_version"
    " FROM arvo_v1.settle(p_results => %s::jsonb)"
)
WORK = (
    "SELECT kind, lease, delivery, outcome, code, detail, queue, attempt, expire_in, event, cause,"
    " state, state_version, wait, key FROM arvo_v1.work(p_results => %s::jsonb,"
    " p_queues => %s::text[], p_limit => %s, p_worker => %s, p_lease => %s::interval)"
)
EXTEND = (
    "SELECT lease, held, expires_at, deliveries"
    " FROM arvo_v1.extend(p_leases => %s::bigint[], p_for => %s::interval)"
)
MOST_TRIES = 10


class Client:
    """One connection in autocommit; statements become prepared ones, as psycopg does it.

    Attributes:
        repeated: SQLSTATEs of calls that were made again.
    """

    def __init__(self, dsn):
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.repeated = []

    def close(self):
        self.connection.close()

    def call(self, query, *arguments):
        """Call, again if it must be; what else goes wrong is raised."""
        for number in range(MOST_TRIES):
            try:
                return self.connection.execute(query, arguments).fetchall()
            except psycopg.Error as error:
                if error.sqlstate not in REPEATED or number == MOST_TRIES - 1:
                    raise
                self.repeated.append(error.sqlstate)
        raise AssertionError("unreachable")
