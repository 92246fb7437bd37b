import pytest
from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypedDict

from arvo_plpg import (
    DataSchema,
    InvalidContractError,
    create_arvo_contract,
    create_arvo_orchestrator_contract,
    create_simple_arvo_contract,
    parse_dataschema,
)
from arvo_plpg.demo.average import AVERAGE_CONTRACT
from arvo_plpg.demo.calculator import ADD_CONTRACT, PRODUCT_CONTRACT
from arvo_plpg.payload import Schema, SchemaMismatchError


class Thing(BaseModel):
    size: int = 1


ONE = {"1.0.0": {"accepts": Thing, "emits": {"evt.some.thing": Thing}}}


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("plain", ADD_CONTRACT),
        ("simple", PRODUCT_CONTRACT),
        ("orchestrator", AVERAGE_CONTRACT),
        (
            "orchestrator_single_segment_name",
            create_arvo_orchestrator_contract(
                uri="#/x", name="single", versions={"1.0.0": {"init": Thing, "complete": Thing}}
            ),
        ),
    ],
)
def test_a_golden_contract_is_named_alike(sample, name, contract):
    assert {
        "type": contract.type,
        "uri": contract.uri,
        "domain": contract.domain,
        "metadata": dict(contract.metadata),
        "systemError": contract.system_error.type,
        "emits": {
            version: [emit.type for emit in contract.version(version).emit_list]
            for version in contract.sorted_versions
        },
    } == sample("contracts")[name]


def plain(**changes):
    return create_arvo_contract(
        **{"uri": "#/x", "type": "com.some.thing", "versions": ONE} | changes
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "arvo.orc.x"}, "reserved pattern"),
        ({"type": "arvo.orcx.y.z"}, "reserved pattern"),
        (
            {"versions": {"1.0.0": {"accepts": Thing, "emits": {"arvo.orc.x.done": Thing}}}},
            "reserved pattern",
        ),
        ({"versions": {"0.0.0": ONE["1.0.0"]}}, "reserved version type"),
        ({"versions": {"1.0": ONE["1.0.0"]}}, "three numbers"),
        ({"versions": {}}, "at least one version"),
        ({"uri": "has space"}, "uri"),
        ({"uri": ""}, "uri"),
        ({"type": "two.segments"}, "three lower-case"),
        ({"versions": {"1.0.0": {"accepts": Thing, "emits": {"bad": Thing}}}}, "bad"),
        ({"domain": "Bad"}, "domain"),
    ],
)
def test_a_malformed_contract_is_refused(changes, words):
    with pytest.raises(InvalidContractError, match=words):
        plain(**changes)


def test_a_bad_orchestrator_name_is_refused(sample):
    assert "Invalid 'name' = 'Bad'" in sample("contracts")["bad_orchestrator_name"]["error"]
    with pytest.raises(InvalidContractError, match="Invalid 'name' = 'Bad'"):
        create_arvo_orchestrator_contract(
            uri="#/x", name="Bad", versions={"1.0.0": {"init": Thing, "complete": Thing}}
        )


def test_versions_sort_by_number():
    contract = plain(versions=dict.fromkeys(("1.10.0", "1.9.0", "0.20.0"), ONE["1.0.0"]))
    assert contract.sorted_versions == ["0.20.0", "1.9.0", "1.10.0"]
    assert contract.version("latest").version == "1.10.0"
    assert contract.version("any").version == "1.10.0"
    assert contract.version("oldest").version == "0.20.0"


def test_an_unknown_version_is_refused_in_upstreams_words(sample):
    with pytest.raises(InvalidContractError) as refused:
        ADD_CONTRACT.version("3.0.0")
    assert str(refused.value).startswith(sample("contracts")["unknown_version"]["error"])
    assert ADD_CONTRACT.version("latest").version == sample("contracts")["latest"]


def test_dataschema_is_parsed_as_upstream_does(sample, caplog):
    golden = sample("contracts")["dataschema_parse"]
    assert parse_dataschema("#/a/b/1.2.3") == DataSchema(**golden["ok"])
    assert parse_dataschema("/1.2.3") == DataSchema(**golden["nouri"])
    assert not caplog.records
    for bad in ("#/a/b", "1.2.3", "#/a/b/1.2", "#/a/b/latest"):
        assert parse_dataschema(bad) is None
    assert len(caplog.records) == 4
    assert parse_dataschema(None) is None
    assert ADD_CONTRACT.system_error.dataschema == sample("contracts")["systemError_dataschema"]


def shape(described):
    """What of a JSON Schema two generators agree on: the objects, their keys, what is required."""
    if not isinstance(described, dict):
        return described
    kept = {
        key: described[key]
        for key in ("uri", "domain", "description", "metadata", "version")
        if key in described
    }
    if "versions" in described:
        kept["versions"] = [shape(version) for version in described["versions"]]
    for role in ("accepts", "systemError"):
        if role in described:
            kept[role] = typed(described[role])
    if "emits" in described:
        kept["emits"] = [typed(emit) for emit in described["emits"]]
    return kept


def typed(described):
    schema = described["schema"]
    return (described["type"], schema["type"], list(schema["properties"]), schema["required"])


def test_json_schema_has_upstreams_shape(sample):
    assert shape(AVERAGE_CONTRACT.to_json_schema()) == shape(sample("contracts")["json_schema"])


def test_a_simple_contract_needs_a_good_type():
    with pytest.raises(InvalidContractError):
        create_simple_arvo_contract(
            uri="#/x", type="x", versions={"1.0.0": {"accepts": Thing, "emits": Thing}}
        )


def test_a_schema_may_be_a_type_adapter():
    class Pair(TypedDict):
        left: int
        right: int

    schema = Schema(TypeAdapter(Pair))
    assert schema.apply({"left": 1, "right": "2"}) == {"left": 1, "right": 2}
    with pytest.raises(SchemaMismatchError, match="right"):
        schema.apply({"left": 1})
    with pytest.raises(SchemaMismatchError, match="JSON object"):
        Schema(TypeAdapter(list[int])).apply([1])


def test_parent_subject_is_laid_over_the_init_schema():
    schema = AVERAGE_CONTRACT.version("1.0.0").accepts.schema
    data = {"numbers": [1, 2], "parentSubject$$": None, "stranger": 1}
    assert list(schema.apply(data).items()) == [("parentSubject$$", None), ("numbers", [1, 2])]
    for wrong in (
        {"numbers": [1, 2]},
        data | {"parentSubject$$": ""},
        data | {"parentSubject$$": 1},
    ):
        with pytest.raises(SchemaMismatchError, match="parentSubject"):
            schema.apply(wrong)
