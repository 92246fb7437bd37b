"""Run the pgTAP files of tests/sql with pg_prove, two at a time, each on a database of its own.

    python tools/prove.py                                all files
    python tools/prove.py tests/sql/arvo/clock.sql       one file, or a directory
    python tools/prove.py --server debian15              on PostgreSQL 15 rather than 18

pg_prove and pgTAP are the system's, or else come out of Debian's packages into .cache/. pgTAP is
loaded as a plain script into a schema `tap`, which needs no extension on the server.
"""

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import debian
import psycopg
import testbed

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "sql"
ISOLATION = TESTS / "isolation"
EXTENSIONS = "usr/share/postgresql/*/extension/pgtap--?.?.?.sql"
PG_PROVE = "libtap-parser-sourcehandler-pgtap-perl"
SEARCH_PATH = "-c search_path=tap,public -c client_min_messages=warning"
JOBS = "2"
PSQL = Path(__file__).with_name("psql_copy.sh")  # 40 ms a file, and none waits for another's locks


@dataclass(frozen=True)
class Pgtap:
    """The two parts of pgTAP.

    Attributes:
        prove: The command pg_prove.
        script: The SQL that makes the assertion functions.
    """

    prove: list[str]
    script: Path


def find_pgtap() -> Pgtap:
    """The system's pgTAP, or Debian's in .cache/.

    Raises:
        debian.UnobtainableError: There is neither.
    """
    perl = shutil.which("perl")
    modules = [perl or "perl", "-MTAP::Harness", "-e", "1"]
    if perl is None or subprocess.run(modules, capture_output=True, check=False).returncode:
        raise debian.UnobtainableError("pg_prove needs Perl with its modules: install perl")
    prove = shutil.which("pg_prove")
    scripts = sorted(Path("/").glob(EXTENSIONS))
    if prove and scripts:
        return Pgtap([prove], scripts[-1])
    pgtap = debian.newest("^postgresql-[0-9]+-pgtap$")
    root = debian.fetch([pgtap, PG_PROVE], dependencies=False)
    command = [perl, "-I", str(root / "usr/share/perl5"), str(root / "usr/bin/pg_prove")]
    return Pgtap(command, max(root.glob(EXTENSIONS)))


def choose(given: list[Path]) -> list[str]:
    """The test files below the given paths, in order, without the isolation specs' folder."""
    found: set[Path] = set()
    for path in (place.resolve() for place in given):
        found |= {path} if path.is_file() else set(path.rglob("*.sql"))
    return [str(path) for path in sorted(found) if not path.is_relative_to(ISOLATION)]


def main() -> int:
    """Run what the command line names; the exit code is pg_prove's."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, default=[TESTS])
    parser.add_argument("--server", choices=testbed.CHOICES, default="wheel")
    parser.add_argument(
        "--or-skip", action="store_true", help="no server or no pgTAP is no failure"
    )
    parser.add_argument("--verbose", action="store_true", help="show every assertion")
    arguments = parser.parse_args()
    files = choose(arguments.paths)
    if not files:
        sys.stderr.write(f"prove: no .sql file below {', '.join(map(str, arguments.paths))}\n")
        return 1
    try:
        pgtap = find_pgtap()
        with testbed.open_testbed(arguments.server) as bed:
            with psycopg.connect(bed.dsn, autocommit=True) as connection:
                connection.execute("CREATE SCHEMA tap; SET search_path = tap")
                connection.execute(pgtap.script.read_bytes())
            print(f"PostgreSQL {bed.version}, {pgtap.script.name}", flush=True)
            options = ["--psql-bin", str(PSQL), "-j", JOBS, "--failures", "--comments"]
            options += ["--verbose"] if arguments.verbose else []
            environment = bed.environment(PGOPTIONS=SEARCH_PATH, ARVO_PSQL=str(bed.bin / "psql"))
            command = [*pgtap.prove, *options, *files]
            return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    except debian.UnobtainableError as reason:
        if arguments.or_skip:
            print(f"prove: SKIPPED, {reason}")
            return 0
        sys.stderr.write(f"prove: {reason}\nprove: install pg_prove and pgTAP, or use Debian\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
