"""The contract of a person who approves: its events leave the broker for another domain."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from arvo_plpg.contract import create_simple_arvo_contract

HUMAN_DOMAIN: Final = "human.interaction"


class ApprovalRequest(BaseModel):
    """What the person is asked."""

    prompt: str


class ApprovalAnswer(BaseModel):
    """What the person said."""

    approval: bool


HUMAN_APPROVAL_CONTRACT = create_simple_arvo_contract(
    uri="#/org/amas/external/human_approval",
    type="human.approval",
    domain=HUMAN_DOMAIN,
    versions={"1.0.0": {"accepts": ApprovalRequest, "emits": ApprovalAnswer}},
)
