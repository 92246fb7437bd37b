import threading

import pytest

from arvo_plpg import (
    ArvoDomain,
    ArvoEvent,
    ConfigViolation,
    ContractViolation,
    Emission,
    EventId,
    ExecutionViolation,
    Handler,
    InvalidContractError,
    ViolationError,
    create_arvo_event_handler,
    is_stateful,
)
from arvo_plpg.demo.calculator import ADD_CONTRACT, create_add_handler

GIVEN = {
    "source": "com.test.test",
    "type": "com.calculator.add",
    "subject": "x",
    "dataschema": "#/org/amas/calculator/add/1.0.0",
    "data": {"numbers": [1]},
    "time": "2026-01-01T00:00:00Z",
    "to": "com.calculator.add",
    "id": "given",
}
DONE = "evt.calculator.add.success"


def given(**changes):
    return ArvoEvent.from_dict(GIVEN | changes)


def handler(function, **options):
    return create_arvo_event_handler(contract=ADD_CONTRACT, handler={"1.0.0": function}, **options)


def answering(**emission):
    return handler(lambda _: Emission(**{"type": DONE, "data": {"result": 1}} | emission))


def same(event, golden):
    made = event.to_dict()
    assert list(made) == list(golden)
    assert {**made, "id": golden["id"], "time": golden["time"]} == golden
    return True


async def test_golden_answer(sample):
    golden = sample("handler_execution_simple")
    [answer] = await create_add_handler().execute(ArvoEvent.from_dict(golden["input"]))
    assert same(answer, golden["output"][0])


async def test_golden_failure(sample):
    [golden] = sample("handler_execution_simple")["failing_output"]
    failing = given(id=golden["parentid"], subject=golden["subject"], data={"numbers": []})
    [error] = await create_add_handler().execute(failing)
    assert error.data["errorName"] == "ValueError"
    assert "_numbers" in error.data["errorStack"]
    golden["data"] |= {"errorName": "ValueError", "errorStack": error.data["errorStack"]}
    assert same(error, golden)


async def test_golden_event_without_dataschema(sample):
    golden = sample("violations")["no_dataschema_result"][0]
    [answer] = await create_add_handler().execute(given(id=golden["parentid"], dataschema=None))
    assert same(answer, golden)


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("type_mismatch", {"type": "com.other.type"}, ConfigViolation),
        ("uri_mismatch", {"dataschema": "#/other/1.0.0"}, ContractViolation),
        (
            "version_unknown",
            {"dataschema": "#/org/amas/calculator/add/9.0.0"},
            ConfigViolation,
        ),
        ("bad_input_data", {"data": {"numbers": "x"}}, ContractViolation),
    ],
)
async def test_golden_violations(sample, name, changes, kind):
    golden = sample("violations")[name]
    with pytest.raises(kind) as refused:
        await create_add_handler().execute(given(**changes))
    violation = refused.value
    assert violation.name == golden["name"]
    assert violation.type == golden["type"]
    assert violation.is_arvo_violation_error is golden["isArvoViolationError"]
    assert violation.message == str(violation)
    # the list of issues is another validator's; the words before it are upstream's
    assert violation.message.startswith(golden["message"].partition(": [")[0])


async def test_the_wildcard_version_is_no_version_of_a_handler():
    with pytest.raises(ConfigViolation, match=r"0\.0\.0"):
        await create_add_handler().execute(given(dataschema="#/org/amas/calculator/add/0.0.0"))


async def test_receiver_is_given_then_redirectto_then_source():
    redirected = given(redirectto="com.other.place")
    [event] = await answering(to="com.given.place").execute(redirected)
    assert (event.to, event.redirectto) == ("com.given.place", None)
    [event] = await answering().execute(redirected)
    assert event.to == "com.other.place"
    [event] = await answering().execute(given())
    assert event.to == "com.test.test"
    [error] = await handler(lambda _: 1 / 0).execute(redirected)
    assert error.to == "com.test.test"


async def test_access_control_and_units_are_inherited_unless_given():
    asked = given(accesscontrol="role:a")
    [event] = await answering().execute(asked)
    assert (event.accesscontrol, event.executionunits) == ("role:a", 0)
    [event] = await answering(accesscontrol="role:b", executionunits=2).execute(asked)
    assert (event.accesscontrol, event.executionunits) == ("role:b", 2)


async def test_one_event_for_each_distinct_domain():
    wish = answering(
        domain=["a.b", ArvoDomain.LOCAL, "a.b"], id=EventId("DEVELOPER_MANAGED", "mine")
    )
    events = await wish.execute(given())
    assert [(event.domain, event.id) for event in events] == [("a.b", "mine"), (None, "mine")]


@pytest.mark.parametrize("result", [None, [], ()])
async def test_a_function_may_emit_nothing(result):
    assert await handler(lambda _: result).execute(given()) == []


async def test_a_function_may_emit_several():
    one = Emission(type=DONE, data={"result": 1}, extensions={"tenant": "t"})
    events = await handler(lambda _: [one, one]).execute(given())
    assert len({event.id for event in events}) == 2
    assert events[0].extensions == {"tenant": "t"}


@pytest.mark.parametrize(
    "emission", [{"type": "evt.not.mine"}, {"data": {"result": "x"}}, {"domain": ["Bad"]}]
)
async def test_an_emission_that_does_not_fit_is_a_violation(emission):
    with pytest.raises(ContractViolation):
        await answering(**emission).execute(given())


async def test_a_result_that_is_no_emission_is_an_error_that_says_so():
    [error] = await handler(lambda _: {"type": DONE, "data": {}}).execute(given())
    assert error.type == "sys.com.calculator.add.error"
    assert "Emission" in error.data["errorMessage"]


async def test_violations_of_any_make_pass_through():
    class Own(ViolationError):  # noqa: N818
        def __init__(self):
            super().__init__(type="Own", message="later")

    class Lookalike(Exception):  # noqa: N818
        is_arvo_violation_error = True
        type = name = message = "x"

    for violation in (Own(), Lookalike(), ExecutionViolation("x")):

        def fail(_, violation=violation):
            raise violation

        with pytest.raises(type(violation)):
            await handler(fail).execute(given())


async def test_an_incomplete_lookalike_is_an_error():
    class Half(Exception):  # noqa: N818
        is_arvo_violation_error = True
        type = ""
        name = message = "x"

    def fail(_):
        raise Half

    [error] = await handler(fail).execute(given())
    assert error.data["errorName"] == "Half"


async def test_error_domains_are_an_option():
    def fail(_):
        raise ValueError

    events = await handler(fail, error_domains=["a.b", None]).execute(given())
    assert [event.domain for event in events] == ["a.b", None]


async def test_plain_functions_run_in_a_thread_and_async_ones_do_not():
    threads = []

    def plain(_):
        threads.append(threading.current_thread())

    async def asynchronous(_):
        threads.append(threading.current_thread())

    await handler(plain).execute(given())
    await handler(asynchronous).execute(given())
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


async def test_an_object_with_an_async_call_is_a_function():
    class Function:
        async def __call__(self, context):
            return Emission(type=DONE, data={"result": context.payload.numbers[0]})

    [event] = await handler(Function()).execute(given())
    assert event.data == {"result": 1}


def test_every_version_needs_a_function():
    with pytest.raises(InvalidContractError, match=r"1\.0\.0"):
        create_arvo_event_handler(contract=ADD_CONTRACT, handler={})
    with pytest.raises(InvalidContractError, match=r"2\.0\.0"):
        create_arvo_event_handler(
            contract=ADD_CONTRACT, handler={"1.0.0": lambda _: None, "2.0.0": lambda _: None}
        )


def test_it_is_a_handler_without_state():
    add = create_add_handler()
    assert isinstance(add, Handler)
    assert add.source == "com.calculator.add"
    assert not is_stateful(add)
