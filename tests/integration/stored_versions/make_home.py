"""Store a home as the present code writes it, for the tests of later releases.

Trains two versions of each model of hotfit.toml with the real daemons, asks the API what its
clients ask, stops, and packs home, databases and answers into <release>/home.tar.xz.
Run it once a release: python -m tests.integration.stored_versions.make_home [FOLDER]
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from scripts.demo import seed, servers, shop, solar, solar_park, tabular, workshop
from shared.settings.root import load_settings
from tests.integration.stored_versions.stored_home import Question, StoredHome
from tests.support.daemons import ROOT

HERE = Path(__file__).parent
LEFT_OUT = ("daemon.lock", "-shm", ".log")
"""Ends of names of files that hold nothing, or nothing that another process may use."""


def main(into: Path) -> int:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    template = (HERE / "hotfit.toml").read_text()
    with TemporaryDirectory() as folder:
        home = StoredHome(Path(folder), template)
        fill(home, datetime.now(UTC))
        questions = questions_of(home)
        answers = train_and_ask(home, questions)
        target = into / release
        target.mkdir(parents=True, exist_ok=True)
        (target / "hotfit.toml").write_text(template)
        (target / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
        pack(home.folder, target / "home.tar.xz")
    print(f"{target}: {(target / 'home.tar.xz').stat().st_size / 1e3:.0f} kB")
    return 0


def fill(home: StoredHome, now: datetime) -> None:
    """Little data: what a training of each model needs at least."""
    yesterday = now.date() - timedelta(days=1)
    with (
        mock.patch.object(seed, "N_DAYS", 150),
        mock.patch.object(workshop, "PIECES_A_DAY", 12.0),
        mock.patch.object(solar, "N_DAYS", 14),
        mock.patch.object(solar, "DEVICES", solar_park.DEVICES[:2]),
        mock.patch.multiple(solar_park, EVERY_MIN=15, _SLOTS_A_DAY=24 * 4),
        mock.patch.object(servers, "SERVERS", servers.SERVERS[:1]),
        mock.patch.multiple(shop, N_PRODUCTS=60, N_USERS=40, N_DAYS=30),
    ):
        seed.fill(home.folder / "workshop.db", until=yesterday, now=now)
        solar.fill(home.folder / "plant.db", until=solar.yesterday(now), now=now)
        shop.fill(home.folder / "shop.db", now=now)
        tabular.fill(home.folder / "clinic.db", now=now)
        servers.prepare(load_settings(home.config), now)


def questions_of(home: StoredHome) -> dict[str, Question]:
    """Model -> a question whose answer does not depend on the clock, as (method, path, body)."""
    patient = dict(zip(tabular.FEATURES, (50, "A", 26.0, 90.0), strict=False))
    patient |= {"glucose": 90.0, "hdl": 45.0}
    features = tomllib.loads(home.config.read_text())["models"]
    questions = {
        name: Question(
            "POST",
            f"/models/{name}/predict",
            {"instances": [{each: patient[each] for each in model["parameters"]["features"]}]},
        )
        for name, model in features.items()
        if model["workload"] == "tabular"
    }
    for device in solar_park.DEVICES[:2]:
        readings = solar.newest_by_day(home.folder / "plant.db", device.id, 2)
        name = f"solar_power/{device.id}"
        questions[name] = Question("POST", f"/models/{name}/predict", {"readings": readings})
    questions["spare_parts"] = Question(
        "POST",
        "/forecast_restock_demand",
        {"forecast_days": 7, "current_date": str(datetime.now(UTC).date())},
    )
    questions["product_similarity"] = Question(
        "GET", "/recommendations/product/p003?model=product_similarity", None
    )
    questions["product_recommender"] = Question("GET", "/api/recommendations/user/u003?n=5", None)
    questions["server_metrics"] = Question("GET", "/predictions/current", None)
    return questions


def train_and_ask(home: StoredHome, questions: dict[str, Question]) -> list[dict[str, object]]:
    with home.training() as training, home.serving() as serving:
        home.wait_until_promoted(dict.fromkeys(questions, 1))
        home.wait_until_served(dict.fromkeys(questions, 1))
        run_ids = {model: home.train(model) for model in questions}
        home.wait_until_ended(run_ids)
        home.wait_until_served(dict.fromkeys(questions, 2))
        answers = []
        for model, question in questions.items():
            status, answer = home.ask(question)
            assert status == 200, (model, answer)
            answers.append({"model": model, "question": question._asdict(), "answer": answer})
        assert serving.stop() == 0
        assert training.stop() == 0
    return answers


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name.endswith(LEFT_OUT) or name == "hotfit.toml" or not path.is_file():
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), path.stat().st_mode & 0o777
            tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
