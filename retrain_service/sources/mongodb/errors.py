"""Translate errors of pymongo: unavailable, or misconfigured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo import errors

from shared.errors import HotfitError, SourceMisconfigured, SourceUnavailable

# Refusals that pass by themselves: overload, elections, limits of time, cursors that were killed.
# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_LATER = {
    *(6, 7, 89, 9001),  # the server's own network
    *(24, 46, 50, 112, 202, 262),  # locks, time limits, resource limits
    *(43, 237, 91, 189, 10107, 11600, 11602, 13435, 13436, 13388, 134, 246, 358),  # elections
    *(462, 463),  # rate limits
}
_NO_MEMORY_TO_SORT = 292


@contextmanager
def translate_errors(where: str, timeout_s: float) -> Iterator[None]:
    """Turn what pymongo raises inside into our errors; `where` must hold no password."""
    try:
        yield
    except errors.ServerSelectionTimeoutError as error:
        raise SourceUnavailable(f"{where}: no server answers: {_first_part(error)}.") from error
    except errors.OperationFailure as error:
        raise _meaning(error, where, timeout_s) from error
    except (errors.ConnectionFailure, errors.WaitQueueTimeoutError) as error:
        raise SourceUnavailable(f"{where}: {_first_part(error)}.") from error
    except errors.PyMongoError as error:
        if error.timeout:
            raise SourceUnavailable(f"{where}: no answer within {timeout_s:g} s.") from error
        raise SourceMisconfigured(f"{where}: {_first_part(error)}.") from error
    except BSONError as error:
        raise SourceMisconfigured(f"{where}: unreadable document: {error}.") from error


def _meaning(error: errors.OperationFailure, where: str, timeout_s: float) -> HotfitError:
    if error.timeout or error.code == 50:
        return SourceUnavailable(f"{where}: no answer within {timeout_s:g} s.")
    is_later = error.code in _LATER or error.has_error_label("RetryableError")
    if error.code == _NO_MEMORY_TO_SORT:
        return SourceMisconfigured(
            f"{where}: the server cannot sort without an index; create one on the updated_at"
            f" field and _id: {_first_part(error)}."
        )
    kind = SourceUnavailable if is_later else SourceMisconfigured
    return kind(f"{where}: {_first_part(error)}.")


def _first_part(error: BaseException) -> str:
    """Without the dump of the topology or the server's whole reply."""
    text = str(error).partition(", full error:")[0].partition(", Timeout:")[0]
    text = text.partition(" (configured timeouts:")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
