"""The contract gate: refuse a candidate whose columns or libraries would break clients. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from retrain_service.evaluation.scores import FeatureContract
from retrain_service.promotion.gate_result import GateResult
from shared.errors import ContractMismatch
from shared.settings.per_model import GateSettings
from shared.workloads.rows import FeatureSpec, check_features

GATE = "contract"
_WIDER: Mapping[str, tuple[str, ...]] = {
    "bool": ("int64", "float64"),
    "int64": ("float64",),
    "category": ("text",),  # clients send texts for both
    "text": ("category",),
}


def judge_contract(
    offered: FeatureContract | None,
    served: FeatureContract | None,
    n_rows: int,
    policy: GateSettings,
) -> GateResult:
    """What is predicted, columns, dtypes, units, workload and library generations against what is
    served."""
    if offered is None or served is None:
        sentence = "nothing is served that this code can open: no contract to keep."
        return GateResult(GATE, None, None, n_rows, "skipped", sentence)
    changes = [*_changes(offered, served), *_generations(offered.libraries, served.libraries)]
    n = float(len(changes))
    if not changes:
        sentence = f"same columns as {served.version}, and libraries that go together."
        return GateResult(GATE, n, 0.0, n_rows, "passed", sentence)
    found = f"not compatible with {served.version}, which is served: {'; '.join(changes)}"
    if policy.allow_contract_change:
        sentence = f"{found}; allow_contract_change permits it."
        return GateResult(GATE, n, None, n_rows, "passed", sentence)
    sentence = (
        f"{found}. Clients would have to change with it; not promoted. Set"
        " allow_contract_change = true when they have."
    )
    return GateResult(GATE, n, 0.0, n_rows, "failed", sentence)


def _changes(offered: FeatureContract, served: FeatureContract) -> list[str]:
    changes = []
    if offered.workload != served.workload:
        changes.append(f"workload was {served.workload}, is {offered.workload}")
    elif offered.predicts != served.predicts:
        changes.append(f"it predicted {served.predicts}, now {offered.predicts}")
    try:
        check_features(_widened(served.features, offered.features), offered.features)
    except ContractMismatch as error:
        return [*changes, str(error)]
    return [
        *changes,
        *(
            f"{new.name} was in {old.unit}, is in {new.unit}"
            for old, new in zip(served.features, offered.features, strict=True)
            if old.unit != new.unit
        ),
    ]


def _widened(
    served: Sequence[FeatureSpec], offered: Sequence[FeatureSpec]
) -> tuple[FeatureSpec, ...]:
    """What is served, with each type that the offered one takes in whole as the offered one:
    whoever sends whole numbers may go on where any number is taken."""
    now = {spec.name: spec.dtype for spec in offered}
    return tuple(
        msgspec.structs.replace(spec, dtype=now[spec.name])
        if now.get(spec.name) in _WIDER.get(spec.dtype, ())
        else spec
        for spec in served
    )


def _generations(offered: Mapping[str, str], served: Mapping[str, str]) -> list[str]:
    """Major versions: what is stored under one is not promised to open under another."""
    return [
        f"{name} was {served[name]}, is {offered[name]}"
        for name in sorted(offered.keys() & served.keys())
        if offered[name].partition(".")[0] != served[name].partition(".")[0]
    ]
