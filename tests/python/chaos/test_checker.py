"""The checker finds what is planted, names it, and finds nothing in a history that is whole."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

import chaos.checker
from chaos import history
from chaos.checker import check
from chaos.tables import Delivery, Effect, State, Tables

PLAN = {
    "order": {"emits": 1, "ordered": True, "stateful": True},
    "ship": {"emits": 1, "effects": True},
    "scarce": {"effects": True, "limit": 2},
    "client": {},
}


class Story:
    """A run of two orders of one subject, with all that follows, and two scarce events."""

    def __init__(self):
        self.lines = [{"kind": "plan", "queues": PLAN}]
        self.deliveries = []
        self.effects = []
        self.requests = []
        self.states = {"s": State(2, [1, 2])}
        self.clock = 0.0
        for version, name in enumerate(["a", "b"]):
            self.dispatch(name)
            self.run(name, "order", "s", version + 1, version=version)
            self.run(f"{name}-ship", "ship", "s", version + 1, parent=name)
            self.run(f"{name}-done", "client", "s", version + 1, parent=f"{name}-ship")
        for name in ("x", "y"):
            self.dispatch(name)
            self.run(name, "scarce", name, 7)
        self.note("rolled back", events=["gone"])

    @property
    def balance(self):
        return sum(effect.amount for effect in self.effects)

    def note(self, kind, **facts):
        self.clock += 1
        self.lines.append({"kind": kind, "who": "w", "at": self.clock, **facts})

    def dispatch(self, name):
        self.note("sent", events=[name])
        self.note("committed", events=[name])
        self.requests.append(name)

    def run(self, event, queue, subject, number, *, parent=None, attempt=1, version=None):
        delivery = len(self.deliveries) + 1
        facts = {
            "event": event,
            "queue": queue,
            "key": subject,
            "lease": delivery * 10,
            "delivery": delivery,
            "attempt": attempt,
        }
        self.note("began", **facts)
        if version is not None:
            self.note("stepped", **facts, version=version, number=number)
        self.note("ended", **facts)
        self.note("told", event=event, queue=queue, attempt=attempt, outcome="completed")
        self.deliveries.append(
            Delivery(
                event, parent, subject, number, 5, queue, delivery, delivery, attempt, "completed"
            )
        )
        if PLAN[queue].get("effects"):
            self.effects.append(Effect(event, 5))

    # --- what is done to it

    def delivery(self, event):
        return next(one for one in self.deliveries if one.event == event)

    def change(self, event, **fields):
        self.deliveries = [
            replace(one, **fields) if one.event == event else one for one in self.deliveries
        ]

    def forget(self, event):
        self.deliveries = [one for one in self.deliveries if one.event != event]

    def lines_of(self, kind, event):
        return [one for one in self.lines if one["kind"] == kind and one.get("event") == event]

    def tables(self, balance=None):
        return Tables(
            self.deliveries,
            self.effects,
            self.balance if balance is None else balance,
            self.requests,
            self.states,
        )

    def names(self, **more):
        verdict = check(sorted(self.lines, key=lambda line: line.get("at", 0)), self.tables(**more))
        assert verdict.kept == (not verdict.violations)
        return {violation.name for violation in verdict.violations}


@pytest.fixture
def story():
    return Story()


def test_a_whole_history_is_whole(story):
    assert story.names() == set()
    verdict = check(story.lines, story.tables())
    assert str(verdict).startswith("kept: 8 events, 8 completed, 0 dead, 1 rolled back, 8 runs")


def test_what_was_run_for_nothing_is_counted_and_no_violation(story):
    """A worker dies in the middle of it: the attempt expires, another one completes."""
    facts = {"event": "x", "queue": "scarce", "key": "x", "lease": 1, "delivery": 70, "attempt": 1}
    story.note("began", **facts)
    story.deliveries.append(replace(story.delivery("x"), delivery=70, place="expired"))
    assert story.names() == set()
    assert check(story.lines, story.tables()).figures["runs for nothing"] == 1


def test_a_commit_without_an_answer_may_be_there_or_not(story):
    story.note("sent", events=["z"])
    assert story.names() == set()
    story.requests.append("z")
    story.run("z", "scarce", "z", 9)
    assert story.names() == set()


def test_an_accepted_event_that_is_nowhere(story):
    story.forget("x")
    assert "lost" in story.names()


def test_an_answered_commit_that_has_left_nothing(story):
    story.note("committed", events=["vanished"])
    assert story.names() == {"lost"}


def test_a_business_row_without_its_event(story):
    story.requests.append("torn")
    assert story.names() == {"lost"}


def test_an_event_without_its_business_row(story):
    story.requests.remove("x")
    assert story.names() == {"from nowhere"}


def test_an_event_without_an_outcome(story):
    story.change("x", place="expired")
    assert "lost" in story.names()


@pytest.mark.parametrize("place", ["queued", "leased", "deferred", "parked"])
def test_an_event_that_is_still_open(story, place):
    story.change("a-done", place=place)
    assert "unfinished" in story.names()


def test_two_outcomes(story):
    story.deliveries.append(replace(story.delivery("x"), delivery=99, place="dead"))
    assert "doubled" in story.names()


def test_completed_twice(story):
    story.deliveries.append(replace(story.delivery("x"), delivery=99, attempt=2))
    assert "doubled" in story.names()


def test_one_delivery_closed_under_two_leases(story):
    story.deliveries.append(story.delivery("x"))
    assert story.names() == {"doubled"}


def test_rolled_back_and_there(story):
    story.requests.append("gone")
    story.run("gone", "scarce", "gone", 3)
    assert "rolled back and there" in story.names()


def test_rolled_back_and_seen(story):
    facts = {"event": "gone", "queue": "scarce", "key": "g", "lease": 1, "delivery": 1}
    story.note("began", **facts, attempt=1)
    assert story.names() == {"rolled back and seen"}


def test_run_and_never_dispatched(story):
    facts = {"event": "ghost", "queue": "scarce", "key": "g", "lease": 1, "delivery": 1}
    story.note("began", **facts, attempt=1)
    assert story.names() == {"from nowhere"}


def test_an_event_that_no_producer_knows(story):
    story.requests.append("ghost")
    story.run("ghost", "scarce", "ghost", 3)
    assert story.names() == {"from nowhere"}


def test_completed_without_a_run(story):
    story.lines = [line for line in story.lines if line not in story.lines_of("began", "x")]
    assert "completed without a run" in story.names()


def test_a_missing_emission(story):
    story.forget("b-done")
    assert "emission missing" in story.names()


def test_a_doubled_emission(story):
    story.run("b-done-again", "client", "s", 2, parent="b-ship")
    assert story.names() == {"emission doubled"}


def test_an_emission_of_an_event_that_did_not_complete(story):
    story.change("b-ship", place="dead")
    assert "emission doubled" in story.names()


def test_an_emission_of_nobody(story):
    story.run("orphan", "client", "s", 2, parent="nobody")
    assert story.names() == {"from nowhere"}


def test_a_missing_effect(story):
    story.effects = [effect for effect in story.effects if effect.event != "x"]
    assert story.names() == {"effect missing"}


def test_a_doubled_effect(story):
    story.effects.append(Effect("x", 5))
    assert story.names() == {"effect doubled"}


def test_an_effect_that_was_booked_twice(story):
    assert story.names(balance=story.balance + 5) == {"effect doubled"}


def test_an_effect_of_nothing(story):
    story.effects.append(Effect("ghost", 5))
    assert story.names() == {"effect of nothing"}


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (State(1, [1]), "state not linear"),
        (State(2, [2, 1]), "order broken"),
        (State(3, [1, 2, 2]), "state not linear"),
        (State(3, [1, 2]), "state not linear"),
        (State(2, [1, 3]), "state not linear"),
    ],
)
def test_a_state_that_is_not_its_steps(story, state, name):
    story.states["s"] = state
    assert story.names() == {name}


def test_a_state_that_is_missing(story):
    del story.states["s"]
    assert story.names() == {"state not linear"}


def test_a_state_of_nobody(story):
    story.states["nobody"] = State(1, [1])
    assert story.names() == {"state not linear"}


def test_two_steps_from_one_version(story):
    (line,) = story.lines_of("stepped", "b")
    line["version"] = 0
    story.run("c", "order", "s", 3, version=3)
    assert "state not linear" in story.names()


def test_a_key_out_of_order(story):
    """The later one ran first, under leases that count."""
    first, second = (story.lines_of(kind, "a")[0] for kind in ("began", "ended"))
    first["at"], second["at"] = 100.0, 101.0
    assert story.names() == {"order broken"}


def test_a_key_side_by_side(story):
    (line,) = story.lines_of("ended", "a")
    line["at"] = story.lines_of("began", "b")[0]["at"] + 0.5
    assert story.names() == {"order broken"}


def test_a_limit_that_was_not_kept(story):
    story.dispatch("z")
    story.run("z", "scarce", "z", 9)
    for name, began in (("x", 200.0), ("y", 201.0), ("z", 202.0)):
        story.lines_of("began", name)[0]["at"] = began
        story.lines_of("ended", name)[0]["at"] = 300.0 + began
    assert story.names() == {"limit broken"}
    story.lines_of("ended", "x")[0]["at"] = 201.5
    assert story.names() == set()


def test_a_stale_result_that_was_accepted(story):
    story.note("told", event="x", queue="scarce", attempt=2, outcome="completed")
    assert story.names() == {"stale result accepted"}


def test_a_stale_result_that_was_refused(story):
    story.note("told", event="x", queue="scarce", attempt=1, outcome="refused")
    assert story.names() == set()
    assert check(story.lines, story.tables()).figures["refused"] == 1


def test_two_who_were_told_that_they_completed_the_same(story):
    story.note("told", event="x", queue="scarce", attempt=1, outcome="completed")
    assert story.names() == {"stale result accepted"}


def test_what_an_asynchronous_failover_may_forget_is_counted(story):
    """Only whole transactions: what is torn is a violation all the same."""
    story.note("committed", events=["vanished"])
    verdict = check(story.lines, story.tables(), lossy=True)
    assert verdict.kept
    assert verdict.forgotten == 1
    story.requests.append("torn")
    assert not check(story.lines, story.tables(), lossy=True).kept


def test_tables_go_through_json(story):
    tables = story.tables()
    assert Tables.from_dict(json.loads(json.dumps(tables.to_dict()))) == tables


def test_a_log_that_ends_in_the_middle_of_a_line(tmp_path):
    log = history.Log(tmp_path / "one.jsonl", "w")
    log.note("began", event="x")
    log.note("ended", event="x")
    whole = (tmp_path / "one.jsonl").read_text()
    (tmp_path / "one.jsonl").write_text(whole[:-5])
    assert [line["kind"] for line in history.read([tmp_path / "one.jsonl"])] == ["began"]


def test_the_checker_knows_nothing_of_the_package():
    """Neither does what it imports."""
    for name in ("checker", "history", "tables"):
        tree = ast.parse(Path(chaos.checker.__file__).with_name(f"{name}.py").read_text())
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert "arvo_plpg" not in imported
