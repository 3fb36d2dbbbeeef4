"""Declare what the workload reads from readings of devices. Reads no record."""

from __future__ import annotations

from shared.documents.field_specs import FieldSpec

READING = (
    FieldSpec("device_id", "id", "which device", is_needed=True),
    FieldSpec("timestamp", "time", "the moment of the reading", is_needed=True),
    FieldSpec(
        "status",
        "word",
        "whether the device was online",
        is_needed=True,
        meanings={"online": ("online",)},
    ),
    FieldSpec("power", "number", "what the device gives", "W", is_needed=True),
    FieldSpec("voltage", "number", "voltage of the panel", "V"),
    FieldSpec("current", "number", "current of the panel", "A"),
    FieldSpec("lux", "number", "light on the panel", "lx"),
    FieldSpec("temperature", "number", "temperature at the device", "°C"),
    FieldSpec("humidity", "number", "relative humidity", "%"),
    FieldSpec("servo_angle", "number", "angle of a panel that turns", "°"),
    FieldSpec("fan_status", "flag", "whether the fan runs"),
)
