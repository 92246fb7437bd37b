import base64
import gzip
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arvo_plpg import ArvoOrchestrationSubject, InvalidSubjectError
from arvo_plpg.subject import MAX_SUBJECT_BYTES

NEW = {"orchestrator": "arvo.orc.parent.flow", "initiator": "com.test.test"}


def packed(text, compress=zlib.compress):
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(compress(raw)).decode()


def content(**parts):
    return {
        "orchestrator": {"name": "com.a.b", "version": "1.0.0"},
        "execution": {"id": "x", "initiator": "com.test.test", "domain": None},
        "meta": {},
    } | parts


def test_golden_subjects_are_made_byte_for_byte(sample):
    vectors = sample("subject_vectors")["vectors"]
    assert len(vectors) >= 6
    for vector in vectors:
        made = ArvoOrchestrationSubject.create(json.loads(vector["contentJson"]))
        assert made == vector["encoded"], vector["name"]
        assert len(made) == vector["length"]
        assert ArvoOrchestrationSubject.parse(made).model_dump() == vector["decoded"]


def test_golden_deflate_texts_are_packed_byte_for_byte(sample):
    vectors = sample("subject_deflate_vectors")["vectors"]
    assert len(vectors) == 72
    subjects = 0
    for vector in vectors:
        encoded = next(value for key, value in vector.items() if key != "content")
        try:
            made = ArvoOrchestrationSubject.create(json.loads(vector["content"]))
        except (InvalidSubjectError, ValueError):
            made = base64.b64encode(zlib.compress(vector["content"].encode(), 6)).decode()
        else:
            subjects += 1
        assert made == encoded
    assert subjects > 50


def test_a_child_inherits_from_its_parent(sample):
    golden = sample("subject_vectors")["from_parent"]
    child = ArvoOrchestrationSubject.from_parent(
        orchestrator="arvo.orc.workflow.average",
        version="1.0.0",
        subject=golden["parent"],
        meta={"redirectto": "arvo.orc.parent.flow"},
    )
    made = ArvoOrchestrationSubject.parse(child).model_dump()
    expected = golden["childDecoded"]
    assert made.pop("execution") | {"id": ""} == expected.pop("execution") | {"id": ""}
    assert made == expected
    assert ArvoOrchestrationSubject.parse(golden["parent"]).model_dump() == golden["parentDecoded"]


def test_domain_and_meta_are_inherited_and_overlaid():
    parent = ArvoOrchestrationSubject.new(**NEW, domain="ext.one", meta={"a": "1", "b": "2"})
    child = ArvoOrchestrationSubject.from_parent(
        orchestrator="com.c.d", version=None, subject=parent, meta={"a": "3", "c": "4"}
    )
    read = ArvoOrchestrationSubject.parse(child)
    assert read.execution.domain == "ext.one"
    assert list(read.meta.items()) == [("a", "3"), ("b", "2"), ("c", "4")]
    assert read.orchestrator.version == "0.0.0"
    other = ArvoOrchestrationSubject.from_parent(
        orchestrator="com.c.d", version="1.0.0", subject=parent, domain="ext.two"
    )
    assert ArvoOrchestrationSubject.parse(other).execution.domain == "ext.two"


def test_no_version_means_any(sample):
    golden = sample("subject_vectors")["null_version"]
    made = ArvoOrchestrationSubject.parse(ArvoOrchestrationSubject.new(**NEW)).model_dump()
    expected = ArvoOrchestrationSubject.parse(golden["encoded"]).model_dump()
    assert expected == golden["decoded"]
    assert made | {"execution": None} == expected | {"execution": None}


@pytest.mark.parametrize(
    "parts",
    [
        {"orchestrator": "Not A Name", "initiator": "com.test.test"},
        {"orchestrator": "two.segments", "initiator": "com.test.test"},
        {"orchestrator": "com.a.b", "initiator": "bad"},
        {"orchestrator": "com.a.b", "initiator": "com.test.test", "version": "1.0"},
        {"orchestrator": "com.a.b;c", "initiator": "com.test.test"},
        {"orchestrator": "com.a.b", "initiator": "com.test.test", "domain": "Bad"},
        {"orchestrator": "com.a.b", "initiator": "com.test.test", "domain": ""},
        {"orchestrator": "com.a.b", "initiator": "com.test.test", "meta": {"a": 1}},
        {"orchestrator": "com.a.b", "initiator": "com.test.test", "meta": {"a": "\ud800"}},
    ],
)
def test_a_bad_part_is_refused(parts):
    with pytest.raises(InvalidSubjectError, match="Error creating orchestration subject"):
        ArvoOrchestrationSubject.new(**parts)


def test_execution_id_is_checked():
    for bad in ("", "a;b", 1):
        execution = {"id": bad, "initiator": "com.test.test", "domain": None}
        with pytest.raises(InvalidSubjectError, match=r"execution\.id"):
            ArvoOrchestrationSubject.create(content(execution=execution))


def test_garbage_is_refused_with_upstreams_words():
    with pytest.raises(InvalidSubjectError, match="Error parsing orchestration subject string"):
        ArvoOrchestrationSubject.parse("not-a-subject")
    assert not ArvoOrchestrationSubject.is_valid("not-a-subject")


def test_a_subject_of_arvo_2_has_no_domain():
    old = content(execution={"id": "x", "initiator": "com.test.test"})
    assert ArvoOrchestrationSubject.parse(packed(json.dumps(old))).execution.domain is None


def test_extra_keys_are_kept():
    read = ArvoOrchestrationSubject.parse(packed(json.dumps(content(more={"a": 1}))))
    assert read.model_dump()["more"] == {"a": 1}


def test_base64_is_read_as_leniently_as_upstream_does():
    subject = next(
        text
        for text in (ArvoOrchestrationSubject.new(**NEW) for _ in range(500))
        if "+" in text and "/" in text
    )
    expected = ArvoOrchestrationSubject.parse(subject)
    for variant in (
        subject.replace("+", "-").replace("/", "_"),
        subject.rstrip("="),
        "\n".join(subject[start : start + 20] for start in range(0, len(subject), 20)),
    ):
        assert ArvoOrchestrationSubject.parse(variant) == expected


def test_gzip_is_read_and_raw_deflate_is_not():
    text = json.dumps(content())
    assert ArvoOrchestrationSubject.is_valid(packed(text, gzip.compress))
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    stream = raw.compress(text.encode()) + raw.flush()
    assert not ArvoOrchestrationSubject.is_valid(base64.b64encode(stream).decode())


def test_a_decompression_bomb_is_refused():
    bomb = packed(b'{"a":"' + b"x" * 50_000_000)
    assert len(bomb) < MAX_SUBJECT_BYTES * 2
    tracemalloc.start()
    try:
        with pytest.raises(InvalidSubjectError, match="inflates to more than"):
            ArvoOrchestrationSubject.parse(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * MAX_SUBJECT_BYTES
    with pytest.raises(InvalidSubjectError, match="longer than"):
        ArvoOrchestrationSubject.parse("A" * (MAX_SUBJECT_BYTES * 2 + 1))


def test_a_subject_that_could_not_be_read_again_is_not_made():
    with pytest.raises(InvalidSubjectError, match="shorten meta"):
        ArvoOrchestrationSubject.new(**NEW, meta={"a": "x" * MAX_SUBJECT_BYTES})


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"orchestrator":', "[" * 60_000, b"\xff\xfe", "NaN"]
)
def test_packed_garbage_is_a_typed_error(text):
    with pytest.raises(InvalidSubjectError):
        ArvoOrchestrationSubject.parse(packed(text))


def test_a_cut_off_stream_is_refused():
    whole = base64.b64decode(packed(json.dumps(content())))
    for missing in (2, 6, 20):
        cut = base64.b64encode(whole[:-missing]).decode()
        assert not ArvoOrchestrationSubject.is_valid(cut)


@given(
    st.text()
    | st.binary().map(lambda raw: base64.b64encode(raw).decode())
    | st.text().map(lambda text: packed(text.encode("utf-8", "replace")))
)
def test_any_text_is_a_subject_or_a_typed_error(text):
    try:
        read = ArvoOrchestrationSubject.parse(text)
    except InvalidSubjectError:
        return
    assert read.execution.id


@given(
    meta=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        max_size=5,
    ),
    domain=st.none() | st.text("az09.", min_size=1),
)
def test_what_is_made_is_read_back(meta, domain):
    read = ArvoOrchestrationSubject.parse(
        ArvoOrchestrationSubject.new(**NEW, domain=domain, meta=meta)
    )
    assert read.meta == meta
    assert read.execution.domain == domain
