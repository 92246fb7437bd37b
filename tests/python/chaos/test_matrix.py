"""Some cells of the crash matrix, and a short soak; all of them: make crash-matrix, make chaos."""

import pytest

from chaos.fault import named
from chaos.matrix import STEPS, Cell, Matrix, cells
from chaos.soak import WORKERS, Soak, soak

FAST = [
    ("SIGKILL", "claim answered"),
    ("SIGKILL", "settlement sent"),
    ("SIGSTOP, SIGCONT", "settlement not answered"),
    ("backend terminated", "handler running"),
    ("server crash", "dispatched, COMMIT not answered"),
    ("network cut", "dispatched, COMMIT not answered"),
    ("network cut", "settlement not answered"),
    ("blackhole", "heartbeat"),
    ("statement timeout", "claim sent"),
    ("out of connections", "idle, listening"),
]


@pytest.fixture(scope="module")
def matrix():
    with Matrix(seed=1) as running:
        yield running


@pytest.mark.parametrize(("fault", "step"), FAST, ids=lambda name: name.replace(" ", "-"))
def test_a_cell_keeps_everything(matrix, fault, step):
    (chosen,) = [one for one in STEPS if one.name == step]
    result = matrix.run(Cell(chosen, named(fault)))
    assert result.passed, "\n".join([str(result), *(result.verdict or _Nothing).details()])
    assert result.verdict.figures["completed"] > 3


class _Nothing:
    @staticmethod
    def details():
        return ["no verdict"]


def test_the_matrix_is_whole():
    """Ten steps, each with every fault; each server is started once."""
    every = cells()
    assert len(every) == len(set(map(str, every))) == 110
    stands = [cell.fault.stand for cell in every]
    assert len([n for n in range(1, 110) if stands[n] != stands[n - 1]]) == 2


@pytest.mark.timeout(180)
def test_a_short_soak_keeps_everything():
    outcome = soak(0.3, seed=3, quiet=True)
    assert outcome.verdict is not None
    assert outcome.passed, "\n".join([str(outcome), *outcome.verdict.details()])
    assert outcome.blows
    assert outcome.verdict.figures["completed"] > 100


def test_the_choice_of_faults_is_the_seeds(tmp_path):
    def first(seed):
        choices = Soak.__new__(Soak)
        choices._seed = seed
        found = choices._choices()
        return [next(found) for _ in range(30)]

    assert first(5) == first(5)
    assert first(5) != first(6)
    assert {place for _, place, _ in first(5)} <= set(range(WORKERS))
