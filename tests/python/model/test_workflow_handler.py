"""The wrapper around every step: order, refusals, failures (section 4.4)."""

import pytest

from arvo_plpg import (
    ArvoEvent,
    ArvoOrchestrationSubject,
    ConfigViolation,
    ContractViolation,
    ExecutionViolation,
    TransactionViolation,
    TransactionViolationCause,
    create_arvo_event_factory,
    create_arvo_resumable,
)
from arvo_plpg.demo.average import AVERAGE_CONTRACT, create_average_workflow
from arvo_plpg.demo.calculator import ADD_CONTRACT, PRODUCT_CONTRACT
from arvo_plpg.demo.weighted_average import create_weighted_average_workflow

init = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0")).init
add = create_arvo_event_factory(ADD_CONTRACT.version("1.0.0"))
SERVICES = {"add": ADD_CONTRACT.version("1.0.0"), "product": PRODUCT_CONTRACT.version("1.0.0")}


def started(**fields):
    data = {"numbers": [1, 2], "parentSubject$$": fields.pop("parent", None)}
    return init(source="com.test.test", data=data, **fields)


def changed(event, **fields):
    return ArvoEvent.from_dict(event.to_dict() | fields)


def workflow(function, memory, **options):
    return create_arvo_resumable(
        contract=AVERAGE_CONTRACT,
        services=SERVICES,
        handler={"1.0.0": function},
        memory=memory,
        **options,
    )


def raising(error):
    async def function(_):
        raise error

    return function


async def test_order_of_calls(memory):
    await create_average_workflow(memory).execute(started())
    assert memory.calls == ["read", "write"]
    memory.calls.clear()
    await workflow(lambda _: None, memory).execute(started())
    assert memory.calls == ["lock", "read", "write", "unlock"]
    assert memory.locks == set()


async def test_metadata_of_a_write(memory):
    parent = ArvoOrchestrationSubject.new(orchestrator="com.par.ent", initiator="com.test.test")
    event = started(parent=parent)
    await create_average_workflow(memory).execute(event)
    [metadata] = memory.metadata
    assert metadata.subject == event.subject
    assert metadata.parent_subject == parent
    assert metadata.initiator == "com.par.ent"
    assert metadata.source == "arvo.orc.workflow.average"
    assert memory.record(event.subject)["parentSubject"] == parent


async def test_a_memory_given_for_the_delivery_is_used(memory):
    handler = create_average_workflow()
    event = started()
    with pytest.raises(ConfigViolation, match="no memory"):
        await handler.execute(event)
    await handler.execute(event, memory=memory)
    assert event.subject in memory.stored


async def test_golden_invalid_subject(sample, memory):
    golden = sample("violations")["orchestrator_invalid_subject"]
    event = changed(started(), subject="plain-subject", id="7413a7b5-e4be-441a-9d6d-531d77af4da9")
    with pytest.raises(ExecutionViolation) as refused:
        await create_average_workflow(memory).execute(event)
    assert refused.value.message == golden["message"]
    assert memory.calls == []


async def test_golden_bad_init_data(sample, memory):
    golden = sample("violations")["orchestrator_bad_init_data"]
    data = {"numbers": "x", "parentSubject$$": None}
    with pytest.raises(ContractViolation) as refused:
        await create_average_workflow(memory).execute(changed(started(), data=data))
    assert refused.value.message.startswith(golden["message"].partition(": [")[0])
    assert memory.stored == {}


async def test_an_id_cannot_forge_a_line_of_a_log(memory):
    event = changed(started(), subject="plain-subject", id="a\nERROR forged")
    with pytest.raises(ExecutionViolation) as refused:
        await create_average_workflow(memory).execute(event)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("name", "failing", "calls"),
    [
        ("lock_error", {"lock": RuntimeError("db down")}, ["lock"]),
        (
            "write_error",
            {"write": RuntimeError("version mismatch")},
            ["lock", "read", "write", "unlock"],
        ),
    ],
)
async def test_golden_memory_failures(sample, memory, name, failing, calls):
    golden = sample("violations")[name]
    memory.failing = failing
    event = started()
    with pytest.raises(TransactionViolation) as refused:
        await workflow(lambda _: None, memory).execute(event)
    violation = refused.value
    assert (violation.name, violation.type) == (golden["name"], golden["type"])
    assert violation.cause == golden["cause"]
    assert list(violation.metadata) == golden["enumerableJson"]["metadata"]
    start, _, rest = golden["message"].partition("(subject=")
    end = rest.partition(")")[2]
    assert violation.message == f"{start}(subject={event.subject}){end}"
    assert memory.calls == calls


async def test_golden_denied_lock(sample, memory):
    golden = sample("violations")["lock_denied"]
    event = started()
    memory.locks.add(event.subject)
    with pytest.raises(TransactionViolation) as refused:
        await workflow(lambda _: None, memory).execute(event)
    assert refused.value.message == golden["message"]
    assert refused.value.cause == golden["cause"]
    assert memory.locks == {event.subject}, "another's lock stays"


async def test_a_failing_read_is_a_violation(memory):
    memory.failing = {"read": RuntimeError("x")}
    with pytest.raises(TransactionViolation) as refused:
        await create_average_workflow(memory).execute(started())
    assert refused.value.cause is TransactionViolationCause.READ_MACHINE_MEMORY_FAILURE


async def test_a_failing_unlock_or_cleanup_is_only_logged(memory, caplog):
    memory.failing = {"unlock": RuntimeError("x")}
    assert await workflow(lambda _: None, memory).execute(started()) == []
    assert "possible resource leak" in caplog.text


async def test_an_event_of_another_orchestrators_subject_is_consumed(memory, caplog):
    weighted = create_weighted_average_workflow(memory)
    assert await weighted.execute(started()) == []
    assert memory.calls == []
    assert "not 'arvo.orc.weighted.average'" in caplog.text


async def test_an_answer_without_state_is_consumed(memory, caplog):
    answer = add.emits(
        type="evt.calculator.add.success",
        source="com.calculator.add",
        data={"result": 1},
        subject=started().subject,
    )
    assert await create_average_workflow(memory).execute(answer) == []
    assert memory.calls == ["read"]
    assert "there is no state" in caplog.text


async def test_an_error_ends_the_workflow_and_tells_the_initiator(memory):
    event = started(accesscontrol="role:a", redirectto="com.redirect.here")
    handler = workflow(raising(ValueError("broken")), memory, executionunits=3)
    [error] = await handler.execute(event)
    assert error.type == "sys.arvo.orc.workflow.average.error"
    assert error.dataschema == "#/org/amas/calculator/average/0.0.0"
    assert (error.source, error.to) == ("arvo.orc.workflow.average", "com.test.test")
    assert (error.subject, error.parentid) == (event.subject, event.id)
    assert (error.accesscontrol, error.executionunits) == ("role:a", 3)
    assert (error.data["errorName"], error.data["errorMessage"]) == ("ValueError", "broken")
    record = memory.record(event.subject)
    assert record["executionStatus"] == "failure"
    assert record["error"]["name"] == "ValueError"
    assert record["error"]["message"] == "broken"
    assert "ValueError: broken" in record["error"]["stack"]
    assert record["subject"] == event.subject
    assert memory.locks == set()


async def test_the_failure_of_a_child_is_told_to_its_parent(memory):
    parent = ArvoOrchestrationSubject.new(orchestrator="com.par.ent", initiator="com.test.test")
    event = started(parent=parent)
    [error] = await workflow(raising(ValueError()), memory).execute(event)
    assert (error.subject, error.to) == (parent, "com.par.ent")
    assert memory.record(event.subject)["parentSubject"] == parent
    assert memory.metadata[-1].parent_subject == parent


async def test_a_failure_after_the_first_step_is_kept_too(sample, memory):
    event = started()
    [asked] = await create_average_workflow(memory).execute(event)
    answer = add.emits(
        type="evt.calculator.add.success",
        source="com.calculator.add",
        data={"result": 0},
        subject=event.subject,
        parentid=asked.id,
    )
    text, version = memory.stored[event.subject]
    memory.stored[event.subject] = (text.replace('"numbers": [1, 2]', '"numbers": []'), version)
    [error] = await create_average_workflow(memory).execute(answer)
    assert error.data["errorName"] == "ZeroDivisionError"
    assert error.parentid == event.id
    assert memory.record(event.subject)["executionStatus"] == "failure"
    assert memory.stored[event.subject][1] == 2
    # and later events are ignored
    late = changed(answer, id="late")
    emitted = await create_average_workflow(memory).execute(late)
    assert len(emitted) == sample("violations")["after_failure_event_ignored"] == 0


async def test_a_failure_that_cannot_be_kept_is_a_violation(memory):
    memory.failing = {"write": RuntimeError("x")}
    with pytest.raises(TransactionViolation) as refused:
        await workflow(raising(ValueError()), memory).execute(started())
    assert refused.value.cause is TransactionViolationCause.WRITE_MACHINE_MEMORY_FAILURE


async def test_a_violation_keeps_the_state(memory):
    with pytest.raises(ExecutionViolation):
        await workflow(raising(ExecutionViolation("later")), memory).execute(started())
    assert memory.stored == {}
    assert memory.calls == ["lock", "read", "unlock"]


async def test_an_event_applied_before_emits_the_same_again(memory):
    event = started()
    handler = create_average_workflow(memory)
    first = await handler.execute(event)
    again = await handler.execute(event)
    assert again == first != []
    assert memory.stored[event.subject][1] == 1


async def test_an_unknown_version_of_the_subject_is_a_violation(memory):
    subject = ArvoOrchestrationSubject.new(
        orchestrator="arvo.orc.workflow.average", version="9.0.0", initiator="com.test.test"
    )
    event = changed(started(), subject=subject)
    for handler in (create_average_workflow(memory), workflow(lambda _: None, memory)):
        with pytest.raises(ConfigViolation, match=r"9\.0\.0"):
            await handler.execute(event)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"dataschema": None}, ContractViolation),
        ({"dataschema": "#/other/1.0.0"}, ContractViolation),
        ({"dataschema": "#/org/amas/calculator/add/2.0.0"}, ContractViolation),
        ({"type": "evt.who.knows"}, ConfigViolation),
        ({"data": {"result": "x"}}, ContractViolation),
    ],
)
async def test_an_answer_that_does_not_fit_is_a_violation(memory, changes, kind):
    event = started()
    handler = create_average_workflow(memory)
    await handler.execute(event)
    answer = add.emits(
        type="evt.calculator.add.success",
        source="com.calculator.add",
        data={"result": 1},
        subject=event.subject,
    )
    with pytest.raises(kind):
        await handler.execute(changed(answer, **changes))
    assert memory.stored[event.subject][1] == 1


async def test_an_init_event_of_an_unknown_version_fails_a_resumable_for_good(memory):
    event = changed(
        started(),
        dataschema="#/org/amas/calculator/average/7.0.0",
        data={"numbers": [1, 2], "parentSubject$$": 5},
    )
    [error] = await workflow(lambda _: None, memory).execute(event)
    assert memory.metadata[-1].parent_subject is None
    assert error.subject == event.subject
    assert "7.0.0" in error.data["errorMessage"]
    assert memory.record(event.subject)["executionStatus"] == "failure"


def test_services_are_distinct_and_others():
    with pytest.raises(ConfigViolation, match="distinct"):
        create_arvo_resumable(
            contract=AVERAGE_CONTRACT,
            services={"a": SERVICES["add"], "b": SERVICES["add"]},
            handler={"1.0.0": lambda _: None},
        )
    with pytest.raises(ConfigViolation, match="cannot call itself"):
        create_arvo_resumable(
            contract=AVERAGE_CONTRACT,
            services={"a": AVERAGE_CONTRACT.version("1.0.0")},
            handler={"1.0.0": lambda _: None},
        )
