"""Every exception we raise, grouped by what the caller should do next.

Retry later, fix the configuration, quarantine the version, or answer the client:
whoever catches one of the four bases knows its next move without reading the text.
The text is for people: expected, found, where, and what happens now.
"""

from __future__ import annotations


class HotfitError(Exception):
    """Base of all errors that Hotfit raises on purpose."""


class WorkersCannotStart(HotfitError):
    """Each process that was to serve has died; the code or its packages must be changed."""


# --- try again later: nothing is wrong with what was asked --------------------------------


class TryLater(HotfitError):
    """The outside world is away; back off and repeat the same call."""


class SourceUnavailable(TryLater):
    """The database or endpoint did not answer, or answered that it is overloaded."""


class StorageUnavailable(TryLater):
    """The disk is full, not writable or not readable. Nothing half-written was left behind."""


# --- fix the configuration: a person must act ---------------------------------------------


class FixConfiguration(HotfitError):
    """Trying again cannot help; the sentence says what a person must change."""


class SettingsInvalid(FixConfiguration):
    """A setting is unknown, missing or out of range."""


class SourceMisconfigured(FixConfiguration):
    """The source answers, but not with what the configuration says: no such table, no rights."""


class CollectionMissing(SourceMisconfigured):
    """The source answers, and has no table, list or index of that name."""


class AlreadyRunning(FixConfiguration):
    """A daemon of the same kind already works on this home directory."""


class PortTaken(FixConfiguration):
    """Another process listens on the configured address."""


class KeyUnusable(FixConfiguration):
    """A key file is missing, unreadable or not what it should be."""


class SchemaTooNew(FixConfiguration):
    """A later release wrote a database in a format that this one does not know."""


# --- quarantine the version: it can never be served at this generation ---------------------


class VersionUnusable(HotfitError):
    """The version must not be served; the one that serves stays."""


class ManifestInvalid(VersionUnusable):
    """The manifest is missing, not JSON, of an unknown format, or of another version."""


class SignatureInvalid(VersionUnusable):
    """The manifest was not signed by the key this daemon trusts."""


class DigestMismatch(VersionUnusable):
    """A file is missing, has another size, or has other bytes than the manifest says."""


class ContractMismatch(VersionUnusable):
    """Columns, dtypes, workload or libraries differ from what this code can serve."""


class LoadFailed(VersionUnusable):
    """The files are right but opening the model raised."""


class GoldenMismatch(VersionUnusable):
    """The loaded model answers the golden requests differently from the trainer's answers."""


# --- answer the client ----------------------------------------------------------------------


class AnswerClient(HotfitError):
    """The request cannot be served; `status` is the HTTP status that says so."""

    status = 500
    title = "error"


class RequestInvalid(AnswerClient):
    """The request is not what the route takes.

    Args:
        expected: what the route takes, as a phrase: "a whole number from 1 to 90".
        found: what came, as it came.
        where: the field, as a path: "forecast_days", "instances[3].lag_1".
    """

    status = 400
    title = "the request is not valid"

    def __init__(self, expected: str, found: object, where: str) -> None:
        shown = repr(found)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{where}: expected {expected}, found {shown}.")
        self.expected = expected
        self.found = shown
        self.where = where


class KeyRequired(AnswerClient):
    status = 401
    title = "a key is required"


class KeyForbidden(AnswerClient):
    status = 403
    title = "this key may not do that"


class NotFound(AnswerClient):
    status = 404
    title = "not found"


class StateConflict(AnswerClient):
    status = 409
    title = "not possible in the current state"


class TooManyRecords(AnswerClient):
    """More records in one request than are taken at once; send them in parts."""

    status = 413
    title = "too many records in one request"


class RateLimited(AnswerClient):
    """The sender is over its limit; nothing of the request was kept.

    Args:
        retry_after_s: when the same request can succeed, in whole seconds.
    """

    status = 429
    title = "too many records a minute"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(AnswerClient):
    """No version serves yet; the sentence says why and what is being done."""

    status = 503
    title = "not ready"


# --- a defect of ours ------------------------------------------------------------------------


class TransitionRefused(HotfitError):
    """A version was asked to go from one state to another that does not follow it."""
