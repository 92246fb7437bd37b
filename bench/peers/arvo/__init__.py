"""Ours."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="arvo",
    kind="own",
    requires=(),
    shows=("arvo-plpg", "psycopg"),
    configurations=(
        Configuration("default", {}, "PostgresEventBroker as it comes; concurrency 10", 40000),
        Configuration("wide", {"concurrency": 500}, "WorkerOptions(concurrency=500)", 40000),
        Configuration("batch", {"batch": True}, "a handler of lists", 50000, batch=True),
    ),
    contract="lease, attempt, outcome and trace per event; history kept",
    recovery=8.0,
)
