"""Functions that can meet in the same rows are tried against each other, or it is said why not."""

import re
import shutil
from pathlib import Path

import meetings
import pytest

ROOT = Path(__file__).resolve().parents[3]
SPECS = ROOT / "tests" / "sql" / "isolation" / "specs"
LOCK_ORDER = ROOT / "tests" / "python" / "engine" / "test_lock_order.py"
# Words of the stage, and helpers that specs call by themselves.
WORDS = {
    "stage.take": {"claim"},
    "stage.put": {"dispatch"},
    "stage.settle": {"settle"},
    "stage.complete": {"settle"},
    "stage.extend": {"extend"},
    "arvo.promote": {"claim", "maintain"},
    "arvo.fire_schedules": {"claim", "maintain"},
    "arvo.sweep_keys": {"maintain"},
}
ALONE = {"rebase"}  # everybody else is refused while it has something to do


@pytest.fixture(scope="module")
def table():
    return meetings.read_table()


@pytest.fixture(scope="module")
def met(table):
    return meetings.meetings(table)


def tried_in(spec: str, kin: dict[str, list[str]]) -> set[str]:
    """The functions that a spec calls, kin as those that they stand for."""
    text = (SPECS / f"{spec}.spec").read_text()
    called = set(re.findall(r"arvo_v1\.(\w+)\(", text))
    named = set().union(*(kin.get(name, [name]) for name in called))
    return named.union(*(found for word, found in WORDS.items() if f"{word}(" in text))


def test_every_pair_that_meets_has_a_spec_or_a_reason(table, met):
    missing = {pair: rooms for pair, rooms in met.items() if pair not in table.meetings}
    assert missing == {}
    assert [pair for pair in met if not table.meetings[pair] and pair not in table.reasons] == []


def test_no_row_is_left_of_a_pair_that_does_not_meet(table, met):
    assert table.meetings.keys() - met.keys() == set()


def test_every_spec_is_in_the_table_and_the_other_way_round(table):
    text = meetings.TABLE.read_text()
    listed = {spec for specs in table.meetings.values() for spec in specs}
    specs = {path.stem for path in SPECS.glob("*.spec")}
    assert listed - specs == set()
    assert {spec for spec in specs if not re.search(rf"\b{spec}\b", text)} == set()


def test_the_specs_of_a_pair_call_both(table):
    absent = {}
    for pair, specs in table.meetings.items():
        called = set().union(*(tried_in(spec, table.kin) for spec in specs))
        if specs and pair not in table.reasons and not set(pair) <= called:
            absent[pair] = set(pair) - called
    assert absent == {}


def test_kin_go_nowhere_else(table):
    house = meetings.read_house(table.gates)
    strays = {}
    for name, others in table.kin.items():
        known = set().union(*(house.rooms(other) for other in others)) | table.rooms.keys()
        if house.rooms(name) - known:
            strays[name] = house.rooms(name) - known
    assert strays == {}


def test_names_are_those_of_functions(table):
    house = meetings.read_house(())
    assert table.kin.keys() | {one for kin in table.kin.values() for one in kin} <= {
        *house.contract
    }
    assert table.gates.keys() <= house.bodies.keys()


def test_a_new_function_is_noticed(table, met, tmp_path):
    functions = shutil.copytree(meetings.FUNCTIONS, tmp_path / "functions")
    (functions / "arvo_v1" / "forgive.sql").write_text(
        "CREATE FUNCTION arvo_v1.forgive() RETURNS void LANGUAGE sql AS $forgive$\n"
        "-- UPDATE arvo.state: not in a comment\n"
        "UPDATE arvo.dead SET reason = 'forgiven'\n"
        "$forgive$;\n"
    )
    new = meetings.meetings(table, functions).keys() - met.keys()
    assert ("cancel", "forgive") in new
    assert ("forgive", "forgive") in new
    assert ("forgive", "write_state") not in new


def test_the_lock_order_test_calls_everything_that_locks(table):
    house = meetings.read_house(())
    text = LOCK_ORDER.read_text()
    called = {*re.findall(r"arvo_v1\.(\w+)\(", text), *re.findall(r'"(\w+)\(', text)}
    silent = {"log", "operation", "omission", "queues_named"}
    locking = {name for name in house.contract if house.rooms(name) - silent}
    named = {one for name in called & locking for one in table.kin.get(name, [name])}
    assert locking - called - named - table.kin.keys() == ALONE
