"""The manifests for Kubernetes, as `kubectl` renders them; where there is none, put together by what they use of it."""

import copy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"

Manifest = dict[str, Any]


def rendered(folder: str) -> list[Manifest]:
    """What `kubectl apply -k` would make."""
    if kubectl := shutil.which("kubectl"):
        argv = [kubectl, "kustomize", str(FOLDER / folder)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [one for one in YAML(typ="safe").load_all(done.stdout) if one]
    return list(_plain(FOLDER / folder))


def documents(file: Path) -> list[Manifest]:
    return [one for one in YAML(typ="safe").load_all(file.read_text()) if one]


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    """Those of these kinds, by their names."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] in kinds}


def container(workload: Manifest) -> Manifest:
    [only] = workload["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(workload: Manifest) -> dict[str, str | None]:
    """The variables that the workload sets by itself; None where the value is known in the cluster only."""
    return {one["name"]: one.get("value") for one in container(workload).get("env", [])}


def _plain(folder: Path) -> Iterator[Manifest]:
    [rules] = documents(folder / "kustomization.yaml")
    for name in (*rules.get("resources", []), *rules.get("components", [])):
        path = (folder / name).resolve()
        for one in documents(path) if path.is_file() else _plain(path):
            yield _changed(copy.deepcopy(one), rules)
    for made in rules.get("configMapGenerator", []):
        data = dict(pair.split("=", 1) for pair in made.get("literals", []))
        data |= {file: (folder / file).read_text() for file in made.get("files", [])}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data}


def _changed(one: Manifest, rules: Manifest) -> Manifest:
    """With the suffix, the labels and the variables that a model's folder says."""
    one["metadata"]["name"] += rules.get("nameSuffix", "")
    for label in rules.get("labels", []):
        if label.get("includeSelectors"):
            one["spec"]["selector"]["matchLabels"] |= label["pairs"]
            one["spec"]["template"]["metadata"]["labels"] |= label["pairs"]
    for patch in rules.get("patches", []):
        if "target" not in patch:
            said = YAML(typ="safe").load(patch["patch"])
            values = {said["name"]: said for said in container(said)["env"]}
            container(one)["env"][:] = [values.get(known["name"], known) for known in container(one)["env"]]
    return one
