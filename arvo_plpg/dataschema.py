"""The ``dataschema`` attribute: ``{contract uri}/{version}`` (section 3.3 of the semantics)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from arvo_plpg.pattern import is_version
from arvo_plpg.subject import WILDCARD_VERSION

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSchema:
    """Which contract, and which version of it, the data of an event follows."""

    uri: str
    version: str

    @property
    def is_wildcard(self) -> bool:
        """Whether any version is meant."""
        return self.version == WILDCARD_VERSION

    def __str__(self) -> str:
        return f"{self.uri}/{self.version}"


def parse_dataschema(text: str | None) -> DataSchema | None:
    """Part a dataschema at its last slash; None, and an error in the log, if it has no version."""
    if text is None:
        return None
    uri, slash, version = text.rpartition("/")
    if slash and is_version(version):
        return DataSchema(uri, version)
    _LOG.error("the dataschema %r does not end with /X.Y.Z", text)
    return None
