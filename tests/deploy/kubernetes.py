"""What has to hold of the objects of one region in Kubernetes, wherever they come from."""

import tomllib
from pathlib import Path
from typing import Any

import yaml

from node.config.load import load
from node.config.settings import Config

Object = dict[str, Any]


def objects(text: str) -> list[Object]:
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(kind: str, found: list[Object]) -> list[Object]:
    return [one for one in found if one["kind"] == kind]


def check_region(found: list[Object], folder: Path) -> None:
    """Fail where the objects do not fit together, or the pod is given more than it needs."""
    [stateful] = of_kind("StatefulSet", found)
    pod = stateful["spec"]["template"]
    [container] = pod["spec"]["containers"]
    config = _check_configuration(found, container, pod["spec"], folder)
    _check_selectors(found, pod["metadata"]["labels"], stateful)
    _check_ports(found, container)
    _check_security(pod["spec"])
    _check_probes(container, is_tls=config.listen.tls_certificate is not None)
    assert stateful["spec"]["replicas"] == 1, "replicas of a region do not share images"
    assert pod["spec"]["terminationGracePeriodSeconds"] >= config.limits.grace + 20
    [claim] = stateful["spec"]["volumeClaimTemplates"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/entrepot"
    assert {*mounts} == {claim["metadata"]["name"], *(volume["name"] for volume in pod["spec"]["volumes"])}


def _check_configuration(found: list[Object], container: Object, spec: Object, folder: Path) -> Config:
    """The node takes the file that it is given, and every file that this names is mounted."""
    [config_map] = of_kind("ConfigMap", found)
    assert {"configMap": {"name": config_map["metadata"]["name"]}, "name": "config"} in spec["volumes"]
    text = config_map["data"]["entrepot.toml"]
    file = folder / "entrepot.toml"
    file.write_text(text)
    tomllib.loads(text)
    config = load(file, {"ENTREPOT_DATA": "/var/lib/entrepot"}, {})
    assert container["args"] == ["serve", "--config", "/etc/entrepot/entrepot.toml"]
    places = [one["mountPath"] for one in container["volumeMounts"]]
    assert "/etc/entrepot/entrepot.toml" in places
    for name in (config.listen.tls_certificate, config.listen.tls_key):
        assert name is None or str(Path(name).parent) in places
    return config


def _check_selectors(found: list[Object], labels: dict[str, str], stateful: Object) -> None:
    services = of_kind("Service", found)
    selectors = [one["spec"]["selector"] for one in services]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget", found)]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy", found)]
    selectors.append(stateful["spec"]["selector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= labels.items()
    [headless] = [one for one in services if one["spec"].get("clusterIP") == "None"]
    assert headless["metadata"]["name"] == stateful["spec"]["serviceName"]
    assert len(services) > 1, "one for clients"


def _check_ports(found: list[Object], container: Object) -> None:
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"registry": 5000, "peers": 6000}
    for service in of_kind("Service", found):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= {*ports}
    for policy in of_kind("NetworkPolicy", found):
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule["ports"]} <= {*ports}
            assert "from" in rule or [port["port"] for port in rule["ports"]] == ["peers"], "clients are named"


def _check_security(spec: Object) -> None:
    assert spec["automountServiceAccountToken"] is False
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"]
    assert pod["runAsUser"] == pod["fsGroup"] == 10001
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def _check_probes(container: Object, *, is_tls: bool) -> None:
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz?for=pulls"}
    for name, path in paths.items():
        scheme = "HTTPS" if is_tls else "HTTP"
        assert container[name]["httpGet"] == {"path": path, "port": "registry", "scheme": scheme}
