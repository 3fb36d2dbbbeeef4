"""The container files agree with each other and with the code.

That they work is shown with an engine, by hand: docs/containers.md says how and when.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from retrain_service.cli import main
from scripts.daemons.processes import DAEMONS
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME
from shared.keys.api_keys import KEY_VARIABLE
from shared.settings.root import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "scripts" / "containers"
KUBERNETES = CONTAINERS / "kubernetes"
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))
HTTP_API = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
HOME, CONFIG, USER = "/var/lib/hotfit", "/etc/hotfit/hotfit.toml", 10001


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


MANIFESTS = {(found["kind"], found.get("metadata", {}).get("name")): found for found in manifests()}
API = MANIFESTS["Deployment", "hotfit-api"]["spec"]
RETRAIN = MANIFESTS["Deployment", "hotfit-retrain"]["spec"]
ONCE = MANIFESTS["CronJob", "hotfit-once"]["spec"]["jobTemplate"]["spec"]
PODS = {
    "api": API["template"]["spec"],
    "retrain": RETRAIN["template"]["spec"],
    "once": ONCE["template"]["spec"],
}
each_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)


def stages() -> dict[str, str]:
    """Name of each stage of the Dockerfile -> its text."""
    parts = re.split(r"^FROM (.+) AS (\w+)$", DOCKERFILE, flags=re.M)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return dict(found)


def test_an_image_holds_one_daemon_and_what_both_share() -> None:
    """What the API's image does not hold cannot be misused through it."""
    copied = {name: set(re.findall(r"^COPY (\w+) ", text, re.M)) for name, text in stages().items()}

    assert copied["hotfit"] == {"shared"}
    assert copied["api"] == {"api_service"}
    assert copied["retrain"] == {"retrain_service"}


def test_the_daemons_in_images_are_started_as_the_scripts_start_them() -> None:
    """One way to start a daemon, whoever starts it."""
    started = {
        tuple(json.loads(found)[2:])
        for name in ("api", "retrain")
        for found in re.findall(r"^CMD (.+)$", stages()[name], re.M)
    }

    assert started == {daemon.arguments for daemon in DAEMONS}


def test_nothing_but_code_can_get_into_an_image() -> None:
    """Keys, data and hotfit.toml lie in the same folder as the code."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    wanted = set(re.findall(r"^COPY (?!--)(\S+) ", DOCKERFILE, re.M))
    assert allowed == wanted
    assert all((ROOT / name).exists() for name in allowed)


def test_images_run_as_nobody_in_particular() -> None:
    """A process of root in a container is root on the machine as soon as one lock fails."""
    assert f"USER {USER}:{USER}" in stages()["hotfit"]
    assert not any("USER" in stages()[name] for name in ("api", "retrain"))
    for pod in PODS.values():
        assert pod["securityContext"]["runAsUser"] == USER
        assert pod["securityContext"]["fsGroup"] == USER


def test_environment_of_images_is_settings_that_exist() -> None:
    """A misspelt one is silently no setting at all."""
    found = set(re.findall(r"\bHOTFIT_[A-Z_]+(?==)", DOCKERFILE)) - {"HOTFIT_CONFIG"}

    for name in found:
        section: Any = Settings
        for part in name.removeprefix("HOTFIT_").lower().split("__"):
            assert part in section.model_fields, name
            section = section.model_fields[part].annotation
    assert "HOTFIT_API__HOST" in found


def test_places_are_the_same_everywhere() -> None:
    """A home that is not the volume is lost with its container."""
    assert f"HOTFIT_HOME={HOME}" in DOCKERFILE
    assert f"VOLUME {HOME}" in DOCKERFILE
    assert f"HOTFIT_CONFIG={CONFIG}" in DOCKERFILE
    for service in COMPOSE["services"].values():
        assert service["volumes"] == [f"home:{HOME}"]
        assert [config["target"] for config in service["configs"]] == [CONFIG]
    for pod in PODS.values():
        mounted = {mount["name"]: mount["mountPath"] for mount in container(pod)["volumeMounts"]}
        assert mounted["home"] == HOME
        assert mounted["configuration"] == str(Path(CONFIG).parent)


def test_ports_are_the_same_everywhere() -> None:
    """The image, what is published, and what is asked."""
    port = Settings().api.port

    assert f"HOTFIT_API__PORT={port}" in DOCKERFILE
    assert f"EXPOSE {port}" in DOCKERFILE
    assert COMPOSE["services"]["api"]["ports"] == [f"127.0.0.1:${{HOTFIT_PORT:-{port}}}:{port}"]
    assert [each["containerPort"] for each in container(PODS["api"])["ports"]] == [port]


def test_probes_ask_routes_that_need_no_key() -> None:
    """A probe that is answered 401 restarts a healthy API for ever."""
    asked = {
        probe: container(PODS["api"])[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }

    assert asked == {
        "startupProbe": "/livez",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }
    assert "/livez" in stages()["api"]
    for path in asked.values():
        assert re.search(rf"`(GET )?{path}`", HTTP_API)


def test_the_training_daemon_is_asked_by_its_report() -> None:
    """The same question in the image and in the cluster, of a file that the daemon writes."""
    question = container(PODS["retrain"])["livenessProbe"]["exec"]["command"]

    assert question == container(PODS["retrain"])["startupProbe"]["exec"]["command"]
    assert f"CMD {json.dumps(question)}" in stages()["retrain"]
    reports = Settings().reports_dir.relative_to(Settings().home).as_posix()
    assert f"/{reports}/{RETRAIN_REPORT_NAME}'" in question[-1]


def test_the_key_comes_from_a_secret() -> None:
    """The name of the variable is the code's; its value is in no file here."""
    (variable,) = container(PODS["api"])["env"]

    assert variable["name"] == KEY_VARIABLE
    assert "secretKeyRef" in variable["valueFrom"]
    assert COMPOSE["services"]["api"]["environment"] == {KEY_VARIABLE: f"${{{KEY_VARIABLE}:-}}"}


def test_one_process_trains() -> None:
    """Two would write to one home."""
    assert RETRAIN["replicas"] == 1
    assert RETRAIN["strategy"] == {"type": "Recreate"}
    assert MANIFESTS["CronJob", "hotfit-once"]["spec"]["concurrencyPolicy"] == "Forbid"


def test_pods_of_the_api_may_overlap() -> None:
    """A rolling update needs two for a moment; the lock of one API a home must not be shared."""
    assert API["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    mounted = {
        mount["mountPath"]: mount["name"] for mount in container(PODS["api"])["volumeMounts"]
    }
    name = mounted[f"{HOME}/{Settings().pids_dir.name}"]
    assert {"name": name, "emptyDir": {}} in PODS["api"]["volumes"]


def test_the_cron_job_calls_a_command_that_exists() -> None:
    """And its model is one of the configuration beside it."""
    command = container(PODS["once"])["command"][-1]
    found = re.fullmatch(
        r"python -m retrain_service (\w+) --model (\w+) \|\| test \$\? -eq 10", command
    )

    assert found, command
    assert found[1] in main.commands
    configuration = tomllib.loads(MANIFESTS["ConfigMap", "hotfit"]["data"]["hotfit.toml"])
    assert found[2] in configuration["models"]


def test_the_configuration_in_the_cluster_is_one(tmp_path: Path) -> None:
    """It is what everybody begins with."""
    path = tmp_path / "hotfit.toml"
    path.write_text(MANIFESTS["ConfigMap", "hotfit"]["data"]["hotfit.toml"])

    assert list(load_settings(path).models) == ["spare_parts"]


def test_every_manifest_is_applied_but_the_alternative() -> None:
    """A forgotten file is a pod that waits for ever."""
    listed = set(MANIFESTS["Kustomization", None]["resources"])

    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert listed == there - {"kustomization.yaml", "once.yaml"}


@each_pod
def test_pods_are_locked_in_and_on_one_node(pod: dict[str, Any]) -> None:
    """What is not asked for cannot be abused; what shares SQLite must share a kernel."""
    inside = container(pod)

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert inside["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (
        {"memory"} <= inside["resources"]["limits"].keys() <= inside["resources"]["requests"].keys()
    )
    (rule,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"


def test_mounts_and_selectors_name_what_is_there() -> None:
    """Kubernetes takes both without a word and waits."""
    for pod in PODS.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in container(pod)["volumeMounts"]} == volumes.keys()
        claim = volumes["home"]["persistentVolumeClaim"]["claimName"]
        assert ("PersistentVolumeClaim", claim) in MANIFESTS
        assert ("ConfigMap", volumes["configuration"]["configMap"]["name"]) in MANIFESTS
    for deployment in (API, RETRAIN):
        labels = deployment["template"]["metadata"]["labels"]
        assert deployment["selector"]["matchLabels"].items() <= labels.items()
    service = MANIFESTS["Service", "hotfit"]["spec"]
    assert service["selector"].items() <= API["template"]["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] == container(PODS["api"])["ports"][0]["name"]


@pytest.mark.parametrize("name", ["api", "retrain"])
def test_services_of_compose_are_locked_in_and_come_back(name: str) -> None:
    """As in the cluster."""
    service = COMPOSE["services"][name]

    assert service["build"]["target"] == name
    assert service["build"]["dockerfile"] == "scripts/containers/Dockerfile"
    assert service["restart"] == "unless-stopped"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["init"]


def test_the_api_waits_for_the_keys() -> None:
    """On any other address than loopback it does not start without."""
    assert COMPOSE["services"]["api"]["depends_on"] == {"retrain": {"condition": "service_healthy"}}
