"""Serving: a server that says when, and where, it can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Server(uvicorn.Server):
    """A server of uvicorn's that tells its port once that is bound.

    Args:
        config: what is served, and where.
        bound: takes the port, which the system has chosen where the configuration says 0.
    """

    def __init__(self, config: uvicorn.Config, bound: Callable[[int], None]) -> None:
        super().__init__(config)
        self._bound = bound

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, and tell."""
        await super().startup(sockets)
        if self.started:
            self._bound(self.servers[0].sockets[0].getsockname()[1])
