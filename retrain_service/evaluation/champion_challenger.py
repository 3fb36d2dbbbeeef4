"""Open champion and anchor and score them with the candidate on the same holdout.

What was judged is compared with what is to be judged: of a version whose served estimator has seen
the newest rows, its twin, which has not. Runs in the training process. Opens only versions that
were verified; gives no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from retrain_service.evaluation.rivals import Rival, Rivals, is_compiled, own_workload
from retrain_service.evaluation.scores import (
    Evaluation,
    FeatureContract,
    Reference,
    score_baseline_on,
    score_on,
    unseen,
    varies,
)
from shared.errors import LoadFailed, StorageUnavailable, VersionUnusable
from shared.forms.open_form import open_form
from shared.loading.open_version import load_estimator, read_state
from shared.versions.manifest import MODEL_NAME, TWIN_NAME, SignedVersion
from shared.workloads.contract import Workload
from shared.workloads.training import TrainingSet


@dataclass(frozen=True, slots=True)
class ChampionComparison:
    """The scores, and the holdout rows they were made on."""

    evaluation: Evaluation
    holdout: TrainingSet


def compare_with_champion(
    workload: Workload,
    candidate: Any,
    train: TrainingSet,
    holdout: TrainingSet,
    *,
    rivals: Rivals,
    offered: FeatureContract,
    now: datetime,
    late_tries: int = 0,
) -> ChampionComparison:
    """Score everybody on the holdout rows that none of them was fitted on.

    Args:
        offered: what the candidate asks of its clients and environment. now: when the run was
            asked for, UTC; the age of the rivals is as of then.
        late_tries: as in Evaluation.

    Raises:
        StorageUnavailable: a version is there but cannot be read now; nothing can be decided.
    """
    history_days = train.n_days + holdout.n_days
    seen_until = train.day.max()
    for rival in (rivals.champion, rivals.anchor):
        if rival is not None and (signed := rival.comparable) is not None:
            seen_until = max(seen_until, np.datetime64(signed.manifest.judged_day))
    while True:
        holdout = unseen(holdout, seen_until)
        try:
            champion = _as_reference(workload, rivals.champion, holdout, now)
            anchor = _as_reference(workload, rivals.anchor, holdout, now)
        except _HasSeenRows as fact:
            seen_until = fact.until
        else:
            break
    evaluation = Evaluation(
        candidate=score_on(workload, candidate, holdout),
        baseline=score_baseline_on(workload, holdout),
        champion=champion,
        anchor=anchor,
        version=offered.version,
        history_days=history_days,
        target_varies=varies(holdout.target),
        offered=offered,
        served=_served(rivals.champion),
        can_serve_baseline=workload.serves_baseline,
        late_tries=late_tries,
    )
    return ChampionComparison(evaluation, holdout)


class _HasSeenRows(Exception):
    """What is left to compare with was fitted on some of these rows. until : the last such day."""

    def __init__(self, until: np.datetime64) -> None:
        super().__init__(str(until))
        self.until = until


def open_judged(signed: SignedVersion) -> Any:
    """Unpickle the estimator of a verified version that was judged: its twin, or where it has none
    the one that serves.

    Raises:
        VersionUnusable: the present libraries cannot open it, or its bytes were exchanged.
    """
    try:
        name = TWIN_NAME if TWIN_NAME in signed.manifest.files else MODEL_NAME
        return load_estimator(signed.files, name)
    except (MemoryError, VersionUnusable, StorageUnavailable):
        raise
    except Exception as error:
        # Unpickling what other libraries stored raises whatever it likes.
        version = signed.manifest.version
        raise LoadFailed(f"{version}: opening the model failed: {error!r}") from error


def _as_reference(
    workload: Workload, rival: Rival | None, holdout: TrainingSet, now: datetime
) -> Reference | None:
    if rival is None:
        return None
    signed = rival.signed
    if signed is None:
        return Reference(rival.version, None, rival.missing, lacks="version")
    age_days = (now - signed.manifest.trained_at).total_seconds() / 86_400
    if rival.missing is not None:
        return Reference(rival.version, None, rival.missing, age_days, lacks="contract")
    notes = [f"in place of {rival.instead_of}"] if rival.instead_of else []
    faults: list[str] = []
    for open_it in (open_judged, partial(_open_compiled, workload, holdout)):
        try:
            score = score_on(workload, open_it(signed), holdout)
        except (MemoryError, StorageUnavailable, _HasSeenRows):
            raise
        except VersionUnusable as error:
            faults.append(str(error))
        except Exception as error:  # noqa: BLE001 - an old estimator may raise whatever it likes
            faults.append(f"scoring it failed: {error!r}")
        else:
            if np.isfinite(score.loss).all():
                notes += [f"asked in its compiled form: {fault}" for fault in faults]
                is_baseline = signed.manifest.is_baseline
                note = "; ".join(notes)
                return Reference(
                    rival.version, score, None, age_days, note=note, is_baseline=is_baseline
                )
            faults.append("its answers on these rows are not finite numbers")
    return Reference(rival.version, None, "; ".join(faults), age_days)


def _open_compiled(workload: Workload, holdout: TrainingSet, signed: SignedVersion) -> Any:
    """What serves clients, also where the estimator itself cannot be opened any more.

    Raises:
        LoadFailed: it has no form that does without the estimator, or has seen every row.
        _HasSeenRows: it has seen some of these rows, and only the others tell.
    """
    if not is_compiled(signed):
        raise LoadFailed("it has no compiled form")
    if TWIN_NAME in signed.manifest.files and holdout.n_rows:
        until = np.datetime64(signed.manifest.watermark.trained_until)
        if until >= holdout.day.max():
            raise LoadFailed(f"its compiled form was fitted on every row until {until}")
        if until >= holdout.day.min():
            raise _HasSeenRows(until)
    form = open_form(signed.files, signed.manifest)
    return workload.with_state(form, read_state(signed.files))


def _served(champion: Rival | None) -> FeatureContract | None:
    """What clients get now; None where this code could not serve it anyway."""
    if champion is None or champion.signed is None:
        return None
    manifest = champion.signed.manifest
    own = own_workload(manifest)
    if own is None:
        return None
    try:
        own.check_contract(manifest.features)
    except VersionUnusable:
        return None
    return FeatureContract(
        manifest.version,
        manifest.workload,
        tuple(manifest.features),
        manifest.libraries,
        own.predicts,
    )
