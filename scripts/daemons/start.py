"""Start both daemons, wait until predictions are served, say what to try."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psutil

from scripts.daemons import health, processes
from scripts.daemons.preset import Preset, Question
from scripts.daemons.terminal import ProgressLine, complain, paint, say
from scripts.demo import seed
from shared.keys.api_keys import Role
from shared.settings.root import Settings

EXIT_ALREADY_RUNNING = 3
EXIT_FAILED = 4
_LOOK_EVERY_S = 0.25
_DEGRADED_PATIENCE_S = 5.0
_SHOWN_LOG_LINES = 10
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_IS_WINDOWS = sys.platform == "win32"
_SUFFIX = "bat" if _IS_WINDOWS else "sh"


def start(settings: Settings, *, preset: Preset | None, wait_s: float) -> int:
    """Start what does not run yet and wait; the exit code of start.sh.

    preset : where the settings come from; its demo data is filled first. None: the user's own.
    """
    option = preset.option if preset is not None else ""
    began = time.monotonic()
    found = {each: processes.running(each, settings.pids_dir) for each in processes.DAEMONS}
    running = {each: process for each, process in found.items() if process is not None}
    if len(running) == len(found):
        pids = ", ".join(f"{each.name} (pid {process.pid})" for each, process in running.items())
        complain(f"Already running: {pids}, {health.base_url(settings)}. Nothing was started.")
        complain(
            f"To restart: scripts/stop.{_SUFFIX}{option}, then scripts/start.{_SUFFIX}{option}."
        )
        return EXIT_ALREADY_RUNNING
    if preset is not None:
        _prepare(preset, settings)
    for daemon, process in running.items():
        say(f"{daemon.name}  was running (pid {process.pid})")
    started: list[processes.Started] = []
    for daemon in processes.DAEMONS:
        if daemon not in running:
            if daemon is processes.API:
                _wait_for_keys(settings, started)
            log_path = settings.logs_dir / f"{daemon.name}.log"
            started.append(processes.start(daemon, settings.home, log_path))
            say(f"{daemon.name}  started (pid {started[-1].child.pid})")
    if wait_s <= 0:
        say(f"Not waiting. Look: scripts/status.{_SUFFIX}{option}   Logs: {settings.logs_dir}")
        return 0
    now = _wait_until_serving(settings, started, began + wait_s, option)
    if now is None:
        return EXIT_FAILED
    _say_what_to_try(settings, preset, now, took_s=time.monotonic() - began)
    return 0


def _prepare(preset: Preset, settings: Settings) -> None:
    """Fill the demo data of a preset, and say that it is that."""
    if preset.is_asked:
        say(f"Preset {preset.name}: scripts/presets/{preset.name}.toml, with demo data.")
    else:
        say("No hotfit.toml here: using the embedded demo database, filled with synthetic data.")
    say("For your own: copy docs/hotfit.example.toml to hotfit.toml and edit it.")
    demo = preset.demo_data()
    sentence = demo.prepare(settings, datetime.now(UTC)) if demo is not None else None
    if sentence is not None:
        say(sentence)


def _needs_key(settings: Settings) -> bool:
    """Whether also a request from this machine needs a key."""
    return settings.api.host not in _LOOPBACK or settings.api.require_keys == "always"


def _wait_for_keys(settings: Settings, started: Sequence[processes.Started]) -> None:
    """Where every request needs a key the retrain daemon must make them first."""
    deadline = time.monotonic() + 30.0
    while (
        _needs_key(settings)
        and not (settings.keys_dir / f"{Role.ADMIN}.key").exists()
        and all(each.child.poll() is None for each in started)
        and time.monotonic() < deadline
    ):
        time.sleep(_LOOK_EVERY_S)


def _wait_until_serving(
    settings: Settings, started: Sequence[processes.Started], deadline: float, option: str
) -> health.Health | None:
    """Wait, showing what is going on; None when it will not or did not come to serve."""
    progress = ProgressLine()
    patience_until = deadline
    try:
        while True:
            dead = [each for each in started if each.child.poll() is not None]
            if dead:
                progress.close()
                _say_why_it_ended(settings, dead, started)
                return None
            now = health.ask(settings)
            # Another server on our port may answer too, until our daemon says so and ends.
            if now.is_serving and processes.running(processes.API, settings.pids_dir):
                # That one model of several has been trained is no moment to stop.
                is_early = health.is_first_training(settings)
                is_well = now.status == "ok" and not is_early
                if is_well or time.monotonic() > patience_until:
                    return now
                # Some of what is amiss in the first moments passes by itself.
                soon = time.monotonic() + _DEGRADED_PATIENCE_S
                patience_until = deadline if is_early else min(patience_until, soon)
            text, detail = health.what_it_waits_for(settings, now)
            if time.monotonic() > deadline:
                progress.close()
                complain(f"Not healthy yet: {text} {detail}".rstrip())
                complain(f"Both daemons go on. Look: scripts/status.{_SUFFIX}{option}")
                complain(f"Logs: {settings.logs_dir}")
                return None
            progress.show(text, detail)
            time.sleep(_LOOK_EVERY_S)
    finally:
        progress.close()


def _say_why_it_ended(
    settings: Settings,
    dead: Sequence[processes.Started],
    started: Sequence[processes.Started],
) -> None:
    """The last words of a daemon; what else this start has begun is taken back."""
    for each in dead:
        lines = each.log_lines()
        # A daemon that gives up on purpose says so in lines that begin with its name.
        own_words = [line for line in lines if line.startswith(f"{each.daemon.name}: ")]
        complain(f"{each.daemon.name} ended with exit code {each.child.returncode}:")
        for line in (own_words or lines)[-_SHOWN_LOG_LINES:]:
            complain(f"  {line}")
        complain(f"  ({each.log_path})")
    for each in started:
        if each not in dead:
            try:
                main = psutil.Process(each.child.pid)
                group = processes.members(each.daemon, settings.home, main)
                processes.ask_to_stop(main)
            except psutil.NoSuchProcess:
                continue
            processes.kill(processes.wait_for_end(group, 10.0))
            complain(f"{each.daemon.name} was stopped again.")


def _say_what_to_try(
    settings: Settings, preset: Preset | None, now: health.Health, took_s: float
) -> None:
    colour = "green" if now.status != "degraded" else "yellow"
    say()
    say(f"Hotfit is {paint(now.status, colour)} after {took_s:.0f} s: {health.base_url(settings)}")
    if now.status == "degraded":
        say(f"  {now.sentence}")
    say(f"Logs: {settings.logs_dir}")
    say(f"Stop: scripts/stop.{_SUFFIX}{preset.option if preset is not None else ''}")
    say()
    say("Try:")
    for line in what_to_try(settings, questions(settings, preset, datetime.now(UTC))):
        say(f"  {line}")


def questions(settings: Settings, preset: Preset | None, now: datetime) -> list[Question]:
    """What to ask the API: about the preset's data, or what holds for every configuration."""
    demo = preset.demo_data() if preset is not None else None
    if demo is not None:
        return demo.questions(settings, now)
    if any(model.workload == "spare_parts" for model in settings.models.values()):
        return seed.questions(settings, now)
    return [("/models", None), ("/runs", None)]


def what_to_try(settings: Settings, asked: Sequence[Question]) -> list[str]:
    """Lines for a shell of this system that work as they stand."""
    curl = ["curl", "-s"]
    if _needs_key(settings) and not _IS_WINDOWS:
        key_path = shlex.quote(str(settings.keys_dir / f"{Role.PREDICT}.key"))
        curl += ["-H", f'"X-API-Key: $(head -n 1 {key_path})"']
    url = health.base_url(settings)
    lines = [[*curl, f"{url}/health"]]
    for path, body in asked:
        line = [*curl, f"{url}{path}"]
        if body is not None:
            text = json.dumps(body)
            quoted = '"' + text.replace('"', '\\"') + '"' if _IS_WINDOWS else shlex.quote(text)
            line += ["-H", '"Content-Type: application/json"', "-d", quoted]
        lines.append(line)
    return [" ".join(line) for line in lines]
