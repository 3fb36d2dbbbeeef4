"""Open the Elasticsearch client for a configured address and key. Knows no index."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from elasticsearch import Elasticsearch

from shared.errors import SourceMisconfigured
from shared.settings.sections import SourceSettings


def open_client(settings: SourceSettings) -> tuple[str, Elasticsearch]:
    """The place without credentials, and a client that has not connected yet."""
    try:
        parts = urlsplit(settings.url)
        sink = f"{parts.hostname}:{parts.port}{parts.path.rstrip('/')}"
    except ValueError:
        parts, sink = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.port:
        # Not the text itself: it may hold a password.
        raise SourceMisconfigured('url: expected "https://host:9200", with the port.')
    key = os.environ.get(settings.api_key_env) if settings.api_key_env else None
    if settings.api_key_env and not key:
        raise SourceMisconfigured(
            f"api_key_env: the environment variable {settings.api_key_env} is not set."
        )
    options: dict[str, Any] = {
        name: values[-1]
        for name, values in parse_qs(parts.query).items()
        if name in ("ca_certs", "ssl_assert_fingerprint")
    }
    try:
        client = Elasticsearch(
            urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            api_key=key,
            request_timeout=settings.timeout_s,
            max_retries=0,
            retry_on_timeout=False,
            **options,
        )
    except (ValueError, TypeError, OSError) as error:
        raise SourceMisconfigured(f"url: {type(error).__name__} for {sink}.") from error
    return sink, client
