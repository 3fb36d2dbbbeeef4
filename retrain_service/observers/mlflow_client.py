"""Call the few routes of an MLflow tracking server that the exporter needs, over plain HTTP.

Not MLflow's own client: that brings forty packages and 70 MB of memory into the daemon for the
sake of six small requests. Knows nothing of runs of ours.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from shared.errors import TryLater

TIMEOUT_S = 10.0
EXISTS = "RESOURCE_ALREADY_EXISTS"
ABSENT = "RESOURCE_DOES_NOT_EXIST"


class MlflowUnavailable(TryLater):
    """The tracking server did not answer, or refused; the sentence says what it said."""

    def __init__(self, sentence: str, code: str | None = None, status: int | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status


class MlflowApi:
    """One tracking server. Credentials as MLflow's own client finds them, in the environment."""

    def __init__(self, tracking_uri: str) -> None:
        parts = urllib.parse.urlsplit(tracking_uri)
        given = {
            "MLFLOW_TRACKING_USERNAME": parts.username,
            "MLFLOW_TRACKING_PASSWORD": parts.password,
        }
        known = {**os.environ, **{name: value for name, value in given.items() if value}}
        # Without what may stand before an @: this is what logs show.
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._root = bare.rstrip("/") + "/api/2.0/mlflow/"
        self._headers = {"Content-Type": "application/json", **_authorization(known)}

    def experiment_id(self, name: str) -> str:
        """The id of an experiment; it is made when there is none."""
        try:
            found = self._ask("GET", f"experiments/get-by-name?experiment_name={_quoted(name)}")
        except MlflowUnavailable as error:
            if error.code != ABSENT:
                raise
            try:
                return str(self._ask("POST", "experiments/create", {"name": name})["experiment_id"])
            except MlflowUnavailable as made:
                if made.code != EXISTS:  # by somebody else, just now
                    raise
                found = self._ask("GET", f"experiments/get-by-name?experiment_name={_quoted(name)}")
        return str(found["experiment"]["experiment_id"])

    def find_run(self, experiment_id: str, tag: str, value: str) -> tuple[str, str] | None:
        """MLflow's id and the status of the run with that tag; None when there is none."""
        found = self._ask(
            "POST",
            "runs/search",
            {
                "experiment_ids": [experiment_id],
                "filter": f"tags.`{tag}` = '{value}'",
                "max_results": 1,
            },
        )
        for run in found.get("runs", []):
            return str(run["info"]["run_id"]), str(run["info"]["status"])
        return None

    def create_run(
        self, experiment_id: str, name: str, start_ms: int, tags: Mapping[str, str]
    ) -> str:
        made = self._ask(
            "POST",
            "runs/create",
            {
                "experiment_id": experiment_id,
                "run_name": name,
                "start_time": start_ms,
                "tags": _pairs(tags),
            },
        )
        return str(made["run"]["info"]["run_id"])

    def log_batch(
        self,
        run_id: str,
        *,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        at_ms: int,
    ) -> None:
        self._ask(
            "POST",
            "runs/log-batch",
            {
                "run_id": run_id,
                "params": _pairs(params),
                "metrics": [
                    {"key": key, "value": value, "timestamp": at_ms, "step": 0}
                    for key, value in metrics.items()
                ],
            },
        )

    def end_run(self, run_id: str, status: str, end_ms: int) -> None:
        """status : FINISHED, FAILED or KILLED."""
        self._ask("POST", "runs/update", {"run_id": run_id, "status": status, "end_time": end_ms})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - http(s) only, checked by the caller
            self._root + path,
            data=json.dumps(body).encode() if body is not None else None,
            headers=self._headers,
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            code, said = _refusal(error)
            raise MlflowUnavailable(
                f"MLflow at {self._root}: {path.partition('?')[0]}: {error.code} {said}",
                code,
                error.code,
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise MlflowUnavailable(f"MLflow at {self._root} does not answer: {reason}.") from None


def _refusal(error: urllib.error.HTTPError) -> tuple[str | None, str]:
    try:
        body = json.loads(error.read())
        return body.get("error_code"), str(body.get("message", ""))[:300]
    except (OSError, ValueError, AttributeError):
        return None, str(error.reason)


def _authorization(environment: Mapping[str, str]) -> dict[str, str]:
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = environment.get("MLFLOW_TRACKING_USERNAME")
    password = environment.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
