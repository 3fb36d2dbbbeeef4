"""Swaps on real versions: what enters the slot, what stays out, and what is said about it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from api_service import reload_manager
from shared.exchange.json_files import write_struct
from shared.keys.signing import SigningKey
from shared.loading.open_version import LoadedModel
from shared.versions.manifest import MANIFEST_NAME, MODEL_NAME
from shared.workloads.rows import FeatureSpec
from tests.api_service.conftest import Serving
from tests.support.versions import ServingHome, make_version, publish, version_name, write_signal


def flip_a_byte(home: ServingHome, version: str) -> None:
    path = home.store.version_dir("m", version) / MODEL_NAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def remove_a_file(home: ServingHome, version: str) -> None:
    (home.store.version_dir("m", version) / MODEL_NAME).unlink()


def remove_the_version(home: ServingHome, version: str) -> None:
    shutil.rmtree(home.store.version_dir("m", version))


def change_the_manifest(home: ServingHome, version: str) -> None:
    path = home.store.version_dir("m", version) / MANIFEST_NAME
    path.write_bytes(path.read_bytes().replace(b'"mae": 1.0', b'"mae": 0.1'))


def a_good_version_then(home: ServingHome, serving: Serving) -> str:
    good = home.publish("m", 1)
    serving.tick()
    assert serving.version() == good
    return good


def test_the_first_version_is_served_and_leaves_a_receipt(
    home: ServingHome, serving: Serving
) -> None:
    """The receipt is how anybody later knows what a swap took and whether it hurt."""
    version = home.publish("m", 1)

    serving.tick()

    report = serving.report()
    assert serving.version() == version
    assert (report.state, report.generation, report.serving_generation) == ("serving", 1, 1)
    assert report.degraded is None
    receipt = report.receipt
    assert receipt is not None
    assert (receipt.version, receipt.previous, receipt.requests_failed) == (version, None, 0)
    assert min(receipt.verify_ms, receipt.load_ms, receipt.golden_ms, receipt.warm_ms) > 0
    assert receipt.rss_before_bytes > 0


def test_a_swap_drains_the_old_version_and_completes_the_receipt(
    home: ServingHome, serving: Serving
) -> None:
    """A version is retired when the last request that uses it has ended, not before."""
    old_version = a_good_version_then(home, serving)
    requests: list[LoadedModel | None] = [serving.table.slot("m").current()]

    new_version = home.publish("m", 2)
    serving.tick()

    report = serving.report()
    assert serving.version() == new_version
    assert len(requests) == 1
    assert report.receipt is not None
    assert report.receipt.drain_ms is None

    requests.clear()
    serving.manager.finish_draining()

    assert not serving.manager.is_draining
    receipt = serving.report().receipt
    assert receipt is not None
    assert receipt.previous == old_version
    assert receipt.drain_ms is not None
    assert receipt.rss_after_bytes is not None


def test_draining_one_model_does_not_hold_up_another(home: ServingHome, serving: Serving) -> None:
    """A slow client of one model must not keep the others old."""
    a_good_version_then(home, serving)
    in_a_request = serving.table.slot("m").current()
    home.publish("m", 2)
    serving.tick()

    other = home.publish("other", 1)
    serving.tick()

    assert serving.version("other") == other
    assert serving.manager.is_draining
    assert in_a_request is not None


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (flip_a_byte, "model.joblib has SHA-256"),
        (remove_a_file, "model.joblib is missing"),
        (remove_the_version, "does not exist"),
        (change_the_manifest, "as the signal says"),
    ],
)
def test_a_damaged_version_is_quarantined_and_the_old_one_goes_on(
    home: ServingHome, serving: Serving, damage: object, sentence: str
) -> None:
    """Disks fail and people copy files; what does not verify must never answer."""
    good = a_good_version_then(home, serving)
    bad = home.make("m", 2)
    write_signal(home.store, "m", bad)
    damage(home, bad)  # type: ignore[operator]

    serving.tick()

    report = serving.report()
    assert serving.version() == good
    assert report.state == "quarantined"
    assert sentence in report.quarantined[f"{bad} generation 2"]
    assert report.degraded is None or good in report.degraded
    serving.tick()
    degraded = serving.report().degraded
    assert degraded is not None
    assert sentence in degraded
    assert f"Still serving {good}" in degraded


def test_a_version_signed_by_another_key_is_quarantined(
    home: ServingHome, serving: Serving, tmp_path: Path
) -> None:
    """Opening a model runs code: only the retrain daemon's key says whose."""
    good = a_good_version_then(home, serving)
    stranger = SigningKey.read_or_create(tmp_path / "stranger")

    bad = publish(home.store, stranger, "m", 2)
    serving.tick()

    assert serving.version() == good
    reason = serving.report().quarantined[f"{bad} generation 2"]
    assert "not by the trusted key" in reason
    assert stranger.key_id in reason


def test_a_version_with_other_columns_is_quarantined_with_the_difference(
    home: ServingHome, serving: Serving
) -> None:
    """A model that expects other columns would answer nonsense to today's requests."""
    good = a_good_version_then(home, serving)

    bad = home.publish("m", 2, features=(FeatureSpec("leadtime", "float64", "days"),))
    serving.tick()

    assert serving.version() == good
    reason = serving.report().quarantined[f"{bad} generation 2"]
    assert "missing ['x'], unexpected ['leadtime']" in reason


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("load", "breaks when it is opened"),
        ("golden", "golden request 0: predict.predictions[0]: expected 2, found 3"),
        ("warm", "breaks when it is warmed"),
    ],
)
def test_a_model_that_breaks_at_any_stage_is_quarantined(
    home: ServingHome, serving: Serving, stage: str, sentence: str
) -> None:
    """The new one is proved before the old one leaves; code of a model may raise anything."""
    good = a_good_version_then(home, serving)

    bad = home.publish("m", 2, broken=stage)
    serving.tick()

    assert serving.version() == good
    assert sentence in serving.report().quarantined[f"{bad} generation 2"]


def test_a_quarantined_version_is_tried_again_only_under_a_new_generation(
    home: ServingHome, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repaired files take effect when somebody says so, and the log is not filled meanwhile."""
    a_good_version_then(home, serving)
    bad = home.publish("m", 2)
    kept = home.store.version_dir("m", bad) / MODEL_NAME
    content = kept.read_bytes()
    flip_a_byte(home, bad)

    for _ in range(3):
        serving.tick()
    kept.write_bytes(content)
    serving.tick()

    assert serving.version() != bad
    assert capsys.readouterr().out.count(" version_quarantined ") == 1

    write_signal(home.store, "m", bad)
    serving.tick()

    assert serving.version() == bad
    assert serving.report().degraded is None


def test_lost_and_doubled_events_do_no_harm(home: ServingHome, serving: Serving) -> None:
    """Only the newest signal counts, however often somebody looks."""
    a_good_version_then(home, serving)
    for number in (2, 3, 4):
        newest = home.publish("m", number)

    for _ in range(5):
        serving.tick()

    report = serving.report()
    assert serving.version() == newest
    assert report.receipt is not None
    assert report.receipt.previous == version_name(1)


def test_an_older_generation_is_ignored_and_said(home: ServingHome, serving: Serving) -> None:
    """A signal restored from a copy must not take every worker back in time."""
    a_good_version_then(home, serving)
    first_signal = home.store.signal("m")
    assert first_signal is not None
    newer = home.publish("m", 2)
    serving.tick()

    write_struct(home.store.signal_path("m"), first_signal)
    serving.tick()

    assert serving.version() == newer
    assert "went back from generation 2 to 1" in (serving.report().degraded or "")


@pytest.mark.parametrize("content", [b"", b"{", b'{"generation": 3}'])
def test_an_unreadable_signal_keeps_what_serves(
    home: ServingHome, serving: Serving, content: bytes
) -> None:
    """Half a file is no order."""
    good = a_good_version_then(home, serving)

    home.store.signal_path("m").write_bytes(content)
    serving.tick()

    assert serving.version() == good
    assert "cannot be read" in (serving.report().degraded or "")


def test_a_signal_that_vanished_keeps_what_serves(home: ServingHome, serving: Serving) -> None:
    """Deleting a file must not stop answers."""
    good = a_good_version_then(home, serving)

    home.store.signal_path("m").unlink()
    serving.tick()

    assert serving.version() == good
    assert "signal is gone" in (serving.report().degraded or "")


def test_a_missing_public_key_is_retried_not_quarantined(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a first start the key may appear after the API; the version is not to blame."""
    key_path = serving.config.public_key_path
    content = key_path.read_bytes()
    key_path.unlink()
    version = home.publish("m", 1)

    serving.tick()

    report = serving.report()
    assert report.quarantined == {}
    assert "no public key" in (report.error or "")
    assert "tried again" in (report.degraded or "")

    key_path.write_bytes(content)
    monkeypatch.setattr("api_service.reload_manager.time.monotonic", lambda: 1e12)
    serving.tick()

    assert serving.version() == version
    assert serving.report().error is None


def test_a_file_that_cannot_be_read_now_is_retried_not_quarantined(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hiccup of the disk says nothing about the version."""
    good = a_good_version_then(home, serving)
    new = home.publish("m", 2)
    path = home.store.version_dir("m", new) / MANIFEST_NAME
    content = path.read_bytes()
    path.unlink()
    path.mkdir()  # reading a directory is an error of the system, whoever asks

    serving.tick()
    assert serving.version() == good
    assert serving.report().quarantined == {}
    assert "cannot be opened yet" in (serving.report().degraded or "")

    path.rmdir()
    path.write_bytes(content)
    monkeypatch.setattr("api_service.reload_manager.time.monotonic", lambda: 1e12)
    serving.tick()
    assert serving.version() == new


def test_a_cold_start_with_a_broken_wanted_version_serves_the_newest_good_one(
    home: ServingHome, serving: Serving
) -> None:
    """After a restart an answer by yesterday's model is better than none, and it is said."""
    home.publish("m", 1)
    good = home.publish("m", 2)
    bad = home.publish("m", 3)
    flip_a_byte(home, bad)

    serving.tick()

    report = serving.report()
    assert serving.version() == good
    assert report.wanted == bad
    assert report.serving_generation == 0
    serving.tick()
    degraded = serving.report().degraded or ""
    assert f"{bad} is quarantined" in degraded
    assert f"Still serving {good}" in degraded


def test_a_cold_start_goes_past_broken_fallbacks(home: ServingHome, serving: Serving) -> None:
    """The newest version that verifies and loads, however far back it is."""
    good = home.publish("m", 1)
    for number in (2, 3, 4):
        flip_a_byte(home, home.publish("m", number))

    serving.tick()
    serving.tick()

    assert serving.version() == good


def test_a_cold_start_serves_an_older_version_while_the_wanted_one_cannot_be_read(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable file may come back; until then an older answer is better than none."""
    good = home.publish("m", 1)
    wanted = home.publish("m", 2)
    path = home.store.version_dir("m", wanted) / MANIFEST_NAME
    content = path.read_bytes()
    path.unlink()
    path.mkdir()

    serving.tick()

    assert serving.version() == good
    assert f"Serving {good} instead" in (serving.report().degraded or "")
    assert serving.report().quarantined == {}

    path.rmdir()
    path.write_bytes(content)
    monkeypatch.setattr("api_service.reload_manager.time.monotonic", lambda: 1e12)
    serving.tick()

    assert serving.version() == wanted
    assert serving.report().degraded is None


def test_a_cold_start_without_any_good_version_says_so(home: ServingHome, serving: Serving) -> None:
    """Nothing may be served that does not verify, not even as a last resort."""
    flip_a_byte(home, home.publish("m", 1))

    serving.tick()

    assert serving.version() is None
    assert "No other version can be opened" in serving.table.slot("m").not_ready_reason


def test_a_fallback_gives_way_to_the_next_good_version(home: ServingHome, serving: Serving) -> None:
    """Degraded is a state to leave without help."""
    home.publish("m", 1)
    flip_a_byte(home, home.publish("m", 2))
    serving.tick()

    newest = home.publish("m", 3)
    serving.tick()

    assert serving.version() == newest
    assert serving.report().degraded is None


def test_a_version_that_was_committed_but_never_pointed_at_is_not_served(
    home: ServingHome, serving: Serving
) -> None:
    """The signal's rename is the commit of a promotion; without it nothing was promoted."""
    home.make("m", 1)

    serving.tick()

    assert serving.version() is None
    assert "no version has been promoted yet" in serving.table.slot("m").not_ready_reason


def test_a_rollback_brings_the_old_version_back_under_a_new_generation(
    home: ServingHome, serving: Serving
) -> None:
    """A version that returns goes through every stage again, under its own generation."""
    first = a_good_version_then(home, serving)
    home.publish("m", 2)
    serving.tick()

    write_signal(home.store, "m", first, hold=True)
    serving.tick()

    report = serving.report()
    assert serving.version() == first
    assert (report.generation, report.state) == (3, "serving")


def test_models_with_an_entity_are_served_by_their_whole_name(
    home: ServingHome, serving: Serving
) -> None:
    """One model per device: the name holds a slash, on disk and in the table."""
    version = home.publish("m/device-1", 1)

    serving.tick()

    assert serving.version("m/device-1") == version


def test_a_request_that_never_ends_is_said_and_does_not_stop_swaps(
    home: ServingHome, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    """Past the drain time-out the old version stays in memory, and the log says why."""
    config = replace(serving.config, drain_timeout_s=0.0)
    impatient = Serving(home, config)
    home.publish("m", 1)
    impatient.tick()
    stuck = impatient.table.slot("m").current()

    home.publish("m", 2)
    impatient.tick()
    third = home.publish("m", 3)
    impatient.tick()

    assert impatient.version() == third
    assert capsys.readouterr().out.count("drain_overdue") == 1
    assert stuck is not None


def test_failed_requests_during_a_swap_are_on_its_receipt(
    home: ServingHome, serving: Serving
) -> None:
    """The zero on a receipt must be counted, not assumed."""
    a_good_version_then(home, serving)
    client = serving.client()
    in_a_request = serving.table.slot("m").current()
    home.publish("m", 2)
    serving.tick()

    assert client.post("/predict", json={"raise": True}).status_code == 500
    del in_a_request
    serving.manager.finish_draining()

    receipt = serving.report().receipt
    assert receipt is not None
    assert receipt.requests_failed == 1


def test_two_versions_of_one_number_cannot_confuse_a_worker(
    home: ServingHome, serving: Serving
) -> None:
    """The signal's digest ties it to one manifest, not to whatever has the name."""
    good = a_good_version_then(home, serving)
    version = make_version(home.store, home.key, "m", 2)

    write_signal(home.store, "m", version, manifest_sha256="f" * 64)
    serving.tick()

    assert serving.version() == good
    assert "as the signal says" in serving.report().quarantined[f"{version} generation 2"]


def test_one_broken_model_does_not_stop_the_others(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reload thread outlives every surprise, its own defects included."""
    home.publish("m", 1)
    other = home.publish("other", 1)
    signal = home.store.signal

    def broken_for_m(model: str) -> object:
        if model == "m":
            raise ZeroDivisionError("a defect")
        return signal(model)

    monkeypatch.setattr(home.store, "signal", broken_for_m)
    serving.tick()

    assert serving.version("other") == other
    assert "a defect" in (serving.report("m").error or "")


def test_a_model_whose_directory_is_removed_is_named_and_then_forgotten(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody retired it; health must not complain of it for ever."""
    good = a_good_version_then(home, serving)
    home.publish("retired", 1)
    serving.tick()
    slot = serving.table.slot("retired")
    assert slot.current() is not None

    shutil.rmtree(home.store.models_dir / "retired")
    serving.tick()

    degraded = serving.report("retired").degraded
    assert degraded is not None
    assert "the reload signal is gone" in degraded
    assert serving.table.slot("retired").current() is not None, "it may be an accident"

    monkeypatch.setattr(reload_manager, "FORGET_AFTER_S", -1.0)
    serving.tick()

    assert "retired" not in serving.table
    assert "retired" not in serving.manager.reports
    assert serving.version() == good
    home.publish("retired", 1)
    serving.tick()
    assert serving.table.slot("retired") is slot, "whoever holds the slot sees what comes back"
    assert slot.current() is not None


def test_a_store_that_is_away_takes_nothing_from_what_is_open(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is not mounted looks as if every model had been removed."""
    home.publish("other", 1)
    a_good_version_then(home, serving)
    monkeypatch.setattr(reload_manager, "FORGET_AFTER_S", -1.0)

    shutil.rmtree(home.store.models_dir)
    for _ in range(3):
        serving.tick()
    home.store.models_dir.mkdir()
    for _ in range(3):
        serving.tick()

    for name in ("m", "other"):
        assert serving.table.slot(name).current() is not None
        assert serving.report(name).degraded is not None
