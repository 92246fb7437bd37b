"""A calculator of two stateless handlers, which the example workflows call."""

from __future__ import annotations

import math
from typing import Final

from pydantic import BaseModel

from arvo_plpg.contract import create_arvo_contract, create_simple_arvo_contract
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.event_handler import (
    ArvoEventHandler,
    HandlerContext,
    create_arvo_event_handler,
)

UNITS_PER_NUMBER: Final = 0.000001
"""What one number costs, in execution units."""


class Numbers(BaseModel):
    """What to calculate with."""

    numbers: list[int | float]


class Result(BaseModel):
    """What came out."""

    result: int | float


ADD_CONTRACT = create_arvo_contract(
    uri="#/org/amas/calculator/add",
    type="com.calculator.add",
    versions={"1.0.0": {"accepts": Numbers, "emits": {"evt.calculator.add.success": Result}}},
)

PRODUCT_CONTRACT = create_simple_arvo_contract(
    uri="#/org/amas/calculator/product",
    type="calculator.product",
    versions={"1.0.0": {"accepts": Numbers, "emits": Result}},
)


def _numbers(context: HandlerContext) -> list[int | float]:
    payload: Numbers = context.payload
    if not payload.numbers:
        raise ValueError("Numbers array cannot be empty")
    return payload.numbers


async def _add(context: HandlerContext) -> Emission:
    numbers = _numbers(context)
    return Emission(
        type="evt.calculator.add.success",
        data={"result": sum(numbers)},
        executionunits=len(numbers) * UNITS_PER_NUMBER,
    )


async def _multiply(context: HandlerContext) -> Emission:
    numbers = _numbers(context)
    return Emission(
        type="evt.calculator.product.success",
        data={"result": math.prod(numbers)},
        executionunits=len(numbers) * UNITS_PER_NUMBER,
    )


def create_add_handler() -> ArvoEventHandler:
    """Make the handler ``com.calculator.add``."""
    return create_arvo_event_handler(contract=ADD_CONTRACT, handler={"1.0.0": _add})


def create_product_handler() -> ArvoEventHandler:
    """Make the handler ``com.calculator.product``."""
    return create_arvo_event_handler(contract=PRODUCT_CONTRACT, handler={"1.0.0": _multiply})
