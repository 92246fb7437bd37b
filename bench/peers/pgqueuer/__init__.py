"""PgQueuer."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="pgqueuer",
    kind="python",
    requires=("pgqueuer[asyncpg]", "uvloop"),
    shows=("pgqueuer", "asyncpg", "uvloop"),
    configurations=(
        Configuration("default", {}, "one asyncpg connection, batch_size 10", 4000),
        Configuration(
            "fast",
            {"batch_size": 500, "uvloop": True},
            "batch_size 500, uvloop; as many handlers at once as are fetched",
            10000,
        ),
    ),
    contract="jobs deleted, log row kept; outcomes written in batches",
    recovery=30.0,
)
