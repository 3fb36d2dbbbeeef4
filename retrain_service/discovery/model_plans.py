"""Which workloads could live on what a database holds: a plan for each, and why not the others.

Pure but for the joins that it is given. Writes no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from retrain_service.discovery.field_match import tokens_of
from retrain_service.discovery.stream_plan import StreamPlan, plan_stream
from retrain_service.discovery.usual_names import STREAM_WORDS
from retrain_service.sources.catalogue import Collection
from shared.workloads import REGISTRY, open_workload
from shared.workloads.contract import Workload

_NEEDS_A_CHOICE = ("tabular",)
_MOST_OTHERS = 3
_LEAST_EVIDENCE: Mapping[str, int] = {
    "product_similarity": 2, "spare_parts": 3, "product_recommender": 2, "server_metrics": 2,
    "solar_power": 3,
}  # fmt: skip
"""Fields that must be found by name; a table with a `name` is not yet a catalogue."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One workload on one database.

    streams : stream -> its plan, those that there is a collection for.
    others : further collections that the main stream could live on, the better first.
    why_not : what is missing, as a sentence; "" where the model can be configured.
    """

    workload: str
    streams: Mapping[str, StreamPlan] = field(default_factory=dict)
    others: tuple[StreamPlan, ...] = ()
    why_not: str = ""


def plan_models(collections: Sequence[Collection], kind: str) -> list[ModelPlan]:
    """A plan for each workload that ships with Hotfit, in the order of the registry."""
    return [
        _plan(name, open_workload(name, {}), collections, kind)
        for name in REGISTRY
        if name not in _NEEDS_A_CHOICE
    ]


def _plan(name: str, workload: Workload, collections: Sequence[Collection], kind: str) -> ModelPlan:
    main = next(spec for spec in workload.streams if spec.is_counted)
    if name == "product_recommender":
        main = next(spec for spec in workload.streams if spec.name == "interactions")
    plans = sorted(
        (
            plan_stream(name, main, workload.fields_of(main.name), each, kind)
            for each in collections
            if each.n_records != 0
        ),
        key=lambda plan: -plan.score,
    )
    able = [plan for plan in plans if not plan.missing and _is_evident(name, main.name, plan)]
    if not able:
        return ModelPlan(name, why_not=_why_not(plans, main.purpose))
    streams = {main.name: able[0]}
    for spec in workload.streams:
        if spec.name != main.name:
            beside = sorted(
                (
                    plan_stream(name, spec, workload.fields_of(spec.name), each, kind)
                    for each in collections
                    if each.n_records != 0 and each is not able[0].collection and not each.query
                ),
                key=lambda plan: -plan.score,
            )
            chosen = next(
                (
                    plan
                    for plan in beside
                    if not plan.missing and _is_evident("product_similarity", spec.name, plan)
                ),
                None,
            )
            if chosen is not None:
                streams[spec.name] = chosen
            elif spec.is_required:
                return ModelPlan(name, why_not=_why_not(beside, spec.purpose))
    return ModelPlan(name, streams, _others(able))


def _others(able: Sequence[StreamPlan]) -> tuple[StreamPlan, ...]:
    """One plan a table: a table of lines is not offered again without its records."""
    found: dict[str, StreamPlan] = {}
    for plan in able[1:]:
        if plan.collection.name != able[0].collection.name:
            found.setdefault(plan.collection.name, plan)
    return tuple(found.values())[:_MOST_OTHERS]


def _is_evident(workload: str, stream: str, plan: StreamPlan) -> bool:
    """Enough of it was found by name, and not by constants or by a part of a name alone."""
    if plan.shape:
        return True
    n_found = sum(match.score >= 60 for match in plan.matches.values())
    names = {token.rstrip("s") for token in tokens_of(plan.collection.plain_name)}
    hints = {each.rstrip("s") for each in STREAM_WORDS.get((workload, stream), ())}
    least = _LEAST_EVIDENCE[workload]
    return n_found >= least + (0 if names & hints else 1)


def _why_not(plans: Sequence[StreamPlan], purpose: str) -> str:
    nearest = next((plan for plan in plans if plan.matches), None)
    if nearest is None:
        return f"nothing looks like {purpose}."
    lacks = ", ".join(nearest.missing) or "too little speaks for it"
    return f"nothing looks like {purpose}; nearest is {nearest.collection.name} (missing: {lacks})."
