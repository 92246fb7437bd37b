"""Every page, with nothing and with something to show."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from arvo_plpg import cli
from arvo_plpg.errors import InvalidOption
from arvo_plpg.page import PageOptions
from arvo_plpg.page.history import History, Sample, chart
from arvo_plpg.page.looks import ago, duration, number, short, subject_name
from arvo_plpg.page.picture import LEFT, TIME_WIDTH, draw
from arvo_plpg.page.source import Source
from arvo_plpg.rows import Step

PAGES = ["/", "/story", "/dead", "/schedules", "/health"]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_of_an_empty_installation(site, path):
    answer = await (await site()).get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<html lang="en">' in answer.text
    assert 'aria-current="page"' in answer.text


async def test_queues_are_shown_and_found(site, dispatch):
    dispatch("1", "com.example.first")
    dispatch("2", "com.example.second")
    client = await site()
    whole = (await client.get("/")).text
    assert "com.example.first" in whole
    assert "com.example.second" in whole
    some = (await client.get("/", params={"q": "FIRST"})).text
    assert "com.example.first" in some
    assert "com.example.second" not in some
    one = await client.get("/queue", params={"name": "com.example.first"})
    assert one.status_code == 200
    assert "nobody has registered it" in one.text
    assert (await client.get("/queue", params={"name": "com.example.none"})).status_code == 404


async def test_a_story_is_a_picture_and_a_table(site, kill):
    kill("e1", "com.example.task")
    client = await site()
    for asked in ({"subject": "story"}, {"event": "e1"}):
        text = (await client.get("/story", params=asked)).text
        assert "<svg" in text
        assert text.count("com.example.asked") >= 2
        assert "nothing there" in text
    assert "Nothing is known" in (await client.get("/story", params={"event": "none"})).text


async def test_dead_letters_are_searched(site, kill):
    for n in range(60):
        kill(f"e{n}", error={"name": "LookupError" if n % 2 else "OSError", "message": f"no {n}"})
    client = await site()
    first = (await client.get("/dead")).text
    assert first.count("/story?event=") == 50
    after = first.split("/dead?after=")[1].split('"')[0]
    assert (await client.get(f"/dead?after={after}")).text.count("/story?event=") == 10
    assert (await client.get("/dead?text=no+59")).text.count("/story?event=") == 1
    assert (await client.get("/dead?queue=com.example.other")).text.count("/story?event=") == 0
    assert (await client.get("/dead?reason=nonsense")).status_code == 400
    assert (await client.get("/dead?after=x")).status_code == 400


async def test_payloads_are_hidden_unless_they_are_allowed(site, kill):
    dead = kill("e1")
    pages = ["/", "/dead", f"/dead/letter?dead={dead}", "/story?event=e1"]
    hiding, showing = await site(), await site(show_payloads=True)
    for page in pages:
        assert "the payload" not in (await hiding.get(page)).text
    assert "Payloads are hidden" in (await hiding.get(pages[2])).text
    assert "the payload" in (await showing.get(pages[2])).text


async def test_a_letter_tells_its_attempts(site, kill):
    dead = kill("e1")
    client = await site()
    text = (await client.get(f"/dead/letter?dead={dead}")).text
    assert "LookupError" in text
    assert "line 1" in text
    assert (await client.get("/dead/letter?dead=999999")).status_code == 404
    assert (await client.get("/dead/letter?dead=-1")).status_code == 400


async def test_schedules_are_shown(site, ask):
    event = '{"type": "com.example.nightly", "source": "com.example.t", "subject": "s", "data": {}}'
    ask("SELECT arvo_v1.schedule('nightly', '30 2 * * *', %s::jsonb)", event)
    text = (await (await site()).get("/schedules")).text
    assert "nightly" in text
    assert "30 2 * * *" in text
    assert "active" in text


async def test_metrics_and_health_are_for_machines(site, dispatch):
    dispatch("1", "com.example.task")
    client = await site()
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    labels = 'arvo_state="ready",messaging_destination_name="com.example.task"'
    assert f"arvo_queue_depth{{{labels}}} 1.0" in metrics.text
    assert "arvo_up 1.0" in metrics.text
    await client.get("/")
    assert (await client.get("/healthz")).text == "ok\n"


async def test_a_database_that_is_away_is_said_without_a_word_of_how_it_is_reached(site):
    client = await site(dsn="postgresql://someone:s3cret@127.0.0.1:1/nothing")
    page, health = await client.get("/"), await client.get("/healthz")
    assert (page.status_code, health.status_code) == (503, 503)
    assert "does not answer" in page.text
    for answer in (page, health, await client.get("/metrics")):
        assert "s3cret" not in answer.text
        assert "someone" not in answer.text


async def test_the_page_reads_only(dsn):
    """Also with a role that might write."""
    source = Source(PageOptions(dsn))
    async with source.open(), source.contract() as contract:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await contract.register_queue("com.example.task")


def step(number, at, parent=None, **more):
    begun = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    given = {
        "subject": "s",
        "event_id": number,
        "parent_id": parent,
        "event_type": "com.example.asked",
        "source": "com.example.test",
        "queue": "q",
        "delivery": 1,
        "attempt": 1,
        "outcome": "completed",
        "accepted_at": begun,
        "claimed_at": begun + timedelta(seconds=1),
        "settled_at": begun + timedelta(seconds=2),
        "run_time": timedelta(seconds=1),
        "worker": "w",
        "error": None,
        "parent_subject": None,
        "depth": 0,
        "due_at": None,
        "wait_time": timedelta(seconds=1),
        "cause": None,
    }
    return Step(**given | more)


def test_a_picture_puts_answers_below_what_they_answer():
    picture = draw([step("a", 0), step("c", 4, "b"), step("b", 2, "a"), step("d", 6)])
    assert [row.event_id for row in picture.rows] == ["a", "b", "c", "d"]
    assert [row.x for row in picture.rows] == [10, 26, 42, 10]
    assert picture.took == timedelta(seconds=8)
    waits, runs = picture.rows[0].bars
    assert (waits.x, waits.width) == (LEFT, round(TIME_WIDTH / 8, 1))
    assert (runs.x, runs.kind) == (round(LEFT + TIME_WIDTH / 8, 1), "run good")
    last = picture.rows[-1].bars[-1]
    assert last.x + last.width == pytest.approx(LEFT + TIME_WIDTH, abs=0.2)


def test_a_picture_bears_events_that_name_each_other_and_deep_trees():
    assert len(draw([step("a", 0, "b"), step("b", 1, "a")]).rows) == 2
    deep = [step(str(n), n, str(n - 1)) for n in range(3000)]
    picture = draw(deep)
    assert len(picture.rows) + picture.left_out == 3000


def test_attempts_of_an_event_stand_in_one_row():
    failed = step("a", 0, outcome="retried", error={"name": "E", "message": "no"})
    picture = draw([failed, step("a", 5, attempt=2)])
    (row,) = picture.rows
    assert (row.attempts, row.outcome, len(row.marks)) == (2, "completed", 1)
    assert [bar.kind for bar in row.bars] == ["wait", "run warn", "delay", "wait", "run good"]


def test_a_chart_has_a_round_top():
    samples = [Sample(n, n, 0, 0.0, 0.0) for n in range(38)]
    drawn = chart(samples, ["ready"], width=100, height=100)
    assert (drawn.top, drawn.seconds, drawn.lines[0].last) == (50, 37, 37)
    assert chart(samples[:1], ["ready"]) is None
    assert History().of("nothing") == []


def test_texts_are_short_and_plain():
    assert duration(timedelta(seconds=0.0123)) == "12 ms"
    assert duration(3725) == "1 h 2 min"
    assert duration(None) == "\u2013"
    assert ago(datetime.now(UTC) + timedelta(hours=2, minutes=1)) == "in 2 h"
    assert number(1234567) == "1\u202f234\u202f567"
    assert short("a" * 100, 9) == "aaaa…aaaa"
    assert subject_name("no subject of ours") == "no subject of ours"


def test_what_others_can_reach_needs_a_token(monkeypatch, capsys):
    monkeypatch.delenv("ARVO_PAGE_TOKEN", raising=False)
    given = ["serve", "--dsn", "postgresql://127.0.0.1:1/x", "--host", "0.0.0.0"]
    assert cli.main(given) == 1
    assert "a token is missing" in capsys.readouterr().err
    with pytest.raises(InvalidOption, match="too short"):
        PageOptions("", token="short")
    with pytest.raises(InvalidOption, match="missing"):
        PageOptions("", allow_actions=True)
    assert "s3cret" not in repr(PageOptions("postgresql://a:s3cret@b/c", token="s3cret" * 4))
