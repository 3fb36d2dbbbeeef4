"""Build the page that compares two versions: metrics, features, parameters, data, drift, answers.

Reads both manifests and both samples of held-out rows; opens no model. The version that serves
is open already and may be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from api_service.console.compare import lists as same_questions
from api_service.console.compare import rows as same_rows
from api_service.console.compare.drift import drift_rows
from api_service.console.data import manifest_of
from api_service.console.formatting import NOTHING, change, figure, moment, short_version, size
from api_service.console.views.home import model_url
from api_service.web.yield_lock import yield_lock
from shared.errors import NotFound, RequestInvalid
from shared.loading.open_version import LoadedModel
from shared.versions.answer_sample import AnswerSample, read_answers
from shared.versions.holdout_sample import HoldoutSample, read_sample
from shared.versions.manifest import Manifest

if TYPE_CHECKING:
    from api_service.context import Context

Row = tuple[str, str, str, str]
"""What, of the one, of the other, how they differ."""


def view(context: Context, environ: dict[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """asked : model, and the versions a (the older, as a rule) and b."""
    model = asked.get("model", "")
    slot = context.table.slot(model)
    with yield_lock(environ):
        stored = context.store.versions(model)
    names = [_stored(asked, name, stored) for name in ("a", "b")]
    with yield_lock(environ):
        found = [_manifest(context, model, name) for name in names]
        directories = [context.store.version_dir(model, name) for name in names]
        samples = [read_sample(directory) for directory in directories]
        lists = [read_answers(directory) for directory in directories]
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
        "parameters": _values(_flat(one.parameters), _flat(other.parameters)),
        "libraries": _values(one.libraries, other.libraries),
        "drift": drift_rows(one.features, samples[0], other.features, samples[1]),
        "asked_what": "questions" if any(one is not None for one in lists) else "rows",
        "why_no_drift": _why_no_drift(found, samples, lists),
        **_answers(found, samples, lists, slot.live),
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
            "judged estimator fitted until": found.judged_day,
            "served estimator fitted until": known.trained_until,
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


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}: a table within a table is a line for each of its values."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or NOTHING
    return NOTHING if value is None or value == {} else str(value)


# -- answers to the same rows ----------------------------------------------------------------------


def _answers(
    found: Sequence[Manifest],
    samples: Sequence[HoldoutSample | None],
    lists: Sequence[AnswerSample | None],
    live: LoadedModel | None,
) -> dict[str, Any]:
    """What both answer to the same, or why it cannot be shown."""
    one, other = found
    answers = same_rows.view(found, samples, live)
    if not answers.pictures and not answers.tables:
        answers = same_questions.view((one.version, other.version), *lists)
    is_empty = not answers.pictures and not answers.tables and not answers.text
    return {"answers": None if is_empty else answers, "why_no_answers": _why(samples, lists)}


def _why(samples: Sequence[HoldoutSample | None], lists: Sequence[AnswerSample | None]) -> str:
    if any(one is not None for one in lists):
        return (
            "One of the versions was made before answers were kept beside a version, or nobody"
            " that was asked about is known to both. Any two that are trained from now on can be"
            " compared."
        )
    if any(one is not None for one in samples):
        return (
            "Their answers to the same rows are known only when one of them was the champion while"
            " the other was judged, or when one of them serves now and takes the same columns:"
            " choose two neighbours, or the one that serves."
        )
    return (
        "Neither version carries held-out rows or answers: they were made by hand, or before such"
        " were kept. Versions that are trained from now on carry them."
    )


def _why_no_drift(
    found: Sequence[Manifest],
    samples: Sequence[HoldoutSample | None],
    lists: Sequence[AnswerSample | None],
) -> str:
    if any(one is not None for one in lists):
        return (
            "This model learns from documents and events, not from columns of values: it has no"
            " feature that could drift. How much its data grew stands under Data and form, what"
            " that did to its answers beside it."
        )
    missing = [
        short_version(each.version)
        for each, sample in zip(found, samples, strict=True)
        if sample is None
    ]
    return (
        f"{' and '.join(missing)} carr{'ies' if len(missing) == 1 else 'y'} no held-out rows to"
        " compare."
    )
