"""Write a whole hotfit.toml from plans: what is certain in use, the rest as comments.

Text only. What needs a person stands where it is needed, as a comment with the lines to fill in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from retrain_service.discovery.address import Address
from retrain_service.discovery.config_text import commented, stream_lines, toml_value
from retrain_service.discovery.model_plans import ModelPlan
from retrain_service.discovery.stream_plan import StreamPlan
from retrain_service.sources.catalogue import Collection, Column, quoted_path
from shared.settings.sections import SourceSettings

_PURPOSES = {
    "product_recommender": "what a customer may want next",
    "product_similarity": "products like a product",
    "server_metrics": "where the metrics of servers will be in an hour",
    "solar_power": "the power of a device 15 minutes ahead, one model per device",
    "spare_parts": "how many of each part the coming weeks need",
}


def config_text(
    address: Address,
    plans: Sequence[ModelPlan],
    collections: Sequence[Collection],
    remarks: Sequence[str],
    today: date,
    source: SourceSettings,
) -> str:
    """The file, ending with a newline."""
    return "\n".join(_lines(address, plans, collections, remarks, today, source)) + "\n"


def _lines(
    address: Address,
    plans: Sequence[ModelPlan],
    collections: Sequence[Collection],
    remarks: Sequence[str],
    today: date,
    source: SourceSettings,
) -> Iterator[str]:
    yield f"# Written by `python -m retrain_service init` on {today}."
    yield "# A comment above a line says what is not certain; docs/settings.md has every setting."
    yield "# Look again at any time: python -m retrain_service check"
    yield ""
    yield f"[sources.{address.name}]"
    yield f"kind = {toml_value(address.kind)}"
    if source.project:
        yield f"project = {toml_value(source.project)}"
    if address.url:
        if address.has_secret:
            yield f"# The address with its password is read from the variable {address.variable}."
        yield f"url = {toml_value(address.shown)}"
    if source.api_key_env:
        yield f"api_key_env = {toml_value(source.api_key_env)}"
    naive = _naive_times(plans)
    if naive:
        yield f"# Times without a zone are taken for UTC ({naive}); if they are local, say where:"
        yield '# time_zone = "Europe/Berlin"'
    for remark in remarks:
        yield f"# {remark}"
    for plan in plans:
        yield ""
        yield from _model(address, plan)
    yield ""
    yield from _tabular(address, collections)


def _model(address: Address, plan: ModelPlan) -> Iterator[str]:
    purpose = _PURPOSES.get(plan.workload, "")
    if plan.why_not:
        yield f"# {plan.workload} ({purpose}): {plan.why_not}"
        return
    on = ", ".join(dict.fromkeys(each.collection.name for each in plan.streams.values()))
    yield f"# {purpose[:1].upper()}{purpose[1:]}; from {on}."
    yield f"[models.{plan.workload}]"
    yield f"workload = {toml_value(plan.workload)}"
    yield f"source = {toml_value(address.name)}"
    for stream in plan.streams.values():
        yield from stream_lines(plan.workload, stream)
    for other in plan.others:
        yield f"# {other.collection.name} would do as well, instead or as a model of its own:"
        yield from commented(list(stream_lines(plan.workload, other)))


def _naive_times(plans: Sequence[ModelPlan]) -> str:
    names = dict.fromkeys(
        f"{stream.collection.name}.{column.path}"
        for plan in plans
        for stream in plan.streams.values()
        for column in _times_of(stream)
        if column.is_naive_time
    )
    listed = list(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def _times_of(plan: StreamPlan) -> list[Column]:
    ordering = plan.collection.column(quoted_path(plan.updated_at))
    times = [match.column for match in plan.matches.values() if match.field.kind == "time"]
    return [*times, *([ordering] if ordering is not None else [])]


def _tabular(address: Address, collections: Sequence[Collection]) -> Iterator[str]:
    """What only a person can say: which column is to be learnt from which others."""
    tables = [each for each in collections if each.n_records and not each.query]
    largest = max(tables, key=lambda each: each.n_records or 0, default=None)
    yield "# tabular learns any column from other columns; only you can say which. For example:"
    lines = [
        "[models.my_model]",
        'workload = "tabular"',
        f"source = {toml_value(address.name)}",
        "[models.my_model.streams.records]",
        f"collection = {toml_value(largest.name if largest else 'TABLE')}",
        "[models.my_model.parameters]",
        'target = "COLUMN"',
        'features = ["COLUMN", "COLUMN"]',
    ]
    yield from commented(lines)
