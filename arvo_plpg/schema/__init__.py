"""The installation: bring a database forward, take it back, prove that it is right.

What needs the migration tool is imported when it is first asked for: most only shake hands.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from arvo_plpg.schema.doctor import Finding, Report, doctor
from arvo_plpg.schema.edition import Edition
from arvo_plpg.schema.handshake import Offer, about_query, judge, offer
from arvo_plpg.schema.names import Names

if TYPE_CHECKING:
    from arvo_plpg.schema.runner import Plan, migrate, plan_migrate, plan_rollback, rollback

_OF_RUNNER = {"Plan", "migrate", "plan_migrate", "plan_rollback", "rollback"}


def __getattr__(name: str) -> object:
    if name not in _OF_RUNNER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("arvo_plpg.schema.runner"), name)


__all__ = [
    "Edition",
    "Finding",
    "Names",
    "Offer",
    "Plan",
    "Report",
    "about_query",
    "doctor",
    "judge",
    "migrate",
    "offer",
    "plan_migrate",
    "plan_rollback",
    "rollback",
]
