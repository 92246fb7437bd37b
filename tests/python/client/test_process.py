"""Functions that compute run in processes of their own, which a deadline can stop."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

import arvo_plpg as arvo
from arvo_plpg.errors import PackageMissing

PLACE = Path(__file__).with_name("computing.py")


@pytest.fixture(scope="module", autouse=True)
def computing():
    """The module, by a name under which another process finds it, too."""
    sys.path.insert(0, str(PLACE.parent))
    spec = importlib.util.spec_from_file_location("computing", PLACE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["computing"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(PLACE.parent))
    del sys.modules["computing"]


async def test_an_answer_and_an_error_come_from_another_process(computing):
    number, process = await arvo.in_process(computing.where, 7)
    assert (number, process != os.getpid()) == (7, True)
    assert await arvo.in_process(computing.where, 8) == (8, process)  # kept for the next call
    with pytest.raises(ValueError, match="no such scene"):
        await arvo.in_process(computing.fail, "no such scene")


async def test_a_process_that_dies_is_a_violation(computing):
    with pytest.raises(arvo.ExecutionViolation, match="died before it answered"):
        await arvo.in_process(computing.die)


async def test_a_deadline_stops_the_process(
    broker, event, recorder, until, worker_options, tmp_path, computing, ask
):
    told = tmp_path / "process"

    async def compute(_):
        return await arvo.in_process(computing.spin, str(told))

    beside = recorder("com.example.beside")
    await broker.register(beside, worker_options())
    await broker.register(
        recorder("com.example.render", compute), worker_options(expire_in_seconds=1, retry_limit=0)
    )
    await broker.dispatch(event(to="com.example.render"))
    await until(lambda: told.exists() and told.read_text().endswith("\n"))
    process = int(told.read_text())
    await broker.dispatch(event(to="com.example.beside"))
    await until(lambda: beside.seen)  # the event loop is free meanwhile
    os.kill(process, 0)
    await until(lambda: ask("SELECT reason FROM arvo.dead"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


async def test_without_the_package_it_says_what_to_install(monkeypatch, computing):
    monkeypatch.setitem(sys.modules, "anyio", None)
    with pytest.raises(PackageMissing) as caught:
        await arvo.in_process(computing.where, 1)
    assert "arvo-plpg[processes]" in caught.value.hint
