"""Proves that a live database is what its migrations made it, without changing anything.

Expected is what the sealed blocks of the migrations *this* database has applied say (not the
newest files: a database that waits for its ``after`` step is healthy). Found is the catalog.
``pg_proc.prosrc`` keeps a body verbatim, so bodies are compared byte for byte.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import class_row

from arvo_plpg.errors import SchemaMissing
from arvo_plpg.rows import Vital
from arvo_plpg.schema.advice import Advice, advise
from arvo_plpg.schema.blocks import fold
from arvo_plpg.schema.catalog import Catalog, CatalogFunction
from arvo_plpg.schema.defaults import same_default
from arvo_plpg.schema.edition import Edition
from arvo_plpg.schema.function import Function, read_function
from arvo_plpg.schema.ledger import Ledger, read_ledger
from arvo_plpg.schema.lexer import statements
from arvo_plpg.schema.names import ORIGIN, Names
from arvo_plpg.schema.seals import verify
from arvo_plpg.schema.target import Target
from arvo_plpg.schema.tree import Migration, SqlTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One difference.

    Args:
        object: What differs, qualified.
        kind: In one word, how: ``missing``, ``unknown``, ``overloaded``, ``body``,
            ``signature``, ``returns``, ``default``, ``attributes``, ``settings``, ``owner``,
            ``comment``, ``public``, ``grant`` or ``ledger``.
        detail: Expected and found, in a sentence.
    """

    object: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.object}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found.

    Args:
        schema: Name of the installation.
        roles: Whether it has roles of its own.
        revision: Number of the newest migration it has.
        pending: Ids of migrations that this package ships and the database lacks; no fault.
        functions: How many functions were compared.
        findings: The differences; healthy when empty.
        warnings: What ``health()`` warns of, such as processes that disagree on a queue; not a
            difference. Asked only when nothing differs: nothing but our own code is run.
        vitals: All that ``health()`` tells, topic by topic.
        advice: Settings of the server that are worth changing.
    """

    schema: str
    roles: bool
    revision: int
    pending: list[str] = field(default_factory=list)
    functions: int = 0
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    vitals: list[Vital] = field(default_factory=list)
    advice: list[Advice] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return {"healthy": self.healthy, **asdict(self)}


def doctor(dsn: str, *, schema: str = ORIGIN, sql_root: Path | None = None) -> Report:
    """Compare a database with its migrations.

    Args:
        dsn: Connection string of a user who may read the ledger: a member of the owner role.
        schema: Name of the installation.
        sql_root: Folder with ``migrations/``; found when not given.

    Raises:
        SchemaMissing: Nothing is installed under that name.
        ClientTooOld: The database has migrations that are unknown here.
        SchemaError: Any of its other kinds; see ``arvo_plpg.errors``.
    """
    Names(schema)
    tree = SqlTree.find(sql_root)
    migrations = tree.shipped()
    verify(tree)
    with Target.parse(dsn).session("arvo-plpg doctor") as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.execute("SET LOCAL search_path = pg_catalog")
        ledger = read_ledger(conn, schema)
        ledger.refuse_newer(migrations)
        if not ledger.revisions:
            raise SchemaMissing(
                "nothing is installed under this name",
                detail=f"schema {schema} has no migrations applied",
                hint="Run: arvo-plpg migrate",
            )
        examination = _Examination(conn, ledger, migrations)
        report = examination.report()
        if report.healthy and examination.tells_health:
            vitals = _vitals(conn, ledger.names)
            report = replace(report, warnings=_warnings(vitals), vitals=vitals, advice=advise(conn))
        return report


class _Examination:
    """One look at one database."""

    def __init__(
        self, conn: psycopg.Connection[Any], ledger: Ledger, migrations: list[Migration]
    ) -> None:
        self.conn = conn
        self.ledger = ledger
        self.names = ledger.names
        self.catalog = Catalog(conn, ledger.names)
        self.migrations = migrations
        self.applied = ledger.applied(migrations)
        edition = Edition(ledger.names)
        texts = [edition.text(migration.text) for migration in self.applied]
        sealed = fold(texts)
        self.doors = _doors(texts)
        self.expected = {name: read_function(text) for name, text in sealed.items()}
        self.owned = self.catalog.owned()
        self.owner = self.names.owner
        if not self.names.roles:
            self.owner = next(o.owner for o in self.owned if o.object == self.names.schema)

    @property
    def tells_health(self) -> bool:
        """Whether the migrations that the database has applied bring ``health()``."""
        return f"{self.names.contract(1)}.health" in self.expected

    def report(self) -> Report:
        findings = [*self.functions(), *self.privileges(), *self.marks()]
        return Report(
            schema=self.names.schema,
            roles=self.names.roles,
            revision=max(self.ledger.revisions),
            pending=[m.id for m in self.migrations if m not in self.applied],
            functions=len(self.expected),
            findings=sorted(findings),
        )

    def functions(self) -> Iterator[Finding]:
        found: dict[str, list[CatalogFunction]] = {}
        for function in self.catalog.functions():
            found.setdefault(function.name, []).append(function)
        for name in sorted(self.expected.keys() - found.keys()):
            yield Finding(name, "missing", "sealed by a migration, not in the database")
        for name, actual in sorted(found.items()):
            for function in actual:
                if "PUBLIC" in {grant.split()[0] for grant in function.grants}:
                    yield Finding(function.signature, "public", "PUBLIC may execute it")
            if name not in self.expected:
                for function in actual:
                    yield Finding(function.signature, "unknown", "no migration made it")
            elif len(actual) > 1:
                kinds = "; ".join(function.signature for function in actual)
                yield Finding(name, "overloaded", f"one function expected, found {kinds}")
            else:
                yield from self.compare(self.expected[name], actual[0])

    def compare(self, expected: Function, actual: CatalogFunction) -> Iterator[Finding]:
        name = expected.name
        if expected.body != actual.body:
            yield Finding(name, "body", _first_difference(expected.body, actual.body))
        types = self.catalog.type_names(
            {expected.returns} | {parameter.type for parameter in expected.parameters}
        )
        yield from self.compare_parameters(expected, actual, types)
        for kind, promised, is_now in (
            (
                "returns",
                ("SETOF " if expected.setof else "") + types[expected.returns],
                ("SETOF " if actual.setof else "") + actual.returns,
            ),
            ("attributes", _attributes(expected), _attributes(actual)),
            ("settings", sorted(expected.settings), sorted(actual.settings)),
            ("owner", self.owner, actual.owner),
            ("comment", expected.comment, actual.comment),
        ):
            if promised != is_now:
                yield Finding(name, kind, f"expected {promised!r}, found {is_now!r}")
        yield from self.compare_grants(expected, actual)

    def compare_parameters(
        self, expected: Function, actual: CatalogFunction, types: dict[str, str]
    ) -> Iterator[Finding]:
        promised = [
            (("VARIADIC " if p.variadic else "") + p.name, types[p.type])
            for p in expected.parameters
        ]
        modes = actual.argument_modes or ["i"] * len(actual.argument_types)
        prefixes = ["VARIADIC " if mode == "v" else "" for mode in modes]
        names = [p + n for p, n in zip(prefixes, actual.argument_names, strict=False)]
        is_now = list(zip(names, actual.argument_types, strict=False))
        if promised != is_now or set(modes) - {"i", "v"} or actual.kind != "f":
            yield Finding(expected.name, "signature", f"expected {promised!r}, found {is_now!r}")
            return
        for parameter, kind, default in zip(
            expected.parameters, actual.argument_types, actual.defaults, strict=True
        ):
            if not same_default(self.conn, kind, parameter.default, default):
                what = f"expected {parameter.default!r}, found {default!r}"
                yield Finding(expected.name, "default", f"{parameter.name}: {what}")

    def compare_grants(self, expected: Function, actual: CatalogFunction) -> Iterator[Finding]:
        granted = {grant for grant in actual.grants if not grant.startswith("PUBLIC")}
        for role in sorted(expected.grants - granted):
            yield Finding(expected.name, "grant", f"{role} lacks EXECUTE")
        private = expected.name.split(".")[0] == self.names.schema
        if not self.names.roles and not private:
            return  # without roles of ours, the contract is granted as its users see fit
        for role in sorted(granted - expected.grants):
            yield Finding(expected.name, "grant", f"{role} has EXECUTE")

    def privileges(self) -> Iterator[Finding]:
        """Find what anybody but the owner may do beside calling functions."""
        for grant in self.catalog.grants():
            contract = grant.kind == "schema" and grant.object != self.names.schema
            may_enter = grant.grantee in self.names.groups or (
                not self.names.roles and grant.grantee != "PUBLIC"
            )
            if contract and grant.privilege == "USAGE" and may_enter:
                continue
            yield Finding(
                grant.object, "grant", f"{grant.grantee} has {grant.privilege} on the {grant.kind}"
            )
        entered = {
            (grant.object, grant.grantee)
            for grant in self.catalog.grants()
            if grant.kind == "schema"
        }
        for schema, role in sorted(self.doors - entered):
            yield Finding(schema, "grant", f"{role} lacks USAGE on the schema")
        for role in self.catalog.members(self.names):
            yield Finding(role, "grant", f"is a member of {self.names.owner}")
        for owned in self.owned:
            if owned.owner != self.owner:
                detail = f"expected {self.owner!r}, found {owned.owner!r}"
                yield Finding(owned.object, "owner", detail)

    def marks(self) -> Iterator[Finding]:
        """Find where yoyo's ledger and ours disagree; the next run puts that right."""
        applied = {migration.id for migration in self.applied}
        for name in sorted(applied ^ self.ledger.marked):
            where = "revision" if name in applied else "yoyo's marks"
            yield Finding(name, "ledger", f"only in {where}; run migrate")


def _vitals(conn: psycopg.Connection[Any], names: Names) -> list[Vital]:
    """Return what the installation's ``health()`` tells."""
    query = sql.SQL("SELECT topic, level, value, detail, remedy FROM {}.health()").format(
        sql.Identifier(names.contract(1))
    )
    with conn.cursor(row_factory=class_row(Vital)) as cursor:
        return cursor.execute(query).fetchall()


def _warnings(vitals: list[Vital]) -> list[str]:
    """Return those of them that warn, each as one text."""
    return [
        " ".join(filter(None, (f"{vital.topic}:", vital.detail, vital.remedy)))
        for vital in vitals
        if vital.level == "warning"
    ]


def _doors(texts: list[str]) -> set[tuple[str, str]]:
    """Return who may enter which schema, as the migrations say: (schema, role)."""
    doors: set[tuple[str, str]] = set()
    for text in texts:
        for statement in statements(text):
            match [token.value for token in statement.significant]:
                case ["GRANT", "USAGE", "ON", "SCHEMA", schema, "TO", *roles, ";"]:
                    doors |= {(schema, role) for role in roles if role != ","}
                case ["REVOKE", "ALL" | "USAGE", "ON", "SCHEMA", schema, "FROM", *roles, ";"]:
                    doors -= {(schema, role) for role in roles}
                case ["DROP", "SCHEMA", *rest]:
                    doors = {door for door in doors if door[0] not in rest}
    return doors


def _attributes(function: Function | CatalogFunction) -> str:
    """Return what a function's clauses say, spelled as one would write them."""
    words = [
        "LANGUAGE " + function.language,
        {"v": "VOLATILE", "s": "STABLE", "i": "IMMUTABLE"}[function.volatility],
        {"u": "PARALLEL UNSAFE", "r": "PARALLEL RESTRICTED", "s": "PARALLEL SAFE"}[
            function.parallel
        ],
        "SECURITY DEFINER" if function.definer else "SECURITY INVOKER",
        *(["STRICT"] if function.strict else []),
        *(["LEAKPROOF"] if function.leakproof else []),
        f"COST {function.cost:g}",
        f"ROWS {function.rows:g}",
    ]
    return " ".join(words)


def _first_difference(expected: str, actual: str) -> str:
    ours, theirs = expected.splitlines(), actual.splitlines()
    for number, line in enumerate(ours):
        if number >= len(theirs) or theirs[number] != line:
            found = theirs[number].strip() if number < len(theirs) else "the end"
            return f"line {number}: expected {line.strip()[:60]!r}, found {found[:60]!r}"
    return f"line {len(ours)}: expected the end, found more"
