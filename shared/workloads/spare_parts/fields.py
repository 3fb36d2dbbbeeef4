"""Declare what the workload reads from appointments and from the catalogue. Reads no record."""

from __future__ import annotations

from shared.documents.field_specs import FieldSpec

LINES = "spareParts"

APPOINTMENT = (
    FieldSpec(
        "status",
        "word",
        "whether the work is done",
        is_needed=True,
        meanings={"complete": ("completed", "complete")},
    ),
    FieldSpec(
        "date",
        "time",
        "the day of the appointment",
        is_needed=True,
        usual=(
            "appointmentDate",
            "appointment_date",
            "completedDate",
            "completed_date",
            "timestamp",
            "createdAt",
            "created_at",
        ),
    ),
    FieldSpec(
        LINES,
        "list",
        "the parts that were used, or taken back",
        is_needed=True,
        usual=("spare_parts",),
    ),
    FieldSpec("name", "text", "name of the part", in_list=LINES, is_line_only=True),
    FieldSpec("sku", "id", "number of the part", in_list=LINES, is_line_only=True),
    FieldSpec(
        "quantity",
        "number",
        "how many; 1 where a line does not say",
        "pieces",
        usual=("qty",),
        in_list=LINES,
        is_line_only=True,
    ),
)

CATALOGUE = (
    FieldSpec("name", "text", "name of the part", is_needed=True),
    FieldSpec("sku", "id", "number of the part"),
    FieldSpec("price", "number", "price of one", "the shop's currency"),
)
