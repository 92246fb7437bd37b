"""All handlers of the demonstration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.demo.average import create_average_workflow
from arvo_plpg.demo.calculator import create_add_handler, create_product_handler
from arvo_plpg.demo.weighted_average import create_weighted_average_workflow

if TYPE_CHECKING:
    from arvo_plpg.handler import AnyHandler
    from arvo_plpg.machine_memory import MachineMemory


def create_demo_handlers(memory: MachineMemory | None = None) -> list[AnyHandler]:
    """Make the calculator and the two workflows that use it.

    Args:
        memory: where the workflows keep their state; a worker binds its own.
    """
    return [
        create_add_handler(),
        create_product_handler(),
        create_average_workflow(memory),
        create_weighted_average_workflow(memory),
    ]
