"""Raw SKIP LOCKED: what a table and a careful afternoon give; a floor, not a product."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="raw",
    kind="own",
    requires=(),
    shows=("psycopg",),
    configurations=(
        Configuration(
            "default",
            {"limit": 10},
            "lease by UPDATE, then DELETE, 10 at a time, one pg_notify per enqueue",
            3000,
        ),
        Configuration("fast", {"limit": 500}, "the same, 500 at a time", 15000),
        Configuration(
            "batch",
            {"limit": 500, "whole": True},
            "the same, handed to the handler as one list",
            30000,
            batch=True,
        ),
    ),
    contract="a lease and nothing else: no attempts, no retry, no history, no recovery",
)
