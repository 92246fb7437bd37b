"""Peers: every queue that is measured. Each is a package of its description and its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.absurd import PEER as ABSURD
from bench.peers.arvo import PEER as ARVO
from bench.peers.awa import PEER as AWA
from bench.peers.graphile import PEER as GRAPHILE
from bench.peers.pgboss import PEER as PGBOSS
from bench.peers.pgmq import PEER as PGMQ
from bench.peers.pgque import PEER as PGQUE
from bench.peers.pgqueuer import PEER as PGQUEUER
from bench.peers.procrastinate import PEER as PROCRASTINATE
from bench.peers.raw import PEER as RAW

if TYPE_CHECKING:
    from bench.peers.peer import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        ARVO,
        GRAPHILE,
        PGBOSS,
        PGQUEUER,
        AWA,
        PROCRASTINATE,
        ABSURD,
        PGMQ,
        PGQUE,
        RAW,
    )
}
