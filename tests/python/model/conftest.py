"""Golden samples, and the one in-process memory, which only tests use."""

import json
from pathlib import Path

import pytest

from arvo_plpg import StateRecord

SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.fixture(scope="session")
def sample():
    def load(name):
        return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))

    return load


class InProcessMemory:
    """A memory with versions and locks, that writes down every call and can be told to fail."""

    commits_with_events = False

    def __init__(self):
        self.stored = {}
        self.locks = set()
        self.calls = []
        self.metadata = []
        self.previous = []
        self.failing = {}

    def _called(self, operation, subject):
        self.calls.append(operation)
        if operation in self.failing:
            raise self.failing[operation]

    async def read(self, subject):
        self._called("read", subject)
        if subject not in self.stored:
            return None
        text, version = self.stored[subject]
        return StateRecord(json.loads(text), version=version)

    async def write(self, subject, data, previous, metadata):
        self._called("write", subject)
        version = self.stored.get(subject, ("", 0))[1]
        expected = 0 if previous is None else previous.version
        if version != expected:
            message = f"version mismatch: {expected} is not {version}"
            raise RuntimeError(message)
        if previous is not None:
            assert json.loads(self.stored[subject][0]) == previous, "the state read was changed"
        self.previous.append(previous)
        self.metadata.append(metadata)
        self.stored[subject] = (json.dumps(data, allow_nan=False), version + 1)

    async def lock(self, subject):
        self._called("lock", subject)
        if subject in self.locks:
            return False
        self.locks.add(subject)
        return True

    async def unlock(self, subject):
        self._called("unlock", subject)
        self.locks.discard(subject)
        return True

    async def cleanup(self, subject):
        self._called("cleanup", subject)

    def record(self, subject):
        return json.loads(self.stored[subject][0])


@pytest.fixture
def memory():
    return InProcessMemory()
