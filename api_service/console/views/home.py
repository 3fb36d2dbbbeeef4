"""Build the console's home page: overall health, the models, and the latest events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from api_service.console.data import Past, Reports
from api_service.console.views.hints import what_to_do
from api_service.console.views.timeline import lines
from api_service.serving_slot import ServingSlot
from api_service.status.models import model_entry
from api_service.web.public_path import public_path
from api_service.web.query import as_whole_number
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.retrain_report import TrainingReport

A_PAGE = 100
STATES = ("ok", "degraded", "not_ready")
_HEADLINES = {"ok": "All is well", "degraded": "Needs a look", "not_ready": "Not ready"}
_LARGEST_OFFSET = 2**31
SHOWN = ("all", "attention", "training", "held")
WELL_SOURCES = frozenset({"ok", "catching_up"})


def view(
    reports: Reports,
    slots: Sequence[ServingSlot],
    past: Past,
    asked: Mapping[str, str],
    read_signal: Callable[[str], ReloadSignal | None],
) -> dict[str, Any]:
    """asked : the query, with q (text in the name), show and offset.

    Only the models of the page that is shown are looked at closely.
    """
    health = reports.health(slots)
    words, shown = asked.get("q", "").strip().lower(), asked.get("show", "all")
    named = {name: _names(name, reports, slots) for name in SHOWN[1:]}
    chosen = named.get(shown)
    found = [
        slot for slot in slots if words in slot.name and (chosen is None or slot.name in chosen)
    ]
    offset = min(offset_of(asked), max(len(found) - 1, 0) // A_PAGE * A_PAGE)
    return {
        **headline(health),
        "rows": [
            {
                **model_entry(
                    slot,
                    reports.workers,
                    reports.now,
                    read_signal(slot.name) if slot.is_idle else None,
                ),
                "url": model_url(slot.name),
                "is_idle": slot.is_idle,
                "training": reports.training(slot.name),
                "needs_a_look": slot.name in named["attention"],
            }
            for slot in found[offset : offset + A_PAGE]
        ],
        "total": len(slots),
        "n_found": len(found),
        "q": asked.get("q", ""),
        "show": shown if shown in SHOWN else "all",
        "counts": {"all": len(slots), **{name: len(names) for name, names in named.items()}},
        "pager": pager(
            "/", offset, A_PAGE, len(found), {"q": words, "show": asked.get("show", "")}
        ),
        "events": lines(past.events)[:12],
        "workers": reports.workers,
        "expected_workers": reports.expected_workers,
        "retrain": health["retrain"],
        "nobody_trains": nobody_trains(health),
        "now": reports.now,
    }


def _names(shown: str, reports: Reports, slots: Sequence[ServingSlot]) -> set[str]:
    """The models that a filter shows."""
    report = reports.retrain.report
    trainings = report.models if report is not None else {}
    if shown == "training":
        return {name for name, training in trainings.items() if training.running_run_id}
    if shown == "held":
        return {name for name, training in trainings.items() if training.hold}
    closed = {slot.name for slot in slots if slot.live is None and not slot.is_idle}
    unwell = {
        name
        for worker in reports.workers
        for name, serving in worker.models.items()
        if serving.degraded or serving.error
    }
    training = {name for name, training in trainings.items() if _is_troubled(training)}
    return closed | unwell | training


def _is_troubled(training: TrainingReport) -> bool:
    return bool(training.error) or any(
        source.state not in WELL_SOURCES for source in training.sources
    )


def headline(health: Mapping[str, Any]) -> dict[str, Any]:
    """The sentence at the top, and what else there is to say."""
    problems, codes = list(health["problems"]), list(health["problem_codes"])
    sentence = str(problems[0] if problems else health["sentence"])
    if sentence.startswith("the "):  # anything else may begin with the name of a model
        sentence = sentence[0].upper() + sentence[1:]
    return {
        "status": health["status"],
        "headline": _HEADLINES[health["status"]],
        "sentence": sentence.removeprefix("All is well: "),
        "advice": what_to_do(codes[0]) if codes else "",
        "problems": [
            (problem, what_to_do(code)) for problem, code in zip(problems, codes, strict=True)
        ][1:],
    }


def nobody_trains(health: Mapping[str, Any]) -> bool:
    """What the retrain daemon said that it would do is not done while it is gone."""
    return bool(health["retrain"]["state"] == "not_running")


def model_url(name: str) -> str:
    return public_path(f"/console/models/{quote(name)}")


def offset_of(asked: Mapping[str, str], name: str = "offset") -> int:
    """Where the page begins: from the start for a text that is no place in any list."""
    return min(as_whole_number(asked.get(name, "0")) or 0, _LARGEST_OFFSET)


def pager(
    path: str, offset: int, limit: int, total: int, rest: Mapping[str, str], name: str = "offset"
) -> dict[str, Any]:
    """Where the pages before and after are; None where there is none."""

    def at(place: int) -> str:
        query = {key: value for key, value in rest.items() if value}
        return public_path(f"{path}?{urlencode({**query, name: place})}")

    return {
        "first": offset + 1 if total else 0,
        "last": min(offset + limit, total),
        "total": total,
        "before": at(max(offset - limit, 0)) if offset > 0 else None,
        "after": at(offset + limit) if offset + limit < total else None,
    }
