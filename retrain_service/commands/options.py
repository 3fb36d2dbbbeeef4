"""Shared by all commands: common options, exit codes, and errors as sentences."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, cast

import click
import msgspec
import structlog

from retrain_service.commands.output import Output
from shared.daemon.logs import start_logging
from shared.errors import AlreadyRunning, AnswerClient, FixConfiguration, HotfitError
from shared.exchange.json_files import SignalUnreadable
from shared.settings.root import Settings, load_settings
from shared.versions.model_names import entity_name, full_name

EXIT_FAILED = 1
"""It did not succeed, or there is no such thing."""
EXIT_CONFIGURATION = 2
EXIT_ALREADY_RUNNING = 3
EXIT_LATER = 4
"""The disk, or the daemon did not answer in time: the same again may succeed."""
EXIT_NOT_PROMOTED = 10

MOST_DAYS = 3660  # as the API has it

Command = Callable[..., None]


def with_options(command: Command) -> Command:
    """Give a command `--json`, the settings and an Output, and end it with an exit code.

    The command is called with `settings` and `out` before its own arguments.
    """

    @wraps(command)
    def run(config: Path | None, as_json: bool, **options: Any) -> None:
        out = Output(as_json=as_json)
        try:
            settings = load_settings(config)
            log_to_stderr(settings)
            command(settings, out, **options)
        except (HotfitError, SignalUnreadable) as error:
            fail(out, error)

    option = click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
    return option(click.pass_obj(cast(Any, run)))


def log_to_stderr(settings: Settings, *, verbose: bool = False) -> None:
    """A daemon's log is its voice; a command speaks itself, and logs only what is amiss."""
    start_logging(settings.log_format, "retrain_service")
    if not verbose:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def fail(out: Output, error: Exception) -> None:
    """One line for each fault, and the exit code that says which kind it is."""
    code = exit_code(error)
    for line in str(error).splitlines():
        out.complain(f"retrain_service: {line}")
    out.document({"error": str(error), "exit_code": code})
    sys.exit(code)


def exit_code(error: Exception) -> int:
    if isinstance(error, AlreadyRunning):
        return EXIT_ALREADY_RUNNING
    if isinstance(error, FixConfiguration):
        return EXIT_CONFIGURATION
    return EXIT_FAILED if isinstance(error, AnswerClient | SignalUnreadable) else EXIT_LATER


def with_model(command: Command) -> Command:
    """Add `--model` and `--entity`."""
    command = click.option("--entity", default="", help="one entity (device, shop) of the model")(
        command
    )
    return click.option("--model", default="", help="the model; may be left out when it is one")(
        command
    )


def configured(settings: Settings, model: str) -> str:
    """The configured model that is meant.

    Raises:
        FixConfiguration: there is none of that name, or several and none was named.
    """
    known = ", ".join(sorted(settings.models)) or "none"
    if not model and len(settings.models) == 1:
        return next(iter(settings.models))
    if not model:
        raise FixConfiguration(f"--model: expected one of the configured models ({known}).")
    if model not in settings.models:
        raise FixConfiguration(
            f"--model: expected one of the configured models ({known}), found {model!r}."
        )
    return model


def meant(settings: Settings, model: str, entity: str) -> str:
    """The full name, `<model>` or `<model>/<entity>`; `--model a/b` is understood, too.

    Raises:
        FixConfiguration: as above.
    """
    model, _, rest = model.partition("/")
    entity = entity or rest
    return full_name(configured(settings, model), entity_name(entity) if entity else "")


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
