"""Translate errors of the Firestore client: unavailable, or misconfigured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions as api
from google.auth import exceptions as auth

from shared.errors import SourceMisconfigured, SourceUnavailable

_MISCONFIGURED = (
    api.Forbidden,
    api.Unauthorized,
    api.NotFound,
    api.BadRequest,  # InvalidArgument and FailedPrecondition, such as an index that is missing
    api.MethodNotImplemented,
)


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn what the client raises inside into our errors."""
    try:
        yield
    except _MISCONFIGURED as error:
        raise SourceMisconfigured(f"{where}: {first_line(error)}.") from error
    except (api.GoogleAPIError, auth.TransportError) as error:
        raise SourceUnavailable(f"{where}: {first_line(error)}.") from error
    except auth.GoogleAuthError as error:
        kind = SourceUnavailable if error.retryable else SourceMisconfigured
        raise kind(f"{where}: {first_line(error)}.") from error


def is_lost_connection(error: SourceUnavailable) -> bool:
    """Whether the call failed for want of a connection, and not for what the server did."""
    return isinstance(error.__cause__, api.ServiceUnavailable)


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
