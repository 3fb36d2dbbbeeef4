"""Turn the console's forms into control requests to the retrain daemon.

Writes the same requests as the admin routes; changes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from api_service.control.desired_version import require_not_quarantined, require_verified, wanted
from api_service.control.requests import Kind, deletions_effect, submit
from api_service.control.training import require_trained_here
from shared.errors import RequestInvalid, StateConflict
from shared.exchange.reload_signal import ReloadSignal

if TYPE_CHECKING:
    from api_service.context import Context

ACTIONS: tuple[Kind, ...] = (
    *("train", "cancel", "rollback", "hold", "release"),
    "confirm_deletions",
)
_LONGEST_REASON = 300


def ask_for(
    context: Context,
    form: Mapping[str, str],
    model: str,
    who: str,
) -> str:
    """Write the request of a form; the sentence that says what will happen.

    Raises:
        RequestInvalid, StateConflict, NotFound: it cannot be asked for. StorageUnavailable: it
            could not be written; nothing was asked.
    """
    kind = next((one for one in ACTIONS if one == form.get("action")), None)
    if kind is None:
        raise RequestInvalid(f"one of {', '.join(ACTIONS)}", form.get("action"), "action")
    version: str | None = None
    if kind in ("train", "cancel", "confirm_deletions"):
        require_trained_here(context, model)
        effect = _of_training(kind, model)
    else:
        signal = wanted(context, model)
        if kind == "rollback":
            version = _target(context, form, model, signal)
            require_verified(context, model, version)
        effect = _of_versions(kind, signal.version, version)
    answer = submit(
        context.config.requests_dir,
        context.config.reports_dir,
        context.clock(),
        kind=kind,
        model=model,
        requested_by=who,
        effect=effect,
        version=version,
        reason=form.get("reason", "").strip()[:_LONGEST_REASON],
        options={"force": True} if kind == "train" and form.get("force") == "yes" else {},
    )
    return f"Asked for: {answer['sentence']}"


def _of_training(kind: Kind, model: str) -> str:
    if kind == "confirm_deletions":
        return deletions_effect(model)
    if kind == "cancel":
        return f"the training of {model} is stopped if it still runs; what serves stays."
    return f"{model} is trained with everything known, and promoted if it is good enough."


def _of_versions(kind: Kind, wanted: str, version: str | None) -> str:
    if kind == "rollback":
        return (
            f"every worker goes from {wanted} to {version}, which is held there: nothing is"
            " promoted until it is released."
        )
    if kind == "hold":
        return f"{wanted} stays; nothing is promoted until it is released."
    return "the next better version is promoted again."


def _target(context: Context, form: Mapping[str, str], model: str, signal: ReloadSignal) -> str:
    version = form.get("version") or signal.previous
    if version is None:
        raise StateConflict(f"{signal.version} is the first version of {model}.")
    if version == signal.version:
        raise StateConflict(f"{version} is already the desired version of {model}.")
    if version not in context.store.versions(model):
        raise RequestInvalid("one of the stored versions", version, "version")
    require_not_quarantined(context, model, version)
    return version
