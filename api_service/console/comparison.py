"""Two versions side by side: metrics, features, parameters, data, drift, and their answers.

Reads both manifests and both samples of held-out rows; opens no model. The version that serves
is open already and may be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import against
from api_service.console.drift import drift_rows
from api_service.console.home_page import model_url
from api_service.console.known import manifest_of
from api_service.console.words import NOTHING, change, figure, moment, short_version, size
from api_service.turnstile import opened
from shared.errors import NotFound, RequestInvalid
from shared.holdout_sample import HoldoutSample, read_sample
from shared.manifest import Manifest
from shared.model_loader import LoadedModel
from shared.workloads.base import RowRefused

if TYPE_CHECKING:
    from api_service.context import Context

Row = tuple[str, str, str, str]
"""What, of the one, of the other, how they differ."""


def view(context: Context, environ: dict[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """asked : model, and the versions a (the older, as a rule) and b."""
    model = asked.get("model", "")
    slot = context.table.slot(model)
    with opened(environ):
        stored = context.store.versions(model)
    names = [_stored(asked, name, stored) for name in ("a", "b")]
    with opened(environ):
        found = [_manifest(context, model, name) for name in names]
        samples = [read_sample(context.store.version_dir(model, name)) for name in names]
    one, other = found
    return {
        "model": model,
        "model_url": model_url(model),
        "stored": list(reversed(stored)),
        "a": one.version,
        "b": other.version,
        "metrics": _metrics(one, other),
        "same_rows": samples[1] is not None and samples[1].champion == one.version,
        "facts": _facts(one, other),
        "features": _features(one, other),
        "parameters": _values(one.parameters, other.parameters),
        "libraries": _values(one.libraries, other.libraries),
        "drift": drift_rows(one.features, samples[0], other.features, samples[1]),
        **_answers(one, other, samples, slot.live),
    }


def _stored(asked: Mapping[str, str], name: str, stored: Sequence[str]) -> str:
    version = asked.get(name, "")
    if version not in stored:
        raise RequestInvalid("a stored version of the model", version, name)
    return version


def _manifest(context: Context, model: str, version: str) -> Manifest:
    found = manifest_of(context, model, version)
    if isinstance(found, str):
        raise NotFound(found)
    return found


def _metrics(one: Manifest, other: Manifest) -> list[Row]:
    mine, others = (found.metrics.get("candidate", {}) for found in (one, other))
    return [
        (
            name,
            figure(mine.get(name)),
            figure(others.get(name)),
            change(mine.get(name), others.get(name)),
        )
        for name in dict.fromkeys([*mine, *others])
    ]


def _facts(one: Manifest, other: Manifest) -> list[tuple[str, str, str]]:
    def of(found: Manifest) -> dict[str, str]:
        known, held = found.watermark, found.holdout
        return {
            "trained": moment(found.trained_at),
            "newest record": moment(known.newest_record_at),
            "fitted on days until": known.trained_until,
            "records known": figure(known.n_records),
            "judged on": f"{held.first_day} to {held.last_day}, {figure(held.n_rows)} rows",
            "serving form": found.serving_form.form,
            "size": size(sum(entry.size_bytes for entry in found.files.values())),
            "run": found.run_id,
        }

    mine, others = of(one), of(other)
    return [(name, mine[name], others[name]) for name in mine]


def _features(one: Manifest, other: Manifest) -> dict[str, Any]:
    mine = {spec.name: spec for spec in one.features}
    others = {spec.name: spec for spec in other.features}
    both = [name for name in mine if name in others]
    return {
        "n_same": sum(mine[name] == others[name] for name in both),
        "only_a": [name for name in mine if name not in others],
        "only_b": [name for name in others if name not in mine],
        "changed": [
            (name, _spec(mine[name]), _spec(others[name]))
            for name in both
            if mine[name] != others[name]
        ],
    }


def _spec(spec: Any) -> str:
    low, high = (NOTHING if edge is None else f"{edge:g}" for edge in (spec.low, spec.high))
    return f"{spec.dtype}, {spec.unit}, {low} to {high}"


def _values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(name, value, value, whether they differ), those that differ first."""
    rows = [
        (name, _shown(one.get(name)), _shown(other.get(name)), one.get(name) != other.get(name))
        for name in dict.fromkeys([*one, *other])
    ]
    return sorted(rows, key=lambda row: not row[3])


def _shown(value: Any) -> str:
    return NOTHING if value is None else str(value)


# -- answers to the same rows ----------------------------------------------------------------------


def _answers(
    one: Manifest,
    other: Manifest,
    samples: Sequence[HoldoutSample | None],
    live: LoadedModel | None,
) -> dict[str, Any]:
    """A picture of both versions' answers, or why there is none."""
    versions = (one.version, other.version)
    for i in (1, 0):
        sample = samples[i]
        if sample is not None and sample.champion == versions[1 - i] and sample.champion_predicted:
            answers = [sample.predicted, sample.predicted]
            answers[1 - i] = sample.champion_predicted
            how = f"held-out rows of {short_version(versions[i])}, answered when it was judged"
            return {"answers": _picture(versions, answers, sample.unit, how), "why_no_answers": ""}
    for i in (1, 0):
        sample = samples[i]
        if live is None or live.version != versions[1 - i] or sample is None:
            continue
        asked = _ask(live, sample)
        if asked is not None:
            answers = [sample.predicted, sample.predicted]
            answers[1 - i] = asked
            how = (
                f"held-out rows of {short_version(versions[i])}; {short_version(live.version)},"
                " which serves, was asked just now"
            )
            return {"answers": _picture(versions, answers, sample.unit, how), "why_no_answers": ""}
    return {
        "answers": None,
        "why_no_answers": "Their answers to the same rows are known only when one of them was the"
        " champion while the other was judged, or when one of them serves now; and only for"
        " models that answer rows with one number each.",
    }


def _ask(live: LoadedModel, sample: HoldoutSample) -> list[float | None] | None:
    rows = live.answerer.rows
    if rows is None or not sample.features or len(sample.features[0]) != len(rows.features):
        return None
    matrix = np.array(sample.features, dtype=np.float64)  # None becomes NaN
    try:
        predicted = next(iter(live.answerer.predict_rows(matrix).values()))
    except RowRefused:
        return None
    values = np.asarray(predicted)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        return None
    answers: list[float | None] = values.astype(np.float64).tolist()
    return answers


def _picture(
    versions: Sequence[str], answers: Sequence[Sequence[float | None]], unit: str, how: str
) -> Picture:
    pairs = [(x, y) for x, y in zip(*answers, strict=True) if x is not None and y is not None]
    apart = [abs(x - y) for x, y in pairs]
    mean = sum(apart) / len(apart) if apart else 0.0
    names = [short_version(version) for version in versions]
    return against(
        "answers",
        f"What {names[0]} and {names[1]} answer to the same rows",
        f"{len(pairs)} {how}. On the line both answer the same; on average they are"
        f" {figure(mean, 3)} {unit} apart, at most {figure(max(apart, default=0.0), 3)}.",
        pairs,
        x_name=f"{names[0]}, {unit}",
        y_name=f"{names[1]}, {unit}",
        columns=[names[0], names[1], "difference"],
        rows=[[figure(x), figure(y), figure(y - x, 3)] for x, y in pairs[:60]],
    )
