"""The structure as data: who may import whom. A new arrow is edited here, where it is seen."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.pages import first_column, quoted, section

ROOT = Path(__file__).parent.parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PACKAGES = ("shared", "retrain_service", "api_service")

# Package -> packages of ours it may import.
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "shared": frozenset({"shared"}),
    "retrain_service": frozenset({"shared", "retrain_service"}),
    "api_service": frozenset({"shared", "api_service"}),
}

# Folder or file below its package -> what it imports of its own package, and of shared.
FOLDERS: Mapping[str, tuple[str, str]] = {
    "shared/atomic_file": (
        "",
        "",
    ),
    "shared/daemon": (
        "atomic_file",
        "",
    ),
    "shared/database": (
        "",
        "",
    ),
    "shared/documents": (
        "records",
        "",
    ),
    "shared/exchange": (
        "atomic_file keys plain_file",
        "",
    ),
    "shared/feed": (
        "database records",
        "",
    ),
    "shared/forms": (
        "daemon plain_file stored_types versions workloads",
        "",
    ),
    "shared/keys": (
        "atomic_file plain_file",
        "",
    ),
    "shared/left_temporaries": (
        "",
        "",
    ),
    "shared/loading": (
        "forms keys stored_types versions workloads",
        "",
    ),
    "shared/mapping": (
        "documents records settings",
        "",
    ),
    "shared/plain_file": (
        "atomic_file",
        "",
    ),
    "shared/prediction_log": (
        "",
        "",
    ),
    "shared/records": (
        "",
        "",
    ),
    "shared/run_log": (
        "atomic_file database versions",
        "",
    ),
    "shared/settings": (
        "",
        "",
    ),
    "shared/stored_types": (
        "",
        "",
    ),
    "shared/versions": (
        "atomic_file exchange keys plain_file workloads",
        "",
    ),
    "shared/workloads": (
        "documents feed records settings stored_types",
        "",
    ),
    "retrain_service/__main__": (
        "cli",
        "",
    ),
    "retrain_service/backoff": (
        "",
        "",
    ),
    "retrain_service/buffer": (
        "backoff sources",
        "database documents exchange mapping records settings versions workloads",
    ),
    "retrain_service/cli": (
        "commands",
        "daemon",
    ),
    "retrain_service/commands": (
        "buffer discovery dry_run home inspection maintenance model_controller observers publish"
        " retrain_loop run_once sources trainer",
        "atomic_file daemon exchange keys mapping run_log settings versions workloads",
    ),
    "retrain_service/compiling": (
        "",
        "forms versions workloads",
    ),
    "retrain_service/discovery": (
        "sources",
        "documents mapping settings workloads",
    ),
    "retrain_service/dry_run": (
        "buffer home promotion training_controller training_job triggers",
        "run_log settings versions workloads",
    ),
    "retrain_service/evaluation": (
        "trainer",
        "forms loading versions workloads",
    ),
    "retrain_service/home": (
        "",
        "atomic_file keys settings versions",
    ),
    "retrain_service/inspection": (
        "buffer discovery promotion sources",
        "daemon documents exchange mapping records settings versions workloads",
    ),
    "retrain_service/live_evaluation": (
        "buffer",
        "database exchange prediction_log records settings versions workloads",
    ),
    "retrain_service/maintenance": (
        "home publish",
        "atomic_file daemon exchange plain_file prediction_log run_log settings versions",
    ),
    "retrain_service/model_controller": (
        "buffer live_evaluation open_problems training_controller training_job triggers",
        "exchange keys run_log settings versions",
    ),
    "retrain_service/observers": (
        "backoff home maintenance",
        "atomic_file daemon exchange plain_file run_log settings versions workloads",
    ),
    "retrain_service/open_problems": (
        "",
        "daemon exchange",
    ),
    "retrain_service/promotion": (
        "evaluation",
        "loading mapping records settings workloads",
    ),
    "retrain_service/publish": (
        "compiling",
        "exchange keys loading run_log versions workloads",
    ),
    "retrain_service/retrain_loop": (
        "buffer home model_controller observers open_problems publish trainer "
        "training_controller training_job triggers",
        "atomic_file exchange keys left_temporaries run_log settings versions",
    ),
    "retrain_service/run_once": (
        "model_controller retrain_loop triggers",
        "exchange run_log settings versions",
    ),
    "retrain_service/sources": (
        "",
        "documents feed mapping records settings",
    ),
    "retrain_service/trainer": (
        "",
        "settings versions workloads",
    ),
    "retrain_service/training_controller": (
        "buffer open_problems publish trainer training_job triggers",
        "exchange keys run_log settings versions workloads",
    ),
    "retrain_service/training_job": (
        "buffer evaluation promotion publish trainer triggers",
        "atomic_file daemon exchange keys records run_log settings versions workloads",
    ),
    "retrain_service/triggers": (
        "backoff",
        "atomic_file exchange run_log settings",
    ),
    "api_service/__main__": (
        "config supervisor",
        "daemon settings",
    ),
    "api_service/app": (
        "context fast_path metrics routes web",
        "",
    ),
    "api_service/config": (
        "",
        "settings",
    ),
    "api_service/connections": (
        "",
        "daemon",
    ),
    "api_service/console": (
        "context control metrics recording schemas serving_slot status web",
        "atomic_file exchange feed keys loading run_log versions workloads",
    ),
    "api_service/context": (
        "config metrics recording serving_slot web",
        "daemon loading versions",
    ),
    "api_service/control": (
        "context status",
        "exchange keys run_log versions workloads",
    ),
    "api_service/fast_path": (
        "context predict routes serving_slot web",
        "keys",
    ),
    "api_service/metrics": (
        "config serving_slot status web",
        "daemon exchange left_temporaries loading versions",
    ),
    "api_service/predict": (
        "context serving_slot web",
        "daemon loading workloads",
    ),
    "api_service/recording": (
        "config",
        "daemon feed loading mapping prediction_log records settings workloads",
    ),
    "api_service/reload": (
        "predict serving_slot status",
        "daemon exchange keys loading versions",
    ),
    "api_service/reload_manager": (
        "reload serving_slot",
        "daemon exchange keys loading versions",
    ),
    "api_service/routes": (
        "config console context control metrics predict recording schemas serving_slot "
        "status v2 web",
        "exchange feed keys loading records run_log versions workloads",
    ),
    "api_service/schemas": (
        "v2 web",
        "exchange keys run_log versions",
    ),
    "api_service/serving_slot": (
        "",
        "loading",
    ),
    "api_service/signal_watcher": (
        "",
        "exchange versions",
    ),
    "api_service/status": (
        "config serving_slot",
        "daemon exchange keys run_log versions",
    ),
    "api_service/supervisor": (
        "config connections metrics reload status worker",
        "daemon exchange keys settings",
    ),
    "api_service/v2": (
        "metrics web",
        "loading workloads",
    ),
    "api_service/web": (
        "config connections status",
        "daemon keys",
    ),
    "api_service/worker": (
        "app config connections context metrics predict recording reload reload_manager "
        "serving_slot signal_watcher status web",
        "daemon exchange keys versions workloads",
    ),
}

FOR_ALL = frozenset({"shared/errors", "shared/formatting"})

# More than a dozen files at a level need a reason.
MOST_FILES: Mapping[str, int] = {
    "retrain_service/commands": 15,  # one file for each group of commands
    "shared/workloads/server_metrics": 14,  # columns as well as rows, and habits beside the trees
    "shared/workloads/tabular": 15,  # cells, columns and rows; one's own and named estimators
    "retrain_service/training_job": 14,  # both sides of a run, in the order of their steps
    "retrain_service/sources/sql": 14,  # four databases; tables, queries and the log of changes
    "retrain_service/compiling": 14,  # a file for each kind of step; probes and parity
    "retrain_service/promotion": 13,  # a file for each gate
    "api_service/web": 14,  # a request passes all of them
}

MOST_LINES = 300

# Files of more lines, which are to be split by idea; nothing is added here.
TOO_LONG = frozenset(
    {
        "api_service/reload/switch/coordinator.py",
        "api_service/web/request_lock.py",
        "benchmarks/refit.py",
        "retrain_service/buffer/ingest.py",
        "retrain_service/buffer/store.py",
        "retrain_service/buffer/stream_reader.py",
        "retrain_service/model_controller.py",
        "retrain_service/sources/mongodb/source.py",
        "retrain_service/sources/sql/source.py",
        "retrain_service/sources/sql/table.py",
        "retrain_service/sources/sql/times.py",
        "retrain_service/training_controller.py",
        "retrain_service/training_job/run_supervisor.py",
        "shared/mapping/fields.py",
        "shared/settings/sections.py",
        "shared/workloads/contract.py",
        "shared/workloads/product_recommender/evaluation.py",
        "shared/workloads/server_metrics/workload.py",
        "shared/workloads/solar_power/power_model.py",
        "shared/workloads/solar_power/workload.py",
    }
)

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
    "httpx": ("retrain_service/sources/http_export/", "retrain_service/sources/prometheus/"),
    "jmespath": ("shared/mapping/paths.py",),
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
    "treelite": ("retrain_service/compiling/treelite_models.py",),
    "threadpoolctl": (
        "shared/forms/process/unwrap.py",
        "shared/workloads/server_metrics/regressors.py",
    ),
    "pydantic": ("shared/settings",),
    "pydantic_settings": ("shared/settings/root.py",),
    "sklearn": (
        "shared/workloads",
        "retrain_service/compiling/lower_trees.py",
        "shared/forms/process/unwrap.py",
    ),
    "scipy": ("shared/workloads", "retrain_service/evaluation"),
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
        (
            "shared/workloads",
            {
                "contract",
                "error_bounds",
                "holdout",
                "live",
                "losses",
                "rows",
                "search_space",
                "text_rows",
                "training",
            },
        ),
        ("retrain_service/sources", {"base", "catalogue", "json_values", "shown_values"}),
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


def _unit(module: str) -> str:
    """The folder or file directly below its package that a module belongs to."""
    return "/".join(module.split(".")[:2])


def _arrows(unit: str) -> Iterator[tuple[str, str]]:
    """The units that a unit imports, each with a place where it does."""
    root = ROOT / unit
    for path in sorted(root.rglob("*.py")) if root.is_dir() else [root.with_suffix(".py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.partition(".")[0] in PACKAGES and _unit(name) != unit:
                    yield _unit(name), f"{_name(path)}:{node.lineno}"


def _units() -> list[str]:
    found = {"/".join(path.relative_to(ROOT).parts[:2]) for path in _files(*PACKAGES)}
    return sorted(name.removesuffix(".py") for name in found if not name.endswith("/__init__.py"))


@pytest.mark.parametrize("unit", _units())
def test_arrows_between_folders_are_those_of_the_table(unit: str) -> None:
    """A new arrow is seen when it is drawn, and one that is gone leaves the table."""
    drawn = {target: place for target, place in _arrows(unit) if target not in FOR_ALL}
    if unit in FOR_ALL:
        assert not drawn, f"{unit} is for everybody and imports {drawn}"
        return
    of_its_package, of_shared = FOLDERS[unit]
    package = unit.partition("/")[0]
    allowed = {f"{package}/{name}" for name in of_its_package.split()}
    allowed |= {f"shared/{name}" for name in of_shared.split()}

    new = {target: place for target, place in drawn.items() if target not in allowed}
    assert not new, f"{unit}: not in FOLDERS: {new}"
    assert not allowed - set(drawn), f"{unit}: no longer drawn: {sorted(allowed - set(drawn))}"


def test_no_folder_imports_one_that_imports_it_back() -> None:
    """Arrows run one way, whatever the table allows."""
    graph = {unit: {target for target, _ in _arrows(unit)} for unit in _units()}

    TopologicalSorter(graph).prepare()


def _graph_without_detours(package: str) -> dict[str, set[str]]:
    """Unit -> units of the same package that it imports, without arrows that follow from others."""
    units = [unit for unit in _units() if unit.startswith(f"{package}/") and unit not in FOR_ALL]
    graph = {unit: {target for target, _ in _arrows(unit)} & set(units) for unit in units}
    reached: dict[str, set[str]] = {}
    for unit in TopologicalSorter(graph).static_order():
        reached[unit] = graph[unit].union(*(reached[target] for target in graph[unit]))
    return {
        unit.partition("/")[2]: {
            target.partition("/")[2]
            for target in targets
            if not any(target in reached[other] for other in targets)
        }
        for unit, targets in graph.items()
        if targets
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_the_graph_in_the_architecture_page_is_that_of_the_code(package: str) -> None:
    """A picture that is drawn by hand is wrong after a month."""
    expected = [
        f"    {unit} --> {' & '.join(sorted(targets))}"
        for unit, targets in sorted(_graph_without_detours(package).items())
    ]
    lines = section(ARCHITECTURE, f"### Arrows in {package}").splitlines()

    drawn = [line for line in lines if "-->" in line]
    assert drawn == expected, "the page should have these lines:\n" + "\n".join(expected)


def test_every_folder_has_its_sentence_in_the_architecture_page() -> None:
    """The tree of the page is the tree of the code."""
    folders = {f"{_name(path.parent)}/" for path in _files(*PACKAGES)}

    assert first_column(ARCHITECTURE, "## The tree") == folders - {f"{one}/" for one in PACKAGES}


def test_the_ways_through_the_code_name_files_that_exist() -> None:
    """Each is short enough to be walked."""
    ways = section(ARCHITECTURE, "## Four ways through the code").split("\n### ")[1:]
    assert len(ways) == 4

    for way in ways:
        stops = [line for line in way.splitlines() if line[:1].isdigit()]
        assert 8 <= len(stops) <= 12, way.splitlines()[0]
        for stop in stops:
            first, *others = [name for name in quoted(stop) if name.endswith(".py")]
            assert list(ROOT.glob(first)), first
            for name in others:
                below = {path for package in PACKAGES for path in (ROOT / package).rglob(name)}
                assert below or list(ROOT.glob(name)), name


def test_a_level_can_be_seen_at_a_glance() -> None:
    """A folder of dozens of files, or a file of many ideas, is where nobody finds anything."""
    for folder in {path.parent for path in _files(*PACKAGES)}:
        n_files = sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        assert n_files <= MOST_FILES.get(_name(folder), 12), f"{_name(folder)} has {n_files} files"


def test_a_file_holds_one_idea() -> None:
    """A file of many ideas grows because nobody sees where one of them ends."""
    lines = {
        _name(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in _files(*PACKAGES, "benchmarks", "scripts")
    }

    long = {name: number for name, number in lines.items() if number > MOST_LINES}
    assert not long.keys() - TOO_LONG, f"split by idea: {long}"
