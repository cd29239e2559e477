"""Everything that can go wrong and has a name. `code` is what clients and job records see."""


class ForebayError(Exception):
    """The root of ours. `code` names the error for programs, the text for people.

    `retry_after_s` is after how many seconds asking again may help; None where it doesn't help.
    """

    code = "internal"
    retry_after_s: int | None = None


class InvalidField(ForebayError):
    """A value the client sent can't be accepted; `field` is its path, as in `params.top_p`."""

    code = "invalid_value"

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


class Malformed(InvalidField):
    """What the client sent isn't the JSON object it should be; `field` is where, None for the whole."""

    code = "malformed_body"


class ModelUnknown(InvalidField):
    """The catalogue has no such model, or none for this type of job."""

    code = "model_not_found"


class Unsupported(InvalidField):
    """The model that is asked, or its engine, can't do this."""

    code = "unsupported_parameter"


class PromptTooLong(InvalidField):
    """The prompt can't fit into the model's context, judged by its bytes."""

    code = "context_length_exceeded"


class PreviousResponseMissing(InvalidField):
    """The tenant has no such response to go on from, or it isn't stored."""

    code = "previous_response_not_found"


class ConversationMissing(InvalidField):
    """The tenant has no such conversation to go on with."""

    code = "conversation_not_found"


class LimitReached(InvalidField):
    """What the client asks for is fine, and it has as many already as one may have."""

    code = "limit_reached"


class ConversationFull(InvalidField):
    """The conversation has as many items, or bytes, as one may have."""

    code = "conversation_full"


class Unauthorized(ForebayError):
    """No key came, or none that we know."""

    code = "unauthorized"


class TicketRefused(Unauthorized):
    """The ticket isn't ours, is for something else, has expired, or its key was revoked."""

    field = "ticket"


class NotFound(ForebayError):
    """No such thing for this tenant."""

    code = "not_found"


class Conflict(ForebayError):
    """The thing is in a state in which it can't be done."""

    code = "conflict"


class IdempotencyMismatch(InvalidField):
    """The key stands for another request already."""

    code = "idempotency_mismatch"


class ShareUsedUp(ForebayError):
    """The tenant has its share of what all tenants have together; when some of it has ended there is more."""

    code = "share_used_up"
    retry_after_s = 1


class Unavailable(ForebayError):
    """A part that this needs is down; trying later helps."""

    code = "unavailable"
    retry_after_s = 1


class BytesGone(Unavailable):
    """Some of a file's bytes are gone, or kept where nobody is told to look: only rarely does another try help."""


class TablesUnfit(Unavailable):
    """The database's tables aren't those that this version works with; the text says what to do."""

    retry_after_s = 5


class NotInTime(Unavailable):
    """What was waited for didn't come within the time that there was for it."""


class CatalogError(ForebayError):
    """The catalogue of models can't be used as it is written."""


class SettingsError(ForebayError):
    """The environment's settings are wrong; the text lists every mistake."""


class ModelRemoved(ForebayError):
    """The model that the job waits for isn't served any more, and an operator ended what waits for it."""

    code = "model_removed"


class DeadlineExceeded(ForebayError):
    """The job has been running for longer than it may."""

    code = "deadline_exceeded"


class JobError(ForebayError):
    """The job itself is at fault: it fails with this code, and another attempt wouldn't help."""


class ContextLengthExceeded(JobError):
    """The prompt has more tokens than the model's context leaves room for."""

    code = "context_length_exceeded"


class CollectionGone(JobError):
    """The collection that the job asks about doesn't exist any more."""

    code = "collection_not_found"


class CollectionSwitched(CollectionGone):
    """The collection has its vectors from another model than was thought, `model`: a job goes on there."""

    def __init__(self, collection: str, model: str) -> None:
        super().__init__(f"the collection {collection} has its vectors from {model} now")
        self.model = model


class SchemaRefused(JobError):
    """The JSON Schema can't be honoured, or would take too much; `path` is where in the request, for people."""

    code = "schema_refused"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class EngineRefused(JobError):
    """The engine understood the request and refused it."""

    code = "engine_refused"


class AnswerUnfit(JobError):
    """The model said, more than once, what doesn't fit the schema that its answer must have."""

    code = "answer_unfit"


class NothingSummarised(JobError):
    """No document of a summary has one, and none of them failed: each was cancelled, or came too late."""

    code = "nothing_summarised"


class DimensionsDiffer(JobError):
    """The vectors have another dimension than those that the collection already has."""

    code = "dimensions_differ"

    def __init__(self, collection: str, got: int, expected: int) -> None:
        text = f"the model makes vectors of {got} dimensions, the collection {collection} has {expected}"
        super().__init__(text)


class UnreadableDocument(JobError):
    """No text can be had from the document: it is damaged, encrypted, of another kind, or holds none."""

    code = "unreadable_document"


class DocumentGone(JobError):
    """The document that the job is about doesn't exist any more."""

    code = "document_not_found"


class DocumentFailed(JobError):
    """The document that the job is about could not be read; the code and the text are those it failed with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DocumentTooLarge(JobError):
    """The document has more text or pages than one may have."""

    code = "document_too_large"


class ToolFailed(ForebayError):
    """A function of the server failed, hangs or is gone; the text is for the model and the client."""

    code = "tool_failed"


class Poison(JobError):
    """The job takes workers or engine hosts down with it."""

    code = "poison"


class EngineError(ForebayError):
    """The engine is at fault, not the job."""

    code = "engine_error"


class EngineLost(EngineError):
    """The engine host died or hangs; the run can be continued in another."""


class EngineGone(EngineLost):
    """The engine host was dead before the run asked anything of it: the run isn't to blame."""


class EngineUnusable(EngineError):
    """The model can't be loaded, or the engine host keeps dying."""


class Cancelled(ForebayError):
    """The generation was stopped by `cancel`."""


class GaveWay(ForebayError):
    """A tenant with fewer slots waits for one: the job goes back to its queue between two of its parts."""


class Fenced(ForebayError):
    """A newer attempt exists, or the job has ended: this attempt may not write any more."""


# The codes of errors that are the system's: another attempt may do better. All others are final at once.
SYSTEM = frozenset({ForebayError.code, EngineError.code})
