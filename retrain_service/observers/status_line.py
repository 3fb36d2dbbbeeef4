"""Describe the retrain daemon in one line for systemd. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.exchange.retrain_report import TrainingReport

_SHOWN = 3
_LONGEST = 500


def status_line(trainings: Mapping[str, TrainingReport], trouble: str | None) -> str:
    """What is amiss, else what is being trained, else what the next run waits for.

    Args:
        trainings: full name of each training -> how it stands.
        trouble: what the loop itself stumbled over.
    """
    if trouble:
        return _one_line(trouble)
    n_names = f"{len(trainings)} model{'' if len(trainings) == 1 else 's'}"
    running = [_running(name, each) for name, each in trainings.items() if each.running_run_id]
    if running:
        return _one_line(f"{n_names}; training {_few(running)}")
    failed = [f"{name}: {each.error}" for name, each in trainings.items() if each.error]
    if failed:
        return _one_line(f"{n_names}; {_few(failed)}")
    return _one_line(
        f"{n_names}; next {_few([f'{name} {each.next_due}' for name, each in trainings.items()])}"
        if trainings
        else n_names
    )


def _running(name: str, training: TrainingReport) -> str:
    stage = f" ({training.stage})" if training.stage else ""
    return f"{name}{stage}"


def _few(sentences: list[str]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join(sentences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
