"""A workflow's tree is found by index, whatever other trees there are."""

from typing import Any

import psycopg
import pytest

OTHERS = 100_000
DIGEST = "arvo.subject_digest"


@pytest.fixture
def forest(actors: Any, stage: psycopg.Connection) -> Any:
    """A session on a database with one tree of four among very many of two."""
    ann = actors()
    stage.execute(
        f"INSERT INTO arvo.lineage SELECT {DIGEST}(kind || n), kind || n,"
        f" CASE kind WHEN 'child' THEN {DIGEST}('root' || n) END, '2030-01-01'"
        " FROM generate_series(1, %s::integer) AS n, unnest('{root,child}'::text[]) AS kind",
        (OTHERS // 2,),
    )
    for subject, parent in (("leaf", "twig"), ("twig", "oak"), ("bud", "oak"), ("oak", None)):
        ann.ask("SELECT arvo_v1.write_state(%s, '{}', 0, %s)", subject, parent)
    return ann


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SELECT arvo_v1.root_subject('leaf')", ["oak"]),
        ("SELECT arvo_v1.subjects_by_root('oak')", ["bud", "twig", "leaf"]),
        ("SELECT subject FROM arvo_v1.lineage('bud')", ["oak", "bud", "twig", "leaf"]),
    ],
)
def test_a_tree_is_found_by_index_among_very_many(
    forest: Any, question: str, answer: list[str]
) -> None:
    assert sorted(found for (found,) in forest.ask(question)) == sorted(answer)
    assert forest.blocks(question) < 200
