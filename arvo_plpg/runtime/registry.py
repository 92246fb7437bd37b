"""Registry: the queues that a worker works on, and those that are still to be registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.errors import AlreadyRegistered, ArvoError

if TYPE_CHECKING:
    from arvo_plpg._async.broker import Broker
    from arvo_plpg.rows import Queue
    from arvo_plpg.runtime.route import Route
    from arvo_plpg.runtime.stations import Stations
    from arvo_plpg.runtime.terms import Terms


class Registry:
    """Outlives a stop: what was registered once need not be again.

    Attributes:
        routes: by the names of their queues.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self._unregistered: list[Route] = []
        self._narrowed: set[str] = set()
        self._careful: set[str] = set()

    def add(self, route: Route, registered: Queue | None) -> None:
        """Work on one more queue.

        Raises:
            AlreadyRegistered: there is a route of that queue.
        """
        if route.queue in self.routes:
            raise AlreadyRegistered(
                f"Handler registration failed: A handler with source '{route.queue}' is already "
                "registered.",
                hint="Register each source once in a process.",
            )
        self.routes[route.queue] = route
        if registered is not None:
            self._once_only(registered)
        elif route.concrete:
            self._unregistered.append(route)

    def careful(self, route: Route) -> bool:
        """Whether deliveries of a route have one attempt, which nothing should use up."""
        return route.options.worker.retry_limit == 0 or route.queue in self._careful

    def narrow(self, route: Route, queue: str) -> None:
        """Of a route of many queues one has shown up: register it, if the route has options."""
        narrowed = route.narrowed(queue)
        if queue not in self._narrowed and narrowed is not None:
            self._narrowed.add(queue)
            self._unregistered.append(narrowed)

    async def register(self, broker: Broker, stations: Stations, terms: Terms) -> None:
        """Register what is not registered yet; what is refused is not worked on."""
        while self._unregistered:
            route = self._unregistered[0]
            try:
                queue = await broker.register_queue(
                    route.queue,
                    stateful=route.stateful,
                    worker=terms.name,
                    **route.options.registration(),
                )
            except ArvoError as error:
                terms.logger.error(  # noqa: TRY400 - the error says it all
                    "queue %a cannot be registered, it is not worked on: %s", route.queue, error
                )
                self.routes.pop(route.queue, None)
                stations.close(route.queue)
            else:
                self._once_only(queue)
                if queue.retry_limit == 0:
                    stations.be_careful(route.queue)
                if queue.change != "unchanged":
                    terms.logger.info("queue %a: %s", queue.queue, queue.change)
            self._unregistered.pop(0)

    def _once_only(self, queue: Queue) -> None:
        if queue.retry_limit == 0:
            self._careful.add(queue.queue)
        else:
            self._careful.discard(queue.queue)
