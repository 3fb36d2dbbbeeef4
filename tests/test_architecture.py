"""The structure as data: who may import whom. A new arrow is edited here, where it is seen."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("shared", "retrain_service", "api_service")

# Package -> packages of ours it may import.
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "shared": frozenset({"shared"}),
    "retrain_service": frozenset({"shared", "retrain_service"}),
    "api_service": frozenset({"shared", "api_service"}),
}

# Third-party package -> the only places that may touch it.
ONLY_IN: Mapping[str, tuple[str, ...]] = {
    "flask": ("api_service",),
    "werkzeug": ("api_service",),
    "granian": ("api_service",),
    "jinja2": ("api_service/console/rendering.py",),
    "markupsafe": ("api_service/console",),
    "watchdog": ("api_service/signal_watcher.py",),
    "prometheus_client": ("api_service/metrics/exposition.py",),
    "cronsim": ("retrain_service/triggers/schedule.py", "shared/settings/values.py"),
    "click": ("retrain_service/cli.py", "retrain_service/commands/"),
    "rich": ("retrain_service/commands/output.py",),
    "apprise": ("retrain_service/observers/notifications.py",),
    "duckdb": ("retrain_service",),
    "pyarrow": ("retrain_service",),
    "sqlalchemy": ("retrain_service/sources/sql/",),
    "google": ("retrain_service/sources/firestore/",),
    "grpc": ("retrain_service/sources/firestore/",),
    "pymongo": ("retrain_service/sources/mongodb", "retrain_service/observers/mongodb_exporter.py"),
    "bson": ("retrain_service/sources/mongodb",),
    "elasticsearch": ("retrain_service/sources/elasticsearch",),
    "elastic_transport": ("retrain_service/sources/elasticsearch",),
    "httpx": ("retrain_service/sources/http_export/",),
    "psycopg": ("retrain_service/sources/sql/",),
    "cryptography": ("shared/keys/signing.py", "shared/keys/signature.py"),
    "filelock": (
        "shared/daemon/one_instance.py",
        "retrain_service/buffer",
        "api_service/console/login_limit.py",
    ),
    "joblib": (
        "shared/workloads/check.py",
        "shared/loading/open_version.py",
        "shared/forms/process/child.py",
        "retrain_service/publish/stage.py",
    ),
    "onnxruntime": ("shared/forms/onnx.py",),
    "skl2onnx": ("retrain_service/compiling/lower_onnx.py",),
    "treelite": ("retrain_service/compiling/lower_trees.py",),
    "threadpoolctl": ("shared/forms/process/unwrap.py",),
    "pydantic": ("shared/settings",),
    "pydantic_settings": ("shared/settings/root.py",),
    "sklearn": (
        "shared/workloads",
        "retrain_service/compiling/lower_trees.py",
        "shared/forms/process/unwrap.py",
    ),
    "scipy": ("shared/workloads",),
    "pandas": ("shared/workloads",),
}

# Pure by contract: no clock, no process, no disk, no network, no threads.
PURE = {
    "retrain_service/triggers/decide.py",
    "retrain_service/triggers/training_state.py",
    "retrain_service/triggers/schedule.py",
    "retrain_service/promotion/decide.py",
    "retrain_service/evaluation/scores.py",
    "retrain_service/promotion/gate_result.py",
    "retrain_service/promotion/data_gate.py",
    "retrain_service/promotion/noninferiority.py",
    "retrain_service/evaluation/paired_bootstrap.py",
    "retrain_service/evaluation/day_blocks.py",
    "retrain_service/promotion/baseline_gate.py",
    "retrain_service/evaluation/student_t.py",
    "retrain_service/promotion/slice_gate.py",
    "retrain_service/promotion/contract_gate.py",
    "retrain_service/promotion/trial_gate.py",
    "shared/versions/model_version.py",
    "shared/records.py",
}
IMPURE_MODULES = {"os", "time", "subprocess", "threading", "socket", "pathlib", "sqlite3", "psutil"}

# The API imports these at start; what is heavy must not be among their module-level imports.
HEAVY = {
    "pandas",
    "sklearn",
    "joblib",
    "pyarrow",
    "duckdb",
    "scipy",
    "treelite",
    "onnxruntime",
    "skl2onnx",
}


def _files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def _imports(path: Path, *, top_level_only: bool = False) -> Iterator[tuple[str, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{path}:{node.lineno}: relative imports hide where a name lives"
            )
            yield node.module or "", node.lineno


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", _files(*PACKAGES), ids=_name)
def test_arrows_between_packages_point_one_way(path: Path) -> None:
    """Only files cross between the daemons: an import that crosses would tie them together."""
    allowed = MAY_IMPORT[path.relative_to(ROOT).parts[0]]

    for module, line in _imports(path):
        package = module.partition(".")[0]
        assert package not in PACKAGES or package in allowed, (
            f"{_name(path)}:{line} imports {module}"
        )
        assert package not in ("tests", "benchmarks", "scripts"), f"{_name(path)}:{line}: {module}"


@pytest.mark.parametrize("path", _files(*PACKAGES), ids=_name)
def test_third_party_packages_stay_where_they_belong(path: Path) -> None:
    """A driver that is imported in one file can be replaced in one file."""
    for module, line in _imports(path):
        package = module.partition(".")[0]
        places = ONLY_IN.get(package)
        if places is not None:
            assert _name(path).startswith(places), f"{_name(path)}:{line} imports {module}"


def test_every_third_party_import_is_a_declared_dependency() -> None:
    """A package that is only there because another one brought it may be gone tomorrow."""
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8").lower()
    distributions = {"sklearn": "scikit-learn", "google": "google-cloud-firestore"}
    # Part of flask, firestore, pydantic-settings, pymongo, elasticsearch.
    brought_along = {
        *("werkzeug", "jinja2", "markupsafe"),
        *("grpc", "pydantic", "bson", "elastic_transport"),
    }

    for path in _files(*PACKAGES):
        for module, line in _imports(path):
            package = module.partition(".")[0]
            if (
                package in sys.stdlib_module_names
                or package in PACKAGES
                or package in brought_along
            ):
                continue
            name = distributions.get(package, package.replace("_", "-")).lower()
            assert f'"{name}' in declared, f"{_name(path)}:{line}: {package} is not declared"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_touch_no_outside_world(name: str) -> None:
    """Time, randomness and the outside world come in as arguments, so that tables can test them."""
    for module, line in _imports(ROOT / name):
        assert module.partition(".")[0] not in IMPURE_MODULES, f"{name}:{line} imports {module}"


@pytest.mark.parametrize("path", _files("shared", "api_service"), ids=_name)
def test_what_the_api_imports_at_start_is_light(path: Path) -> None:
    """A serving process pays for each import in start-up time and memory, for every worker."""
    for module, line in _imports(path, top_level_only=True):
        assert module.partition(".")[0] not in HEAVY, f"{_name(path)}:{line} imports {module}"


def test_plug_ins_never_import_their_siblings() -> None:
    """A source or workload can be removed without looking at the others."""
    for folder, shared_names in (
        ("shared/workloads", {"contract", "losses", "rows", "training"}),
        ("retrain_service/sources", {"base", "json_values"}),
    ):
        package = folder.replace("/", ".")
        for path in (ROOT / folder).rglob("*.py"):
            own = path.relative_to(ROOT / folder).parts[0].removesuffix(".py")
            family = own.partition("_")[0]
            for module, line in _imports(path):
                if not module.startswith(package + "."):
                    continue
                sibling = module.removeprefix(package + ".").partition(".")[0]
                is_family = sibling == own or sibling.startswith(f"{family}_")
                assert sibling in shared_names or is_family, f"{_name(path)}:{line}: {module}"


@pytest.mark.parametrize("path", _files(*PACKAGES), ids=_name)
def test_every_module_says_its_one_responsibility(path: Path) -> None:
    """A file that cannot say what it is for in a sentence holds more than one idea."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring, f"{_name(path)} has no docstring"
