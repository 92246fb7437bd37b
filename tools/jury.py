"""The tests that judge a mutant: each runs on the database that it is given, and says yes or no."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import isolation
import prove
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from testbed import GIVEN, Testbed

ROOT = Path(__file__).resolve().parent.parent
SPECS = "tests/sql/isolation/specs"
ENGINE = "tests/python/engine"
MACHINES = (
    f"{ENGINE}/test_traps.py::test_the_scenario_holds",
    f"{ENGINE}/test_machine.py::test_the_queue_and_the_dictionary_tell_the_same_story",
    f"{ENGINE}/test_gate_machine.py::test_gated_queues_keep_their_promises",
    f"{ENGINE}/test_crowd_machine.py::test_a_crowd_and_the_dictionary_tell_the_same_story",
)
OWN_MUTANTS = "not mutant and not the_trap_is_back"  # those that change functions themselves
# It says how much was done in some seconds: on a busy machine nobody could say who is to blame.
LEFT_OUT = {"test_stress.py", "test_lock_order.py"}
TEMPLATE = "ARVO_TEST_TEMPLATE"
PATIENCE = {".sql": 60, ".spec": 90, ".py": 600}  # seconds for one of each
CHUNK = 24
BLAMED = r"^(?:FAILED|ERROR) (tests/\S+?\.py::\w+(?:\[[^]]*\])?)"


@dataclass(frozen=True)
class Verdict:
    """What a test says of a database.

    Attributes:
        word: passed, failed or timeout.
        test: The one that said so, as narrow as it can be told.
        output: What it printed.
    """

    word: str
    test: str
    output: str = ""


@dataclass
class Jury:
    """All tests of the SQL, on databases of one server.

    Attributes:
        bed: The server, and the migrated database that is copied.
        pgtap: pg_prove, and the SQL of its assertions.
    """

    bed: Testbed
    pgtap: prove.Pgtap
    _sound: dict[str, bool] = field(default_factory=dict)

    def prepare(self) -> None:
        """Put into the database what pgTAP needs."""
        with psycopg.connect(self.bed.dsn, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA tap; SET search_path = tap")
            connection.execute(self.pgtap.script.read_bytes())

    @contextlib.contextmanager
    def copy(self, statement: str = "") -> Iterator[Testbed]:
        """A copy of the database, in which a statement has been run; dropped afterwards.

        Args:
            statement: SQL, run as the server's superuser.
        """
        name = f"arvo_mutant_{secrets.token_hex(4)}"
        original = str(conninfo_to_dict(self.bed.dsn)["dbname"])
        bed = replace(self.bed, dsn=make_conninfo(self.bed.dsn, dbname=name))
        self._copy_database(name, original)
        try:
            if statement:
                with psycopg.connect(bed.dsn) as connection:
                    connection.execute(statement.encode())  # its syntax is checked
            yield bed
        finally:
            self._drop_databases(name)

    def hear(self, bed: Testbed, tests: Sequence[str]) -> Verdict:
        """The first verdict against a database, or the last one for it.

        Args:
            bed: The database.
            tests: Paths below the root of the project, of one kind.
        """
        kind = Path(tests[0].partition("::")[0]).suffix
        if kind == ".sql":
            return self._prove(bed, tests)
        if kind == ".spec":
            return self._play(bed, tests)
        return self._pytest(bed, tests)

    def is_sound(self, test: str) -> bool:
        """Whether a test passes where nothing is wrong; asked once of each."""
        if test not in self._sound:
            with self.copy() as bed:
                self._sound[test] = self.hear(bed, [test]).word == "passed"
        return self._sound[test]

    def _prove(self, bed: Testbed, tests: Sequence[str]) -> Verdict:
        environment = bed.environment(PGOPTIONS=prove.SEARCH_PATH, ARVO_PSQL=str(bed.bin / "psql"))
        command = [*self.pgtap.prove, "--psql-bin", str(prove.PSQL), "--failures", "-Q", *tests]
        rc, output = _run(command, environment, PATIENCE[".sql"] + 5 * len(tests))
        if rc is None:
            return Verdict("timeout", tests[0], output)
        blamed = re.findall(r"^(\S+\.sql)\s+\(Wstat", output, re.MULTILINE)
        return Verdict("failed" if rc else "passed", (blamed or tests)[0], output)

    def _play(self, bed: Testbed, tests: Sequence[str]) -> Verdict:
        name = str(conninfo_to_dict(bed.dsn)["dbname"])
        staged = replace(bed, dsn=make_conninfo(bed.dsn, dbname=f"{name}_stage"))
        if not self._has_database(f"{name}_stage"):
            self._copy_database(f"{name}_stage", name)
            isolation.set_stage(staged, isolation.FOLDER / "stage.sql")
        for test in tests:
            spec = ROOT / test
            expected = (isolation.FOLDER / "expected" / f"{spec.stem}.out").read_text()
            try:
                seen = isolation.play(spec, staged, PATIENCE[".spec"])
            except subprocess.TimeoutExpired:
                return Verdict("timeout", test)
            if seen != expected:
                return Verdict("failed", test, seen)
        return Verdict("passed", tests[-1])

    def _pytest(self, bed: Testbed, tests: Sequence[str]) -> Verdict:
        facts = conninfo_to_dict(bed.dsn)
        environment = os.environ | {
            GIVEN: make_conninfo(bed.dsn, dbname="postgres"),
            TEMPLATE: str(facts["dbname"]),
            "ARVO_MACHINE_EXAMPLES": "100",
            "ARVO_MACHINE_SHRINKS": "0",
        }
        options = ["-x", "-q", "-p", "no:cacheprovider", "-k", OWN_MUTANTS, "--no-header"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        rc, output = _run(command, environment, PATIENCE[".py"])
        if rc is None:
            return Verdict("timeout", tests[0], output)
        blamed = re.findall(BLAMED, output, re.MULTILINE)
        return Verdict("failed" if rc else "passed", (blamed or tests)[0], output)

    def _copy_database(self, name: str, original: str) -> None:
        self._admin("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, original)

    def _has_database(self, name: str) -> bool:
        with psycopg.connect(make_conninfo(self.bed.dsn, dbname="postgres")) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            return found.fetchone() is not None

    def _drop_databases(self, prefix: str) -> None:
        with psycopg.connect(make_conninfo(self.bed.dsn, dbname="postgres")) as connection:
            names = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix]
            ).fetchall()
        for (name,) in names:
            self._admin("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _admin(self, statement: str, *names: str) -> None:
        admin = make_conninfo(self.bed.dsn, dbname="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def suite() -> list[list[str]]:
    """The whole suite of the SQL, in portions that are heard one after the other."""
    files = [str(Path(path).relative_to(ROOT)) for path in prove.choose([prove.TESTS])]
    specs = [f"{SPECS}/{path.name}" for path in sorted((ROOT / SPECS).glob("*.spec"))]
    engine = [
        f"{ENGINE}/{path.name}"
        for path in sorted((ROOT / ENGINE).glob("test_*.py"))
        if path.name not in LEFT_OUT and not any(path.name in name for name in MACHINES)
    ]
    portions = [files[at : at + CHUNK] for at in range(0, len(files), CHUNK)]
    return [*([name] for name in MACHINES), *([name] for name in specs), *portions, engine]


def _run(
    command: list[str], environment: dict[str, str], patience: float
) -> tuple[int | None, str]:
    """Run a program and all that it starts; no code when it took too long."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                output, _ = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
            return None, output
        return process.returncode, output
