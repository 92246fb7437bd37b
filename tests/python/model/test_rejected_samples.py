"""Every rejected case of the samples is rejected, by an error that names field, rule and value."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from arvo_plpg import (
    ArvoOrchestrationSubject,
    InvalidContractError,
    InvalidSubjectError,
    create_arvo_contract,
    create_arvo_orchestrator_contract,
)
from arvo_plpg.demo.average import AVERAGE_CONTRACT
from arvo_plpg.demo.calculator import ADD_CONTRACT


class Thing(BaseModel):
    size: int = 1


ONE = {"accepts": Thing, "emits": {"evt.some.thing": Thing}}
GOOD = {"orchestrator": "com.a.b", "version": "1.0.0", "initiator": "com.test.test"}
SUBJECTS = {
    "bad_name": (GOOD | {"orchestrator": "Bad"}, ["orchestrator.name", "lower-case", "'Bad'"]),
    "two_segments": (GOOD | {"orchestrator": "a.b"}, ["orchestrator.name", "three", "'a.b'"]),
    "bad_initiator": (GOOD | {"initiator": "x"}, ["execution.initiator", "three", "'x'"]),
    "bad_version": (GOOD | {"version": "1.0"}, ["orchestrator.version", "X.Y.Z", "'1.0'"]),
}


def test_every_rejected_subject_has_its_case(sample):
    assert sample("subject_vectors")["rejected"].keys() == {*SUBJECTS, "parse_garbage"}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_rejected_subject(name):
    parts, words = SUBJECTS[name]
    with pytest.raises(InvalidSubjectError) as caught:
        ArvoOrchestrationSubject.new(**parts)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("text", ["not-a-subject", "", "x" * 200_000])
def test_a_text_that_is_no_subject_is_named_in_short(text):
    with pytest.raises(InvalidSubjectError) as caught:
        ArvoOrchestrationSubject.parse(text)
    assert text[:10] in str(caught.value)
    assert len(str(caught.value)) < 1000


CONTRACTS = {
    "reserved_prefix": (
        lambda: create_arvo_contract(uri="#/x", type="arvo.orc.x", versions={"1.0.0": ONE}),
        ["#/x", "'accepts'", "arvo.orc.x", "reserved"],
    ),
    "wildcard_version": (
        lambda: create_arvo_contract(uri="#/x", type="com.a.b", versions={"0.0.0": ONE}),
        ["#/x", "version", "'0.0.0'", "reserved"],
    ),
    "no_versions": (
        lambda: create_arvo_contract(uri="#/x", type="com.a.b", versions={}),
        ["#/x", "at least one version"],
    ),
    "bad_orchestrator_name": (
        lambda: create_arvo_orchestrator_contract(
            uri="#/x", name="Bad", versions={"1.0.0": {"init": Thing, "complete": Thing}}
        ),
        ["#/x", "'name'", "'Bad'", "lower-case"],
    ),
    "bad_uri": (
        lambda: create_arvo_contract(uri="a b", type="com.a.b", versions={"1.0.0": ONE}),
        ["a b", "uri", "percent-encoded"],
    ),
    "unknown_version": (
        lambda: ADD_CONTRACT.version("3.0.0"),
        ["calculator/add", "version=3.0.0", "1.0.0"],
    ),
}


def test_every_rejected_contract_has_its_case(sample):
    golden = sample("contracts")
    assert {name for name, case in golden.items() if "error" in (case or ())} == CONTRACTS.keys()


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_rejected_contract(name):
    make, words = CONTRACTS[name]
    with pytest.raises(InvalidContractError) as caught:
        make()
    assert [word for word in words if word not in str(caught.value)] == []


def schemas(described):
    (version,) = described["versions"]
    return {
        one["type"]: one["schema"]
        for one in (version["accepts"], version["systemError"], *version["emits"])
    }


NAMES = [
    "parentSubject$$",
    "numbers",
    "average",
    "success",
    "errors",
    "errorName",
    "errorMessage",
    "errorStack",
]
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=3) | st.lists(NUMBERS, max_size=3)


@given(st.data())
def test_exported_json_schemas_mean_what_upstreams_mean(sample, data):
    """They accept and refuse the same data, but for strangers, which neither side keeps."""
    golden = schemas(sample("contracts")["json_schema"])
    ours = schemas(AVERAGE_CONTRACT.to_json_schema())
    assert ours.keys() == golden.keys()
    for type_, schema in golden.items():
        known = sorted(schema["properties"])
        assert set(known) <= set(NAMES)
        made = data.draw(st.dictionaries(st.sampled_from(known), VALUES | st.just([1, 2.5])))
        verdicts = {
            jsonschema.validators.validator_for(one)(one).is_valid(made)
            for one in (schema, ours[type_])
        }
        assert len(verdicts) == 1, (type_, made)
