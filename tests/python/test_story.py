"""A story as a tree, whoever draws it."""

from datetime import UTC, datetime

import pytest

from arvo_plpg.cli.tree import draw as draw_words
from arvo_plpg.page.picture import draw as draw_picture
from arvo_plpg.rows import Step
from arvo_plpg.story import branches

AT = datetime(2030, 1, 1, tzinfo=UTC)


def step(event_id, parent=None, attempt=1):
    return Step(
        "subject", event_id, parent, f"com.{event_id}", "source", "queue", attempt, attempt,
        "completed", AT, AT, AT, None, "worker", None, None, 0, None, None, None,
    )  # fmt: skip


def walked(steps):
    return [(one.deliveries[0].event_id, one.lasts, one.answered) for one in branches(steps)]


def test_each_event_comes_under_the_one_that_it_answers_in_order_of_acceptance():
    steps = [
        step("a"),
        step("x"),
        step("b", "a"),
        step("c", "b"),
        step("d", "a"),
        step("b", "a", 2),
    ]
    assert walked(steps) == [
        ("a", (), True),
        ("b", (False,), True),
        ("c", (False, True), False),
        ("d", (True,), False),
        ("x", (), False),
    ]
    assert [len(one.deliveries) for one in branches(steps)] == [1, 2, 1, 1, 1]


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [step("a", "a")],
        [step("a", "b"), step("b", "a")],
        [step("a", "c"), step("b", "a"), step("c", "b"), step("d", "b"), step("e", "gone")],
        [step(f"e{n}", f"e{n - 1}") for n in range(3000)],
    ],
    ids=["nothing", "itself", "each-other", "a-ring-with-a-branch", "a-long-chain"],
)
def test_each_event_comes_once_whatever_it_says_of_itself(steps):
    found = [event_id for event_id, _, _ in walked(steps)]
    assert sorted(found) == sorted(one.event_id for one in steps)


def test_terminal_and_page_draw_the_same_tree():
    steps = [step("a"), step("b", "a"), step("c", "b"), step("d", "a"), step("x", "gone")]
    lines = ["".join(word.text for word in line) for line in draw_words(steps)]
    assert [line.split("queue")[0].rstrip() for line in lines] == [
        "com.a",
        "├─ com.b",
        "│  └─ com.c",
        "└─ com.d",
        "com.x",
    ]
    picture = draw_picture(steps)
    assert [row.event_id for row in picture.rows] == list("abcdx")
    depths = [(row.x - picture.rows[0].x) // 16 for row in picture.rows]
    assert depths == [one.depth for one in branches(steps)] == [0, 1, 2, 1, 0]
