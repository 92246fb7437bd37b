"""Run the isolation specs: sessions whose steps are interleaved in every way that a spec asks for.

    python tools/isolation.py [NAME …]           compare with tests/sql/isolation/expected
    python tools/isolation.py --accept [NAME …]  write what was seen there

Each spec gets a database of its own, a copy of one migrated database in which stage.sql, if the
folder has one, has been run.
"""

import argparse
import difflib
import secrets
import subprocess
import sys
from pathlib import Path

import debian
import psycopg
import testbed
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "sql" / "isolation"
PATIENCE = 300  # seconds for one spec; isolationtester itself gives a step up after 360
OPTIONS = ("max_prepared_transactions=20",)


def set_stage(bed: testbed.Testbed, stage: Path) -> None:
    """Put into the migrated database what all specs of a folder share."""
    if stage.exists():
        with psycopg.connect(bed.dsn) as connection:
            connection.execute(stage.read_bytes())


def play(spec: Path, bed: testbed.Testbed, patience: float = PATIENCE) -> str:
    """What isolationtester prints for a spec, errors included.

    Raises:
        subprocess.TimeoutExpired: It took longer than `patience`, in seconds.
    """
    name = f"arvo_spec_{secrets.token_hex(4)}"
    admin = make_conninfo(bed.dsn, dbname="postgres")
    template = str(conninfo_to_dict(bed.dsn)["dbname"])
    names = (sql.Identifier(name), sql.Identifier(template))
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*names)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(copy)
        try:
            done = subprocess.run(
                [str(bed.isolationtester), make_conninfo(bed.dsn, dbname=name)],
                input=spec.read_text(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=patience,
            )
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0])
            connection.execute(drop)
    return done.stdout if done.returncode == 0 else f"{done.stdout}exit code {done.returncode}\n"


def passes(spec: Path, seen: str, folder: Path, *, accept: bool) -> bool:
    """Compare with the expected output, printing the difference, or write it."""
    expected = folder / "expected" / f"{spec.stem}.out"
    if accept and "exit code" not in seen.rpartition("\n\n")[2]:
        expected.write_text(seen)
    was = expected.read_text() if expected.exists() else ""
    if was == seen:
        return True
    lines = (was.splitlines(keepends=True), seen.splitlines(keepends=True))
    sys.stdout.writelines(difflib.unified_diff(*lines, f"expected/{spec.stem}.out", "seen"))
    return False


def main() -> int:
    """Run the named specs, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="specs, without .spec")
    parser.add_argument("--accept", action="store_true", help="write the expected outputs")
    parser.add_argument("--server", choices=testbed.CHOICES, default="wheel")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where specs/ and expected/ are"
    )
    arguments = parser.parse_args()
    known = {path.stem: path for path in sorted((arguments.folder / "specs").glob("*.spec"))}
    unknown = [name for name in arguments.names if name not in known]
    if unknown or not known:
        sys.stderr.write(f"isolation: no such spec: {', '.join(unknown) or 'there is none'}\n")
        return 1
    chosen = [known[name] for name in arguments.names] or list(known.values())
    orphans = {path.stem for path in (arguments.folder / "expected").glob("*.out")} - known.keys()
    failed = len(orphans)
    for orphan in sorted(orphans):
        print(f"not ok - expected/{orphan}.out has no spec")
    try:
        with testbed.open_testbed(arguments.server, OPTIONS) as bed:
            print(f"PostgreSQL {bed.version}, isolationtester of the wheel", flush=True)
            set_stage(bed, arguments.folder / "stage.sql")
            for spec in chosen:
                good = passes(spec, play(spec, bed), arguments.folder, accept=arguments.accept)
                failed += not good
                print(f"{'ok' if good else 'not ok'} - {spec.stem}", flush=True)
    except debian.UnobtainableError as reason:
        sys.stderr.write(f"isolation: no server: {reason}\n")
        return 1
    print(f"isolation: {len(chosen) + len(orphans) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
