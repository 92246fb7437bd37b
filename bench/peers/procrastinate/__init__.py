"""Procrastinate."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="procrastinate",
    kind="python",
    requires=("procrastinate", "psycopg[binary]"),
    shows=("procrastinate", "psycopg"),
    configurations=(
        Configuration("default", {}, "run_worker(concurrency=10)", 450),
        Configuration(
            "fast",
            {"delete_jobs": "successful", "pool": 20},
            "delete_jobs=successful, pool of 20",
            600,
        ),
    ),
    contract="history kept (default) or deleted (fast); a dead worker's jobs wait for your task",
    deep=False,
)
