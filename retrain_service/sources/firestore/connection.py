"""The connection to a Firestore database: queries, counts and lookups of one collection.

The client retries a broken stream in ways that lose the limit or fail themselves, so it is told
never to; one immediate second try is made here, and only when nothing had arrived. Knows neither
cursors nor the field that holds the time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud import firestore

from retrain_service.sources.firestore.errors import (
    first_line,
    is_lost_connection,
    translate_errors,
)
from retrain_service.sources.firestore.server_clock import ServerClock
from retrain_service.sources.firestore.times import read_time
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings


class FirestoreConnection:
    """A client that is made when it is needed, and made anew after it was lost."""

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, server_clock: ServerClock
    ) -> None:
        """Find project and credentials; nothing connects before the first read.

        Raises:
            SourceMisconfigured: no credentials, no project, or not the path of a collection.
        """
        self._settings, self._stream = settings, stream
        self._timeout_s = settings.timeout_s
        self._server_clock = server_clock
        self._client: Any = None
        self.collection()
        project = self._connected().project
        self.documents = f"projects/{project}/databases/{settings.database}/documents"
        self.where = f"Firestore {project}/{stream.collection}"

    def collection(self) -> Any:
        """The collection or group, through a client that is made when there is none.

        Raises:
            SourceMisconfigured: no credentials, no project, or not the path of a collection.
        """
        client = self._connected()
        name, is_group = self._stream.collection, self._stream.collection_group
        if "*" in name or (is_group and "/" in name):
            raise SourceMisconfigured(
                f"collection: found {name!r}; all collections of one name are read with"
                f' collection = "{name.rpartition("/")[2]}" and collection_group = true.'
            )
        try:
            found = client.collection_group if is_group else client.collection
            return found(name)
        except ValueError as error:
            raise SourceMisconfigured(
                f"collection: expected the path of a collection, found {name!r}."
            ) from error

    def _connected(self) -> Any:
        if self._client is None:
            try:
                self._client = firestore.Client(
                    project=self._settings.project or None, database=self._settings.database
                )
            except auth.GoogleAuthError as error:
                raise SourceMisconfigured(
                    f"no Google credentials: {first_line(error)}. Set"
                    " GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or"
                    " FIRESTORE_EMULATOR_HOST to an emulator."
                ) from error
            except (OSError, ValueError) as error:
                raise SourceMisconfigured(f"Firestore: {first_line(error)}.") from error
        return self._client

    def reference(self, path: str) -> Any:
        """A document by its path below the database, or by its id in the collection."""
        holder = self._connected() if self._stream.collection_group else self.collection()
        return holder.document(path)

    def run(self, query: Any) -> tuple[list[Any], SourceUnavailable | None]:
        """All documents that came, and the error that ended the stream early, if one did.

        Raises:
            SourceMisconfigured: the server refuses the query.
        """
        began = time.monotonic()
        snapshots, error = self._run_once(query, self._timeout_s)
        if error is None or not is_lost_connection(error):
            return snapshots, error
        spent_s = time.monotonic() - began
        if not snapshots and spent_s < self._timeout_s / 2:
            # A connection that idled is often only noticed as lost when it is used again.
            snapshots, error = self._run_once(query, self._timeout_s - spent_s)
        if error is not None and is_lost_connection(error):
            self.close()
        return snapshots, error

    def _run_once(self, query: Any, timeout_s: float) -> tuple[list[Any], SourceUnavailable | None]:
        snapshots: list[Any] = []
        error: SourceUnavailable | None = None
        try:
            with translate_errors(self.where):
                for snapshot in query.stream(retry=_never_retry(), timeout=timeout_s):
                    snapshots.append(snapshot)  # kept when a later one fails
        except SourceUnavailable as broken:
            error = broken
        if snapshots:
            self._server_clock.learn(read_time(snapshots[-1]))
        return snapshots, error

    def look_up(
        self, references: Sequence[Any], field: str
    ) -> tuple[list[Any], SourceUnavailable | None]:
        """A snapshot for each document that was answered for, with this field of it."""
        snapshots: list[Any] = []
        try:
            with translate_errors(self.where):
                for snapshot in self._connected().get_all(
                    references,
                    field_paths=[field],
                    retry=_never_retry(),
                    timeout=self._timeout_s,
                ):
                    snapshots.append(snapshot)  # kept when a later one fails
        except SourceUnavailable as error:
            return snapshots, error
        return snapshots, None

    def count(self, query: Any) -> tuple[int, int]:
        """How many documents match, and what it is billed: one read for each thousand begun."""
        with translate_errors(self.where):
            answer = query.count(alias="n").get(retry=_never_retry(), timeout=self._timeout_s)
            if not answer or not answer[0]:
                raise SourceUnavailable(f"{self.where}: a count ended without an answer.")
            n = int(answer[0][0].value)
        return n, max(1, -(-n // 1000))

    def close(self) -> None:
        """Drop the connection; the next read makes a new one.

        A channel that has failed waits longer and longer, up to two minutes, before it tries
        again; a new one tries at once, and how long to wait is the loop's decision.
        """
        # The client cannot be closed, only the transport that it makes when first used.
        api_client = getattr(self._client, "_firestore_api_internal", None)
        self._client = None
        if api_client is not None:
            api_client.transport.close()


def _never_retry() -> Retry:
    # None would make the client ask None for its predicate when a stream breaks.
    return Retry(predicate=lambda _error: False, timeout=1.0)
