"""Decode JSON bodies strictly, with an error that names the place, and encode JSON answers."""

from __future__ import annotations

import codecs
import re
import zlib
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import RequestInvalid

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_BYTE = re.compile(r"\s*\(byte (\d+)\)")
_SHOWN = 20
_PLACE = re.compile(r" - at `\$\.([^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")

_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

T = TypeVar("T")


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
    """The bytes of a request's body, unpacked where it was sent compressed.

    Raises:
        RequestEntityTooLarge: more bytes than the application's limit, as sent or unpacked.
        RequestInvalid: an encoding that is not known, or not what the body is in.
    """
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    content = _body_as_sent(request)
    if encoding in ("", "identity"):
        return content
    return _unpacked(content, encoding, request.max_content_length or 0)


def _body_as_sent(request: Request) -> bytes:
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


def _unpacked(content: bytes, encoding: str, most_bytes: int) -> bytes:
    """most_bytes : 0 for any number."""
    window = _WINDOW.get(encoding)
    if window is None:
        raise RequestInvalid(f"one of {', '.join(_WINDOW)}", encoding, "Content-Encoding")
    found = b""
    while True:  # gzip may come in several members, one behind the other
        unpacking = zlib.decompressobj(window)
        try:
            found += unpacking.decompress(content, most_bytes and most_bytes - len(found) + 1)
        except zlib.error as error:
            raise RequestInvalid(f"a body in {encoding}", str(error), "body") from None
        if most_bytes and len(found) > most_bytes:
            raise RequestEntityTooLarge
        if not unpacking.eof:
            raise RequestInvalid(f"a body in {encoding}", "one that ends too early", "body")
        content = unpacking.unused_data
        if not content:
            return found


def object_of(value: Any) -> dict[str, Any]:
    """The value, which must be an object.

    Raises:
        RequestInvalid: it is none.
    """
    if not isinstance(value, dict):
        raise RequestInvalid("a JSON object", value, "body")
    return value


def value_of(content: bytes) -> Any:
    """The JSON value that these bytes are; a byte order mark before it is passed over.

    Raises:
        RequestInvalid: says at which line and column.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
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


def body_as(request: Request, kind: type[T]) -> T:
    """The JSON object of a request's body as a value of `kind`; an empty body is an empty object.

    Raises:
        As `read_object`; RequestInvalid also where a field is unknown or not what it should be.
    """
    fields = read_object(request, may_be_empty=True)
    for name, value in fields.items():
        if isinstance(value, float) and value.is_integer():  # to JSON 7.0 is a whole number
            fields[name] = int(value)
    return decoded(fields, kind)


def decoded(value: dict[str, Any], kind: type[T], *, is_query: bool = False) -> T:
    """The value as `kind`, a struct type.

    Args:
        is_query: the values are texts, read as what the fields' types say.

    Raises:
        RequestInvalid: what the first field that is wrong should be, and where it is.
    """
    try:
        return msgspec.convert(value, kind, strict=not is_query)
    except msgspec.ValidationError as error:
        raise _refused(str(error), value, kind, is_query=is_query) from None


def _refused(message: str, value: Any, kind: Any, *, is_query: bool) -> RequestInvalid:
    """msgspec's error as ours: what its path leads to, in the type and in the value."""
    place = _PLACE.search(message)
    path = place[1].split(".") if place else []
    expected = msgspec.inspect.type_info(kind)
    for name in path:
        fields = {
            field.encode_name: field.type for field in getattr(_plain(expected), "fields", ())
        }
        if name not in fields:
            break
        expected, value = fields[name], value[name]
    if unknown := _UNKNOWN.search(message):
        names = [field.encode_name for field in _plain(expected).fields]
        known = ", ".join(names) if is_query else " or ".join(map(repr, names))
        what = f"the query parameters {known}" if is_query else known
        return RequestInvalid(
            f"only {what}", unknown[1], ".".join(path) or ("query" if is_query else "body")
        )
    return RequestInvalid(_spoken(expected), value, ".".join(path) or "body")


def _without_null(found: Any) -> Any:
    if isinstance(found, msgspec.inspect.UnionType):
        kinds = [one for one in found.types if not isinstance(one, msgspec.inspect.NoneType)]
        return kinds[0] if len(kinds) == 1 else found
    return found


def _plain(found: Any) -> Any:
    """The type without its annotation and its null."""
    found = _without_null(found)
    return found.type if isinstance(found, msgspec.inspect.Metadata) else found


def _spoken(found: Any) -> str:
    """A type in words: "a whole number from 1 to 90"; a text as its annotation says."""
    found, text = _without_null(found), None
    if isinstance(found, msgspec.inspect.Metadata):
        found, text = found.type, (found.extra_json_schema or {}).get("description")
    match found:
        case msgspec.inspect.UnionType(types):
            nothing = msgspec.inspect.NoneType
            return " or ".join(_spoken(one) for one in types if not isinstance(one, nothing))
        case msgspec.inspect.IntType() as number:
            return f"a whole number{_range(number)}"
        case msgspec.inspect.FloatType() as number:
            return f"a number{_range(number)}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.LiteralType(values):
            return f"one of {', '.join(map(str, values))}"
        case msgspec.inspect.EnumType(cls):
            return f"one of {', '.join(cls)}"
        case msgspec.inspect.StrType():
            return text or "a text"
        case _:
            return "an object"


def _range(number: Any) -> str:
    if number.le is not None:
        return f" from {int(number.ge)} to {int(number.le)}"
    return "" if number.ge is None else f" from {int(number.ge)} on"
