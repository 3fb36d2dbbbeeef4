"""What install.sh asks of new code before it touches the old."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup import self_check

ROOT = Path(__file__).resolve().parents[3]


def test_this_code_has_no_fault() -> None:
    """A complaint about sound code would make every upgrade impossible."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "setup" / "self_check.py")],
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_each_fault_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback for each of three modules is read by nobody."""
    package = tmp_path / "checked_one"
    (package / "below").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "below" / "__init__.py").write_text("")
    (package / "below" / "divides.py").write_text("\n1 / 0\n")
    (package / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (package / "syntax.py").write_text("def (\n")
    (package / "well.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(self_check, "ROOT", tmp_path)

    faults = list(self_check.find_faults(["checked_one"]))

    assert faults == [
        "checked_one.below.divides cannot be imported: ZeroDivisionError: division by zero"
        f" ({Path('checked_one/below/divides.py')}:2)",
        f"checked_one.ends cannot be imported: SystemExit: 3 ({Path('checked_one/ends.py')}:2)",
        "checked_one.syntax cannot be imported: SyntaxError: invalid syntax (syntax.py, line 1)",
    ]


def test_a_package_that_is_an_extra_may_be_missing_and_one_of_ours_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody installs the drivers of sources that he does not have."""
    package = tmp_path / "checked_two"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "begins.py").write_text("import no_such_driver\n")
    (package / "driver.py").write_text("import no_such_driver\n")
    (package / "lost.py").write_text("import checked_two.moved\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(self_check, "PACKAGES", ("checked_two",))
    monkeypatch.setattr(self_check, "BEGINNINGS", ("checked_two.begins",))

    faults = list(self_check.find_faults(["checked_two"]))

    assert faults == [
        "checked_two.begins cannot be imported: No module named 'no_such_driver'",
        "checked_two.lost cannot be imported: No module named 'checked_two.moved'",
    ]


@pytest.mark.parametrize("module", self_check.BEGINNINGS)
def test_where_the_daemons_begin_is_there(module: str) -> None:
    """A module that was moved would no longer be held to its packages."""
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()
