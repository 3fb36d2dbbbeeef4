"""Translate errors of the Elasticsearch client: unavailable, or misconfigured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from elastic_transport import TlsError
from elasticsearch import (
    ApiError,
    ConnectionTimeout,
    SerializationError,
    TransportError,
    UnsupportedProductError,
)

from shared.errors import CollectionMissing, HotfitError, SourceMisconfigured, SourceUnavailable


@contextmanager
def translate_errors(where: str, timeout_s: float) -> Iterator[None]:
    """Turn what the client raises inside into our errors; `where` must hold no password."""
    try:
        yield
    except ApiError as error:
        raise _meaning(error, where) from error
    except UnsupportedProductError as error:
        raise SourceMisconfigured(f"{where}: what answers there is not Elasticsearch.") from error
    except TlsError as error:
        raise SourceMisconfigured(
            f"{where}: no trust in its certificate: {error.message}. A certificate authority of"
            " your own is named by url = …?ca_certs=/path/ca.crt"
        ) from error
    except ConnectionTimeout as error:
        raise SourceUnavailable(f"{where}: no answer within {timeout_s:g} s.") from error
    except SerializationError as error:
        raise SourceUnavailable(f"{where}: the answer broke off or is no JSON.") from error
    except TransportError as error:
        raise SourceUnavailable(f"{where}: {_cause(error)}.") from error


def _meaning(error: ApiError, where: str) -> HotfitError:
    status = error.meta.status
    sentence = f"{where}: {_reason(error)} (status {status})."
    if "search_context_missing" in str(error.body) or "No search context" in sentence:
        return SourceUnavailable(sentence)  # a point in time that expired while it was read
    if status == 404 and "index_not_found" in str(error.body):
        return CollectionMissing(sentence)
    is_later = status in (408, 429) or status >= 500
    return (SourceUnavailable if is_later else SourceMisconfigured)(sentence)


def _reason(error: ApiError) -> str:
    """The innermost reason that the server gives."""
    found = error.body.get("error") if isinstance(error.body, dict) else None
    if isinstance(found, dict):
        causes = found.get("root_cause") or [found]
        reason = causes[0].get("reason") or found.get("reason") or found.get("type")
        if reason:
            return str(reason).rstrip(".")
    return str(found or error.message).rstrip(".")


def _cause(error: TransportError) -> str:
    inner = error.errors[-1] if error.errors else error
    return str(getattr(inner, "message", inner)).splitlines()[0].rstrip(".")
