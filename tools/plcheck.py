"""Check every PL/pgSQL function with plpgsql_check, all warnings on: nothing may be found.

It runs on Debian's PostgreSQL 15, for which the extension can be had. Findings that are known and
harmless stand in plcheck_allowed.txt, each with its reason. Where the server cannot be had, it says
SKIPPED.
"""

import fnmatch
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import debian
import psycopg
import testbed

ALLOWED = Path(__file__).with_name("plcheck_allowed.txt")
FUNCTIONS: LiteralString = """
    SELECT count(*)
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE l.lanname = 'plpgsql' AND p.pronamespace::regnamespace::text ~ '^arvo(_v[0-9]+)?$'
"""
FINDINGS: LiteralString = """
    SELECT p.pronamespace::regnamespace || '.' || p.proname, coalesce(c.lineno, 0), c.level,
           c.message || coalesce(' [' || c.detail || ']', '') || coalesce(' (' || c.hint || ')', '')
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid AND NOT t.tgisinternal
    CROSS JOIN LATERAL plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, 0), fatal_errors := false, other_warnings := true,
        extra_warnings := true, performance_warnings := true, security_warnings := true,
        compatibility_warnings := true
    ) AS c
    WHERE l.lanname = 'plpgsql' AND p.pronamespace::regnamespace::text ~ '^arvo(_v[0-9]+)?$'
    ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Allowance:
    """A line of plcheck_allowed.txt: function pattern, message pattern, reason, split by ' | '."""

    function: str
    message: str
    reason: str

    def covers(self, function: str, message: str) -> bool:
        """Whether a finding is the one meant."""
        of_function = fnmatch.fnmatchcase(function, self.function)
        return of_function and fnmatch.fnmatchcase(message, self.message)


def allowances(text: str) -> list[Allowance]:
    """The allowances of a file.

    Raises:
        ValueError: A line has not three parts; the reason may not be left out.
    """
    found = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            parts = [part.strip() for part in line.split(" | ")]
            if len(parts) != 3 or not all(parts):  # noqa: PLR2004  the three fields
                raise ValueError(f"function | message | reason expected in: {line}")
            found.append(Allowance(*parts))
    return found


def main() -> int:
    """Check, and print what is found."""
    allowed = allowances(ALLOWED.read_text())
    used: set[Allowance] = set()
    faults = 0
    try:
        with testbed.open_testbed("debian15") as bed, psycopg.connect(bed.dsn) as connection:
            connection.execute("CREATE EXTENSION plpgsql_check SCHEMA public")
            (total,) = connection.execute(FUNCTIONS).fetchone() or (0,)
            for function, line, level, message in connection.execute(FINDINGS):
                cover = next((one for one in allowed if one.covers(function, message)), None)
                if cover:
                    used.add(cover)
                else:
                    faults += 1
                    print(f"{function}:{line}: {level}: {message}")
    except debian.UnobtainableError as reason:
        print(f"plpgsql_check: SKIPPED, {reason}")
        return 0
    for idle in [one for one in allowed if one not in used]:
        faults += 1
        print(f"{ALLOWED.name}: nothing needs it any more: {idle.function} | {idle.message}")
    print(f"plpgsql_check: {total} functions, {faults} findings, {len(used)} allowed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
