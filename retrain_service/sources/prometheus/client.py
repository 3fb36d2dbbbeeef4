"""Ask a server that speaks Prometheus' HTTP API. Knows no cursor and no record.

https://prometheus.io/docs/prometheus/latest/querying/api/
Thanos, Mimir and VictoriaMetrics speak it as well.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.sections import SourceSettings

Series = tuple[Mapping[str, str], Sequence[tuple[float, str]]]
"""Labels, and (time in seconds, number as a text) in order."""


class TooMuch(Exception):
    """The server loads no more samples, or points, for one question; a shorter range may do."""


class PrometheusClient:
    """Connects when first asked; may be used again after close()."""

    def __init__(self, settings: SourceSettings, collection: str) -> None:
        """Raises SourceMisconfigured: unusable address, or no key where one is named."""
        self._url = _parse(settings.url)
        self._timeout_s = settings.timeout_s
        self.sink = f"{self._url.scheme}://{self._url.netloc.decode()}{self._url.path.rstrip('/')}"
        self._where = f"Prometheus {self.sink} ({collection})"
        self._headers = {"Accept": "application/json"}
        if settings.api_key_env:
            key = os.environ.get(settings.api_key_env, "").strip()
            if not key:
                raise SourceMisconfigured(
                    f"api_key_env: the environment variable {settings.api_key_env} is not set."
                )
            self._headers["Authorization"] = f"Bearer {key}"
        self._client: httpx.Client | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def server_time_s(self) -> float:
        """The server's clock, in seconds since the epoch."""
        found = self._ask("query", "the time", {"query": "time()"})
        return float(found["result"][1])

    def metric_names(self) -> list[str]:
        """What the server keeps now, in the order of the alphabet; those of its own left out."""
        found = self._ask("query", "the names", {"query": 'count by (__name__) ({__name__!=""})'})
        names = {str(each["metric"].get("__name__")) for each in found["result"]}
        own = ("up", "ALERTS", "ALERTS_FOR_STATE")
        return sorted(
            name for name in names if name not in own and not name.startswith(("scrape_", "go_"))
        )

    def number(self, name: str, expression: str, at_s: float) -> float:
        """The only value of an expression; 0 where there is none."""
        found = self._ask("query", name, {"query": expression, "time": f"{at_s:.3f}"})["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def range(
        self, name: str, expression: str, begin_s: float, end_s: float, step_s: float
    ) -> list[Series]:
        """Both ends included.

        Raises:
            TooMuch: ask for less. SourceUnavailable: later. SourceMisconfigured: a person must act;
                the query is named.
        """
        found = self._ask(
            "query_range",
            name,
            {
                "query": expression,
                "start": f"{begin_s:.3f}",
                "end": f"{end_s:.3f}",
                "step": f"{step_s:.3f}",
            },
        )
        if found.get("resultType") != "matrix":
            raise SourceMisconfigured(
                f"{self._where}: queries.{name}: expected series, found {found.get('resultType')}."
            )
        return [(each["metric"], each["values"]) for each in found["result"]]

    # -- one request -----------------------------------------------------------------------------

    def _ask(self, path: str, name: str, parameters: dict[str, str]) -> dict[str, Any]:
        deadline_s = time.monotonic() + self._timeout_s
        if self._client is None:
            self._client = httpx.Client(headers=self._headers, follow_redirects=False)
        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/api/v1/{path}")
        timeout = f"{math.ceil(self._timeout_s)}s"
        try:
            body = bytearray()
            with self._client.stream(
                "POST", url, data={**parameters, "timeout": timeout}, timeout=self._timeout_s
            ) as response:
                for part in response.iter_bytes():
                    body += part
                    if time.monotonic() > deadline_s:
                        raise SourceUnavailable(
                            f"{self._where}: not all of it came within {self._timeout_s:g} s."
                        )
        except httpx.TimeoutException as error:
            raise SourceUnavailable(
                f"{self._where}: no answer within {self._timeout_s:g} s."
            ) from error
        except httpx.HTTPError as error:
            raise SourceUnavailable(f"{self._where}: {error or type(error).__name__}.") from error
        return self._data(response, bytes(body), name)

    def _data(self, response: httpx.Response, body: bytes, name: str) -> dict[str, Any]:
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            answer = None
        status = response.status_code
        if isinstance(answer, dict) and answer.get("status") == "success":
            data = answer.get("data")
            if isinstance(data, dict) and isinstance(data.get("result"), list):
                return data
        if isinstance(answer, dict) and answer.get("status") == "error":
            kind, text = answer.get("errorType"), str(answer.get("error", "")).rstrip(".")
            if "too many samples" in text or "maximum resolution" in text:
                raise TooMuch(f"{self._where}: queries.{name}: {text}.")
            if kind in ("timeout", "canceled", "unavailable", "internal"):
                raise SourceUnavailable(f"{self._where}: queries.{name}: {text}.")
            if kind in ("bad_data", "execution"):
                raise SourceMisconfigured(f"{self._where}: queries.{name}: {text}.")
        if status in (408, 429) or status >= 500:
            raise SourceUnavailable(f"{self._where}: answered with status {status}.")
        raise SourceMisconfigured(
            f"{self._where}: expected an answer of Prometheus' API, found status {status}."
        )


def _parse(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        # Not the text itself: it may hold a password.
        raise SourceMisconfigured('url: expected "http://host:9090" of a Prometheus server.')
    return parsed
