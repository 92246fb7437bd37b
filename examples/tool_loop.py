"""A loop as language-model agents have it: think, use tools, look at the results, think again.

    python examples/tool_loop.py

The model is a service like any other, and so are the tools; the loop is a workflow. Each turn is
one transaction: a process that dies between two turns loses none, and no tool is asked twice in
effect. The conversation is the workflow's state, so another process may go on with it.

The model here is a few lines of rules, so that the example needs no key and always ends alike. Put
the call of yours into `think`.
"""

from __future__ import annotations

import ast
import asyncio
import operator
from typing import Any, Literal

from pydantic import BaseModel, Field
from stage import database

import arvo_plpg as arvo

USER = "com.example.user"
MOST_TURNS = 8


class Task(BaseModel):
    """What the agent is to do."""

    question: str


class Message(BaseModel):
    """One entry of the conversation."""

    role: Literal["user", "model", "tool"]
    text: str


class Conversation(BaseModel):
    """What the model is shown; the state of the workflow."""

    messages: list[Message]
    turns: int = 0


class ToolCall(BaseModel):
    """The wish of the model to use a tool."""

    tool: Literal["weather", "calculate"]
    argument: str


class Thought(BaseModel):
    """What the model says: an answer, or tools to use, as many as it likes."""

    answer: str | None = None
    calls: list[ToolCall] = Field(default_factory=list)


class Argument(BaseModel):
    """What a tool gets."""

    argument: str


class Found(BaseModel):
    """What a tool found out."""

    text: str


class Answer(BaseModel):
    """How the task ended."""

    text: str
    turns: int


think_1 = arvo.simple_version("1.0.0", accepts=Conversation, emits=Thought)
think_contract = arvo.create_simple_arvo_contract(
    uri="#/think", type="model.think", versions=[think_1]
)
weather_1 = arvo.simple_version("1.0.0", accepts=Argument, emits=Found)
weather_contract = arvo.create_simple_arvo_contract(
    uri="#/tool/weather", type="tool.weather", versions=[weather_1]
)
calculate_1 = arvo.simple_version("1.0.0", accepts=Argument, emits=Found)
calculate_contract = arvo.create_simple_arvo_contract(
    uri="#/tool/calculate", type="tool.calculate", versions=[calculate_1]
)
agent_1 = arvo.workflow_version("1.0.0", init=Task, complete=Answer)
agent_contract = arvo.create_arvo_orchestrator_contract(
    uri="#/agent", name="agent", versions=[agent_1]
)


@think_1.handler
async def think(call: arvo.HandlerContext[Conversation]) -> Thought:
    """Stand in for a language model."""
    told = [message.text for message in call.payload.messages if message.role == "tool"]
    if not told:
        calls = [ToolCall(tool="weather", argument=city) for city in ("Plovdiv", "Sofia")]
        return Thought(calls=calls)
    degrees = [text.split()[-1] for text in told if "degrees" in text]
    sums = [text for text in told if text.startswith("=")]
    if not sums:
        return Thought(calls=[ToolCall(tool="calculate", argument=" - ".join(degrees))])
    return Thought(answer=f"{sums[-1].removeprefix('= ')} degrees of difference")


@weather_1.handler
async def weather(call: arvo.HandlerContext[Argument]) -> Found:
    """Look out of the window."""
    return Found(text=f"{call.payload.argument}: degrees {len(call.payload.argument) * 4}")


@calculate_1.handler
def calculate(call: arvo.HandlerContext[Argument]) -> Found:
    """Add, subtract and multiply integers, nothing else: a model's text is not to be trusted."""
    return Found(text=f"= {_value(ast.parse(call.payload.argument, mode='eval').body)}")


def _value(node: ast.expr) -> int:
    operators = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in operators:
            return int(operators[type(sign)](_value(left), _value(right)))
        case _:
            raise ValueError("only sums, differences and products of integers")


@agent_1.resumable
async def agent(step: arvo.ResumableContext[Task]) -> arvo.ResumableResult[Answer] | None:
    """Take turns: the model, its tools, the model again."""
    if step.payload is not None:
        question = Message(role="user", text=step.payload.question)
        return _ask(Conversation(messages=[question]))
    if step.service is None or step.awaiting:
        return None  # other tools of this turn are still at work
    so_far = Conversation.model_validate(step.context)
    thoughts = step.collected_events.get("evt.model.think.success")
    if thoughts:
        thought = Thought.model_validate(thoughts[0].data)
        if thought.answer is not None:
            return arvo.ResumableResult(output=Answer(text=thought.answer, turns=so_far.turns))
        return arvo.ResumableResult(services=[_use(call) for call in thought.calls])
    for answers in step.collected_events.values():
        so_far.messages += [Message(role="tool", text=_told(answer)) for answer in answers]
    if so_far.turns == MOST_TURNS:
        raise RuntimeError(f"no answer after {MOST_TURNS} turns")
    return _ask(so_far)


def _ask(conversation: Conversation) -> arvo.ResumableResult[Answer]:
    asked = conversation.model_copy(update={"turns": conversation.turns + 1})
    return arvo.ResumableResult(context=asked, services=[asked])


def _use(call: ToolCall) -> arvo.Emission[Any]:
    return arvo.Emission(type=f"com.tool.{call.tool}", data=Argument(argument=call.argument))


def _told(answer: arvo.ArvoEvent) -> str:
    """What a tool said; that it failed is something to think about, too."""
    data: dict[str, Any] = answer.to_dict()["data"]
    return str(data.get("text") or f"failed: {data['errorMessage']}")


async def main(dsn: str) -> None:
    """Ask one question, and show how the agent came to its answer."""
    ended: asyncio.Queue[arvo.ArvoEvent] = asyncio.Queue()
    async with arvo.PostgresEventBroker(dsn) as broker:
        for contract, function in (
            (think_contract, think),
            (weather_contract, weather),
            (calculate_contract, calculate),
        ):
            await broker.register(
                arvo.create_arvo_event_handler(contract=contract, handler=[function])
            )
        await broker.register(
            arvo.create_arvo_resumable(
                contract=agent_contract,
                services={
                    "model": think_contract.version(think_1),
                    "weather": weather_contract.version(weather_1),
                    "calculate": calculate_contract.version(calculate_1),
                },
                handler=[agent],
            )
        )
        await broker.on_workflow_complete(source=USER, listener=ended.put)
        task = Task(question="How much warmer is Plovdiv than Sofia?")
        start = arvo.create_arvo_event_factory(agent_contract.version(agent_1))
        event = start.init(source=USER, data=task)
        await broker.dispatch(event)
        async with asyncio.timeout(30):
            answer = (await ended.get()).data
        async with broker.connection() as database_contract:
            for told in await database_contract.trace(event.subject):
                print(f"  {told.event_type}")
        print(f"{answer['text']}, after {answer['turns']} turns")


if __name__ == "__main__":
    with database() as dsn:
        asyncio.run(main(dsn))
