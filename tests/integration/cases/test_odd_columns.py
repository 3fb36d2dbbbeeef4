"""Tables as tutorials and spreadsheets leave them: odd names of columns, blanks, one value only."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.crm]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.churn]
workload = "tabular"
source = "crm"
[models.churn.streams.records]
collection = "customers"
id_field = "customer ID"
updated_at_field = "changed"
[models.churn.parameters]
task = "classification"
target = "Churn"
time = "changed"
features = ["gender", "tenure (Monate)", "Total Charges", "Região", "constant"]
"""


def test_names_with_spaces_blank_numbers_and_constant_columns_are_read(tmp_path: Path) -> None:
    """Nobody renames the columns of a CRM for a tool."""
    place = CaseHome(tmp_path, SETTINGS)
    chance, now = random.Random(1), datetime.now(UTC)
    columns = '"customer ID" TEXT, gender TEXT, "tenure (Monate)" INTEGER, "Total Charges" TEXT,'
    place.table(
        "customers",
        columns + ' "Região" TEXT, constant TEXT, "Churn" TEXT, changed TEXT',
        [
            (
                f"c-{n}",
                chance.choice(["Female", "Male"]),
                (months := chance.randrange(72)),
                " " if months == 0 else f"{months * 71.3:.2f}",
                chance.choice(["São Paulo", "Minas", None]),
                "x",
                "Yes" if chance.random() < 0.9 - months / 80 else "No",
                (now - timedelta(hours=400 - n)).isoformat(),
            )
            for n in range(400)
        ],
    )

    checked = place.check()
    read = place.read("churn")

    assert checked.code == 0, checked.everything
    assert read.n_usable == 400
    assert read.rows.n_rows == 400
