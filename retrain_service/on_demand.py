"""When to train for a command that trains once: when asked, and all that is there has been read.

Pure. Takes the place of `triggers.decide`, so that nothing else starts a run meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from retrain_service import triggers
from retrain_service.training_state import TrainingState
from shared.settings_per_model import TriggerSettings


def decide_when_asked(
    state: TrainingState, settings: TriggerSettings, now: datetime
) -> triggers.Decision:
    """Train when a person asked; else wait, with what the triggers say as the reason."""
    if state.running is not None:
        return triggers.Wait("a run is under way")
    if state.requested is not None and state.n_usable_records and not state.is_catching_up:
        return triggers.decide(state, settings, now)
    usual = triggers.decide(replace(state, requested=None), settings, now)
    if isinstance(usual, triggers.Wait):
        return usual
    return triggers.Wait(f"due now: {usual.reason}", usual.trigger)
