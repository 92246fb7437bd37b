"""An order: pays, asks a person when it is dear, has a parcel packed by a workflow of its own.

    python examples/order_fulfilment.py

Contracts and models come first, then the services, then the workflows, then what runs them. The
payment service is out of order at first, so the second attempt is the one that works.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from stage import database

import arvo_plpg as arvo

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOP = "com.example.shop"
DEAR = 1000


class Order(BaseModel):
    """What a customer wants."""

    customer: str
    item: str
    cents: int


class Charge(BaseModel):
    """Ask for money."""

    customer: str
    cents: int


class Charged(BaseModel):
    """The money is ours."""

    receipt: str


class Question(BaseModel):
    """Ask a person."""

    text: str


class Verdict(BaseModel):
    """What the person says."""

    approved: bool


class Parcel(BaseModel):
    """What is to be sent."""

    address: str
    item: str


class Label(BaseModel):
    """A printed label."""

    number: str


class Shipped(BaseModel):
    """The parcel is on its way."""

    tracking: str


class Outcome(BaseModel):
    """How the order ended."""

    text: str


charge_1 = arvo.simple_version("1.0.0", accepts=Charge, emits=Charged)
charge = arvo.create_simple_arvo_contract(
    uri="#/charge", type="payment.charge", versions=[charge_1]
)

approve_1 = arvo.simple_version("1.0.0", accepts=Question, emits=Verdict)
approve = arvo.create_simple_arvo_contract(
    uri="#/approve", type="person.approve", domain="human", versions=[approve_1]
)

label_1 = arvo.simple_version("1.0.0", accepts=Parcel, emits=Label)
label = arvo.create_simple_arvo_contract(uri="#/label", type="label.print", versions=[label_1])

ship_1 = arvo.workflow_version("1.0.0", init=Parcel, complete=Shipped)
ship = arvo.create_arvo_orchestrator_contract(uri="#/ship", name="ship", versions=[ship_1])

order_1 = arvo.workflow_version("1.0.0", init=Order, complete=Outcome)
order = arvo.create_arvo_orchestrator_contract(uri="#/order", name="order", versions=[order_1])


# --- services

_calls = 0


@charge_1.handler
async def take_money(call: arvo.HandlerContext[Charge]) -> Charged:
    """Charge a card. A violation is tried again; any other error would be an answer."""
    global _calls  # noqa: PLW0603 - a service that fails once, to be seen
    _calls += 1
    if _calls == 1:
        raise arvo.ExecutionViolation("the payment service does not answer")
    return Charged(receipt=f"receipt of {call.payload.customer} for {call.payload.cents}")


@label_1.handler
def print_label(call: arvo.HandlerContext[Parcel]) -> Label:
    """Print; a plain function runs in a thread."""
    return Label(number=f"{call.payload.address[:3].upper()}-1")


def person(event: arvo.ArvoEvent) -> list[arvo.ArvoEvent]:
    """Answer as a person would, whom the event reached through the domain ``human``."""
    print(f"  a person is asked: {event.data['text']}")
    return [
        arvo.create_arvo_event_factory(approve.version(approve_1)).emits(
            type="evt.person.approve.success",
            source="com.example.person",
            subject=event.subject,
            data=Verdict(approved="yacht" not in event.data["text"]),
            to=event.source,
            parentid=event.id,
        )
    ]


# --- workflows


@ship_1.resumable
async def shipping(step: arvo.ResumableContext[Parcel]) -> arvo.ResumableResult[Shipped]:
    """Have a label printed; the parcel follows it."""
    if step.payload is not None:
        return arvo.ResumableResult(services=[step.payload])
    (printed,) = step.collected_events["evt.label.print.success"]
    return arvo.ResumableResult(output=Shipped(tracking=printed.data["number"]))


@order_1.resumable
async def fulfilment(step: arvo.ResumableContext[Order]) -> arvo.ResumableResult[Outcome]:
    """Go from one answer to the next; each call is one transaction with what it returns."""
    if step.payload is not None:
        wanted = step.payload
        if wanted.cents >= DEAR:
            text = f"{wanted.item} for {wanted.customer}?"
            question = arvo.Emission(
                data=Question(text=text), domain=[arvo.ArvoDomain.FROM_EVENT_CONTRACT]
            )
            return arvo.ResumableResult(context=wanted, services=[question])
        return arvo.ResumableResult(context=wanted, services=[_charge(wanted)])
    if step.service is None or step.context is None:
        raise arvo.ExecutionViolation("neither an order nor an answer")
    wanted = Order.model_validate(step.context)
    match step.service.type:
        case "evt.person.approve.success" if step.service.data["approved"]:
            return arvo.ResumableResult(services=[_charge(wanted)])
        case "evt.person.approve.success":
            return arvo.ResumableResult(output=Outcome(text=f"no {wanted.item}: not approved"))
        case "evt.payment.charge.success":
            return arvo.ResumableResult(services=[_parcel(step, wanted)])
        case "arvo.orc.ship.done":
            tracking = step.service.data["tracking"]
            return arvo.ResumableResult(output=Outcome(text=f"{wanted.item} sent: {tracking}"))
        case other:
            raise RuntimeError(f"{other}: {step.service.data}")


def _charge(wanted: Order) -> Charge:
    return Charge(customer=wanted.customer, cents=wanted.cents)


def _parcel(step: arvo.ResumableContext[Order], wanted: Order) -> arvo.Emission[Mapping[str, Any]]:
    """A workflow within the workflow: it is told whose child it is."""
    if step.service is None:
        raise arvo.ExecutionViolation("a parcel follows a payment")
    data = {"parentSubject$$": step.service.subject, "address": "Sofia", "item": wanted.item}
    return arvo.Emission(type="arvo.orc.ship", data=data)


# --- what runs them


async def main(dsn: str) -> None:
    """Take three orders, and say how each ended."""
    ended: asyncio.Queue[arvo.ArvoEvent] = asyncio.Queue()
    async with arvo.PostgresEventBroker(dsn) as broker:
        for handler in (
            arvo.create_arvo_event_handler(contract=charge, handler=[take_money]),
            arvo.create_arvo_event_handler(contract=label, handler=[print_label]),
            arvo.create_arvo_resumable(
                contract=ship, services={"label": label.version(label_1)}, handler=[shipping]
            ),
            arvo.create_arvo_resumable(
                contract=order,
                services={
                    "approve": approve.version(approve_1),
                    "charge": charge.version(charge_1),
                    "ship": ship.version(ship_1),
                },
                handler=[fulfilment],
            ),
        ):
            await broker.register(handler)
        broker.on_domained_event(person)
        await broker.on_workflow_complete(source=SHOP, listener=ended.put)
        take = arvo.create_arvo_event_factory(order.version(order_1))
        for item, cents in (("a book", 20), ("a bicycle", 2000), ("a yacht", 2_000_000)):
            print(f"{item}:")
            wanted = Order(customer="Ada", item=item, cents=cents)
            await broker.dispatch(take.init(source=SHOP, data=wanted))
            async with asyncio.timeout(30):
                print(f"  {(await ended.get()).data['text']}")


if __name__ == "__main__":
    with database() as dsn:
        asyncio.run(main(dsn))
