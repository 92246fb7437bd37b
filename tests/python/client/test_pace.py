"""How much is claimed ahead, by the clock; and how results are gathered."""

import itertools

import pytest

from arvo_plpg import HandlerOptions
from arvo_plpg.runtime.delivery import Delivery
from arvo_plpg.runtime.loaders import Unread
from arvo_plpg.runtime.pace import MOST_AHEAD, Pace
from arvo_plpg.runtime.route import Route
from arvo_plpg.runtime.settlement import Settlement


def work(pace, now, runs, seconds, wide=1):
    """Finish so many runs, each of so many seconds, so many of them together."""
    pace.done += runs
    pace.ran += runs * seconds
    return now + runs * seconds / wide


def test_nothing_is_ahead_until_something_has_finished():
    pace = Pace(None, 10)
    assert pace.ahead(0.0) == 0
    pace.begin(0.0)
    assert pace.ahead(1.0) == 0


def test_it_grows_step_by_step_to_what_starts_within_fifty_milliseconds():
    pace, now, seen = Pace(None, 1), 0.0, []
    pace.begin(now)
    for _ in range(12):
        now = work(pace, now, 50, 0.001)
        seen.append(pace.ahead(now))
    assert seen[:4] == [1, 3, 7, 15]
    assert seen[-1] in {49, 50}


@pytest.mark.parametrize(("most", "expected"), [(None, MOST_AHEAD), (7, 7), (0, 0)])
def test_it_has_a_bound(most, expected):
    pace, now = Pace(most, 10), 0.0
    pace.begin(now)
    for _ in range(12):
        now = work(pace, now, 1000, 0.00001)
        ahead = pace.ahead(now)
    assert ahead == expected


def test_slow_runs_have_nothing_ahead_however_many_run_together():
    pace, now = Pace(None, 1000), 0.0
    pace.begin(now)
    for _ in range(10):
        now = work(pace, now, 1000, 0.051, wide=1000)
        assert pace.ahead(now) == 0


def test_what_was_quick_once_is_forgotten():
    pace, now = Pace(None, 1), 0.0
    pace.begin(now)
    for _ in range(12):
        now = work(pace, now, 1000, 0.00001)
        pace.ahead(now)
    for _ in range(3):
        now = work(pace, now, 1, 1.0)
    assert pace.ahead(now) == 0


def test_time_without_work_does_not_count():
    pace, now = Pace(None, 1), 0.0
    for _ in range(12):
        pace.begin(now)
        now = work(pace, now, 1, 0.001)
        ahead = pace.ahead(now)
        pace.end(now)
        now += 3600
    assert ahead >= 49


# --- gathering


@pytest.fixture
def claim():
    numbers = itertools.count(1)

    def make(lease, key=None):
        text = Unread(b'{"id": "e"}')
        return Delivery(lease, next(numbers), "q", 1, text, None, 900.0, None, key, 0.0, 0.0)

    return make


async def nothing(_):
    return None


ROUTE = Route("q", nothing, HandlerOptions())


def items(settlement):
    return [
        (item["lease"], item.get("deliveries") or item["delivery"], item["outcome"])
        for item in (report.item() for report in settlement.waiting)
    ]


def test_plain_results_of_a_lease_are_one_item(claim):
    settlement = Settlement()
    for lease in (7, 8, 7, 7, 8):
        settlement.complete(ROUTE, [claim(lease)], 11)
    settlement.add(ROUTE, failed := claim(7), failed.released())
    settlement.complete(ROUTE, [claim(7)], 12)
    assert items(settlement) == [
        (7, [1, 3, 4, 7], "completed"),
        (8, [2, 5], "completed"),
        (7, 6, "released"),
    ]
    assert settlement.waiting[0].item()["run_times"] == [11, 11, 11, 12]
    assert len(settlement) == 7


def test_results_of_an_ordered_key_stay_in_order(claim):
    settlement = Settlement()
    settlement.complete(ROUTE, [claim(7, key=1)], 1)
    settlement.complete(ROUTE, [claim(7, key=1)], 1)
    settlement.add(ROUTE, second := claim(7, key=1), second.completed([]))
    settlement.complete(ROUTE, [claim(7, key=1)], 1)
    assert items(settlement) == [
        (7, [1, 2], "completed"), (7, 3, "completed"), (7, [4], "completed"),
    ]  # fmt: skip


def test_what_was_sent_without_an_answer_is_sent_again_first(claim):
    settlement = Settlement()
    settlement.complete(ROUTE, [claim(7)], 1)
    assert len(settlement.send(1000)) == 1
    settlement.complete(ROUTE, [claim(7)], 1)
    settlement.resend()
    assert items(settlement) == [(7, [1], "completed"), (7, [2], "completed")]
    assert settlement.urgent


def test_one_call_takes_about_so_many_deliveries(claim):
    settlement = Settlement()
    for lease in range(10):
        for _ in range(3):
            settlement.complete(ROUTE, [claim(lease)], 1)
    assert [len(report.deliveries) for report in settlement.send(7)] == [3, 3, 3]
    assert len(settlement.answered()) == 3
    assert len(settlement.send(1000)) == 7


def test_a_lease_is_kept_until_nothing_of_it_is_open():
    settlement = Settlement()
    settlement.hold(7, 3)
    settlement.let_go(7)
    settlement.let_go(7)
    assert settlement.leases == {7: 1}
    settlement.let_go(7)
    assert settlement.leases == {}
