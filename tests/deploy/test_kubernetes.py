"""The manifests for Kubernetes start the processes of the Procfile, with settings and secrets that there are."""

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from honcho.environ import parse_procfile
from sqlalchemy import text

from db.session import Sessions
from tasks import secretfiles, stopping
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.models import catalog
from tests import tables
from tests.deploy import manifests
from tests.deploy.manifests import FOLDER, Manifest, container, environment, of_kind, rendered

ROOT = Path(__file__).parents[2]
KUBERNETES = "1.32"  # the oldest that these manifests are written for
EXAMPLE = rendered("example")
DEPLOYMENTS = of_kind(EXAMPLE, "Deployment")
WORKLOADS = DEPLOYMENTS | of_kind(EXAMPLE, "Job")
WORKERS = {name for name in DEPLOYMENTS if name.startswith("worker-")}
SETTINGS = next(one["data"] for one in EXAMPLE if one["metadata"]["name"].startswith("forebay-settings"))
SECRETS = "/run/secrets/forebay"
# What the Procfile keeps to the machine; Flower stays in its own pod.
IN_A_POD = {"127.0.0.1:$PORT": "0.0.0.0:8000"}


def procfile() -> dict[str, list[str]]:
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    return {name: shlex.split(line) for name, line in processes.items()}


def command(workload: Manifest) -> list[str]:
    """As the kubelet starts it, with the variables that it puts into the place of their names."""
    values = environment(workload)
    return [re.sub(r"\$\((\w+)\)", lambda name: str(values[name[1]]), part) for part in container(workload)["command"]]


@pytest.mark.parametrize("folder", ["base", "example"])
def test_manifests_follow_the_schemas_of_kubernetes(folder: str) -> None:
    """Strictly: a field that there isn't would be left out without a word. KEDA's own kinds have no schema here."""
    ours = [one for one in rendered(folder) if not one["apiVersion"].startswith("keda.sh/")]
    assert len(ours) >= 9
    for one in ours:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_cluster_runs_the_commands_of_the_procfile() -> None:
    """Each process is a Deployment, one a model with its slots; beside them there are the migrations only."""
    assert set(DEPLOYMENTS) == set(procfile())
    for name, argv in procfile().items():
        assert command(DEPLOYMENTS[name]) == [IN_A_POD.get(part, part) for part in argv]
    assert {name: command(job) for name, job in of_kind(EXAMPLE, "Job").items()} == {"migrate": ["forebay", "migrate"]}


def test_every_setting_is_on_the_page_of_settings() -> None:
    """But for the two that commands are made of; a secret is given as a file."""
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE))
    known = {name for row in documented for name in re.findall(r"`(\w+)`", row)}
    known |= {f"{name}_FILE" for name in secretfiles.NAMES}
    used = {name for one in WORKLOADS.values() for name in environment(one)} | set(SETTINGS)
    assert used - known == {"MODEL", "SLOTS"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_secret_is_one_that_there_is_and_only_where_it_is_read(name: str) -> None:
    [example] = manifests.documents(FOLDER / "example" / "secret.yaml")
    volumes = {one["name"]: one for one in WORKLOADS[name]["spec"]["template"]["spec"]["volumes"]}
    secret = volumes["secrets"]["secret"]
    assert secret["secretName"] == example["metadata"]["name"]
    assert {item["key"] for item in secret["items"]} <= set(example["stringData"])
    files = {value for variable, value in environment(WORKLOADS[name]).items() if variable.endswith("_FILE")}
    assert files == {f"{SECRETS}/{item['path']}" for item in secret["items"]}
    assert SECRETS in {mount["mountPath"] for mount in container(WORKLOADS[name])["volumeMounts"]}


def test_files_are_where_the_settings_say_for_every_process_that_reads_them() -> None:
    """The page names the others of a bucket, and the secret that a pod starts without where there is none."""
    assert SETTINGS["FOREBAY_FILES"] == "postgres"
    for name in {*WORKERS, "api", "control"}:
        taken = container(DEPLOYMENTS[name])["envFrom"]
        assert {"secretRef": {"name": "forebay-files", "optional": True}} in taken
    page = (FOLDER / "README.md").read_text()
    bucket = set(re.findall(r"FOREBAY_FILES\w*", (ROOT / "docs" / "settings.md").read_text()))
    assert bucket - set(re.findall(r"FOREBAY_FILES\w*", page)) <= {"FOREBAY_FILES_SECRET_FILE"}


def test_every_selector_finds_the_pods_of_one_deployment() -> None:
    """Workers of two models must not take each other's pods for their own."""
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in DEPLOYMENTS.items()}

    def found(selector: dict[str, str]) -> list[str]:
        return [name for name, has in labels.items() if selector.items() <= has.items()]

    for name, one in DEPLOYMENTS.items():
        assert found(one["spec"]["selector"]["matchLabels"]) == [name]
    [service], [budget] = of_kind(EXAMPLE, "Service").values(), of_kind(EXAMPLE, "PodDisruptionBudget").values()
    assert found(service["spec"]["selector"]) == found(budget["spec"]["selector"]["matchLabels"]) == ["api"]


def test_nobody_is_killed_while_it_hands_back_its_jobs() -> None:
    """A pod has longer than its worker's grace and what follows it, the API than what it waits and finishes."""
    for name in (*WORKERS, "control"):
        given = DEPLOYMENTS[name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert given > stopping.worker_limit_s(float(SETTINGS["FOREBAY_GRACE_S"]))
    api = DEPLOYMENTS["api"]
    waits = container(api)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert api["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > waits + stopping.API_LIMIT_S


@pytest.mark.parametrize("name", sorted({*WORKERS, "api", "control"}))
def test_rollout_takes_no_capacity_away(name: str) -> None:
    """The new one is ready before an old one goes; a worker is when its model is loaded, which its heart says."""
    rollout = DEPLOYMENTS[name]["spec"]["strategy"]["rollingUpdate"]
    assert (rollout["maxSurge"], rollout["maxUnavailable"]) == (1, 0)
    probes = [container(DEPLOYMENTS[name])[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    heart = environment(DEPLOYMENTS[name]).get("FOREBAY_HEART")
    if heart:
        assert [probe["exec"]["command"] for probe in probes] == [
            ["test", "-e", heart],
            ["test", "-e", heart],
            ["healthy"],
        ]
    else:
        assert [probe["httpGet"]["path"] for probe in probes] == ["/healthz", "/readyz", "/healthz"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_may_do_nothing_that_they_need_not(name: str) -> None:
    """What the namespace's `restricted` asks for, and a root that can't be written."""
    pod = WORKLOADS[name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container(WORKLOADS[name])
    assert own["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(own["resources"]["requests"])
    assert "memory" in own["resources"]["limits"]


def test_example_of_an_own_catalogue_has_the_models_that_are_served() -> None:
    models = catalog.load(FOLDER / "own-models" / "catalog.toml")
    served = {environment(DEPLOYMENTS[name])["MODEL"]: environment(DEPLOYMENTS[name])["SLOTS"] for name in WORKERS}
    assert served == {name: str(model.slots) for name, model in models.items()}


def scaled() -> dict[str, Any]:
    return of_kind(EXAMPLE, "ScaledObject")


def test_scaling_is_of_deployments_that_there_are() -> None:
    """By as many jobs a worker as it has slots, read with a secret of its own."""
    [trigger] = of_kind(EXAMPLE, "TriggerAuthentication")
    for one in scaled().values():
        [asked] = one["spec"]["triggers"]
        own = environment(DEPLOYMENTS[one["spec"]["scaleTargetRef"]["name"]])
        assert asked["metadata"]["targetQueryValue"] == own["SLOTS"]
        assert f"VALUES ('{own['MODEL']}')" in asked["metadata"]["query"]
        assert asked["authenticationRef"]["name"] == trigger


def test_queue_depth_is_read_with_no_more_rights_than_the_page_grants(sessions: Sessions, caller: Caller) -> None:
    """Jobs that wait or run, of that model alone, without those whose time hasn't come or is over."""
    grants = re.search(r"```sql\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert grants
    [query] = [one["spec"]["triggers"][0]["metadata"]["query"] for one in scaled().values()]
    stand = [Status.QUEUED, Status.QUEUED, Status.DISPATCHED, Status.RUNNING, Status.SCHEDULED, Status.SUCCEEDED]
    with sessions() as session:  # never committed: the role is the whole server's
        for status in stand:
            job = tables.submit(sessions, caller)
            tables.put(session, job.id, status, queue="demo-chat")
        tables.put(session, tables.submit(sessions, caller).id, Status.QUEUED, queue="demo-embed")
        session.execute(text(grants[1]))
        session.execute(text("SET LOCAL ROLE forebay_scaling"))
        session.execute(text("SET LOCAL enable_seqscan = off"))
        assert session.scalar(text(query)) == 4
        plan = "\n".join(session.scalars(text(f"EXPLAIN {query}")))
        assert {"jobs_queued", "jobs_moving"} <= set(re.findall(r"using (\w+)", plan))
