"""The contract's functions for asynchronous programs, on a borrowed connection.

One method for each function. Their blocking twins are in :mod:`arvo_plpg.sync`.
"""

from arvo_plpg._async.broker import Broker
from arvo_plpg._async.memory import Memory

__all__ = ["Broker", "Memory"]
