"""The Python client's driver with one fault: ``wrong.py FAULT``."""

import asyncio
import json
import sys

from arvo_plpg import ArvoEvent, PostgresMachineMemory
from arvo_plpg.errors import VersionConflict
from arvo_plpg.runtime.delivery import Delivery
from arvo_plpg.runtime.heartbeat import Heartbeat
from arvo_plpg.runtime.wakeup import Wakeup
from conformance import python_driver
from conformance.python_driver import Driver

call, memory, write = Driver.call, Driver.memory, PostgresMachineMemory.write


async def forget(self, function, arguments, session=""):
    """Settle in a transaction that is never committed, and say that all is well."""
    if function == "settle":
        await self.begin("forgotten")
        answer = await call(self, function, arguments, "forgotten")
        await self.rollback("forgotten")
        return answer
    return await call(self, function, arguments, session)


async def outside(self, function, arguments, session=""):
    """Dispatch on a connection of its own."""
    return await call(self, function, arguments, "")


async def insist(self, function, arguments, session=""):
    """Take a refused event for accepted."""
    try:
        return await call(self, function, arguments, session)
    except Exception:
        if function != "dispatch":
            raise
        return {"outcome": "queued"}


async def share(self, method, subject, **given):
    """Keep the tokens of all executions in one place."""
    return await memory(self, method, subject, **given | {"as": "all"})


async def overwrite(self, subject, data, previous, metadata):
    """Write, come what may."""
    try:
        await write(self, subject, data, previous, metadata)
    except VersionConflict:
        await write(self, subject, data, await self.read(subject), metadata)


async def deaf(*_):
    """Listen to nothing."""
    await asyncio.Event().wait()


async def sorted_text(self, event):
    """Order the keys by name."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"))


def drop_events(self, events, state=None):
    """Forget what the handler returned."""
    return self._result("completed") | ({"state": state} if state is not None else {})


def charge(self):
    """Fail what was not run to its end."""
    return self._result("failed") | {"error": {"name": "Stopped", "message": "stopped"}}


async def hang(self, **_):
    """Never answer."""
    await asyncio.Event().wait()


async def lie(driver, line):
    """Answer another question."""
    return json.dumps({"id": json.loads(line)["id"] + 1, "ok": None})


async def babble(driver, line):
    """Answer what is no JSON."""
    return "as you wish"


async def shrug(driver, line):
    """Answer neither with a value nor with an error."""
    return json.dumps({"id": json.loads(line)["id"]})


async def leave(driver, line):
    """End."""
    sys.exit("I have had enough")


FAULTS = {
    "forget": (Driver, "call", forget),
    "outside": (Driver, "call", outside),
    "insist": (Driver, "call", insist),
    "share": (Driver, "memory", share),
    "overwrite": (PostgresMachineMemory, "write", overwrite),
    "deaf": (Wakeup, "run", deaf),
    "heartless": (Heartbeat, "_extend", lambda self, held: None),
    "sorted_text": (Driver, "canonical", sorted_text),
    "drop_events": (Delivery, "completed", drop_events),
    "charge": (Delivery, "released", charge),
    "loose": (ArvoEvent, "from_dict", classmethod(lambda cls, flat: cls.from_trusted_dict(
        {"id": "x", "source": "x", "type": "a.b.c", "subject": "x", "time": "2030-01-01T00:00:00Z"}
        | dict(flat) | {"data": {}}))),
    "hang": (Driver, "connect", hang),
    "lie": (python_driver, "answer", lie),
    "babble": (python_driver, "answer", babble),
    "shrug": (python_driver, "answer", shrug),
    "leave": (python_driver, "answer", leave),
}  # fmt: skip

if __name__ == "__main__":
    setattr(*FAULTS[sys.argv[1]])
    asyncio.run(python_driver.main())
