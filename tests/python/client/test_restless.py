"""When a sleeper that is woken for nothing stays awake, and for how long; told in plain numbers."""

import pytest

from arvo_plpg.runtime.restless import Restless

A_MOMENT = 0.005


class Story:
    """A sleeper and its clock."""

    def __init__(self):
        self.now = 1000.0
        self.restless = Restless()
        self.restless.asleep(self.now)

    def woken(self, after=A_MOMENT):
        """Wake it; say whether it is to get up at once."""
        self.now += after
        return self.restless.rung(self.now)

    def in_vain(self, after=A_MOMENT):
        """Wake it for nothing; say whether it stays awake."""
        self.woken(after)
        self.restless.found_nothing(self.now)
        return self.restless.awake(self.now)

    def tire(self):
        """Wake it for nothing until it stays awake, and say how often."""
        count = 1
        while not self.in_vain():
            count += 1
            assert count < 100
        return count

    def awake_for(self):
        """Let it look until it may sleep; give the steps."""
        steps = []
        while self.restless.awake(self.now):
            steps.append(self.restless.step())
            self.now += steps[-1]
            self.restless.found_nothing(self.now)
        return steps


@pytest.fixture
def story():
    return Story()


def test_a_few_wake_ups_for_nothing_do_not_keep_it_awake(story):
    assert [story.in_vain() for _ in range(4)] == [False] * 4
    assert not story.woken(after=1)


def test_many_in_close_succession_do(story):
    assert story.tire() == 5


def test_those_that_are_far_between_never_do(story):
    assert not any(story.in_vain(after=0.03) for _ in range(100))


def test_its_steps_grow_and_none_is_longer_than_an_event_may_wait(story):
    story.tire()
    steps = story.awake_for()
    assert steps[:4] == [0.003, 0.006, 0.012, 0.024]
    assert set(steps[4:]) == {0.035}
    assert 0.5 <= sum(steps) < 0.54


def test_woken_soon_after_it_has_lain_down_it_gets_up_at_once_and_for_longer(story):
    lengths = []
    for _ in range(5):
        story.tire()
        lengths.append(sum(story.awake_for()))
        story.restless.asleep(story.now)
        assert story.woken()
        story.now -= A_MOMENT
    assert lengths == [pytest.approx(length, abs=0.04) for length in (0.5, 2, 4, 4, 4)]


def test_a_quiet_while_makes_it_calm_again(story):
    story.tire()
    story.awake_for()
    story.restless.asleep(story.now)
    assert not story.in_vain(after=1)
    assert story.tire() == 5
    assert sum(story.awake_for()) < 0.54


def test_a_wake_up_that_was_worth_it_is_forgiven(story):
    for _ in range(20):
        for _ in range(4):
            assert not story.in_vain()
        story.woken()
        story.restless.found()
        story.restless.asleep(story.now)


def test_what_it_finds_by_itself_says_nothing_about_wake_ups(story):
    for _ in range(4):
        assert not story.in_vain()
        story.restless.found()
    assert story.in_vain()


def test_after_a_find_its_steps_are_short_again(story):
    story.tire()
    for _ in range(6):
        story.restless.step()
    story.restless.found()
    assert story.restless.step() == 0.003


@pytest.mark.parametrize(("every", "stays"), [(0.01, True), (0.1, False)])
def test_what_others_are_woken_by_keeps_it_awake_if_there_is_much(story, every, stays):
    story.tire()
    for _ in range(int(10 / every)):
        story.now += every
        story.restless.overheard(story.now)
    assert story.restless.awake(story.now) is stays
