"""Put one fault after the other into the functions, and see whether the tests notice.

    python tools/mutants.py                     all of tests/mutants
    python tools/mutants.py 'sweep-*' --quick   those of a name, and the likeliest tests only
    python tools/mutants.py --check             only whether their texts are still there

Each mutant is judged on a copy of one migrated database: by the test that noticed it the last time,
by those that it names, by the pgTAP file of its function, and then by all others, until one fails.
What fails there must pass without the mutant, or it counts for nothing. What was found is kept in
docs/mutants.json. The exit code is 1 when fewer than 95 % are noticed, 2 when an entry is
not right.
"""

import argparse
import contextlib
import fnmatch
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import debian
import prove
import testbed
from jury import ENGINE, MACHINES, Jury, Verdict, suite
from mutant import FOLDER, ROOT, Mutant, MutantError, load, rotten

RECORD = ROOT / "docs" / "mutants.json"
WANTED = 0.95
OPTIONS = ("max_connections=200", "deadlock_timeout=100ms", "max_prepared_transactions=20")
NOTICED = ("killed", "timeout")
MACHINE = {"queue": 1, "grouping": 1, "gated": 2, "crowd": 3}  # their places among MACHINES


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        word: killed, timeout (it ran into the limit of time of a test), survived or equivalent.
        test: The one that noticed it.
    """

    mutant: Mutant
    word: str
    test: str = ""


def first_tests(mutant: Mutant, last: dict[str, str]) -> list[str]:
    """The likeliest to notice a mutant, the best one first.

    Args:
        mutant: The mutant.
        last: By name of a mutant, the test that noticed it before.
    """
    own = "/".join(("tests/sql", *mutant.function.split("."))) + ".sql"
    tests = [last.get(mutant.name), *mutant.tests]
    if mutant.scenario:
        tests.append(f"{ENGINE}/test_traps.py::test_the_scenario_holds[{mutant.scenario}]")
    tests.append(own)
    if mutant.machine:
        tests.append(MACHINES[MACHINE[mutant.machine.split()[0]]])
    found = dict.fromkeys(test for test in tests if test)
    return [test for test in found if (ROOT / test.partition("::")[0]).exists()]


def judge(mutant: Mutant, jury: Jury, last: dict[str, str], *, quick: bool) -> Outcome:
    """Run tests against a mutant until one notices it.

    Args:
        mutant: The mutant.
        jury: Who runs them.
        last: By name of a mutant, the test that noticed it before.
        quick: Only the likeliest tests.
    """
    first = [[test] for test in first_tests(mutant, last)]
    quick = quick or bool(mutant.equivalent or mutant.survives)  # of these it is said already
    with jury.copy(mutant.statement()) as bed:
        for tests in first if quick else [*first, *suite()]:
            verdict = jury.hear(bed, tests)
            if verdict.word != "passed" and _counts(verdict, jury):
                word = "killed" if verdict.word == "failed" else "timeout"
                return Outcome(mutant, word, verdict.test)
    return Outcome(mutant, "equivalent" if mutant.equivalent else "survived")


def _counts(verdict: Verdict, jury: Jury) -> bool:
    """Whether a test that fails on a mutant says anything."""
    if jury.is_sound(verdict.test):
        return True
    sys.stderr.write(f"mutants: {verdict.test} fails without a mutant:\n{verdict.output[-2000:]}\n")
    return False


def figures(
    mutants: Sequence[Mutant], told: dict[str, dict[str, str]], server: str
) -> dict[str, object]:
    """What is known of all mutants, for docs/mutants.json.

    Args:
        mutants: All there are.
        told: By name, what became of those that have been judged: verdict, by, date.
        server: Version of the server of the last run.
    """
    judged = [(one, told[one.name]["verdict"]) for one in mutants if one.name in told]
    counted = [(one, verdict) for one, verdict in judged if verdict != "equivalent"]
    noticed = [one for one, verdict in counted if verdict in NOTICED]
    kinds = Counter(one.kind for one, _ in counted)
    return {
        "server": f"PostgreSQL {server}",
        "mutants": len(counted),
        "killed": len(noticed),
        "equivalent": len(judged) - len(counted),
        "not_judged": len(mutants) - len(judged),
        "functions": len({one.function for one, _ in counted if one.function}),
        "traps": sorted({one.trap for one in noticed if one.trap}),
        "kinds": {
            kind: [sum(one.kind == kind for one in noticed), kinds[kind]] for kind in sorted(kinds)
        },
        "survived": {one.name: one.survives for one, verdict in counted if verdict == "survived"},
        "verdicts": {one.name: told[one.name] for one, _ in judged},
    }


def record(outcomes: Sequence[Outcome], mutants: Sequence[Mutant], server: str) -> None:
    """Write down what a run found; those that it did not judge keep what they had."""
    today = datetime.now(UTC).date().isoformat()
    told = _told() | {
        outcome.mutant.name: {"verdict": outcome.word, "by": outcome.test, "date": today}
        for outcome in outcomes
    }
    RECORD.write_text(json.dumps(figures(mutants, told, server), indent=1) + "\n")


def verdict_line(outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    """One line that says how it went, and whether that is enough."""
    counted = [outcome for outcome in outcomes if outcome.word != "equivalent"]
    killed = sum(outcome.word in NOTICED for outcome in counted)
    # An entry that says that nothing can notice it must be right, too.
    wrong = [o.mutant.name for o in outcomes if o.mutant.equivalent and o.word != "equivalent"]
    rate = killed / len(counted) if counted else 1.0
    equivalent = len(outcomes) - len(counted)
    line = f"mutants: {killed} of {len(counted)} killed ({rate:.1%}), {equivalent} equivalent"
    if wrong:
        line += f"; not equivalent after all: {', '.join(wrong)}"
    return line, rate >= WANTED and not wrong


def chosen(mutants: Iterable[Mutant], patterns: Sequence[str]) -> list[Mutant]:
    """Those whose name or function is like one of the patterns; all when there is none."""
    return [
        mutant
        for mutant in mutants
        if not patterns
        or any(
            fnmatch.fnmatchcase(word, pattern)
            for pattern in patterns
            for word in (mutant.name, mutant.function)
        )
    ]


@contextlib.contextmanager
def open_jury() -> Iterator[Jury]:
    """A server, a migrated database on it, and pgTAP.

    Raises:
        debian.UnobtainableError: There is no pgTAP.
    """
    pgtap = prove.find_pgtap()
    with testbed.open_testbed(options=OPTIONS) as bed:
        jury = Jury(bed, pgtap)
        jury.prepare()
        yield jury


def _told() -> dict[str, dict[str, str]]:
    if not RECORD.exists():
        return {}
    verdicts: dict[str, dict[str, str]] = json.loads(RECORD.read_text())["verdicts"]
    return verdicts


def main() -> int:
    """Judge what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="names or functions, with * and ?; all if none")
    parser.add_argument("--check", action="store_true", help="look only at the texts")
    parser.add_argument("--quick", action="store_true", help="only the likeliest tests")
    parser.add_argument("--unrecorded", action="store_true", help="leave docs/mutants.json alone")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the .toml files are")
    arguments = parser.parse_args()
    try:
        every = load(arguments.folder)
        mutants = chosen(every, arguments.names)
        faults = rotten(mutants)
    except MutantError as error:
        mutants, faults = [], [str(error)]
    if faults or not mutants:
        sys.stderr.write("".join(f"mutants: {fault}\n" for fault in faults or ["none so named"]))
        return 2
    if arguments.check:
        print(f"mutants: {len(mutants)} texts are there")
        return 0

    last = {name: told["by"] for name, told in _told().items()}
    outcomes: list[Outcome] = []
    try:
        with open_jury() as jury:
            print(f"PostgreSQL {jury.bed.version}, {len(mutants)} mutants", flush=True)
            for mutant in mutants:
                begun = time.monotonic()
                outcomes.append(judge(mutant, jury, last, quick=arguments.quick))
                took = time.monotonic() - begun
                by = outcomes[-1].test or mutant.equivalent or mutant.survives or "nothing noticed"
                print(f"{outcomes[-1].word} - {mutant.name} ({took:.1f} s): {by}", flush=True)
                # The likeliest tests alone cannot say that nothing notices it.
                sure = not (arguments.quick and outcomes[-1].word == "survived")
                if arguments.folder == FOLDER and sure and not arguments.unrecorded:
                    record(outcomes[-1:], every, jury.bed.version)  # a long run may be cut short
    except debian.UnobtainableError as reason:
        sys.stderr.write(f"mutants: {reason}\n")
        return 2
    line, good = verdict_line(outcomes)
    print(line)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
