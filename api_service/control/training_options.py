"""What a person may ask of one training: read strictly, with an error that says where it broke."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api_service.control.wait import LONGEST_S
from api_service.web.json_body import only_fields, text_field
from shared.errors import RequestInvalid

MOST_DAYS = 3660


def read_options(body: Mapping[str, Any]) -> tuple[dict[str, Any], float, str]:
    """The body of a request to train.

    Returns:
        (options of the run, seconds to wait for its end, the reason given).

    Raises:
        RequestInvalid: a field is unknown or not what it should be.
    """
    only_fields(body, "days", "parameters", "incremental", "force", "wait", "reason")
    options: dict[str, Any] = {}
    if (days := body.get("days")) is not None:
        if isinstance(days, float) and days.is_integer():  # to JSON 7.0 is a whole number
            days = int(days)
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MOST_DAYS:
            raise RequestInvalid(f"a whole number from 1 to {MOST_DAYS}", days, "days")
        options["days"] = days
    if (parameters := body.get("parameters")) is not None:
        if not isinstance(parameters, dict):
            raise RequestInvalid("an object of the workload's parameters", parameters, "parameters")
        options["parameters"] = parameters
    for name in ("incremental", "force"):
        if (value := body.get(name)) is not None:
            if not isinstance(value, bool):
                raise RequestInvalid("true or false", value, name)
            options[name] = value
    return options, _wait_s(body.get("wait")), text_field(body, "reason", "a text") or ""


def _wait_s(value: object) -> float:
    if value is None or value is False:
        return 0.0
    if value is True:
        return float(LONGEST_S)
    if isinstance(value, (int, float)) and 0 <= value <= LONGEST_S:
        return float(value)
    raise RequestInvalid(f"true, false, or seconds from 0 to {LONGEST_S}", value, "wait")
