"""Testing: aids for the tests of programs that use arvo-plpg, on a real engine.

With the package installed, pytest has the fixture ``broker``, a :class:`TestBroker` on a database
of its own. Nothing here imitates the engine: what runs is PostgreSQL, with its clock in your hand.
See ``docs/testing.md``.
"""

from arvo_plpg.testing.broker import NotIdleError, TestBroker
from arvo_plpg.testing.event_node import EventNode
from arvo_plpg.testing.suites import Case, Repeat, Step, Suite, in_suites, run_case

__all__ = [
    "Case",
    "EventNode",
    "NotIdleError",
    "Repeat",
    "Step",
    "Suite",
    "TestBroker",
    "in_suites",
    "run_case",
]
