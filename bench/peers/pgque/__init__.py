"""PgQue, which cannot be installed by name: its client is published, its SQL is not."""

from bench.peers.peer import Peer

PEER = Peer(
    name="pgque",
    kind="python",
    requires=("pgque-py",),
    shows=("pgque-py",),
    configurations=(),
    contract="acknowledges whole batches; single failures are negative acknowledgements",
    missing="PyPI has its client (pgque-py); its SQL is on no package registry",
)
