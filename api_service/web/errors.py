"""Turn every exception into an `application/problem+json` answer: the one table of statuses.

Routes raise and never build an error themselves.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import msgspec
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from shared.errors import (
    AnswerClient,
    HotfitError,
    KeyRequired,
    RateLimited,
    RequestInvalid,
    TryLater,
)

log = structlog.get_logger()

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def register_problems(app: Flask, max_request_bytes: int) -> None:
    """Give the application its error table."""

    app.register_error_handler(AnswerClient, problem_of)

    @app.errorhandler(TryLater)
    def _(error: TryLater) -> Response:
        return problem(_kind(error), "try again later", 503, str(error))

    @app.errorhandler(HTTPException)
    def _(error: HTTPException) -> Response:
        status = error.code or 500
        detail = error.description or error.name
        if status == 404:
            detail = f"no route {request.method} {request.path}; GET /models lists what is served."
        elif isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            detail = f"{request.path} does not take {request.method}; it takes {allowed}."
        elif isinstance(error, RequestEntityTooLarge):
            detail = f"the body is larger than {max_request_bytes} bytes (api.max_request_bytes)."
        answer = problem(_kind(error), error.name.lower(), status, detail)
        if isinstance(error, MethodNotAllowed):
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return answer

    @app.errorhandler(Exception)
    def _(error: Exception) -> Response:
        error_id = uuid.uuid4().hex[:8]
        log.exception("request_failed", path=request.path, error_id=error_id)
        detail = f"{error}" if isinstance(error, HotfitError) else "Internal error."
        return problem(
            "internal",
            "internal error",
            500,
            f"{detail} The server log has the details: error id {error_id}.",
        )


def problem_of(error: AnswerClient, /, **more: Any) -> Response:
    """An error that says itself what the client is told; more : fields beside its own."""
    if isinstance(error, RequestInvalid):
        more |= {"expected": error.expected, "found": error.found, "where": error.where}
    answer = problem(_kind(error), error.title, error.status, str(error), **more)
    if isinstance(error, KeyRequired):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def problem(kind: str, title: str, status: int, detail: str, **more: Any) -> Response:
    """One problem document (RFC 9457); below /v2 the error object of that protocol."""
    if request.path == "/v2" or request.path.startswith("/v2/"):
        content = msgspec.json.encode({"error": detail})
        return Response(content + b"\n", status, mimetype="application/json")
    content = msgspec.json.encode(
        {
            "type": f"urn:hotfit:problem:{kind}",
            "title": title,
            "status": status,
            "detail": detail,
            **more,
        }
    )
    return Response(content + b"\n", status, mimetype="application/problem+json")


def _kind(error: Exception) -> str:
    return _WORD_START.sub("-", type(error).__name__).lower()
