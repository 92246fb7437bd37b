"""What operators do on the page, step by step."""


async def test_a_dead_letter_is_redriven_after_a_question(operator, csrf, kill, ask):
    first, second = kill("e1"), kill("e2")
    page = (await operator.get("/dead")).text
    given = {"csrf": csrf(page), "dead": [str(first), str(second)], "verb": "redrive"}
    question = await operator.post("/dead/resolve", data=given)
    assert "Redrive 2 dead letters?" in question.text
    assert ask("SELECT count(*) FROM arvo_v1.dead_letters()") == [(2,)]

    done = await operator.post("/dead/resolve", data=given | {"sure": "yes"})
    assert done.status_code == 303
    assert "2 done." in (await operator.get(done.headers["location"])).text
    assert ask("SELECT count(*) FROM arvo_v1.dead_letters()") == [(0,)]
    assert ask("SELECT queued_count FROM arvo_v1.queue_stats('com.example.task')") == [(2,)]
    again = await operator.post("/dead/resolve", data=given | {"sure": "yes"})
    assert again.status_code == 303
    assert ask("SELECT queued_count FROM arvo_v1.queue_stats('com.example.task')") == [(2,)]


async def test_a_dead_letter_is_discarded_from_its_own_page(operator, csrf, kill, ask):
    dead = kill("e1")
    page = (await operator.get(f"/dead/letter?dead={dead}")).text
    given = {"csrf": csrf(page), "dead": str(dead), "verb": "discard", "sure": "yes"}
    await operator.post("/dead/resolve", data=given)
    assert ask("SELECT resolution FROM arvo_v1.dead_letters(p_resolved => true)") == [
        ("discarded",)
    ]
    resolved = (await operator.get(f"/dead/letter?dead={dead}")).text
    assert "Resolved" in resolved
    assert "Discard" not in resolved
    assert "discard" in (await operator.get("/health")).text  # the audit


async def test_a_queue_is_paused_and_resumed(operator, csrf, dispatch, ask):
    dispatch("e1", "com.example.task")
    page = await operator.get("/queue?name=com.example.task")
    given = {"csrf": csrf(page.text), "name": "com.example.task"}
    for verb, paused in (("pause", True), ("resume", False)):
        answer = await operator.post("/queue/switch", data=given | {"verb": verb})
        assert answer.headers["location"] == "/queue?name=com.example.task"
        assert ask("SELECT paused_at IS NOT NULL FROM arvo_v1.queue_stats()") == [(paused,)]
    assert (await operator.post("/queue/switch", data=given | {"verb": "drop"})).status_code == 400


async def test_a_schedule_is_paused_and_resumed(operator, csrf, ask):
    event = '{"type": "com.example.nightly", "source": "com.example.t", "subject": "s", "data": {}}'
    ask("SELECT arvo_v1.schedule('nightly', '30 2 * * *', %s::jsonb)", event)
    page = (await operator.get("/schedules")).text
    given = {"csrf": csrf(page), "name": "nightly", "key": ""}
    for verb, paused in (("pause", True), ("resume", False)):
        await operator.post("/schedules/switch", data=given | {"verb": verb})
        assert ask("SELECT paused_at IS NOT NULL FROM arvo_v1.schedules()") == [(paused,)]


async def test_signing_out_ends_the_session(operator, csrf):
    page = (await operator.get("/")).text
    assert "Sign out" in page
    await operator.post("/sign-out", data={"csrf": csrf(page)})
    assert "Sign out" not in (await operator.get("/")).text


async def test_mistakes_are_told(operator, csrf, kill):
    kill("e1")
    token = csrf((await operator.get("/dead")).text)
    for given in (
        {"verb": "redrive"},
        {"verb": "destroy", "dead": "1"},
        {"verb": "redrive", "dead": "x"},
        {"verb": "redrive", "dead": ["1"] * 1500},
    ):
        answer = await operator.post("/dead/resolve", data={"csrf": token} | given)
        assert answer.status_code in {400, 403}, given
