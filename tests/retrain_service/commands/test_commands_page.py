"""docs/commands.md has every command and every option of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from retrain_service.cli import main

PAGE = Path(__file__).resolve().parents[3] / "docs" / "commands.md"
FOR_ALL = {"--json", "--help"}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def options_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (*parameter.opts, *parameter.secondary_opts)


@pytest.mark.parametrize("name", main.commands)
def test_every_command_has_a_section_with_all_its_options(name: str) -> None:
    """An option that is not on the page is an option nobody finds."""
    command, section = main.commands[name], sections()[name]

    for option in {*options_of(command)} - FOR_ALL:
        assert f"`{option}`" in section, f"{name}: {option}"
    if isinstance(command, click.Group):
        for below in command.commands:
            assert f"`{name} {below}" in section, below
            for option in {*options_of(command.commands[below])} - FOR_ALL:
                assert f"`{option}`" in section, f"{name} {below}: {option}"


@pytest.mark.parametrize("name", main.commands)
def test_every_option_on_the_page_exists(name: str) -> None:
    """Documented options that are gone cost more than undocumented ones."""
    command = main.commands[name]
    known = {*options_of(command), *FOR_ALL, "--offset"}
    if isinstance(command, click.Group):
        known |= {option for below in command.commands.values() for option in options_of(below)}

    for line in sections()[name].splitlines():
        if not line.startswith(("$", "30 2")):
            assert {*re.findall(r"`(--[a-z-]+)", line)} <= known


def test_options_of_all_commands_are_explained_once() -> None:
    """They are not repeated in each section."""
    common = sections()["For all of them"]

    for option in (*FOR_ALL, *options_of(main)):
        assert option in common
    for command in main.commands.values():
        if not isinstance(command, click.Group) and command.name != "run":
            assert "--json" in {*options_of(command)}, command.name
