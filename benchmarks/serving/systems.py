"""The servers that are compared: how each is installed, started, asked and read.

Every one gets the same fitted pipeline and the same rows, two worker processes where it has such a
setting, and its ordinary way of being started; nothing is tuned down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.pipelines import BARE, columns_of

APPS = Path(__file__).parent / "apps"
Rows = Sequence[Mapping[str, Any]]
Encode = Callable[[str, Rows], Any]
Read = Callable[[Any], list[float]]


@dataclass(frozen=True)
class Setup:
    """What a server is started with.

    work_dir : its own. model_file : the fitted pipeline by joblib.
    """

    model: str
    model_file: Path
    work_dir: Path
    port: int
    env_dir: Path

    @property
    def python(self) -> str:
        return str(self.env_dir / ("Scripts" if sys.platform == "win32" else "bin") / "python")

    def tool(self, name: str) -> str:
        return str(Path(self.python).with_name(name))


@dataclass(frozen=True)
class System:
    """One server.

    packages : of its environment, beside scikit-learn and pandas.
    command : how it is started. prepare : what it needs on disk before, not timed.
    path, body, predictions : where rows are sent, as what, and how its answer is read.
    models : which of the models it is compared on; arrays only where it says so.
    """

    name: str
    packages: tuple[str, ...]
    command: Callable[[Setup], list[str]]
    path: str
    body: Encode
    predictions: Read
    models: frozenset[str] = frozenset({"ridge", "forest", "boosting"})
    prepare: Callable[[Setup], None] = lambda setup: None
    environment: Mapping[str, str] = field(default_factory=dict)


def instances(model: str, rows: Rows) -> Any:
    """Objects with a field a column, as Hotfit and services written by hand take them."""
    return {"instances": list(rows)}


def _arrays(model: str, rows: Rows) -> Any:
    return {"instances": [[row[name] for name in BARE] for row in rows]}


def _frame_records(model: str, rows: Rows) -> Any:
    return {"dataframe_records": list(rows)}


def _v2_columns(model: str, rows: Rows) -> Any:
    """One tensor a column, which MLServer's pandas codec makes a frame of."""
    inputs = []
    for name in columns_of(model):
        is_text = isinstance(rows[0][name], str)
        inputs.append(
            {
                "name": name,
                "datatype": "BYTES" if is_text else "FP64",
                "shape": [len(rows), 1],
                "data": [row[name] for row in rows],
                **({"parameters": {"content_type": "str"}} if is_text else {}),
            }
        )
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


def _v2_array(model: str, rows: Rows) -> Any:
    data = [row[name] for row in rows for name in BARE]
    return {
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [len(rows), len(BARE)], "data": data}]
    }


def predictions(answer: Any) -> list[float]:
    """The numbers in an answer of the same kind."""
    return [float(one) for one in answer["predictions"]]


def _v2_output(answer: Any) -> list[float]:
    return [float(one) for one in answer["outputs"][0]["data"]]


def gunicorn(setup: Setup, app: str = "flask_app:app") -> list[str]:
    """Two processes of four threads."""
    options = ["-w", "2", "--threads", "4", "-b", f"127.0.0.1:{setup.port}", "--chdir", str(APPS)]
    return [setup.python, "-m", "gunicorn", *options, app]


def _uvicorn(setup: Setup) -> list[str]:
    options = ["--workers", "2", "--port", str(setup.port), "--app-dir", str(APPS)]
    return [setup.python, "-m", "uvicorn", "fastapi_app:app", *options, "--no-access-log"]


def _mlserver(setup: Setup) -> list[str]:
    return [setup.tool("mlserver"), "start", str(setup.work_dir)]


def _mlserver_files(setup: Setup) -> None:
    settings = {
        "host": "127.0.0.1",
        "http_port": setup.port,
        "grpc_port": setup.port + 1000,
        "metrics_port": setup.port + 2000,
        "parallel_workers": 2,
        "debug": False,
    }
    model = {
        "name": "bench",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(setup.model_file)},
    }
    (setup.work_dir / "settings.json").write_text(json.dumps(settings))
    (setup.work_dir / "model-settings.json").write_text(json.dumps(model))


def _bentoml(setup: Setup) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(setup.port), "--working-dir", str(APPS)]
    return [setup.python, "-m", "bentoml", "serve", "bento_service:Predictor", *options]


def _mlflow(setup: Setup) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(setup.port), "--workers", "2"]
    saved = ["-m", str(setup.work_dir / "saved"), "--env-manager", "local"]
    return [setup.tool("mlflow"), "models", "serve", *saved, *options]


def _save_mlflow(setup: Setup) -> None:
    command = [setup.python, str(APPS / "save_mlflow.py"), str(setup.model_file)]
    saved = setup.work_dir / "saved"
    subprocess.run([*command, str(saved)], check=True, capture_output=True, env=_own_path(setup))


def _own_path(setup: Setup) -> dict[str, str]:
    path = os.pathsep.join([str(Path(setup.python).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


# From 0.22 on, uvloop has no event loop where MLServer 1.7 asks for one.
_MLSERVER = ("mlserver", "mlserver-sklearn", "uvloop<0.22")

PEERS: tuple[System, ...] = (
    System(
        "Flask, gunicorn 2×4", ("flask", "gunicorn"), gunicorn, "/predict", instances, predictions
    ),
    System(
        "FastAPI, uvicorn",
        ("fastapi", "uvicorn[standard]"),
        _uvicorn,
        "/predict",
        instances,
        predictions,
    ),
    System(
        "MLServer",
        _MLSERVER,
        _mlserver,
        "/v2/models/bench/infer",
        _v2_columns,
        _v2_output,
        prepare=_mlserver_files,
    ),
    System("BentoML", ("bentoml",), _bentoml, "/predict", instances, predictions),
    System(
        "LitServe",
        ("litserve",),
        lambda setup: [setup.python, str(APPS / "lit_server.py"), str(setup.port)],
        "/predict",
        instances,
        predictions,
    ),
    System(
        "mlflow models serve",
        ("mlflow",),
        _mlflow,
        "/invocations",
        _frame_records,
        predictions,
        prepare=_save_mlflow,
        environment={"MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
    System(
        "Ray Serve",
        ("ray[serve]",),
        lambda setup: [setup.python, str(APPS / "ray_server.py"), str(setup.port)],
        "/",
        instances,
        predictions,
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    System(
        "Flask, bare arrays",
        ("flask", "gunicorn"),
        gunicorn,
        "/predict_array",
        _arrays,
        predictions,
        models=frozenset({"bare"}),
    ),
    System(
        "FastAPI, bare arrays",
        ("fastapi", "uvicorn[standard]"),
        _uvicorn,
        "/predict_array",
        _arrays,
        predictions,
        models=frozenset({"bare"}),
    ),
    System(
        "MLServer, bare arrays",
        _MLSERVER,
        _mlserver,
        "/v2/models/bench/infer",
        _v2_array,
        _v2_output,
        models=frozenset({"bare"}),
        prepare=_mlserver_files,
    ),
)


def environment_of(system: System, setup: Setup) -> dict[str, str]:
    """What its process sees: its own programs first, and where the model lies."""
    return {**_own_path(setup), "BENCH_MODEL": str(setup.model_file), **system.environment}
