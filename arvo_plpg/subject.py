"""ArvoOrchestrationSubject: the name of a workflow, which carries its own origin.

A subject is the base64 of the zlib stream of a small JSON text (section 2 of the semantics). The
text is the identity: carry it verbatim, never compare subjects by encoding them again.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from arvo_plpg.model_error import InvalidSubjectError
from arvo_plpg.pattern import DOMAIN_PATTERN, EVENT_TYPE_PATTERN, VERSION_PATTERN
from arvo_plpg.short_form import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

MAX_SUBJECT_BYTES: Final = 65_536
"""The longest JSON text inside a subject, in bytes, whether written or inflated."""

WILDCARD_VERSION: Final = "0.0.0"

_MAX_ENCODED: Final = 2 * MAX_SUBJECT_BYTES
_SHOWN: Final = 80
_ZLIB_LEVEL: Final = 6
_ZLIB_OR_GZIP: Final = 47
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/]")

_Name = Annotated[str, StringConstraints(pattern=EVENT_TYPE_PATTERN)]

_NAME_RULE: Final = "must be at least three lower-case segments joined by dots"
_RULES: Final = {
    "orchestrator.name": _NAME_RULE,
    "orchestrator.version": "must be a version X.Y.Z",
    "execution.id": "must be non-empty text without ';'",
    "execution.initiator": _NAME_RULE,
    "execution.domain": "must consist of lower-case letters, digits and dots, or be null",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)


class SubjectOrchestrator(_Part):
    """Which orchestrator runs the workflow."""

    name: _Name
    version: Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]


class SubjectExecution(_Part):
    """Which run it is, and who started it. Subjects of Arvo 2.x have no domain; it reads None."""

    id: Annotated[str, StringConstraints(min_length=1, pattern="^[^;]+$")]
    initiator: _Name
    domain: Annotated[str, StringConstraints(pattern=DOMAIN_PATTERN)] | None = None


class SubjectContent(_Part):
    """What a subject says. Unknown keys are kept in ``model_extra``."""

    orchestrator: SubjectOrchestrator
    execution: SubjectExecution
    meta: dict[str, str] = Field(default_factory=dict)


class ArvoOrchestrationSubject:
    """Make and read orchestration subjects."""

    @staticmethod
    def new(
        *,
        orchestrator: str,
        initiator: str,
        version: str | None = None,
        domain: str | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> str:
        """Name a new root workflow.

        Args:
            orchestrator: type of the orchestrator, at least three dotted segments.
            initiator: source of who starts it, at least three dotted segments.
            version: version of the orchestrator; None means ``0.0.0``, any.
            domain: the domain it runs in.
            meta: further texts; ``redirectto`` says where the completion goes.

        Raises:
            InvalidSubjectError: a part breaks its rule.
        """
        return ArvoOrchestrationSubject.create(
            {
                "orchestrator": {"name": orchestrator, "version": version or WILDCARD_VERSION},
                "execution": {"id": str(uuid4()), "initiator": initiator, "domain": domain},
                "meta": dict(meta or {}),
            }
        )

    @staticmethod
    def from_parent(
        *,
        orchestrator: str,
        version: str | None,
        subject: str,
        domain: str | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> str:
        """Name a child workflow, started by the workflow named ``subject``.

        The parent's orchestrator becomes the initiator; its domain and meta are inherited where
        they are not given.

        Raises:
            InvalidSubjectError: the parent cannot be parsed, or a part breaks its rule.
        """
        parent = ArvoOrchestrationSubject.parse(subject)
        return ArvoOrchestrationSubject.new(
            orchestrator=orchestrator,
            version=version,
            initiator=parent.orchestrator.name,
            domain=parent.execution.domain if domain is None else domain,
            meta={**parent.meta, **(meta or {})},
        )

    @staticmethod
    def create(content: SubjectContent | Mapping[str, Any]) -> str:
        """Encode a content. The order of keys is the caller's, and so are the bytes.

        Raises:
            InvalidSubjectError: a part breaks its rule, or the text is too long.
        """
        plain = content.model_dump() if isinstance(content, SubjectContent) else content
        try:
            SubjectContent.model_validate(plain)
            text = json.dumps(
                plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False
            ).encode()
        except (ValidationError, ValueError, TypeError, RecursionError) as error:
            raise InvalidSubjectError(
                "Error creating orchestration subject string from the provided context. "
                f"{_reason(error)}"
            ) from error
        if len(text) > MAX_SUBJECT_BYTES:
            raise InvalidSubjectError(
                "Error creating orchestration subject string from the provided context. "
                f"Its JSON is {len(text)} bytes, more than {MAX_SUBJECT_BYTES}; shorten meta"
            )
        return base64.b64encode(zlib.compress(text, _ZLIB_LEVEL)).decode()

    @staticmethod
    def parse(subject: str) -> SubjectContent:
        """Read a subject.

        As lenient about base64 as upstream (URL-safe alphabet, missing padding and foreign
        characters are accepted); zlib and gzip streams are accepted, raw deflate is not.

        Raises:
            InvalidSubjectError: it is no subject, or inflates to more than ``MAX_SUBJECT_BYTES``.
        """
        try:
            return SubjectContent.model_validate(json.loads(_inflate(subject)))
        except (ValidationError, ValueError, zlib.error, RecursionError) as error:
            raise InvalidSubjectError(
                "Error parsing orchestration subject string to the context. "
                f"{_reason(error)} (subject {subject[:_SHOWN]!r})"
            ) from error

    @staticmethod
    def is_valid(subject: str) -> bool:
        """Say whether a text is a subject."""
        try:
            ArvoOrchestrationSubject.parse(subject)
        except InvalidSubjectError:
            return False
        return True


def _inflate(subject: str) -> str:
    if len(subject) > _MAX_ENCODED:
        _fail(f"it is longer than {_MAX_ENCODED} characters")
    letters = _NO_BASE64.sub("", subject.partition("=")[0].replace("-", "+").replace("_", "/"))
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    packed = base64.b64decode(letters + "=" * (-len(letters) % 4))
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    text = stream.decompress(packed, MAX_SUBJECT_BYTES + 1)
    if len(text) > MAX_SUBJECT_BYTES:
        _fail(f"it inflates to more than {MAX_SUBJECT_BYTES} bytes")
    if not stream.eof:
        _fail("the compressed text is cut off")
    return text.decode()


def _fail(reason: str) -> NoReturn:
    raise ValueError(reason)


def _misfit(item: ErrorDetails) -> str:
    """Tell a misfit: its place, the rule, and what is there, in short."""
    place = ".".join(map(str, item["loc"])) or "content"
    if item["type"] == "missing":
        return f"{place}: {item['msg']}"
    return f"{place}: {_RULES.get(place, item['msg'])}, not {short(item['input'])}"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(map(_misfit, error.errors(include_url=False)))
    return f"{type(error).__name__}: {error}"
