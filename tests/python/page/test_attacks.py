"""Attacks on the page: scripts in every text, forms of other sites, strange hosts, no token."""

import json
from html.parser import HTMLParser

import psycopg
import pytest

from arvo_plpg.page.guard import HEADERS

TOKEN = "0123456789abcdef-token"
EVIL = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
PAGES = ["/", "/story", "/dead", "/schedules", "/health"]


class Markup(HTMLParser):
    """What a browser would take for elements, attributes and scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


def harmless(text):
    """Whether there is nothing in a page but what its templates put there."""
    elements = Markup(text).elements
    assert elements
    for tag, attributes in elements:
        assert tag not in {"img", "iframe", "object", "embed", "base", "style"}
        if tag == "script":
            assert attributes == {"src": "/static/live.js", "defer": None}
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in {"href", "src", "action", "formaction"}:
                assert value.startswith(("/", "#")), value
                assert not value.startswith("//"), value


@pytest.fixture
def evil(ask, dsn, kill):
    """Evil texts wherever somebody can put one."""
    error = {"name": EVIL, "message": EVIL, "stack": EVIL}
    dead = kill(EVIL, error=error, subject="story", data={EVIL: EVIL})
    event = {"type": "com.example.x", "source": "com.example.t", "subject": "s", "data": {EVIL: 1}}
    ask("SELECT arvo_v1.schedule('n', '* * * * *', %s::jsonb, 'k')", json.dumps(event))
    ask("SELECT arvo_v1.check_in(%s, ARRAY['com.example.task'])", EVIL)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(
            "UPDATE arvo.schedule SET error = jsonb_build_object('message', %s::text)", [EVIL]
        )
        owner.execute("UPDATE arvo.schedule SET cron = %s, paused_by = %s", [EVIL, EVIL])
        owner.execute("UPDATE arvo.queue SET dead_letter = %s", [EVIL])
    with psycopg.connect(dsn, application_name=EVIL[:60]) as held:
        held.execute("SELECT txid_current()")
        yield dead


async def test_no_text_of_others_is_markup(evil, site):
    client = await site(show_payloads=True)
    asked = [
        *PAGES,
        "/queue?name=com.example.task",
        "/story?subject=story",
        f"/dead/letter?dead={evil}",
    ]
    seen = 0
    for path in asked:
        answer = await client.get(path)
        assert answer.status_code == 200, path
        harmless(answer.text)
        seen += answer.text.count("&lt;script&gt;")
    assert seen > 12  # they were shown, as text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/", "q"),
        ("/queue", "name"),
        ("/story", "subject"),
        ("/story", "event"),
        ("/dead", "queue"),
        ("/dead", "event_type"),
        ("/dead", "subject"),
        ("/dead", "text"),
        ("/dead", "reason"),
        ("/dead", "after"),
        ("/dead", "verb"),
        ("/dead/letter", "dead"),
        ("/nothing", "x"),
    ],
)
async def test_nothing_that_is_asked_is_markup(site, path, field):
    answer = await (await site()).get(path, params={field: EVIL})
    harmless(answer.text)
    assert "49" not in answer.text or "7*7" in answer.text


async def test_confirmations_are_harmless_too(evil, operator, csrf):
    page = (await operator.get("/dead")).text
    answer = await operator.post(
        "/dead/resolve", data={"csrf": csrf(page), "dead": str(evil), "verb": "discard"}
    )
    assert answer.status_code == 200
    harmless(answer.text)
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/metrics", "/healthz", "/static/style.css"])
async def test_every_answer_has_the_headers(site, path):
    answer = await (await site()).get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "server" not in answer.headers


async def test_pages_have_nothing_that_the_policy_forbids(evil, site):
    client = await site()
    for path in [*PAGES, "/story?subject=story"]:
        text = (await client.get(path)).text
        assert "style=" not in text
        assert " on" not in text.split("<main")[0].replace(" only", "")
        assert "http://" not in text.replace("http-equiv", "")
        assert "https://" not in text


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "", "localhost.", "[::2]"],
)
async def test_a_strange_host_is_refused(site, host):
    client = await site()
    answer = await client.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost:8321", "LOCALHOST", "[::1]:8321", "127.0.0.1"])
async def test_its_own_names_are_not(site, host):
    assert (await (await site()).get("/", headers={"host": host})).status_code == 200


async def test_without_the_flag_there_are_no_actions(site, kill):
    dead = kill("e1")
    for client in (await site(), await site(token=TOKEN)):
        for path in ("/dead/resolve", "/queue/switch", "/schedules/switch"):
            answer = await client.post(path, data={"dead": str(dead), "verb": "discard"})
            assert answer.status_code == 404
        assert "<button name" not in (await client.get("/dead")).text


async def test_without_the_token_nothing_is_done(site, kill, ask):
    dead = kill("e1")
    client = await site(allow_actions=True, token=TOKEN)
    assert "Redrive" not in (await client.get("/dead")).text
    wrong = await client.post("/sign-in", data={"token": TOKEN[:-1]})
    assert wrong.status_code == 403
    assert "set-cookie" not in wrong.headers
    given = {"dead": str(dead), "verb": "discard", "sure": "yes"}
    forged = "9999999999.00." + "0" * 64
    for cookie in (None, "x", "..", forged):
        headers = {} if cookie is None else {"cookie": f"arvo_session={cookie}"}
        for csrf in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
            answer = await client.post("/dead/resolve", data=given | csrf, headers=headers)
            assert answer.status_code == 403
    assert ask("SELECT count(*) FROM arvo_v1.dead_letters()") == [(1,)]


async def test_a_form_of_another_site_is_refused(operator, csrf, kill, ask):
    dead = kill("e1")
    token = csrf((await operator.get("/dead")).text)
    given = {"csrf": token, "dead": str(dead), "verb": "discard", "sure": "yes"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert (
            await operator.post("/dead/resolve", data=given, headers=headers)
        ).status_code == 403
    for wrong in ("", token[:-1] + ("0" if token[-1] != "0" else "1"), "é"):
        answer = await operator.post("/dead/resolve", data=given | {"csrf": wrong})
        assert answer.status_code == 403
    assert (await operator.post("/dead/resolve", json=given)).status_code == 403
    assert (await operator.get("/dead/resolve", params=given)).status_code == 405
    large = await operator.post("/dead/resolve", data=given | {"x": "y" * 100_000})
    assert large.status_code == 403
    assert ask("SELECT count(*) FROM arvo_v1.dead_letters()") == [(1,)]


async def test_the_form_of_one_session_is_not_good_for_another(operator, site, csrf, kill):
    kill("e1")
    other = await site(allow_actions=True, token=TOKEN)
    await other.post("/sign-in", data={"token": TOKEN})
    foreign = csrf((await other.get("/dead")).text)
    answer = await operator.post(
        "/dead/resolve", data={"csrf": foreign, "dead": "1", "verb": "redrive"}
    )
    assert answer.status_code == 403


async def test_a_bearer_may_read_but_has_no_forms(site, kill):
    kill("e1")
    client = await site(allow_actions=True, token=TOKEN, protect_reading=True)
    assert (await client.get("/")).status_code == 303
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/healthz")).status_code in {200, 503}
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert (await client.get("/metrics", headers=bearer)).status_code == 200
    assert "Redrive" not in (await client.get("/dead", headers=bearer)).text
    answer = await client.post(
        "/dead/resolve", data={"dead": "1", "verb": "redrive"}, headers=bearer
    )
    assert answer.status_code == 403


async def test_the_cookie_is_kept_from_scripts_and_other_sites(site):
    client = await site(token=TOKEN)
    answer = await client.post("/sign-in", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
async def test_no_path_leads_out_of_the_static_files(site, path):
    assert (await (await site()).get(path)).status_code == 404


async def test_long_questions_are_refused(site):
    assert (await (await site()).get("/dead", params={"text": "x" * 5000})).status_code == 414
