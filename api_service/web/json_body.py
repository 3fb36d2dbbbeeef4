"""JSON in, strictly, with an error that says where it broke; JSON out. Knows no route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import RequestInvalid

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_BYTE = re.compile(r"\s*\(byte (\d+)\)")
_SHOWN = 20


def json_response(value: object, status: int = 200, *, is_for_people: bool = False) -> Response:
    """Any JSON value as a response; indented where people read it with curl."""
    content = _encode(value)
    if is_for_people:
        content = msgspec.json.format(content, indent=2)
    return Response(content + b"\n", status, mimetype="application/json")


def read_object(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The JSON object of a request's body, whatever its content type says.

    Raises:
        RequestInvalid: not JSON, or not an object; says at which line and column.
        RequestEntityTooLarge: more bytes than the application's limit.
    """
    return object_of(read_value(request, may_be_empty=may_be_empty))


def read_value(request: Request, *, may_be_empty: bool = False) -> Any:
    """Any JSON value as a request's body; {} for an empty one where that is allowed.

    Raises:
        As `read_object`.
    """
    content = read_body(request)
    if may_be_empty and not content.strip():
        return {}
    return value_of(content)


def read_body(request: Request) -> bytes:
    """The bytes of a request's body.

    Raises:
        RequestEntityTooLarge: more bytes than the application's limit.
    """
    limit = request.max_content_length
    said = request.environ.get("CONTENT_LENGTH", "")
    # A stream that somebody else has taken, or whose end nobody said, is left to Flask.
    if (
        said.isdecimal()
        and "HTTP_TRANSFER_ENCODING" not in request.environ
        and not {"stream", "_cached_data"} & vars(request).keys()
    ):
        if limit is not None and int(said) > limit:
            raise RequestEntityTooLarge
        return bytes(request.environ["wsgi.input"].read(int(said)))
    content = request.get_data(cache=False)
    if request.content_length is None and limit is not None and len(content) >= limit:
        # A body without a length is cut at the limit and would only look like broken JSON.
        raise RequestEntityTooLarge
    return content


def object_of(value: Any) -> dict[str, Any]:
    """The value, which must be an object.

    Raises:
        RequestInvalid: it is none.
    """
    if not isinstance(value, dict):
        raise RequestInvalid("a JSON object", value, "body")
    return value


def value_of(content: bytes) -> Any:
    """The JSON value that these bytes are.

    Raises:
        RequestInvalid: says at which line and column.
    """
    if not content:
        raise RequestInvalid("a JSON object", "an empty body", "body")
    try:
        value = _decode(content)
    except msgspec.DecodeError as error:
        raise _not_json(content, str(error)) from None
    except RecursionError:
        raise RequestInvalid("a JSON object", "JSON that is nested too deeply", "body") from None
    except UnicodeDecodeError as error:
        raise RequestInvalid("JSON in UTF-8", str(error), "body") from None
    return value


def _not_json(content: bytes, message: str) -> RequestInvalid:
    match = _BYTE.search(message)
    reason = _BYTE.sub("", message).removeprefix("JSON is malformed: ")
    if match is None:
        return RequestInvalid(f"a JSON object ({reason})", _text(content[-_SHOWN:]), "end of body")
    at = int(match[1])
    before = content[:at]
    line = before.count(b"\n") + 1
    column = at - (before.rfind(b"\n") + 1) + 1
    shown = _text(content[max(0, at - _SHOWN // 2) : at + _SHOWN // 2])
    return RequestInvalid(f"JSON ({reason})", shown, f"body, line {line}, column {column}")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def text_field(body: Mapping[str, Any], name: str, expected: str) -> str | None:
    """An optional text field of a request.

    Raises:
        RequestInvalid: it is there and is not text.
    """
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise RequestInvalid(expected, value, name)


def only_fields(body: Mapping[str, Any], *names: str) -> None:
    """Refuse fields a route does not know, so that a misspelt one is not ignored.

    Raises:
        RequestInvalid: names the field and those that there are.
    """
    for name in body:
        if name not in names:
            known = " or ".join(repr(one) for one in names) or "no fields"
            raise RequestInvalid(f"only {known}", name, "body")
