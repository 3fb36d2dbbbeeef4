"""Fetch an export over HTTP, all its pages or nothing. Knows no cursor.

One limit of time for everything, whether connecting, waiting or receiving drop by drop. Redirects
are not followed, and pages are asked for at the configured host only, whatever host a `next` link
names: the key goes nowhere else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import msgspec

from retrain_service.sources.http_export.answers import decoded, http_date, next_page
from shared.errors import CollectionMissing, SourceMisconfigured, SourceUnavailable
from shared.mapping.paths import Path
from shared.settings.sections import SourceSettings

_BOM = b"\xef\xbb\xbf"
_MOST_PAGES = 10_000
_LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Export:
    """A complete answer.

    items : of the list asked for, of all pages in their order.
    etag : None when there is none, or when there were several pages: it speaks of the first only.
    server_time : when the first page was answered, by the server's clock.
    """

    items: list[Any]
    metadata: Mapping[str, Any]
    etag: str | None
    server_time: datetime


class ExportClient:
    """One list of one endpoint. Connects when first asked; may be used again after close()."""

    def __init__(
        self,
        settings: SourceSettings,
        name: str,
        clock: Callable[[], datetime],
        records_path: str = "",
    ) -> None:
        """Prepare; nothing connects.

        Args:
            records_path: an expression that finds the list in an answer; "": under its name.

        Raises:
            SourceMisconfigured: unusable address, or no key where one is named.
            SettingsInvalid: an expression that is none.
        """
        self._name, self._clock = name, clock
        self._path = Path(records_path, "records_path") if records_path else None
        self._timeout_s = settings.timeout_s
        self._url = _parse(settings.url)
        self._where = f"{self.sink} {name!r}"
        self._headers = {"Accept": "application/json", **_key_header(settings)}
        self._client: httpx.Client | None = None
        self._not_before_s = 0.0

    @property
    def sink(self) -> str:
        """Host and path, without credentials and parameters."""
        return f"{self._url.scheme}://{self._url.netloc.decode()}{self._url.path}"

    @property
    def parameters(self) -> Mapping[str, str]:
        return dict(self._url.params)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def fetch(
        self, *, etag: str | None = None, parameters: Mapping[str, str] | None = None
    ) -> Export | None:
        """The whole list; None when the server says that it still has what `etag` was of.

        Raises:
            SourceUnavailable: no answer, half an answer, 5xx or 429.
            SourceMisconfigured: refused, not JSON, or without that list.
        """
        deadline_s = time.monotonic() + self._timeout_s
        if time.monotonic() < self._not_before_s:
            wait_s = self._not_before_s - time.monotonic()
            raise SourceUnavailable(f"{self._where}: asked us to wait another {wait_s:.0f} s.")
        url = self._url.copy_merge_params(dict(parameters or {}))
        items: list[Any] = []
        seen: set[httpx.URL] = set()
        first: tuple[Mapping[str, Any], str | None, datetime] | None = None
        while True:
            seen.add(url)
            response, body = self._get(url, etag if first is None else None, deadline_s)
            if response.status_code == 304:
                return None
            decoded = self._decode(response, body)
            items += self._list(decoded)
            answer = decoded if isinstance(decoded, dict) else {}
            metadata = answer.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            if first is None:
                first = (metadata, response.headers.get("ETag"), self._time_of(response))
            following = next_page(url, answer, metadata, response)
            if following is None:
                break
            if following in seen or len(seen) >= _MOST_PAGES:
                raise SourceMisconfigured(f"{self._where}: its pages lead round in a circle.")
            url = following
        return Export(items, first[0], first[1] if len(seen) == 1 else None, first[2])

    def fetch_lists(self) -> dict[str, list[Any]]:
        """Every list in the first page of the answer, by name.

        Raises:
            SourceUnavailable, SourceMisconfigured: as `fetch`.
        """
        response, body = self._get(self._url, None, time.monotonic() + self._timeout_s)
        answer = self._decode(response, body)
        return {name: each for name, each in answer.items() if isinstance(each, list)}

    # -- one page --------------------------------------------------------------------------------

    def _get(
        self, url: httpx.URL, etag: str | None, deadline_s: float
    ) -> tuple[httpx.Response, bytes]:
        if self._client is None:
            self._client = httpx.Client(headers=self._headers, follow_redirects=False)
        headers = {"If-None-Match": etag} if etag else {}
        left_s = max(0.001, deadline_s - time.monotonic())
        body = bytearray()
        with (
            self._translate_errors(),
            self._client.stream("GET", url, headers=headers, timeout=left_s) as response,
        ):
            for part in response.iter_bytes():
                body += part
                if time.monotonic() > deadline_s:
                    raise SourceUnavailable(
                        f"{self._where}: not all of it came within {self._timeout_s:g} s."
                    )
        self._check(response, bytes(body))
        return response, bytes(body)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise SourceUnavailable(
                f"{self._where}: no answer within {self._timeout_s:g} s."
            ) from error
        except httpx.DecodingError as error:
            raise SourceUnavailable(f"{self._where}: the answer is damaged: {error}.") from error
        except httpx.TransportError as error:
            if isinstance(error, (httpx.UnsupportedProtocol, httpx.ProxyError)):
                raise SourceMisconfigured(f"{self._where}: {error}.") from error
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise SourceMisconfigured(
                    f"{self._where}: no trust in its certificate; the environment variable"
                    " SSL_CERT_FILE names certificate authorities of your own."
                ) from error
            text = str(error).rstrip(".") or type(error).__name__
            raise SourceUnavailable(f"{self._where}: {text}.") from error

    def _check(self, response: httpx.Response, body: bytes) -> None:
        status = response.status_code
        if status in (200, 304):
            return
        if status in (408, 425, 429) or status >= 500:
            wait_s = self._retry_after_s(response)
            self._not_before_s = time.monotonic() + wait_s
            again = f", to be asked again in {wait_s:.0f} s" if wait_s else ""
            raise SourceUnavailable(f"{self._where}: answered {status}{again}.")
        if response.has_redirect_location:
            to = response.headers["Location"]
            raise SourceMisconfigured(f"{self._where}: has moved to {to}; put that into url.")
        reasons = {
            401: "it wants another key (api_key_env, api_key_header)",
            403: "the key may not read this",
            404: "there is nothing at this address",
        }
        said = body[:200].decode("utf-8", "replace").strip()
        reason = reasons.get(status, "expected 200")
        raise SourceMisconfigured(f"{self._where}: answered {status}, {reason}: {said}")

    def _retry_after_s(self, response: httpx.Response) -> float:
        text = response.headers.get("Retry-After", "")
        try:
            wait_s = float(text)
        except ValueError:
            until = http_date(text)
            if until is None:
                return 0.0
            wait_s = (until - self._time_of(response)).total_seconds()
        # Written this way round, "nan" is no time to wait.
        return min(wait_s, _LONGEST_WAIT_S) if wait_s > 0 else 0.0

    def _time_of(self, response: httpx.Response) -> datetime:
        return http_date(response.headers.get("Date", "")) or self._clock()

    # -- what a page holds -----------------------------------------------------------------------

    def _decode(self, response: httpx.Response, body: bytes) -> Any:
        try:
            answer = decoded(body.removeprefix(_BOM))
        except (msgspec.DecodeError, RecursionError) as error:
            if "truncated" in str(error) and body.lstrip()[:1] == b"{":
                raise SourceUnavailable(f"{self._where}: the answer broke off.") from error
            kind = response.headers.get("Content-Type", "no content type")
            shown = body[:80].decode("utf-8", "replace").strip()
            raise SourceMisconfigured(
                f"{self._where}: expected JSON, found {kind} that begins {shown!r}."
            ) from error
        if isinstance(answer, dict) or self._path is not None:
            return answer
        raise SourceMisconfigured(
            f"{self._where}: expected a JSON object that holds lists, found a"
            f" {type(answer).__name__}."
        )

    def _list(self, answer: Any) -> list[Any]:
        items = answer.get(self._name) if self._path is None else self._path.find(answer)
        if isinstance(items, list):
            return items
        if self._path is not None:
            there = ", ".join(answer) if isinstance(answer, dict) else f"{answer!r:.40}"
            raise CollectionMissing(
                f"{self._where}: records_path {self._path.text!r} finds no list in the answer; its"
                f" fields are: {there or 'none'}."
            )
        there = ", ".join(key for key, value in answer.items() if isinstance(value, list))
        raise CollectionMissing(
            f"{self._where}: no such list in the answer; its lists are: {there or 'none'}."
        )


def _parse(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    if parsed.scheme in ("http", "https") and parsed.host:
        return parsed
    # Not the text itself: it may hold a password.
    raise SourceMisconfigured('url: expected "https://host/path/?days=90&format=json".')


def _key_header(settings: SourceSettings) -> dict[str, str]:
    if not settings.api_key_env:
        return {}
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise SourceMisconfigured(
            f"api_key_env: the environment variable {settings.api_key_env} is not set."
        )
    is_bearer = settings.api_key_header.lower() == "authorization" and " " not in key
    return {settings.api_key_header: f"Bearer {key}" if is_bearer else key}
