import sys

import pytest
from pydantic import BaseModel

from arvo_plpg import (
    ContractViolation,
    Emission,
    InvalidContractError,
    JsonSchema,
    create_arvo_contract,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_orchestrator_contract,
)
from arvo_plpg.errors import InvalidArgument
from arvo_plpg.payload import SchemaMismatchError

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {
        "line": {"type": "object", "properties": {"cents": {"type": "integer", "minimum": 0}}}
    },
}


def test_data_that_fit_stay_as_they_are():
    schema = JsonSchema(ORDER)
    data = {"id": "a", "lines": [{"cents": 5, "more": None}]}
    assert schema.parse(data) == schema.apply(data) == data
    assert schema.to_json_schema() == ORDER


def test_every_misfit_is_named_with_its_place():
    with pytest.raises(SchemaMismatchError) as caught:
        JsonSchema(ORDER).parse({"lines": [{"cents": -1}], "x": 1})
    text = str(caught.value)
    assert "data: 'id' is a required property" in text
    assert "lines.0.cents: -1 is less than the minimum of 0" in text
    assert "'x' was unexpected" in text


def test_a_model_is_dumped_before_it_is_judged():
    class Order(BaseModel):
        id: str

    assert JsonSchema(ORDER).parse(Order(id="a")) == {"id": "a"}


def test_older_drafts_keep_their_meaning():
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 5}
    with pytest.raises(SchemaMismatchError):
        JsonSchema({"properties": {"n": old | {"exclusiveMinimum": 5}}}).parse({"n": 5})
    draft4 = {**old, "properties": {"n": {"minimum": 5, "exclusiveMinimum": True}}}
    with pytest.raises(SchemaMismatchError):
        JsonSchema(draft4).parse({"n": 5})


@pytest.mark.parametrize(
    "document", [{"type": "thing"}, {"properties": []}, {"exclusiveMinimum": True}, [], "text"]
)
def test_what_is_no_schema_is_refused(document):
    with pytest.raises(InvalidContractError, match="JSON Schema"):
        JsonSchema(document)


@pytest.mark.parametrize("reference", ["https://example.invalid/schema", "#/$defs/none", "#"])
def test_a_reference_that_leads_nowhere_is_a_typed_error_and_fetches_nothing(reference):
    with pytest.raises(SchemaMismatchError, match="cannot be applied"):
        JsonSchema({"$ref": reference}).parse({})


def test_the_document_is_not_followed_when_it_changes():
    document = {"properties": {"a": {"type": "string"}}}
    schema = JsonSchema(document)
    document["properties"]["a"]["type"] = "integer"
    assert schema.parse({"a": "text"}) == {"a": "text"}


def test_without_the_package_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(InvalidArgument, match=r"arvo-plpg\[jsonschema\]"):
        JsonSchema({})


async def test_contracts_may_be_told_in_json_schema():
    contract = create_arvo_contract(
        uri="#/order",
        type="com.shop.order",
        versions={
            "1.0.0": {"accepts": JsonSchema(ORDER), "emits": {"evt.order.made": JsonSchema(ORDER)}}
        },
    )
    factory = create_arvo_event_factory(contract.version("latest"))
    event = factory.accepts(source="com.test.client", data={"id": "a"})
    with pytest.raises(InvalidContractError, match="'id' is a required"):
        factory.accepts(source="com.test.client", data={})

    async def run(emission):
        handler = create_arvo_event_handler(
            contract=contract, handler={"1.0.0": lambda _: emission}
        )
        return await handler.execute(event)

    (made,) = await run(Emission(type="evt.order.made", data={"id": "b"}))
    assert made.data == {"id": "b"}
    with pytest.raises(ContractViolation, match="required property"):
        await run(Emission(type="evt.order.made", data={}))
    (described,) = contract.to_json_schema()["versions"]
    assert described["accepts"]["schema"] == ORDER


def test_a_workflow_may_be_told_in_json_schema():
    contract = create_arvo_orchestrator_contract(
        uri="#/flow",
        name="flow",
        versions={"1.0.0": {"init": JsonSchema(ORDER), "complete": JsonSchema(ORDER)}},
    )
    factory = create_arvo_event_factory(contract.version("1.0.0"))
    event = factory.init(source="com.test.client", data={"id": "a"})
    assert event.data == {"parentSubject$$": None, "id": "a"}
    (described,) = contract.to_json_schema()["versions"]
    assert described["accepts"]["schema"]["required"] == ["parentSubject$$", "id"]
