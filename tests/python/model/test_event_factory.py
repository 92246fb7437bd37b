import pytest

from arvo_plpg import (
    ArvoOrchestrationSubject,
    ArvoOrchestratorEventFactory,
    InvalidContractError,
    InvalidEventError,
    InvalidSubjectError,
    create_arvo_event_factory,
)
from arvo_plpg.demo.average import AVERAGE_CONTRACT
from arvo_plpg.demo.calculator import ADD_CONTRACT
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT

add = create_arvo_event_factory(ADD_CONTRACT.version("1.0.0"))
average = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
CLIENT = "com.test.test"


def same(event, golden, *, subject=True):
    """Compare an event with a golden one, except its id, time, and a subject made afresh."""
    made = event.to_dict()
    assert list(made) == list(golden)
    for key in ("id", "time", *([] if subject else ["subject"])):
        made[key] = golden[key]
    assert made == golden
    return True


def decoded(event):
    read = ArvoOrchestrationSubject.parse(event.subject).model_dump()
    read["execution"].pop("id")
    return read


def without_id(content):
    return content | {
        "execution": {key: item for key, item in content["execution"].items() if key != "id"}
    }


def test_golden_accepts(sample):
    golden = sample("factory_events")
    event = add.accepts(source=CLIENT, data={"numbers": [1, 2, 3]})
    assert same(event, golden["accepts"], subject=False)
    assert decoded(event) == without_id(golden["accepts_subject_decoded"])


def test_golden_accepts_with_everything(sample):
    golden = sample("factory_events")
    event = add.accepts(
        source=CLIENT,
        data={"numbers": [1]},
        redirectto="com.redirect.svc",
        accesscontrol="u1",
        executionunits=2,
        domain="ext.domain",
    )
    assert same(event, golden["accepts_with_redirect_domain"], subject=False)
    assert decoded(event) == without_id(golden["accepts_with_redirect_subject_decoded"])


def test_golden_emits_and_system_error(sample):
    golden = sample("factory_events")
    asked = golden["accepts"]
    answer = {"subject": asked["subject"], "to": CLIENT, "parentid": asked["id"]}
    event = add.emits(
        type="evt.calculator.add.success", source="com.calculator.add", data={"result": 6}, **answer
    )
    assert same(event, golden["emits"])
    error = add.system_error(source="com.calculator.add", error=TypeError("boom"), **answer)
    assert "TypeError: boom" in error.data["errorStack"]
    for wanted in (golden["systemError"], sample("system_error_event")):
        wanted["data"]["errorStack"] = error.data["errorStack"]
        assert same(error, wanted)


def test_golden_orchestrator_events(sample):
    golden = sample("factory_events")
    assert isinstance(average, ArvoOrchestratorEventFactory)
    root = {"parentSubject$$": None, "numbers": [10, 20, 30]}
    for made, name in (
        (average.init(source=CLIENT, data=root), "orchestrator_init_root"),
        (average.accepts(source=CLIENT, data=root), "orchestrator_accepts_root"),
    ):
        assert same(made, golden[name], subject=False)
        assert decoded(made) == without_id(golden["orchestrator_init_root_subject"])
    done = average.complete(
        source="arvo.orc.workflow.average",
        data={"success": True, "average": 1, "errors": None},
        subject=golden["orchestrator_init_root"]["subject"],
        to=CLIENT,
    )
    assert same(done, golden["orchestrator_complete"])


def test_golden_child(sample):
    golden = sample("factory_events")
    event = average.init(
        source="arvo.orc.parent.flow", data=golden["orchestrator_init_child"]["data"]
    )
    assert same(event, golden["orchestrator_init_child"], subject=False)
    assert decoded(event) == without_id(golden["orchestrator_init_child_subject"])


def test_a_workflow_without_a_parent_is_a_root():
    made = average.init(source=CLIENT, data={"numbers": [1, 2]})
    assert made.data == {"parentSubject$$": None, "numbers": [1, 2]}


def test_data_that_does_not_fit_is_refused():
    with pytest.raises(InvalidContractError, match="Accept Event data validation failed: numbers"):
        add.accepts(source=CLIENT, data={"numbers": "x"})
    with pytest.raises(InvalidContractError, match="Init Event data validation failed: numbers"):
        average.init(source=CLIENT, data={"numbers": "x"})
    with pytest.raises(InvalidContractError, match=r"No contract available for evt\.x\.y"):
        add.emits(type="evt.x.y", source=CLIENT, data={})


def test_what_does_not_fit_is_named_with_place_rule_and_value():
    factory = create_arvo_event_factory(ADD_CONTRACT.version("1.0.0"))
    with pytest.raises(InvalidContractError) as caught:
        factory.accepts(source="com.test.test", data={"numbers": [1, "x" * 500]})
    text = str(caught.value)
    assert "numbers.1.float: Input should be a valid number" in text
    assert "not 'xxxxx" in text
    assert len(text) < 500


def test_a_child_of_no_subject_is_refused():
    with pytest.raises(InvalidSubjectError):
        average.init(source=CLIENT, data={"numbers": [1, 2], "parentSubject$$": "x"})


def test_a_new_workflow_needs_a_source_in_reverse_dns():
    with pytest.raises(InvalidSubjectError, match="initiator"):
        add.accepts(source="me", data={"numbers": [1]})
    assert add.accepts(source="me", data={"numbers": [1]}, subject="s").source == "me"


def test_the_parsed_data_is_what_is_sent():
    event = add.accepts(source=CLIENT, data={"numbers": [1], "stranger": True})
    assert event.data == {"numbers": [1]}


def test_the_domain_is_only_what_is_given():
    factory = create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0"))
    assert factory.accepts(source=CLIENT, data={"prompt": "?"}).domain is None


def test_a_bad_field_is_refused():
    with pytest.raises(InvalidEventError, match="domain"):
        add.accepts(source=CLIENT, data={"numbers": [1]}, domain="Bad", subject="s")


def test_an_error_of_any_kind_becomes_an_event():
    class Nasty(Exception):  # noqa: N818
        def __str__(self):
            return "nul \x00 surrogate \ud800 " + "x" * 2_000_000

    event = add.system_error(source=CLIENT, error=Nasty(), subject="s")
    assert event.data["errorName"] == "Nasty"
    assert event.data["errorMessage"].startswith("nul \\x00 surrogate \\ud800")
    assert event.data["errorStack"]
