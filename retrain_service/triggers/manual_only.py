"""Decide for a command that trains once: train when asked, as soon as all streams are read.

Pure. Takes the place of `triggers.decide`, so that nothing else starts a run meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from retrain_service.triggers import decide, decision
from retrain_service.triggers.training_state import TrainingState
from shared.settings.per_model import TriggerSettings


def decide_when_asked(
    state: TrainingState, settings: TriggerSettings, now: datetime
) -> decision.Decision:
    """Train when a person asked; else wait, with what the triggers say as the reason."""
    if state.running is not None:
        return decision.Wait("a run is under way")
    if state.requested is not None and state.n_usable_records and not state.is_catching_up:
        return decide.decide(state, settings, now)
    usual = decide.decide(replace(state, requested=None), settings, now)
    if isinstance(usual, decision.Wait):
        return usual
    return decision.Wait(f"due now: {usual.reason}", usual.trigger)
