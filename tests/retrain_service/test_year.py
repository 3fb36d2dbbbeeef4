"""A year of an unattended daemon, in seconds: every run that happened, and no other.

The clock is fake and the trainings are scripted. Run log, state and decisions are the real ones,
on disk, through both changes of the clocks, failures, kills, outages and restarts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from retrain_service.triggers.decision import Wait
from shared.settings.per_model import TriggerSettings
from tests.support.simulated_daemon import MODEL, Killed, KillPoint, Outcome, SimulatedDaemon, World

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Entry = tuple[str, str, str]
"""(local time, trigger, status)"""


def local(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=BERLIN, fold=fold)


class Year:
    """One daemon after the other on the same home, ticking each hour.

    It also ticks when a decision said it waits until then, and each minute while something goes
    on, as the real one ticks each second.
    """

    def __init__(self, path: Path, policy: TriggerSettings) -> None:
        self.path, self.policy, self.world = path, policy, World()
        self.now = local("01-01 00:00")
        self.outcomes: dict[datetime, Outcome] = {}
        self.daemon: SimulatedDaemon | None = self.start()

    def start(self) -> SimulatedDaemon:
        return SimulatedDaemon(self.path, self.world, self.policy, self.now, outcome=self.outcome)

    def outcome(self, _number: int) -> Outcome:
        due = [at for at in self.outcomes if at <= self.now]
        return self.outcomes.pop(min(due)) if due else "ok"

    def run_until(self, until: datetime) -> None:
        """Tick up to then, that moment left out."""
        while self.now < until:
            self.tick()
            self.now = min(self.next_tick(), until.astimezone(UTC))

    def next_tick(self) -> datetime:
        now = self.now.astimezone(UTC)  # arithmetic by the wall clock would lose or double an hour
        if self.daemon is None:
            return now + HOUR
        decision = self.daemon.decision
        is_busy = self.daemon.training is not None or decision.reason == "starting"
        step = MINUTE if is_busy else HOUR
        grid = now - timedelta(minutes=now.minute % (step // MINUTE)) + step
        until = decision.until if isinstance(decision, Wait) else None
        return min(grid, until) if until is not None and until > now else grid

    def tick(self) -> None:
        if self.daemon is None:
            return
        try:
            self.daemon.tick(self.now)
        except Killed:
            self.daemon = self.start()

    def stop(self) -> None:
        assert self.daemon is not None
        self.daemon.stop(self.now)
        self.daemon = None

    def tell_of_changes(self, n: int) -> None:
        assert self.daemon is not None
        self.daemon.log.add_pending_events(MODEL, self.now, self.now, n)

    def kill_at(self, point: KillPoint) -> None:
        assert self.daemon is not None
        self.daemon.kill_at = point

    def restart(self) -> None:
        self.daemon = self.start()

    def entries(self) -> Iterator[Entry]:
        assert self.daemon is not None
        for run in self.daemon.log.runs(limit=10_000)[0][::-1]:
            at = run.requested_at.astimezone(BERLIN)
            yield f"{at:%m-%d %H:%M%z}", run.trigger, run.status.value


def daily(first: str, last: str, at: str, trigger: str) -> list[Entry]:
    """One run that succeeded on each day, at that time of the local clock."""
    day, found = date.fromisoformat(f"2026-{first}"), []
    while day <= date.fromisoformat(f"2026-{last}"):
        moment = datetime.fromisoformat(f"{day} {at}").replace(tzinfo=BERLIN)
        found.append((f"{moment:%m-%d %H:%M%z}", trigger, "succeeded"))
        day += DAY
    return found


def the_year(path: Path, policy: TriggerSettings) -> Year:
    """What happens in 2026."""
    year = Year(path, policy)
    # February: a training fails twice, and succeeds with the third attempt.
    year.outcomes = {local("02-10 02:00"): "fail", local("02-10 02:01"): "fail"}
    year.run_until(local("03-05 12:00"))
    # March: the machine is off for three nights and comes back at noon.
    year.stop()
    year.run_until(local("03-08 12:00"))
    year.restart()
    # The night to summer time, and then a kill at each point of a run, night after night.
    year.run_until(local("04-01 12:00"))
    points: list[KillPoint] = ["decided", "written", "started", "published", "ended"]
    for night, point in enumerate(points, start=2):
        year.kill_at(point)
        year.run_until(local(f"04-{night:02d} 12:00"))
    # May: somebody asks for a run, and is still waiting for it when the machine goes off.
    year.run_until(local("05-05 10:00"))
    year.world.requests.append(("by-hand", year.now))
    year.run_until(local("05-05 10:05"))
    year.stop()
    year.run_until(local("05-05 18:00"))
    year.restart()
    # June: forty records in one afternoon.
    year.run_until(local("06-15 15:07"))
    year.world.n_records += 40
    # July: a candidate is not good enough. That, too, is a run that finished.
    year.outcomes = {local("07-20 00:00"): "rejected"}
    # August: a catalogue is imported; then another, while the database is away for two days.
    year.run_until(local("08-08 14:00"))
    year.tell_of_changes(300)
    year.run_until(local("08-20 15:00"))
    year.world.is_source_up = False
    year.run_until(local("08-21 10:00"))
    year.tell_of_changes(200)
    year.run_until(local("08-22 18:00"))
    year.world.is_source_up = True
    # September: scikit-learn is upgraded at noon.
    year.run_until(local("09-01 12:00"))
    year.world.libraries["scikit-learn"] = "1.8.0"
    # The night back: somebody restarts the machine in the second of the two hours.
    year.run_until(local("10-25 02:20", fold=1))
    year.stop()
    year.restart()
    # November: a kill in the middle of the run, and the machine stays off until the evening.
    year.run_until(local("11-11 12:00"))
    year.kill_at("started")
    year.run_until(local("11-12 02:35"))
    year.stop()
    year.run_until(local("11-12 19:00"))
    year.restart()
    year.run_until(local("12-31 23:59"))
    return year


def cron_year() -> list[Entry]:
    """With cron = "30 2 * * *" in Berlin."""
    night = "02:30"
    return [
        ("01-01 00:00+0100", "first", "succeeded"),
        *daily("01-01", "02-09", night, "cron"),
        ("02-10 02:30+0100", "cron", "failed"),
        ("02-10 02:41+0100", "cron", "failed"),
        ("02-10 02:53+0100", "cron", "succeeded"),
        *daily("02-11", "03-05", night, "cron"),
        ("03-08 12:00+0100", "cron", "succeeded"),  # three nights missed, one run
        *daily("03-09", "03-28", night, "cron"),
        ("03-29 03:00+0200", "cron", "succeeded"),  # 02:30 does not exist
        *daily("03-30", "04-01", night, "cron"),
        ("04-02 02:31+0200", "cron", "succeeded"),  # killed before it was written down
        ("04-03 02:30+0200", "cron", "abandoned"),  # killed when it was queued
        ("04-03 02:31+0200", "cron", "succeeded"),
        ("04-04 02:30+0200", "cron", "abandoned"),  # killed when it ran
        ("04-04 02:31+0200", "cron", "succeeded"),
        ("04-05 02:30+0200", "cron", "succeeded"),  # killed when it was published: not repeated
        ("04-06 02:30+0200", "cron", "succeeded"),  # killed when all was done
        *daily("04-07", "05-05", night, "cron"),
        ("05-05 10:00+0200", "manual", "abandoned"),
        ("05-05 18:00+0200", "manual", "succeeded"),  # what a person asked for is made up for
        *daily("05-06", "06-15", night, "cron"),
        ("06-15 15:07+0200", "new_records", "succeeded"),
        *daily("06-16", "08-08", night, "cron"),
        ("08-08 14:00+0200", "event", "succeeded"),
        *daily("08-09", "08-22", night, "cron"),
        ("08-22 18:00+0200", "event", "succeeded"),  # nothing to learn before the database is back
        *daily("08-23", "09-01", night, "cron"),
        ("09-01 12:00+0200", "environment", "succeeded"),
        *daily("09-02", "10-25", night, "cron"),  # 02:30 comes twice on the last one
        *daily("10-26", "11-11", night, "cron"),
        ("11-12 02:30+0100", "cron", "abandoned"),
        ("11-12 02:31+0100", "cron", "abandoned"),
        ("11-12 19:00+0100", "cron", "succeeded"),
        *daily("11-13", "12-31", night, "cron"),
    ]


def test_a_year_of_nightly_runs_is_exactly_this_list(tmp_path: Path) -> None:
    """Every night once, whatever happens to the clock and to the daemon; and why, each time."""
    policy = TriggerSettings(
        new_records=10,
        every=timedelta(0),
        cron=("30 2 * * *",),
        time_zone="Europe/Berlin",
        min_interval=timedelta(0),
    )

    year = the_year(tmp_path / "run_log.sqlite", policy)

    assert list(year.entries()) == cron_year()


def every_year() -> list[Entry]:
    """With every = "24h": it counts from the last run that finished, by the clock on the wall."""
    return [
        ("01-01 00:00+0100", "first", "succeeded"),
        *daily("01-02", "02-10", "00:00", "every"),
        ("02-11 00:00+0100", "every", "failed"),
        ("02-11 00:11+0100", "every", "failed"),
        ("02-11 00:23+0100", "every", "succeeded"),  # on the rows of 00:00, so it counts from there
        *daily("02-12", "03-05", "00:00", "every"),
        *daily("03-08", "03-31", "12:00", "every"),  # back from three days off; and summer time
        ("04-01 12:01+0200", "every", "succeeded"),  # killed before it was written down
        ("04-02 12:01+0200", "every", "abandoned"),  # killed when it was queued
        ("04-02 12:02+0200", "every", "succeeded"),
        ("04-03 12:02+0200", "every", "abandoned"),  # killed when it ran
        ("04-03 12:03+0200", "every", "succeeded"),
        *daily("04-04", "05-04", "12:03", "every"),  # two more kills that cost nothing
        ("05-05 10:00+0200", "manual", "abandoned"),
        ("05-05 18:00+0200", "manual", "succeeded"),
        *daily("05-06", "06-14", "18:00", "every"),
        ("06-15 15:07+0200", "new_records", "succeeded"),
        *daily("06-16", "08-07", "15:07", "every"),
        ("08-08 14:00+0200", "event", "succeeded"),
        *daily("08-09", "08-22", "14:00", "every"),
        ("08-22 18:00+0200", "event", "succeeded"),
        *daily("08-23", "08-31", "18:00", "every"),
        ("09-01 12:00+0200", "environment", "succeeded"),
        *daily("09-02", "11-10", "12:00", "every"),  # and winter time
        ("11-11 12:00+0100", "every", "abandoned"),
        ("11-11 12:01+0100", "every", "succeeded"),
        *daily("11-12", "12-31", "19:00", "every"),  # 12:01 was missed: off until the evening
    ]


def test_a_year_of_every_24_hours_stays_at_its_time_of_day(tmp_path: Path) -> None:
    """What starts a run moves the hour of the next one; the change of the clocks does not."""
    policy = TriggerSettings(
        new_records=10, every=DAY, time_zone="Europe/Berlin", min_interval=timedelta(0)
    )

    year = the_year(tmp_path / "run_log.sqlite", policy)

    assert list(year.entries()) == every_year()
