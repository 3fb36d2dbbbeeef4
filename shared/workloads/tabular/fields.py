"""Declare what the workload reads from rows: the columns that its parameters name. Reads none."""

from __future__ import annotations

from shared.documents.field_specs import FieldKind, FieldSpec
from shared.workloads.tabular.parameters import TabularParameters

_KINDS: dict[str | None, FieldKind] = {
    None: "value",
    "category": "value",
    "bool": "flag",
    "text": "text",
}


def row_fields(parameters: TabularParameters) -> tuple[FieldSpec, ...]:
    """The target, the row's own time if it has one, and every feature in order."""
    task = parameters.known_task
    is_number = task == "regression" or (task is None and bool(parameters.target_unit))
    time = [FieldSpec(parameters.time, "time", "the row's own time", is_needed=True)]
    return (
        FieldSpec(
            parameters.target,
            "number" if is_number else "value",
            "the target",
            parameters.target_unit,
            is_needed=True,
        ),
        *(time if parameters.time else []),
        *(
            FieldSpec(
                name,
                _KINDS.get(column.type, "number"),
                "a feature",
                column.unit,
                is_needed=bool(column.required),
            )
            for name, column in parameters.columns.items()
        ),
    )
