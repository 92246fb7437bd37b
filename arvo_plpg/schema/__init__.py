"""The installation: bring a database forward, take it back, prove that it is right."""

from arvo_plpg.schema.doctor import Finding, Report, doctor
from arvo_plpg.schema.edition import Edition
from arvo_plpg.schema.handshake import Offer, about_query, judge, offer
from arvo_plpg.schema.names import Names
from arvo_plpg.schema.runner import Plan, migrate, plan_migrate, plan_rollback, rollback

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
