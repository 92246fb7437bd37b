"""Fires of cron texts over every clock change of two years, against a second telling in Python.

The second telling has no calendar of its own and no jumps: it walks through real time second by
second (minute by minute where the text names no seconds), asks Python's zoneinfo what the clocks
show, and keeps the moments at which what they show fits.

The zones and their changes in 2024 and 2025, years that every edition of the time zones agrees on:
Europe/Berlin and America/New_York (an hour, in the night), Australia/Lord_Howe (half an hour),
Africa/Casablanca (an hour back for Ramadan, forward after it), America/Santiago (at midnight: a day
begins at one, or its last hour comes twice), and, as a sixth, Antarctica/Troll (two hours). Sao
Paulo and Teheran had no change in these years.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = {
    "Europe/Berlin": 4,
    "America/New_York": 4,
    "Australia/Lord_Howe": 4,
    "Africa/Casablanca": 4,
    "America/Santiago": 4,
    "Antarctica/Troll": 4,
}
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

CRONS = [
    "30 2 * * *",  # in the gap or the overlap of most zones
    "0 2 * * *",  # at its edge
    "0 3 * * *",
    "45 1 * * *",  # in the half hour of Lord Howe
    "0 0 * * *",  # midnight, which Santiago leaves out
    "30 23 * * *",  # and the hour before it, which comes twice
    "*/15 * * * *",  # every so often
    "30 * * * *",
    "*/20 1-3 * * *",  # several left out together
    "*/10 0,2,23 * * *",
    "15,45 2 * * sun",
    "0 */2 * * *",
    "17 1-2 30 3 6",  # either day
]


def offset(zone, at):
    return at.astimezone(ZoneInfo(zone)).utcoffset()


@cache
def changes(zone):
    """Every change of its clocks from BEGIN to END: when the new offset holds first."""
    found = []
    hour = BEGIN
    while hour < END:
        later = hour + timedelta(hours=1)
        if offset(zone, hour) != offset(zone, later):
            low, high = hour, later
            while high - low > SECOND:
                middle = low + (high - low) // 2 // SECOND * SECOND
                if offset(zone, middle) == offset(zone, hour):
                    low = middle
                else:
                    high = middle
            found.append(high)
        hour = later
    return found


# --- the second telling


def numbers(text, low, high):
    found = set()
    for item in text.split(","):
        body, _, step = item.partition("/")
        if body == "*":
            first, last = low, high
        else:
            ends = [int(end) for end in body.split("-")]
            first, last = ends[0], high if step and len(ends) == 1 else ends[-1]
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Cron:
    """A cron text without names, except for the days of the week."""

    def __init__(self, text):
        for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"]):
            text = re.sub(name, str(number), text)
        parts = text.split()
        self.resolution = SECOND if len(parts) == 6 else MINUTE
        second, minute, hour, day, month, weekday = parts if len(parts) == 6 else ["0", *parts]
        self.seconds, self.minutes = numbers(second, 0, 59), numbers(minute, 0, 59)
        self.hours, self.months = numbers(hour, 0, 23), numbers(month, 1, 12)
        self.days, self.weekdays = numbers(day, 1, 31), {n % 7 for n in numbers(weekday, 0, 7)}
        if weekday.startswith("*"):
            self.weekdays = numbers(weekday, 0, 6)
        self.either = day[0] != "*" and weekday[0] != "*"

    def shows(self, local):
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (
            local.minute in self.minutes
            and local.second in self.seconds
            and local.hour in self.hours
            and local.month in self.months
            and ((day or weekday) if self.either else (day and weekday))
        )


@lru_cache(maxsize=8)
def walk(zone, begin, end, resolution):
    """Every moment, what the clocks show then, and which time that is: 0, 1; None: the only one."""
    clocks, seen, at = ZoneInfo(zone), [], begin
    while at < end:
        at += resolution
        here = at.astimezone(clocks)
        twice = here.replace(fold=0).utcoffset() != here.replace(fold=1).utcoffset()
        seen.append((at, here, here.fold if twice else None))
    return seen


def told(text, zone, begin, end, gap, overlap):
    """The moments after begin and not after end, in order."""
    cron, clocks = Cron(text), ZoneInfo(zone)
    wanted = {None, *{"first": [0], "second": [1], "both": [0, 1]}[overlap]}
    fires = {
        at
        for at, here, time in walk(zone, begin, end, cron.resolution)
        if time in wanted and cron.shows(here)
    }
    if gap == "shift":
        for change in changes(zone):
            # What the clocks pass over: from what they would have shown to what they show.
            local = (change - SECOND).astimezone(clocks).replace(tzinfo=None) + SECOND
            behind = change.astimezone(clocks).replace(tzinfo=None)
            while local < behind:
                if cron.shows(local) and begin < change <= end:
                    fires.add(change)
                local += cron.resolution
    return sorted(fires)


# --- the comparison


def asked(connection, text, zone, begin, end, gap, overlap):
    """The same from the database, found one after the other."""
    return [
        at.astimezone(UTC)
        for (at,) in connection.execute(
            """WITH RECURSIVE parsed AS MATERIALIZED (SELECT arvo.cron_parse(%(text)s) AS cron),
               fire AS (
                   SELECT arvo.cron_next(cron, %(zone)s, %(begin)s, %(gap)s, %(overlap)s) AS at
                   FROM parsed
                   UNION ALL
                   SELECT arvo.cron_next(cron, %(zone)s, at, %(gap)s, %(overlap)s)
                   FROM fire, parsed WHERE at <= %(end)s
               )
               SELECT at FROM fire WHERE at <= %(end)s""",
            {
                "text": text, "zone": zone, "begin": begin, "end": end, "gap": gap,
                "overlap": overlap,
            },
        )
    ]  # fmt: skip


@pytest.fixture(scope="module")
def database(server, template):
    name = server.create(template)
    with psycopg.connect(server.dsn_of(name), autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection
    server.drop(name)


@pytest.mark.parametrize("zone", ZONES)
def test_the_zones_have_the_changes_that_are_meant_and_both_know_the_same(database, zone):
    assert len(changes(zone)) == ZONES[zone]
    for change in changes(zone):
        found = database.execute(
            "SELECT arvo.clock_change(%s, %s, %s)",
            [zone, change - timedelta(hours=20, minutes=7), change + timedelta(hours=3)],
        ).fetchone()[0]
        assert found == change


@pytest.mark.parametrize("cron", CRONS)
@pytest.mark.parametrize("zone", ZONES)
def test_around_every_change_of_two_years_with_every_policy(database, zone, cron):
    fires = 0
    for change in changes(zone):
        begin, end = change - DAY, change + DAY
        for gap in ("skip", "shift"):
            for overlap in ("first", "second", "both"):
                expected = told(cron, zone, begin, end, gap, overlap)
                fires += len(expected)
                assert asked(database, cron, zone, begin, end, gap, overlap) == expected
    assert fires > 0 or "30 3" in cron


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 0 * * *", "*/30 * * * *", "20 1 13 * fri"])
@pytest.mark.parametrize("zone", ZONES)
def test_over_two_years_with_the_defaults(database, zone, cron):
    gap, overlap = ("skip", "both") if cron.startswith("*/30") else ("shift", "first")
    expected = told(cron, zone, BEGIN, END, gap, overlap)
    assert asked(database, cron, zone, BEGIN, END, gap, overlap) == expected
    assert database.execute(
        "SELECT arvo.cron_rules(arvo.cron_parse(%s), NULL, NULL)", [cron]
    ).fetchone()[0] == [gap, overlap]
    if cron.endswith("* * *") and gap == "shift":
        assert len(expected) == 731, "once on each day, the nights of a change included"


@pytest.mark.parametrize("zone", ZONES)
def test_from_every_minute_around_a_change_the_next_fire_is_the_next_of_the_list(database, zone):
    """Whoever asks in the middle of an overlap, or on the change itself, is answered as well."""
    for change in changes(zone):
        for cron in ("*/25 1-3 * * *", "10 0,23 * * *"):
            for overlap in ("first", "second", "both"):
                begin, end = change - timedelta(hours=5), change + timedelta(hours=30)
                fires = told(cron, zone, begin, end, "shift", overlap)
                starts = [begin + timedelta(minutes=n, seconds=n % 3) for n in range(600)]
                found = database.execute(
                    "SELECT array_agg(arvo.cron_next(arvo.cron_parse(%s), %s, at, 'shift', %s)"
                    " ORDER BY at) FROM unnest(%s::timestamptz[]) AS at",
                    [cron, zone, overlap, starts],
                ).fetchone()[0]
                assert found == [min(f for f in fires if f > start) for start in starts]


def field(low, high):
    value = st.integers(low, high).map(str)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(
        lambda ends: f"{min(ends)}-{max(ends)}"
    )
    item = st.one_of(value, span, st.integers(1, high - low).map(lambda n: f"*/{n}"))
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    cron=st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).map(
        " ".join
    ),
    zone=st.sampled_from(sorted(ZONES)),
    which=st.integers(0, 3),
    shift=st.integers(-300, 300),
    gap=st.sampled_from(["skip", "shift"]),
    overlap=st.sampled_from(["first", "second", "both"]),
)
def test_any_cron_text_around_any_change(database, cron, zone, which, shift, gap, overlap):
    begin = changes(zone)[which] - timedelta(hours=12) + timedelta(minutes=shift)
    end = begin + timedelta(hours=24)
    expected = told(cron, zone, begin, end, gap, overlap)
    assert asked(database, cron, zone, begin, end, gap, overlap) == expected


def test_with_seconds_through_a_gap_and_an_overlap(database):
    for change in changes("Europe/Berlin")[:2]:
        begin, end = change - timedelta(hours=2), change + timedelta(hours=2)
        for overlap in ("first", "second", "both"):
            arguments = ("*/20 5,59 1-3 * * *", "Europe/Berlin", begin, end, "shift", overlap)
            expected = told(*arguments)
            assert expected
            assert asked(database, *arguments) == expected


def test_the_last_fire_is_the_last_of_the_list(database):
    zone = "Europe/Berlin"
    for change in changes(zone)[:2]:
        begin = change - timedelta(hours=5)
        for cron in ("*/7 1-3 * * *", "30 2 * * *"):
            fires = told(cron, zone, begin, change + DAY, "shift", "first")
            for minutes in range(0, 900, 7):
                until = begin + timedelta(minutes=minutes, seconds=minutes % 2)
                found = database.execute(
                    "SELECT arvo.cron_last(arvo.cron_parse(%s), %s, %s, %s, 'shift', 'first')",
                    [cron, zone, begin, until],
                ).fetchone()[0]
                assert found == max((f for f in fires if f <= until), default=None)


# --- the second telling notices


@pytest.mark.parametrize(
    ("right", "wrong"), [(("shift", "first"), ("skip", "first")),
                         (("shift", "first"), ("shift", "second")),
                         (("shift", "both"), ("shift", "first"))]
)  # fmt: skip
def test_another_policy_is_another_list(database, right, wrong):
    zone = "Europe/Berlin"
    arguments = ("30 2 * * *", zone, BEGIN, END)
    assert asked(database, *arguments, *wrong) != told(*arguments, *right)
