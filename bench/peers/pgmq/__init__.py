"""PGMQ, by its Python package, which brings the SQL."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="pgmq",
    kind="python",
    requires=("pgmq", "asyncpg"),
    shows=("pgmq", "asyncpg"),
    configurations=(
        Configuration("default", {"qty": 10}, "read_with_poll of 10, delete_batch of 10", 4000),
        Configuration("fast", {"qty": 500}, "read_with_poll of 500, delete_batch of 500", 15000),
        Configuration(
            "batch",
            {"qty": 500, "whole": True},
            "the same, handed to the handler as one list",
            20000,
            batch=True,
        ),
    ),
    contract="messages only: no worker (the loop is the harness's), no attempts limit, no history",
    recovery=30.0,
)
