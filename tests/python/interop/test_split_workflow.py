"""One workflow, its handlers in two languages, on one database."""

import asyncio
import json

import pytest

from arvo_plpg import ArvoEvent, PostgresEventBroker, create_arvo_event_factory
from arvo_plpg.aio import Broker
from arvo_plpg.demo.average import AVERAGE_CONTRACT, create_average_workflow
from arvo_plpg.demo.calculator import create_add_handler
from conformance.place import uri

PYTHON, TYPESCRIPT = "com.example.python", "com.example.typescript"


@pytest.fixture
async def typescript_half(typescript, dsn):
    """The program that serves the products and starts a workflow of its own."""
    program = await asyncio.create_subprocess_exec(
        "node",
        str(typescript / "interop" / "calculator.js"),
        uri(dsn),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    yield program
    program.stdin.close()
    _, said = await asyncio.wait_for(program.communicate(), 20)
    assert (program.returncode, said.decode()) == (0, "")


async def test_a_workflow_with_handlers_in_two_languages(dsn, typescript_half):
    completions = asyncio.Queue()
    factory = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
    start = factory.init(source=PYTHON, data={"numbers": [10, 20, 60]})
    async with PostgresEventBroker(dsn, name="python") as broker:
        await broker.register(create_average_workflow())
        await broker.register(create_add_handler())
        await broker.on_workflow_complete(source=PYTHON, listener=completions.put)
        await broker.dispatch(start)
        completion = await asyncio.wait_for(completions.get(), 30)
        seen = [await line_of(typescript_half) for _ in range(3)]
        async with broker.connection() as contract:
            story = await settled(contract, start.subject)

    assert completion.data == {"success": True, "average": pytest.approx(30), "errors": None}
    assert (completion.type, completion.parentid) == ("arvo.orc.workflow.average.done", start.id)
    assert story["com.calculator.add"] == ("completed", "python")
    assert story["com.calculator.product"] == ("completed", "typescript")
    assert story["evt.calculator.product.success"] == ("completed", "python")

    events = [ArvoEvent.from_json(text) for text in seen]
    assert sorted(event.to or "" for event in events) == [
        "com.calculator.product",
        "com.calculator.product",
        TYPESCRIPT,
    ]
    (theirs,) = [event for event in events if event.to == TYPESCRIPT]
    assert theirs.data == {"success": True, "average": pytest.approx(2.5), "errors": None}
    assert theirs.type == "arvo.orc.workflow.average.done"
    for text, event in zip(seen, events, strict=True):
        # What one writes the other writes, but for the spelling of numbers: 1e-06 and 0.000001.
        assert in_order(text) == in_order(event.to_json())


async def line_of(program):
    line = await asyncio.wait_for(program.stdout.readline(), 30)
    assert line, (await program.stderr.read()).decode()
    return line.decode()


async def settled(contract: Broker, subject):
    """What became of each event of a workflow, and who had it, once all is settled."""
    async with asyncio.timeout(15):
        while True:
            steps = await contract.trace(subject)
            if {step.outcome for step in steps} == {"completed"}:
                return {step.event_type: (step.outcome, step.worker) for step in steps}
            await asyncio.sleep(0.02)


def in_order(text):
    return json.loads(text, object_pairs_hook=lambda pairs: pairs)
