"""A home in which every route of the API has something to answer, without the retrain daemon."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from shared.keys.api_keys import Role, ensure_api_keys
from shared.run_log.run import UNFINISHED, Run, RunStatus
from shared.run_log.writer import RunLog
from shared.workloads.product_recommender.workload import ProductRecommender
from tests.shared.workloads.garage import demand
from tests.shared.workloads.garage import rows_of as spare_parts_rows
from tests.shared.workloads.shop import events, products, rows_of
from tests.support.api_process import ApiHome
from tests.support.mixed_versions import publish_mixed
from tests.support.product_versions import publish_products
from tests.support.versions import FIRST_AT, tiny_workload_known, version_name

CONFIGURATION = """
[sources.app]
kind = "feed"
[models.mixed]
workload = "mixed"
source = "none"
[models.parts]
workload = "spare_parts"
source = "none"
[models.goods]
workload = "product_recommender"
source = "app"
[models.metrics]
workload = "server_metrics"
source = "app"
[models.roofs]
workload = "solar_power"
source = "none"
"""


def whole_api(directory: Path) -> ApiHome:
    """Models with versions and without, of an entity, fed and not; runs of every status."""
    home = ApiHome(directory, workers=1, api='default_model = "mixed"')
    with home.config.open("a") as file:
        file.write(CONFIGURATION)
    ensure_api_keys(home.path / "keys")
    with tiny_workload_known():
        parts = spare_parts_rows(demand(120, n_parts=4))
        publish_products(home, "parts", "spare_parts", 1, parts)
        publish_mixed(home, "mixed")
        publish_mixed(home, "mixed/shop-1", 2)
        goods = rows_of(ProductRecommender({}), products(), events())
        publish_products(home, "goods", "product_recommender", 1, goods)
    _write_runs(home)
    return home


def admin_key(home: ApiHome) -> str:
    return (home.path / "keys" / f"{Role.ADMIN}.key").read_text().strip()


def _write_runs(home: ApiHome) -> None:
    with closing(RunLog.open(home.path / "run_log.sqlite")) as log:
        # A model has one open run at a time: those come last.
        numbered = enumerate(RunStatus, start=1)
        for number, status in sorted(numbered, key=lambda pair: pair[1] in UNFINISHED):
            at = FIRST_AT + timedelta(hours=number)
            log.add_run(
                Run(
                    run_id=f"run{number}",
                    model="m" if number % 2 else "roofs/roof-1",
                    trigger="new_records",
                    trigger_reason="12 new records",
                    version=version_name(number),
                    version_number=number,
                    status=RunStatus.QUEUED,
                    requested_at=at,
                )
            )
            if status is RunStatus.QUEUED:
                continue
            log.start_run(f"run{number}", at, number)
            if status is not RunStatus.RUNNING:
                log.finish_run(f"run{number}", at + timedelta(seconds=30), status)
