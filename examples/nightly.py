"""A nightly job: the database dispatches an event by the clock, however many workers there are.

    python examples/nightly.py

The schedule of the night is shown, not waited for. A second one, of every second, lets you see how
a fire arrives: exactly once, though two workers could fire it.
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from stage import database

import arvo_plpg as arvo

NIGHTLY = "0 2 * * *"
EVERY_SECOND = "* * * * * *"
FIRES = 3


class Scope(BaseModel):
    """What is to be reported."""

    region: str


report_1 = arvo.contract_version("1.0.0", accepts=Scope)
report = arvo.create_arvo_contract(uri="#/report", type="com.report.make", versions=[report_1])


async def main(dsn: str) -> None:
    """Set up both schedules, and take three fires of the quick one."""
    fires: asyncio.Queue[str] = asyncio.Queue()

    @report_1.handler
    async def make(call: arvo.HandlerContext[Scope]) -> None:
        await fires.put(str(call.event.id))

    handler = arvo.create_arvo_event_handler(contract=report, handler=[make])
    async with (
        arvo.PostgresEventBroker(dsn, name="first") as first,
        arvo.PostgresEventBroker(dsn, name="second") as second,
    ):
        await first.register(handler)
        await second.register(handler)
        event = arvo.create_arvo_event_factory(report.version(report_1)).accepts(
            source="com.example.clock", subject="report", data=Scope(region="south")
        )
        template = {
            name: value for name, value in event.to_dict().items() if name not in ("id", "time")
        }
        async with first.connection() as contract:
            night = await contract.schedule(
                "nightly-report", NIGHTLY, template, time_zone="Europe/Sofia", missed="one"
            )
            print(f"{night.name}: {night.cron} in {night.time_zone}, next: {night.next_at}")
            for fire in await contract.next_fires(NIGHTLY, "Europe/Sofia", 2):
                print(f"  {fire.local_time}")
            await contract.schedule("quick-report", EVERY_SECOND, template)
        seen: list[str] = []
        async with asyncio.timeout(30):
            while len(seen) < FIRES:
                seen.append(await fires.get())
        async with first.connection() as contract:
            await contract.unschedule("quick-report")
        print(f"{len(seen)} fires arrived, {len(set(seen))} of them different")


if __name__ == "__main__":
    with database() as dsn:
        asyncio.run(main(dsn))
