"""The campaigns in short, and that what checks a home sees what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.__main__ import SEED, run
from tests.campaigns.faults import why_not
from tests.campaigns.invariants import Facts, facts_of, make_temporaries_old, violations
from tests.campaigns.points import plan
from tests.campaigns.tally import BAD
from tests.support.versions import ServingHome

pytestmark = pytest.mark.slow

POINTS = 5


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_a_sample_of_the_campaigns_breaks_nothing(tmp_path: Path) -> None:
    """Wherever a call fails or a process is killed, every invariant holds after the next start."""
    tally = run(tmp_path, POINTS)

    print(tally.table())
    assert not any(tally.n(outcome) for outcome in BAD), "\n".join(tally.told)
    assert tally.n("survived") > 0


def test_a_plan_meets_rare_operations_as_often_as_common_ones() -> None:
    operations = ["write /a.1"] * 500 + ["rename /b"] + [f"open /{i:08x}.tmp" for i in range(90)]

    points = plan(operations, 3, SEED)

    assert {point.fits for point in points} == {"write /a.*", "rename /b", "open /*.tmp"}
    assert {point.fits for point in plan(operations, None, SEED)} == {
        point.fits for point in points
    }


def test_the_check_of_a_home_names_each_thing_that_is_wrong(tmp_path: Path) -> None:
    """Else a campaign would count as survived what was not."""
    home = ServingHome(tmp_path)
    version = home.publish("m", 1)
    (home.path / "work" / "run").mkdir(parents=True)
    (home.path / "models" / "m" / "versions" / ".staged-1").mkdir()
    (home.path / "keys" / ".feed.key.1.tmp").touch()
    make_temporaries_old(home.path)
    (home.path / "keys" / ".feed.key.2.tmp").touch()
    before = Facts(
        {**facts_of(home.path).generations, "gone": 1}, ["lost"], {"signing.key": "of another one"}
    )
    before.generations["m"] += 1
    (home.store.version_dir("m", version) / "model.joblib").write_bytes(b"another")

    found = " ".join(violations(home.path, before))

    for part in (
        "gone: its directory is gone",
        "generation 1 after 2: it went back",
        "m: what is served does not verify",
        "run lost is lost",
        "keys/signing.key was replaced",
        ".staged-1 was left over",
        "work/run was left over",
        "keys/.feed.key.1.tmp was left over",
    ):
        assert part in found
    assert ".feed.key.2.tmp" not in found
