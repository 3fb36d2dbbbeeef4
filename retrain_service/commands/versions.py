"""The commands `versions`, `rollback`, `hold` and `release`: list versions, change which serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from retrain_service.commands.daemon_client import do_or_ask, new_request
from retrain_service.commands.options import meant, with_model, with_options
from retrain_service.commands.output import Output
from retrain_service.home import read_store, signing_key
from retrain_service.publish.serving_pointer import apply_request
from shared.daemon.loop import utc_now
from shared.errors import ManifestInvalid, NotFound, StateConflict, StorageUnavailable
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.worker_report import WorkerReport, read_worker_reports
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.manifest import Manifest
from shared.versions.model_store import ModelStore


@click.command()
@with_model
@with_options
def versions(settings: Settings, out: Output, model: str, entity: str) -> None:
    """The versions that are kept, newest first, and what each is."""
    store = read_store(settings)
    names = (
        [meant(settings, model, entity)]
        if model or entity or not store.model_names()
        else store.model_names()
    )
    workers = read_worker_reports(settings.reports_dir)
    lines = [line for name in names for line in _lines(store, name, workers)]
    out.document({"versions": lines, "total": len(lines)})
    if not lines:
        out.say("no version yet.")
        return
    out.table(
        ("model", "version", "is", "trained", "workers", "metrics", "bytes"),
        [
            (
                line["model"],
                line["version"],
                ", ".join(line["roles"]) or "kept",
                line["trained_at"].strftime("%Y-%m-%d %H:%M") if line["trained_at"] else None,
                line["workers"],
                _spoken(line["metrics"]) if line["metrics"] else line["error"],
                f"{line['bytes']:,}",
            )
            for line in lines
        ],
    )


def _lines(store: ModelStore, name: str, workers: Sequence[WorkerReport]) -> list[dict[str, Any]]:
    signal = store.signal(name)
    found = [
        _line(store, name, version, signal, workers) for version in reversed(store.versions(name))
    ]
    anchors = {line["anchor"] for line in found if "wanted" in line["roles"]}
    for line in found:
        if line["version"] in anchors:
            line["roles"].append("anchor")
    return found


def _line(
    store: ModelStore,
    name: str,
    version: str,
    signal: ReloadSignal | None,
    workers: Sequence[WorkerReport],
) -> dict[str, Any]:
    manifest: Manifest | None = None
    error: str | None = None
    try:
        manifest = store.manifest(name, version)
    except (ManifestInvalid, NotFound, StorageUnavailable) as found:
        error = str(found)
    roles = []
    if signal is not None and version == signal.version:
        roles += ["wanted", "held"] if signal.hold else ["wanted"]
    if signal is not None and version == signal.previous:
        roles.append("previous")
    serving = [report.models[name] for report in workers if name in report.models]
    quarantined = [
        reason
        for report in serving
        for which, reason in report.quarantined.items()
        if which.partition(" ")[0] == version
    ]
    if quarantined:
        roles.append("quarantined")
    directory = store.version_dir(name, version)
    return {
        "model": name,
        "version": version,
        "roles": roles,
        "workers": sum(report.version == version for report in serving),
        "trained_at": manifest.trained_at if manifest else None,
        "run_id": manifest.run_id if manifest else None,
        "metrics": manifest.metrics.get("candidate") if manifest else None,
        "metric_unit": manifest.metric_unit if manifest else None,
        "reason": manifest.promotion.reason if manifest else None,
        "anchor": manifest.promotion.anchor if manifest else None,
        "quarantined": quarantined[0] if quarantined else None,
        "error": error,
        "bytes": sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()),
    }


@click.command()
@with_model
@click.option("--to", "version", default="", help="which version; default: the previous one")
@click.option("--reason", default="", help="why, for the log")
@with_options
def rollback(
    settings: Settings, out: Output, model: str, entity: str, version: str, reason: str
) -> None:
    """Serve an older version again and hold it: nothing is promoted until release."""
    name = meant(settings, model, entity)
    # Named, a version is gone back to whatever lies in the place of the signal.
    signal = None if version else read_store(settings).signal(name)
    if not version and (signal is None or signal.previous is None):
        raise NotFound(f"{name} has no previous version; --to names another one.")
    target = version or (signal.previous if signal is not None else None)
    _point(settings, out, "rollback", name, target, reason)


@click.command()
@with_model
@click.option("--reason", default="", help="why, for the log")
@with_options
def hold(settings: Settings, out: Output, model: str, entity: str, reason: str) -> None:
    """Keep what serves: runs go on, but nothing is promoted until release."""
    _point(settings, out, "hold", meant(settings, model, entity), None, reason)


@click.command()
@with_model
@click.option("--reason", default="", help="why, for the log")
@with_options
def release(settings: Settings, out: Output, model: str, entity: str, reason: str) -> None:
    """Let better versions be promoted again."""
    _point(settings, out, "release", meant(settings, model, entity), None, reason)


def _point(
    settings: Settings, out: Output, kind: str, name: str, version: str | None, reason: str
) -> None:
    request = new_request(kind, name, utc_now(), version=version, reason=reason)

    def do(run_log: RunLog) -> str:
        key = signing_key(settings)
        store = ModelStore(settings.models_dir, signing=key)
        said, sentence = apply_request(store, request, key.verify_key, utc_now())
        run_log.add_event(utc_now(), name, said, sentence, details={"request_id": request.id})
        if said == "refusal":
            raise StateConflict(sentence)
        return sentence

    sentence = do_or_ask(settings, request, do, lambda event: event.sentence)
    signal = read_store(settings).signal(name)
    out.say(f"{name}: {sentence}")
    out.document(
        {
            "model": name,
            "sentence": sentence,
            "version": signal.version if signal else None,
            "generation": signal.generation if signal else None,
            "previous": signal.previous if signal else None,
            "hold": signal.hold if signal else None,
        }
    )


def _spoken(metrics: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in list(metrics.items())[:4])
