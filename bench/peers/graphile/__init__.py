"""Graphile Worker."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="graphile",
    kind="node",
    requires=("graphile-worker",),
    shows=("graphile-worker",),
    configurations=(
        Configuration("default", {}, "run(concurrency 10)", 2500),
        Configuration(
            "fast",
            {"localQueue": 500, "completeJobBatchDelay": 0, "failJobBatchDelay": 0},
            "localQueue 500, batched completion and failure",
            15000,
        ),
    ),
    contract="a finished job is deleted: no history; a dead worker's jobs wait four hours",
)
