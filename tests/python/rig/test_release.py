"""What is released is complete: the wheel, the sdist, and the wheel that the sdist builds."""

import zipfile

import pytest
import release


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = tmp_path_factory.mktemp("dist")
    release.build(place, isolated=False)
    (wheel,), (sdist,) = place.glob("*.whl"), place.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_has_every_file_and_no_other(built):
    assert release.faults_of_wheel(built[0]) == []


def test_the_sdist_has_sources_tests_and_documents(built):
    assert release.faults_of_sdist(built[1]) == []


def test_the_checkout_builds_the_same_wheel_as_the_sdist(built, tmp_path):
    release.build(tmp_path, "--wheel", isolated=False)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == built[0].read_bytes()


def test_what_is_missing_or_too_much_is_told(built, tmp_path):
    with (
        zipfile.ZipFile(built[0]) as whole,
        zipfile.ZipFile(tmp_path / built[0].name, "w") as part,
    ):
        for name in whole.namelist():
            if name.endswith("/METADATA"):
                part.writestr(name, whole.read(name).replace(b"Classifier: Typing", b"Other: "))
            elif name != "arvo_plpg/py.typed":
                part.writestr(name, whole.read(name))
        part.writestr("tests/extra.py", "")
    assert release.faults_of_wheel(tmp_path / built[0].name) == [
        "the wheel lacks arvo_plpg/py.typed",
        "the wheel has tests/extra.py, the checkout has not",
        "metadata: no classifier Typing :: Typed",
    ]


def test_a_wheel_that_cannot_be_installed_is_told(tmp_path):
    broken = tmp_path / "arvo_plpg-0.1.0-py3-none-any.whl"
    broken.write_bytes(b"no archive")
    [fault] = release.try_out(broken)
    assert fault.startswith("`python -m pip install")
