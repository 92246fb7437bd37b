"""Absurd, by its Python package."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="absurd",
    kind="python",
    requires=("absurd-sdk", "absurdctl"),
    shows=("absurd-sdk", "psycopg"),
    configurations=(
        Configuration("default", {}, "start_worker(concurrency=10), polls each 0.25 s", 700),
        Configuration(
            "fast",
            {"batch_size": 100, "poll_interval": 0.02},
            "batch_size 100, polls each 20 ms",
            900,
        ),
    ),
    contract="a durable-execution engine: task, run and checkpoints kept; enqueues one at a time",
    recovery=120.0,
    bulk=False,
    deep=False,
)
