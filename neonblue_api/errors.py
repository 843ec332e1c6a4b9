"""Every error a client can meet, one class each: its code, status, rule and way out. docs/errors.md is made from here.

ApiError
├── BadRequest 400, 413, 415, 408     the request cannot be read
├── Unauthorized 401, Forbidden 403, LockedOut 429
├── NotFound 404
├── Conflict 409, 412                 it does not fit what is stored
├── Refused 422                       it can be read and breaks a rule
├── RateLimited 429
└── Unavailable 503                   a server behind the API is away or slow
"""

from typing import Any, ClassVar

from starlette.exceptions import HTTPException


class ApiError(HTTPException):
    """Base of all. `detail` says which thing and what was found; `errors` lists the fields, where there are several."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The API failed"
    rule: ClassVar[str] = "a request that can be read is answered"
    way_out: ClassVar[str] = "try again; if it stays, look for the request_id in the API's log"

    def __init__(
        self,
        detail: str,
        *,
        rule: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(self.status, detail, headers)
        self.found = detail
        self.this_rule = rule or self.rule
        self.errors = errors
        self.more = more

    def problem(self, request_id: str | None) -> dict[str, Any]:
        """The body of the reply, after RFC 9457."""
        body: dict[str, Any] = {
            "type": f"urn:neonblue:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.found,
            "rule": self.this_rule,
            "way_out": self.way_out,
            "request_id": request_id,
        }
        if self.errors is not None:
            body["errors"] = self.errors
        return body | self.more


class BadRequest(ApiError):
    status = 400


class MalformedJson(BadRequest):
    code = "malformed_json"
    title = "The body is not strict JSON"
    rule = "JSON (RFC 8259) in UTF-8: no NaN or Infinity, no \\u0000, no lone surrogate, no key twice in an object"
    way_out = "encode the body with an ordinary JSON library and look at the place that is named"


class MalformedCompression(BadRequest):
    code = "malformed_compression"
    title = "The body cannot be decompressed"
    rule = "Content-Encoding says how the whole body is compressed: gzip or zstd, one complete stream"
    way_out = "compress the body again, or send it plain"


class InvalidCursor(BadRequest):
    code = "invalid_cursor"
    title = "The cursor was not made by this list"
    rule = "cursor is the next_cursor of the page before, unchanged"
    way_out = "begin without a cursor"


class BodyTimeout(BadRequest):
    status = 408
    code = "body_timeout"
    title = "The body did not arrive in time"
    rule = "a body arrives within the time limit for bodies"
    way_out = "send smaller batches"


class BodyTooLarge(BadRequest):
    status = 413
    code = "body_too_large"
    title = "The body is too large"
    rule = "a body stays under its limit, also after decompression"
    way_out = "send several smaller batches"


class UnsupportedMediaType(BadRequest):
    status = 415
    code = "unsupported_media_type"
    title = "The media type is not served"
    rule = "application/json; event batches also as application/x-ndjson, plain, gzip or zstd"
    way_out = "set Content-Type and Content-Encoding to what the body is"


class Unauthorized(ApiError):
    status = 401
    code = "unauthorized"
    title = "No valid token"
    rule = "every route but health and documentation needs Authorization: Bearer TOKEN, not revoked, not expired"
    way_out = "ask whoever manages the platform for a token (`neonblue tokens create`)"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="neonblue"'})


class Forbidden(ApiError):
    status = 403
    code = "forbidden"
    title = "The token has not the scope for this"
    rule = "ingest sends facts, read reads, manage changes definitions and tokens, audit reads the audit log"
    way_out = "use a token that has the scope"


class LockedOut(ApiError):
    status = 429
    code = "locked_out"
    title = "Too many unknown tokens came from this address"
    rule = "an address may try NEONBLUE_LOCKOUT_GUESSES unknown tokens in NEONBLUE_LOCKOUT_WINDOW seconds"
    way_out = "wait for Retry-After, and look for the client with the wrong token; clients that were let in stay in"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class NotFound(ApiError):
    status = 404
    code = "not_found"
    title = "There is no such thing"
    rule = "the path names something that exists"
    way_out = "GET the list above it to see what exists"


class UserNotFound(NotFound):
    code = "user_not_found"
    title = "No such user"


class ExperimentNotFound(NotFound):
    code = "experiment_not_found"
    title = "No such experiment"
    way_out = "GET /v1/experiments lists the keys"


class VariantNotFound(NotFound):
    code = "variant_not_found"
    title = "No such variant"


class MetricNotFound(NotFound):
    code = "metric_not_found"
    title = "No such metric"
    way_out = "GET /v1/metrics lists the keys"


class AssignmentNotFound(NotFound):
    code = "assignment_not_found"
    title = "The user is not assigned"


class TokenNotFound(NotFound):
    code = "token_not_found"
    title = "No such token"


class ErasureNotFound(NotFound):
    code = "erasure_not_found"
    title = "The erasure does not exist"


class MethodNotAllowed(ApiError):
    status = 405
    code = "method_not_allowed"
    title = "The path does not serve this method"
    rule = "the reply's Allow header lists the methods"
    way_out = "see /docs"


class Conflict(ApiError):
    status = 409


class KeyTaken(Conflict):
    code = "key_taken"
    title = "The key exists already"
    rule = "keys are unique and never change"
    way_out = "choose another key, or PATCH the existing one"


class EventConflict(Conflict):
    code = "event_conflict"
    title = "Another event has this id"
    rule = "an id stands for one event for ever; the same event may be sent again, another may not"
    way_out = "give the new event an id of its own"


class AssignmentConflict(Conflict):
    code = "assignment_conflict"
    title = "The user already has another variant"
    rule = "a user has one variant in an experiment; the first assignment stays"
    way_out = "use the variant that the reply names"


class AssignmentInUse(Conflict):
    code = "assignment_in_use"
    title = "Events refer to the assignment"
    rule = "an assignment is deleted only while no event names its experiment and user"
    way_out = "keep it; the user's events count from assigned_at"


class ExperimentRunning(Conflict):
    code = "experiment_started"
    title = "The experiment has begun"
    rule = "variants, weights, coverage, seed and metrics of an experiment change only while it is a draft"
    way_out = "POST …/phases begins a new phase with other weights or coverage; otherwise create a new experiment"


class ExperimentKept(Conflict):
    code = "experiment_kept"
    title = "An experiment that has begun is kept"
    rule = "only a draft is deleted: one that has begun has assignments, events and results"
    way_out = "POST …/stop and POST …/archive: it is out of the way, its results stay readable"


class ExperimentNotRunning(Conflict):
    code = "experiment_not_running"
    title = "The experiment is not running"
    rule = "users are assigned only while an experiment runs"
    way_out = "start the experiment (POST …/start), or use one that runs"


class InvalidTransition(Conflict):
    code = "invalid_transition"
    title = "The experiment cannot go there from where it is"
    rule = "draft → running → stopped → archived; each step once"
    way_out = "GET the experiment to see its status"


class NotReadyToStart(Conflict):
    code = "not_ready_to_start"
    title = "The experiment is not complete"
    rule = "to start, an experiment has variants whose weights sum to 1, and exactly one of them is the control"
    way_out = "complete the variants, then start"


class MetricInUse(Conflict):
    code = "metric_in_use"
    title = "Experiments that have begun use the metric"
    rule = "what a metric measures changes only while every experiment that uses it is a draft"
    way_out = "create a metric under another key"


class TokenEnded(Conflict):
    code = "token_ended"
    title = "The token is revoked or expired"
    rule = "a token is rotated while it works"
    way_out = "create a new token"


class PreconditionFailed(Conflict):
    status = 412
    code = "precondition_failed"
    title = "Somebody changed it meanwhile"
    rule = "If-Match names the ETag of the version that is changed"
    way_out = "GET it again, look at what changed, and send the change with the new ETag"


class Refused(ApiError):
    status = 422


class InvalidInput(Refused):
    code = "invalid_input"
    title = "A field breaks a rule"
    rule = "every field has the type and range that /docs states"
    way_out = "correct the fields that errors lists; nothing was stored"


class WeightsSum(Refused):
    code = "weights_sum"
    title = "The weights do not sum to 1"
    rule = "the weights of an experiment's variants sum to 1"
    way_out = "correct the weights, or leave all of them out for an even split"


class UnknownExperiment(Refused):
    code = "unknown_experiment"
    title = "There is no such experiment"
    rule = "experiment is the key of an experiment that exists"
    way_out = "create the experiment first, or leave experiment out: the event then counts where the user is assigned"


class UnknownVariant(Refused):
    code = "unknown_variant"
    title = "The experiment has no such variant"
    rule = "variant_key is a variant of the experiment"
    way_out = "GET …/variants lists them"


class UnknownMetric(Refused):
    code = "unknown_metric"
    title = "There is no such metric"
    rule = "an experiment uses metrics that exist"
    way_out = "POST /v1/metrics first"


class NotAssigned(Refused):
    code = "not_assigned"
    title = "The user is not in the experiment"
    rule = "an event may name an experiment only after the user was assigned in it"
    way_out = "assign the user first, or leave experiment out: the event then counts where the user is assigned"


class UserErased(Refused):
    code = "user_erased"
    title = "The user was erased"
    rule = "nothing is stored of somebody who was erased (NEONBLUE_ERASED_USERS says what becomes of it)"
    way_out = "stop sending facts of this user; one who comes back needs a new user id"


class BatchRefused(Refused):
    code = "batch_refused"
    title = "Nothing of the batch was stored"
    rule = "with ?atomic=true a batch is stored whole or not at all"
    way_out = "correct what rejected lists and send the batch again"


class RateLimited(ApiError):
    status = 429
    code = "rate_limited"
    title = "Too many requests of this token"
    rule = "a token has as many requests a route as NEONBLUE_RATE_LIMITS says; RateLimit of a reply tells what is left"
    way_out = "send it again after Retry-After; send events in batches, which count as one request"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Unavailable(ApiError):
    status = 503

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Ending(Unavailable):
    code = "ending"
    title = "This process is being stopped"
    rule = "a process that was told to stop answers what reaches it, and says on /readyz that it ends"
    way_out = "use another process, or this one again once it has started anew"


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"
    title = "PostgreSQL is away or slow"
    rule = "nothing is accepted before PostgreSQL has committed it"
    way_out = "send it again after Retry-After, with the same ids: what was stored is then told as a duplicate"


class DiskNearlyFull(Unavailable):
    code = "disk_nearly_full"
    title = "PostgreSQL's disk is nearly full"
    rule = "facts are accepted while PostgreSQL has room to keep them (NEONBLUE_MIN_FREE_DISK bytes)"
    way_out = "send it again after Retry-After, with the same ids; who runs the disk frees space: docs/reliability.md"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=5)


class PrivacyKeyMissing(Unavailable):
    code = "privacy_key_missing"
    title = "People cannot be known by a hash"
    rule = "erasures need the setting NEONBLUE_PRIVACY_KEY, the same on every process and for ever"
    way_out = "set it and start the API again; where people were erased before, to the value that it had"


class AnalyticsUnavailable(Unavailable):
    code = "analytics_unavailable"
    title = "ClickHouse is away or not set up"
    rule = "results are read from ClickHouse; intake does not need it"
    way_out = "try again after Retry-After; `neonblue status` shows the part that is missing"


def all_errors() -> list[type[ApiError]]:
    """Every class that a client can meet, in the order of this file."""
    found: list[type[ApiError]] = [ApiError]

    def add(base: type[ApiError]) -> None:
        for kind in base.__subclasses__():
            if "code" in vars(kind):
                found.append(kind)
            add(kind)

    add(ApiError)
    return sorted(found, key=lambda kind: (kind.status, kind.code))
