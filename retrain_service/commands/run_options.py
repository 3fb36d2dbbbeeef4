"""What a person can ask of one run, as options and as a request carries it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from retrain_service.commands.options import Command
from shared.errors import FixConfiguration

MOST_DAYS = 3660  # as the API has it


def run_options(command: Command) -> Command:
    """What a person can ask of one run."""
    for option in (
        click.option("--force", is_flag=True, help="train although nothing has changed"),
        click.option(
            "--incremental/--full",
            default=None,
            help="continue the version that serves, or train from scratch; default: as configured",
        ),
        click.option(
            "--parameter",
            "parameters",
            multiple=True,
            metavar="NAME=VALUE",
            help="a parameter of the workload, for this run; may be repeated",
        ),
        click.option(
            "--days",
            type=click.IntRange(1, MOST_DAYS),
            help="train on the newest so many days only",
        ),
    ):
        command = option(command)
    return command


def options_of(
    days: int | None, parameters: Sequence[str], incremental: bool | None, force: bool
) -> dict[str, Any]:
    """The options as a request carries them; values are JSON, or else text.

    Raises:
        FixConfiguration: a parameter is not NAME=VALUE.
    """
    found: dict[str, Any] = {}
    if days is not None:
        found["days"] = days
    if incremental is not None:
        found["incremental"] = incremental
    if force:
        found["force"] = True
    for text in parameters:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise FixConfiguration(f"--parameter: expected NAME=VALUE, found {text!r}.")
        try:
            decoded = msgspec.json.decode(value)
        except msgspec.DecodeError:
            decoded = value
        found.setdefault("parameters", {})[name] = decoded
    return found
