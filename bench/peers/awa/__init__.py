"""Awa, by its Python package."""

from bench.peers.peer import Configuration, Peer

PEER = Peer(
    name="awa",
    kind="python",
    requires=("awa-pg",),
    shows=("awa-pg",),
    configurations=(
        Configuration(
            "default", {}, 'as migrate() leaves it; start([("bench", 10)]), insert_many_copy', 900
        ),
        Configuration(
            "fast",
            {"workers": 256, "claimers": 2, "claim_batch_size": 512, "copy": True},
            "install_queue_storage, 256 workers, 2 claimers of 512, enqueue_many_copy",
            5000,
        ),
    ),
    contract="lease and attempt per job; history kept; outcomes written in batches",
    recovery=90.0,
)
