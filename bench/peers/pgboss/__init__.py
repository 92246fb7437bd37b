"""pg-boss."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="pgboss",
    kind="node",
    requires=("pg-boss",),
    shows=("pg-boss",),
    configurations=(
        Configuration("default", {}, "work(localConcurrency 10): polls each 2 s for 1 job", 5),
        Configuration(
            "fast",
            {"batchSize": 500, "burst": True, "notify": True},
            "batchSize 500, burstWhenBatchFull, notify; perJobResults",
            10000,
        ),
    ),
    contract="history kept; fast: the outcomes of a batch are written together",
)
