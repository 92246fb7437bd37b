import json

import pytest

from arvo_plpg import (
    ArvoDomain,
    ArvoOrchestrationSubject,
    Completion,
    ContractViolation,
    Emission,
    EmissionDomains,
    EventId,
    ExecutionViolation,
    InvalidContractError,
    ResumableResult,
    create_arvo_event_factory,
    create_arvo_resumable,
)
from arvo_plpg.demo.average import AVERAGE_CONTRACT
from arvo_plpg.demo.calculator import (
    ADD_CONTRACT,
    PRODUCT_CONTRACT,
    create_add_handler,
    create_product_handler,
)
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT
from arvo_plpg.demo.weighted_average import (
    WEIGHTED_AVERAGE_CONTRACT,
    create_weighted_average_workflow,
)

SERVICES = {
    "add": ADD_CONTRACT.version("1.0.0"),
    "average": AVERAGE_CONTRACT.version("1.0.0"),
    "approval": HUMAN_APPROVAL_CONTRACT.version("1.0.0"),
}
SELF = WEIGHTED_AVERAGE_CONTRACT
start = create_arvo_event_factory(SELF.version("1.0.0")).init
add = create_arvo_event_factory(ADD_CONTRACT.version("1.0.0"))
ADD = Emission(type="com.calculator.add", data={"numbers": [1]})
OUTPUT = ResumableResult(output={"output": 1})


def started(**fields):
    data = {"parentSubject$$": fields.pop("parent", None), "input": [{"value": 1, "weight": 1}]}
    return start(source="com.test.test", data=data, **fields)


def answer_to(event, result=1):
    return add.emits(
        type="evt.calculator.add.success",
        source="com.calculator.add",
        data={"result": result},
        subject=event.subject,
        parentid=event.id,
    )


def resumable(function, memory=None, **options):
    return create_arvo_resumable(
        contract=SELF, services=SERVICES, handler={"1.0.0": function}, memory=memory, **options
    )


def returning(*results):
    left = list(results)
    return lambda _: left.pop(0)


def test_locking_depends_on_the_number_of_services():
    assert resumable(print).requires_resource_locking
    assert not resumable(print, requires_resource_locking=False).requires_resource_locking
    one = create_arvo_resumable(
        contract=SELF, services={"add": SERVICES["add"]}, handler={"1.0.0": print}
    )
    assert not one.requires_resource_locking


def test_versions_and_functions_must_agree():
    for functions in ({}, {"1.0.0": print, "2.0.0": print}):
        with pytest.raises(InvalidContractError, match="differ in versions"):
            create_arvo_resumable(contract=SELF, services={}, handler=functions)


async def test_what_the_function_gets(memory):
    seen = []

    def function(step):
        seen.append(step)
        step_context = step.context or {"steps": 0}
        return ResumableResult(context={"steps": step_context["steps"] + 1}, services=[ADD, ADD])

    handler = resumable(function, memory)
    event = started()
    first, second = await handler.execute(event)
    await handler.execute(answer_to(first, 11))
    assert [(step.input, step.service and step.service.data) for step in seen] == [
        (event, None),
        (None, {"result": 11}),
    ]
    assert seen[0].context is seen[0].metadata is None
    assert seen[1].context == {"steps": 1}
    assert seen[1].awaiting == 1
    collected = seen[1].collected_events["evt.calculator.add.success"]
    assert [answer.data["result"] for answer in collected] == [11]
    assert memory.record(event.subject)["state$$"] == {"steps": 2}
    assert second.id not in memory.record(event.subject)["events"]["expected"]


async def test_answers_come_in_the_order_of_the_questions(memory):
    seen = []

    def function(step):
        seen.append(step)
        return ResumableResult(services=[ADD, ADD]) if step.input else None

    handler = resumable(function, memory)
    first, second = await handler.execute(started())
    await handler.execute(answer_to(second, 2))
    await handler.execute(answer_to(first, 1))
    [answers] = seen[-1].collected_events.values()
    assert [answer.data["result"] for answer in answers] == [1, 2]
    assert [step.awaiting for step in seen] == [0, 1, 0]


@pytest.mark.parametrize("turned", [False, True])
async def test_the_order_of_the_questions_outlives_a_store_that_sorts_keys(memory, turned):
    seen = []
    ids = ["question-a", "question-b", "question-c", "question-d"]
    asked = ids[::-1] if turned else ids

    def function(step):
        seen.append(step)
        wishes = [Emission(type=ADD.type, data=ADD.data, id=number) for number in asked]
        return ResumableResult(services=wishes) if step.input else None

    async def execute(event):
        events = await handler.execute(event)
        for subject, (text, version) in memory.stored.items():
            memory.stored[subject] = (json.dumps(json.loads(text), sort_keys=True), version)
        return events

    handler = resumable(function, memory)
    questions = await execute(started())
    assert [question.id for question in questions] == asked
    for place in (2, 0, 3, 1):
        await execute(answer_to(questions[place], place))
    [answers] = seen[-1].collected_events.values()
    assert [answer.data["result"] for answer in answers] == [0, 1, 2, 3]


async def test_an_answer_that_comes_twice_is_collected_once(memory):
    seen = []

    def function(step):
        seen.append(sum(len(answers) for answers in step.collected_events.values()))
        return ResumableResult(services=[ADD, ADD, ADD]) if step.input else None

    handler = resumable(function, memory)
    first, second, _ = await handler.execute(started())
    answers = [answer_to(first), answer_to(second)]
    for answer in (answers[0], answers[1], answers[0]):
        await handler.execute(answer)
    assert seen == [0, 1, 2, 2]


async def test_an_answer_finds_its_question_whatever_the_id(memory):
    seen = []

    def function(step):
        seen.append(step.awaiting)
        wish = Emission(
            type="com.calculator.add", data={"numbers": [1]}, id="order 1 é%20", executionunits=0
        )
        return ResumableResult(services=[wish]) if step.input else None

    handler = resumable(function, memory)
    [asked] = await handler.execute(started())
    assert asked.id == "order 1 é%20"
    [answer] = await create_add_handler().execute(asked)
    await handler.execute(answer)
    assert seen == [0, 0]
    assert answer.parentid == asked.id
    filed = memory.record(asked.subject)["events"]["expected"]
    assert filed == {asked.id: [answer.to_dict()]}


async def test_the_context_stays_unless_it_is_given_anew(memory):
    handler = resumable(
        returning(
            ResumableResult(context={"kept": [1]}, services=[ADD]),
            ResumableResult(services=[ADD]),
            None,
        ),
        memory,
    )
    event = started()
    [asked] = await handler.execute(event)
    [asked] = await handler.execute(answer_to(asked))
    await handler.execute(answer_to(asked))
    assert memory.record(event.subject)["state$$"] == {"kept": [1]}
    assert memory.record(event.subject)["status"] == "active"


async def test_a_finished_workflow_only_writes_its_state_again(memory):
    event = started()
    handler = resumable(returning(ResumableResult(services=[ADD]), OUTPUT), memory)
    [asked] = await handler.execute(event)
    [done] = await handler.execute(answer_to(asked))
    assert memory.calls[-2:] == ["cleanup", "unlock"]
    before = memory.record(event.subject)
    assert await handler.execute(answer_to(done)) == []
    assert memory.record(event.subject) == before
    assert memory.stored[event.subject][1] == 3


async def test_completion_goes_home(memory):
    event = started(redirectto="com.redirect.here")
    [done] = await resumable(returning(OUTPUT), memory).execute(event)
    assert done.type == "arvo.orc.weighted.average.done"
    assert (done.to, done.redirectto) == ("com.redirect.here", "arvo.orc.weighted.average")
    assert done.parentid == event.id
    assert memory.record(event.subject)["status"] == "done"


async def test_completion_of_a_child_has_the_parents_subject(memory):
    parent = ArvoOrchestrationSubject.new(orchestrator="com.par.ent", initiator="com.test.test")
    event = started(parent=parent, redirectto="com.par.ent")
    [done] = await resumable(returning(OUTPUT), memory).execute(event)
    assert (done.subject, done.to, done.parentid) == (parent, "com.par.ent", event.id)


async def test_a_completion_may_be_controlled(memory):
    completion = Completion(
        data={"output": 1},
        id=EventId("DEVELOPER_MANAGED", "mine"),
        executionunits=7,
        domain=["a.b", None],
    )
    events = await resumable(returning(ResumableResult(output=completion)), memory).execute(
        started()
    )
    assert [(done.id, done.executionunits, done.domain) for done in events] == [
        ("mine", 7, "a.b"),
        ("mine", 7, None),
    ]


async def test_a_child_workflow_is_started(memory):
    event = started()

    def function(step):
        data = {"numbers": [1, 2], "parentSubject$$": step.input.subject}
        return ResumableResult(services=[Emission(type="arvo.orc.workflow.average", data=data)])

    [child] = await resumable(function, memory).execute(event)
    assert child.subject != event.subject
    content = ArvoOrchestrationSubject.parse(child.subject)
    assert content.orchestrator.name == "arvo.orc.workflow.average"
    assert content.execution.initiator == "arvo.orc.weighted.average"
    assert content.meta == {"redirectto": "arvo.orc.weighted.average"}
    assert child.parentid == event.id


async def test_an_independent_workflow_is_started(memory):
    data = {"numbers": [1, 2], "parentSubject$$": None}
    wish = Emission(
        type="arvo.orc.workflow.average", data=data, redirectto="com.x.y", domain=["a.b"]
    )
    handler = resumable(returning(ResumableResult(services=[wish])), memory)
    [other] = await handler.execute(started())
    content = ArvoOrchestrationSubject.parse(other.subject)
    assert content.execution.initiator == "arvo.orc.weighted.average"
    assert content.execution.domain == other.domain == "a.b"
    assert content.meta == {"redirectto": "com.x.y"}


async def test_a_child_of_no_subject_is_a_violation(memory):
    data = {"numbers": [1, 2], "parentSubject$$": "nonsense"}
    wish = Emission(type="arvo.orc.workflow.average", data=data)
    with pytest.raises(ExecutionViolation):
        await resumable(returning(ResumableResult(services=[wish])), memory).execute(started())


async def test_a_type_without_contract_is_emitted_as_it_is(memory):
    wish = Emission(type="evt.side.effect", data={"a": 1}, dataschema="#/other/1.0.0")
    event = started()
    [side] = await resumable(returning(ResumableResult(services=[wish])), memory).execute(event)
    assert (side.to, side.dataschema, side.subject) == (
        "evt.side.effect",
        "#/other/1.0.0",
        event.subject,
    )


async def test_data_that_does_not_fit_is_a_violation(memory):
    wish = Emission(type="com.calculator.add", data={"numbers": "x"})
    for result in (ResumableResult(services=[wish]), ResumableResult(output={"output": "x"})):
        with pytest.raises(ContractViolation):
            await resumable(returning(result), memory).execute(started())
    assert memory.stored == {}


async def test_default_domains_are_an_option(memory):
    domains = EmissionDomains(
        emit=[ArvoDomain.FROM_EVENT_CONTRACT], complete=["c.d"], system_error=["e.f", None]
    )
    ask = Emission(type="com.human.approval", data={"prompt": "?"})
    handler = resumable(returning(ResumableResult(services=[ask])), memory, domains=domains)
    [asked] = await handler.execute(started())
    assert asked.domain == "human.interaction"
    [done] = await resumable(returning(OUTPUT), memory, domains=domains).execute(started())
    assert done.domain == "c.d"
    errors = await resumable(returning(), memory, domains=domains).execute(started())
    assert [error.domain for error in errors] == ["e.f", None]


@pytest.mark.parametrize("result", [{"output": 1}, "done", ResumableResult(context={"a": {1}})])
async def test_a_result_of_another_kind_ends_the_workflow_with_an_error(memory, result):
    [error] = await resumable(returning(result), memory).execute(started())
    assert error.type == "sys.arvo.orc.weighted.average.error"


async def test_the_demo_ends_with_an_error_when_not_approved(memory):
    handler = create_weighted_average_workflow(memory)
    event = started()
    [question] = await handler.execute(event)
    no = create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0")).emits(
        type="evt.human.approval.success",
        source="com.test.test",
        data={"approval": False},
        subject=question.subject,
        parentid=question.id,
    )
    [error] = await handler.execute(no)
    assert error.data["errorMessage"] == "the calculation was not approved"
    assert error.to == "com.test.test"


async def test_the_demo_ends_with_an_error_when_a_service_fails(memory):
    handler = create_weighted_average_workflow(memory)
    event = started()
    [question] = await handler.execute(event)
    yes = create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0")).emits(
        type="evt.human.approval.success",
        source="com.test.test",
        data={"approval": True},
        subject=question.subject,
        parentid=question.id,
    )
    [product] = await handler.execute(yes)
    failure = create_arvo_event_factory(PRODUCT_CONTRACT.version("1.0.0")).system_error(
        source=create_product_handler().source,
        error=OverflowError("too large"),
        subject=product.subject,
        parentid=product.id,
    )
    [error] = await handler.execute(failure)
    assert error.data["errorMessage"] == "com.calculator.product failed: too large"
