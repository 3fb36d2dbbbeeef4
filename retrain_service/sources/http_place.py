"""Find out what answers at an http address: Elasticsearch, a Prometheus server, or an export.

Asks two bounded questions that change nothing. A place that does not answer is an export, whose own
reader says what is wrong.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

_TIMEOUT_S = 5.0
_MOST_BYTES = 65_536
_PROMETHEUS = "/api/v1/query?query=1"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to the address that was named and nowhere else."""

    def redirect_request(self, *_args: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def kind_of_place(url: str, key: str = "") -> str:
    """The kind of source for an http or https address. key : that the place may ask for."""
    parts = urlsplit(url)
    if parts.query:
        return "http_export"
    base = urlunsplit((parts.scheme, _host(parts.netloc), parts.path.rstrip("/"), "", ""))
    keys = _headers(parts.username, parts.password, key)
    if parts.port and _is_elasticsearch(_answer(base + "/", keys)):
        return "elasticsearch"
    answer = _answer(base + _PROMETHEUS, keys)
    data = answer.get("data")
    if answer.get("status") == "success" and isinstance(data, dict) and "resultType" in data:
        return "prometheus"
    return "http_export"


def _is_elasticsearch(answer: dict[str, Any]) -> bool:
    version = answer.get("version")
    if isinstance(version, dict) and "lucene_version" in version:
        return True
    error = answer.get("error")  # it answers to those with a key
    return isinstance(error, dict) and error.get("type") == "security_exception"


def _headers(user: str | None, password: str | None, key: str) -> list[dict[str, str]]:
    """Ways in which the key may be wanted, one after the other."""
    if user:
        pair = f"{unquote(user)}:{unquote(password or '')}".encode()
        return [{"Authorization": f"Basic {b64encode(pair).decode()}"}]
    return [{"Authorization": f"{word} {key}"} for word in ("ApiKey", "Bearer")] if key else [{}]


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _answer(url: str, ways: list[dict[str, str]]) -> dict[str, Any]:
    """The JSON object that is answered, also with an error; {} for anything else."""
    found: dict[str, Any] = {}
    for way in ways:
        headers = {"Accept": "application/json", **way}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http or https alone
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
                found = _read(response)
        except urllib.error.HTTPError as error:
            found = _read(error)
        except (OSError, ValueError):
            return {}
        if found:
            return found
    return found


def _read(response: Any) -> dict[str, Any]:
    try:
        answer = json.loads(response.read(_MOST_BYTES))
    except (OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}
