import pytest

from arvo_plpg import ArvoDomain, ArvoOrchestrationSubject, create_arvo_event, resolve_event_domain
from arvo_plpg.domain import resolve_event_domains


def subject(domain):
    return ArvoOrchestrationSubject.new(
        orchestrator="com.a.b", initiator="com.test.test", domain=domain
    )


def resolve(symbol, *, event=None, own=None, parent=None):
    return resolve_event_domain(
        symbol,
        triggering_event=create_arvo_event(
            source="com.test.test", type="com.a.b", subject=subject(own), data={}, domain=event
        ),
        self_domain="self.domain",
        event_domain="event.domain",
        parent_subject=parent,
    )


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (ArvoDomain.LOCAL, None),
        ("", None),
        (ArvoDomain.FROM_SELF_CONTRACT, "self.domain"),
        (ArvoDomain.FROM_EVENT_CONTRACT, "event.domain"),
        (ArvoDomain.FROM_TRIGGERING_EVENT, "trigger.domain"),
        (ArvoDomain.FROM_CURRENT_SUBJECT, "own.domain"),
        (ArvoDomain.FROM_PARENT_SUBJECT, "parent.domain"),
        ("any.other", "any.other"),
    ],
)
def test_symbols(symbol, expected):
    parent = subject("parent.domain")
    assert resolve(symbol, event="trigger.domain", own="own.domain", parent=parent) == expected


@pytest.mark.parametrize(
    ("event", "own", "parent", "expected"),
    [
        (None, "a", None, None),
        ("a", "a", None, None),
        ("a", "b", None, "b"),
        ("a", None, None, None),
        (None, "a", "a", None),
        (None, "a", "b", "b"),
        ("x", "a", "b", "b"),
        (None, None, "b", "b"),
        (None, "a", "none", None),
    ],
)
def test_orchestration_context(event, own, parent, expected):
    above = None if parent is None else subject(None if parent == "none" else parent)
    got = resolve(ArvoDomain.ORCHESTRATION_CONTEXT, event=event, own=own, parent=above)
    assert got == expected


def test_a_subject_that_is_none_has_no_domain():
    assert resolve(ArvoDomain.FROM_PARENT_SUBJECT, parent=None) is None
    assert resolve(ArvoDomain.FROM_PARENT_SUBJECT, parent="nonsense") is None


def test_each_distinct_domain_comes_once_in_order():
    event = create_arvo_event(
        source="com.test.test", type="com.a.b", subject="s", data={}, domain="b"
    )
    symbols = [
        "b",
        ArvoDomain.FROM_TRIGGERING_EVENT,
        None,
        "",
        ArvoDomain.FROM_CURRENT_SUBJECT,
        "a",
    ]
    assert resolve_event_domains(
        symbols, triggering_event=event, self_domain=None, event_domain=None, parent_subject=None
    ) == ["b", None, "a"]
