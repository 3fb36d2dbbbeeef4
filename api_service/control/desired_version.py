"""Check a desired version before a control request for it is written.

Reads the signal, the store and the reports; writes nothing.
"""

from __future__ import annotations

from api_service.context import Context
from api_service.status.workers import live_reports
from shared.errors import KeyUnusable, StateConflict, VersionUnusable
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import VerifyKey
from shared.versions.verified_versions import VerifiedVersions


def signal_of(context: Context, model: str) -> ReloadSignal | None:
    """What is wanted; None before the first promotion, and where it cannot be read."""
    try:
        return context.store.signal(model)
    except SignalUnreadable:
        return None  # health says so; what is served is not in doubt


def wanted(context: Context, model: str) -> ReloadSignal:
    """What is wanted.

    Raises:
        StateConflict: nothing was promoted yet, or the signal cannot be read.
    """
    try:
        signal = context.store.signal(model)
    except SignalUnreadable as error:
        raise StateConflict(f"the desired version of {model} cannot be read: {error}.") from None
    if signal is None:
        raise StateConflict(f"no version of {model} has been promoted yet.")
    return signal


def require_verified(context: Context, model: str, version: str) -> None:
    """Refuse a version whose files are not what was signed; the retrain daemon would, too.

    Raises:
        StateConflict: what is wrong with it. StorageUnavailable: it cannot be read now.
    """
    try:
        key = VerifyKey.read(context.config.public_key_path)
        VerifiedVersions(context.store, key).verify(model, version)
    except KeyUnusable:
        return  # nothing can be judged here; the retrain daemon has a key of its own
    except VersionUnusable as error:
        raise StateConflict(
            f"{model} cannot serve this version: {error}. No request was written."
        ) from None


def require_not_quarantined(context: Context, model: str, version: str) -> None:
    """Refuse to go back to a version that a worker has found to be broken.

    Raises:
        StateConflict: why it was put in quarantine, and what tries it again.
    """
    for report in live_reports(context.config.reports_dir):
        quarantined = report.models[model].quarantined if model in report.models else {}
        for key, reason in quarantined.items():
            if key.partition(" ")[0] == version:
                raise StateConflict(
                    f"{version} of {model} is quarantined: {reason} No request was written."
                    f" POST /models/{model}/reload with that version tries it again."
                )
