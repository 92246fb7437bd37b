"""Checker: judges from logs and tables whether what was promised was kept.

It imports nothing of the package that it judges, and asks none of its functions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chaos.history import Line
    from chaos.tables import Delivery, Tables

FINAL = frozenset({"completed", "dead", "rejected", "cancelled"})
_OPEN = frozenset({"queued", "leased", "deferred", "parked"})
_SHOWN = 20


@dataclass(frozen=True)
class Promise:
    """What one queue promises.

    Attributes:
        emits: how many events each completed delivery emits.
        ordered: whether deliveries of one subject run one at a time, in order of acceptance.
        stateful: whether each completed delivery is one step of its subject's state.
        effects: whether each completed delivery has one effect in the business table.
        limit: how many may run at the same time.
    """

    emits: int = 0
    ordered: bool = False
    stateful: bool = False
    effects: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept.

    Attributes:
        name: which.
        about: the event or subject that it was not kept for.
        detail: the facts.
    """

    name: str
    about: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.about}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Verdict:
    """What the checker found.

    Attributes:
        violations: what was not kept.
        forgotten: committed events that are not there; only when that was to be expected.
        figures: how many of what.
    """

    violations: Sequence[Violation]
    forgotten: int = 0
    figures: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether everything was kept."""
        return not self.violations

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in self.figures.items())
        if self.forgotten:
            told += f", {self.forgotten} forgotten by the failover"
        if self.kept:
            return f"kept: {told}"
        names = Counter(violation.name for violation in self.violations)
        broken = ", ".join(f"{count} x {name}" for name, count in sorted(names.items()))
        return f"BROKEN: {broken}; {told}"

    def details(self) -> Iterator[str]:
        """Give the violations in words, the first of many."""
        yield from map(str, self.violations[:_SHOWN])
        if len(self.violations) > _SHOWN:
            yield f"and {len(self.violations) - _SHOWN} more"


class Checker:
    """Judges one run.

    Args:
        history: the lines of all logs, in the order of their times.
        tables: the tables at the end, when nothing was open any more.
        lossy: whether commits of the last moments may be missing altogether, as after an
            asynchronous failover. Logs and tables are not compared then; and an effect may be
            missing, of a run whose result was settled only after the failover.
    """

    def __init__(self, history: Sequence[Line], tables: Tables, *, lossy: bool = False) -> None:
        self._tables = tables
        self._lossy = lossy
        self._lines: defaultdict[str, list[Line]] = defaultdict(list)
        for line in history:
            self._lines[line["kind"]].append(line)
        self._promises = {
            name: Promise(**promise)
            for line in self._lines["plan"]
            for name, promise in line["queues"].items()
        }
        self._events: defaultdict[str, list[Delivery]] = defaultdict(list)
        for delivery in tables.deliveries:
            self._events[delivery.event].append(delivery)
        self._finals = {
            event: [one for one in deliveries if one.place in FINAL]
            for event, deliveries in self._events.items()
        }
        self._told = {
            kind: {event for line in self._lines[kind] for event in line["events"]}
            for kind in ("committed", "rolled back", "sent")
        }

    def judge(self) -> Verdict:
        """Give the verdict."""
        rules = [self._outcomes, self._transactions, self._emissions, self._effects, self._states]
        if not self._lossy:
            rules += [self._losses, self._runs, self._steps, self._order, self._limits, self._stale]
        violations = [violation for rule in rules for violation in rule()]
        missing = self._told["committed"] - self._events.keys()
        completed = self._counted("completed")
        return Verdict(
            violations,
            len(missing) if self._lossy else 0,
            {
                "events": len(self._events),
                "completed": completed,
                "dead": self._counted("dead"),
                "rolled back": len(self._told["rolled back"]),
                "runs": len(self._lines["began"]),
                "runs for nothing": self._for_nothing(),
                "refused": sum(line["outcome"] == "refused" for line in self._lines["told"]),
            },
        )

    def _counted(self, place: str) -> int:
        return sum(one.place == place for finals in self._finals.values() for one in finals)

    def _for_nothing(self) -> int:
        """Count runs whose result did not count: their process died, or their lease was lost."""
        settled = Counter(
            one.event for one in self._tables.deliveries if one.place in FINAL | {"retried"}
        )
        runs = Counter(line["event"] for line in self._lines["began"])
        return sum(max(0, count - settled[event]) for event, count in runs.items())

    # --- what the tables say

    def _outcomes(self) -> Iterator[Violation]:
        """Every event has exactly one final outcome, and nothing is open."""
        for event, finals in self._finals.items():
            places = [one.place for one in self._events[event]]
            story = " ".join(places)
            if still := [place for place in places if place in _OPEN]:
                yield Violation("unfinished", event, f"is {still[0]}: {story}")
            elif not finals:
                yield Violation("lost", event, f"it has no final outcome: {story}")
            if len(finals) > 1:
                yield Violation("doubled", event, f"it has {len(finals)} outcomes: {story}")

    def _transactions(self) -> Iterator[Violation]:
        """An event is there if and only if the transaction that dispatched it was committed."""
        requests = Counter(self._tables.requests)
        dispatched = {
            event for event, deliveries in self._events.items() if deliveries[0].parent is None
        }
        for event in sorted(requests.keys() - dispatched):
            yield Violation("lost", event, "its transaction was committed")
        for event in sorted(dispatched - requests.keys()):
            yield Violation("from nowhere", event, "no transaction has committed it")
        for event in sorted(self._told["rolled back"] & self._events.keys()):
            yield Violation("rolled back and there", event)

    def _emissions(self) -> Iterator[Violation]:
        """What a run emits is there once if it completed the event, and else not at all."""
        children: Counter[str] = Counter()
        for deliveries in self._events.values():
            if (parent := deliveries[0].parent) is not None:
                children[parent] += 1
        for parent in sorted(children.keys() - self._events.keys()):
            yield Violation("from nowhere", parent, "it has emitted, and is not there")
        for event, deliveries in self._events.items():
            completed = any(one.place == "completed" for one in deliveries)
            promised = self._promise(deliveries[0].queue).emits if completed else 0
            if children[event] < promised:
                yield Violation("emission missing", event, f"{children[event]} of {promised}")
            elif children[event] > promised:
                yield Violation("emission doubled", event, f"{children[event]}, not {promised}")

    def _effects(self) -> Iterator[Violation]:
        """A completed event has its effect, once."""
        counted = Counter(effect.event for effect in self._tables.effects)
        for event in sorted(counted.keys() - self._events.keys()):
            if not self._lossy:
                yield Violation("effect of nothing", event)
        for event, count in counted.items():
            if count > 1:
                yield Violation("effect doubled", event, f"{count} rows")
        for event, finals in self._finals.items():
            promised = self._promise(self._events[event][0].queue).effects
            completed = any(one.place == "completed" for one in finals)
            if promised and completed and not counted[event] and not self._lossy:
                yield Violation("effect missing", event)
            elif not promised and counted[event]:
                yield Violation("effect of nothing", event, "its queue has none")
        booked = sum(effect.amount for effect in self._tables.effects)
        if booked != self._tables.balance:
            detail = f"effects say {booked}, accounts {self._tables.balance}"
            yield Violation("effect doubled", "accounts", detail)

    def _states(self) -> Iterator[Violation]:
        """Each completed step is in the state of its subject once, and each is one version."""
        steps: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for event, finals in self._finals.items():
            first = self._events[event][0]
            if self._promise(first.queue).stateful:
                steps[first.subject] += [
                    (one.first, one.number or 0) for one in finals if one.place == "completed"
                ]
        for subject in sorted(steps.keys() | self._tables.states.keys()):
            expected = [number for _, number in sorted(steps[subject])]
            state = self._tables.states.get(subject)
            numbers = state.numbers if state is not None else []
            version = state.version if state is not None else 0
            if Counter(numbers) != Counter(expected):
                yield Violation("state not linear", subject, f"steps {numbers}, not {expected}")
            elif numbers != expected:
                yield Violation("order broken", subject, f"steps {numbers}, not {expected}")
            if version != len(numbers):
                detail = f"version {version} after {len(numbers)} steps"
                yield Violation("state not linear", subject, detail)

    # --- what the logs say of them

    def _losses(self) -> Iterator[Violation]:
        """What was answered as committed is there."""
        for event in sorted(self._told["committed"] - self._events.keys()):
            yield Violation("lost", event, "its COMMIT was answered")
        known = self._told["committed"] | self._told["sent"]
        for event, deliveries in self._events.items():
            if deliveries[0].parent is None and event not in known | self._told["rolled back"]:
                yield Violation("from nowhere", event, "no producer has dispatched it")

    def _runs(self) -> Iterator[Violation]:
        """What ran was accepted, and what completed ran."""
        ran = {(line["event"], line["queue"], line["attempt"]) for line in self._lines["began"]}
        for event in sorted({event for event, _, _ in ran} - self._events.keys()):
            if event in self._told["rolled back"]:
                yield Violation("rolled back and seen", event)
            else:
                yield Violation("from nowhere", event, "it ran, and is not there")
        for event, finals in self._finals.items():
            for one in finals:
                if one.place == "completed" and (event, one.queue, one.attempt) not in ran:
                    yield Violation("completed without a run", event, f"attempt {one.attempt}")

    def _steps(self) -> Iterator[Violation]:
        """The steps that count have read the versions of their subject one after the other."""
        read: defaultdict[str, list[int]] = defaultdict(list)
        for line in self._lines["stepped"]:
            if self._counts(line):
                read[line["key"]].append(line["version"])
        for subject, versions in read.items():
            # A lease that was released after its handler ended has a run of the same attempt.
            distinct = sorted(set(versions))
            if distinct != list(range(len(distinct))):
                yield Violation("state not linear", subject, f"versions read: {versions}")

    def _order(self) -> Iterator[Violation]:
        """Runs that count of one key of an ordered queue follow each other."""
        order = {delivery.event: delivery.first for delivery in reversed(self._tables.deliveries)}
        keys: defaultdict[tuple[str, str], list[_Run]] = defaultdict(list)
        for run in self._counted_runs():
            if self._promise(run.queue).ordered:
                keys[run.queue, run.key].append(run)
        for (_, key), runs in keys.items():
            for one, following in pairwise(sorted(runs, key=lambda run: run.began)):
                if order[one.event] > order[following.event]:
                    yield Violation("order broken", key, f"{following.event} ran too late")
                elif following.began < one.ended:
                    yield Violation("order broken", key, f"{following.event} ran beside another")

    def _limits(self) -> Iterator[Violation]:
        """Never more than the limit of a queue run under leases that count."""
        moments: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)
        for run in self._counted_runs():
            if self._promise(run.queue).limit is not None:
                moments[run.queue] += [(run.began, 1, run.event), (run.ended, -1, run.event)]
        for queue, changes in moments.items():
            running, limit = 0, self._promise(queue).limit or 0
            for _, change, event in sorted(changes):
                running += change
                if running > limit:
                    yield Violation("limit broken", event, f"{running} run in {queue}, not {limit}")

    def _stale(self) -> Iterator[Violation]:
        """What workers were told of their results agrees with the journal."""
        places: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
        for one in self._tables.deliveries:
            places[one.event, one.queue, one.attempt].add(one.place)
        times: Counter[str] = Counter()
        for line in self._lines["told"]:
            if line["outcome"] != "completed":
                continue
            times[line["event"]] += 1
            if "completed" not in places[line["event"], line["queue"], line["attempt"]]:
                detail = f"attempt {line['attempt']} was told that it has completed"
                yield Violation("stale result accepted", line["event"], detail)
        for event, count in times.items():
            if count > 1:
                yield Violation("stale result accepted", event, f"{count} were told so")

    # --- help

    def _promise(self, queue: str) -> Promise:
        return self._promises.get(queue, Promise())

    def _counts(self, line: Line) -> bool:
        """Whether a run ended as the journal says: its lease held until then."""
        return any(
            one.place == "completed"
            and one.attempt == line["attempt"]
            and one.delivery == line["delivery"]
            for one in self._finals.get(line["event"], ())
        )

    def _counted_runs(self) -> list[_Run]:
        """Runs that completed their event: from the first line to the last of that lease."""
        runs: dict[tuple[str, int], dict[str, Any]] = {}
        for kind in ("began", "ended"):
            for line in self._lines[kind]:
                if self._counts(line):
                    run = runs.setdefault((line["event"], line["lease"]), {"line": line})
                    run[kind] = line["at"]
        found = []
        last: dict[str, tuple[int, _Run]] = {}
        for (event, lease), run in runs.items():
            if "began" in run and "ended" in run:
                line = run["line"]
                one = _Run(event, line["queue"], line["key"], run["began"], run["ended"])
                # Released by one process and run again by another under the same delivery: the
                # newest lease is the one that completed it.
                if event not in last or lease > last[event][0]:
                    last[event] = (lease, one)
        found += [one for _, one in last.values()]
        return found


@dataclass(frozen=True)
class _Run:
    event: str
    queue: str
    key: str
    began: float
    ended: float


def check(history: Sequence[Line], tables: Tables, *, lossy: bool = False) -> Verdict:
    """Judge one run: see :class:`Checker`."""
    return Checker(history, tables, lossy=lossy).judge()
