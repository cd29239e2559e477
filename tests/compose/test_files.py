"""The compose files: what a deployment may set, what each service may know and take, and what nothing hides."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cli.launcher import lineup
from compose import file
from tasks import secretfiles

ROOT = Path(__file__).parents[2]
SERVICES = file.services(file.example())
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
# Settings of what no container is: `forebay up`, a client's commands, `make`.
NOT_OURS = {
    "FOREBAY_MODEL",
    "FOREBAY_URL",
    "FOREBAY_KEY",
    "FOREBAY_ACCEPT_GEMMA_TERMS",
    "DEMO_EXIT",
    "FOREBAY_REDIS_MEMORY",
}
# Chosen by the file itself.
CHOSEN = {"FOREBAY_HEART", "FOREBAY_MIGRATE"}


def documented() -> set[str]:
    """Every setting of the table in docs/settings.md."""
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs" / "settings.md").read_text(), flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}


def passed(given: dict[str, str]) -> dict[str, dict[str, str]]:
    return {name: service["environment"] for name, service in file.services(given).items()}


def test_every_setting_can_be_passed() -> None:
    """Some service gets each, as the file of settings has it; what isn't set there isn't set in the container."""
    settings = documented() - NOT_OURS - CHOSEN
    given = {name: f"a value of {name}" for name in settings}
    got: dict[str, str] = {}
    for environment in passed(given).values():
        got |= environment
    assert {name: got.get(name) for name in settings} == given
    assert {name for environment in passed({}).values() for name in environment} & settings == set()


def test_every_secret_can_be_a_file() -> None:
    """It is mounted into exactly those containers that are told of it, under the name they are told."""
    names = [name for name in secretfiles.NAMES if name not in NOT_OURS]
    for name in names:
        services = file.services({f"{name}_FILE": "./somewhere"})
        told = {service: own["environment"].get(f"{name}_FILE") for service, own in services.items() if "build" in own}
        places = {place for place in told.values() if place}
        assert len(places) == 1, name
        secret = places.pop().removeprefix("/run/secrets/")
        assert {service for service, place in told.items() if place} == {
            service for service, own in services.items() if "build" in own and secret in own["secrets"]
        }
        assert file.top("secrets", {f"{name}_FILE": "./somewhere"})[secret] == {"file": "./somewhere"}
        assert file.top("secrets", {})[secret] == {"file": "./no-secret"}
    assert (ROOT / "compose" / "no-secret").read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "knows"),
    [
        ("FOREBAY_KEY_PEPPER", {"api"}),
        ("FOREBAY_WEBHOOK_KEY", {"api", "control"}),
        ("FLOWER_BASIC_AUTH", {"flower"}),
    ],
)
def test_secret_is_told_to_who_needs_it(name: str, knows: set[str]) -> None:
    """As `forebay up` keeps it from the others."""
    assert {service for service, environment in passed({name: "x"}).items() if name in environment} == knows


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_limits_and_is_watched(name: str) -> None:
    """Memory, CPU, processes and log; a health check; and it doesn't gain what it wasn't given."""
    service = SERVICES[name]
    assert {"mem_limit", "cpus", "pids_limit", "healthcheck", "restart"} <= set(service)
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "16m", "max-file": "4"}}
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", OURS)
def test_nothing_lies_over_what_the_image_has(name: str) -> None:
    """Models of one's own are beside those of the image, and nothing can be written but temporary files."""
    service = OURS[name]
    mounted = [volume.split(":")[1] for volume in service.get("volumes", [])]
    assert not [place for place in mounted if place.startswith(("/srv/forebay", "/opt"))]
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", ["control", *(name for name in OURS if name.startswith("worker"))])
def test_worker_is_watched_by_its_sign_of_life(name: str) -> None:
    assert OURS[name]["healthcheck"]["test"] == ["CMD", "healthy"]
    assert OURS[name]["environment"]["FOREBAY_HEART"].startswith("/tmp/")


def test_flower_is_reached_by_its_operator_alone() -> None:
    """By the published port: of the other containers none shares its network but Redis, which it reads."""
    shares = {name for name, service in SERVICES.items() if "flower" in service.get("networks", [])}
    assert shares == {"flower", "redis"}
    assert SERVICES["flower"]["networks"] == ["flower"]
    assert "default" in SERVICES["redis"]["networks"]


def test_only_the_loopback_is_published_unless_told() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_development_changes_every_process_of_ours_and_nothing_else() -> None:
    """The code mounted over the image's is a folder of this repository; models stay the image's."""
    dev = yaml.safe_load((ROOT / "compose" / "compose.dev.yaml").read_text())["services"]
    assert set(dev) == set(OURS)
    places = [volume.split(":") for volume in dev["api"]["volumes"]]
    assert all((ROOT / "compose" / here).exists() for here, *_ in places)
    assert {there for _, there, _ in places if there.startswith("/srv")} == {
        f"/srv/forebay/{room}" for room in ("cli", "db", "dialects", "tasks", "webapi", "workers")
    }


def test_file_of_settings_is_made_once_with_secrets_of_its_own(tmp_path: Path) -> None:
    """What an operator has written since stays; nobody else may read it."""
    made = tmp_path / ".env.prod"

    def settings() -> dict[str, str]:
        subprocess.run([ROOT / "compose" / "settings.sh", made], check=True, capture_output=True)
        return dict(line.split("=", 1) for line in made.read_text().splitlines() if re.match("[A-Z]", line))

    first = settings()
    secret = ("FOREBAY_DATABASE_PASSWORD", "FOREBAY_KEY_PEPPER", "FOREBAY_WEBHOOK_KEY", "FLOWER_BASIC_AUTH")
    assert len({first[name] for name in secret}) == len(secret)
    assert all(len(first[name]) >= 64 for name in secret)
    assert {**first, **dict.fromkeys(secret, "")} == file.example()
    assert made.stat().st_mode & 0o077 == 0
    assert settings() == first


def test_model_of_ones_own_has_a_worker() -> None:
    command = file.services({"MODEL": "mine", "MODEL_SLOTS": "2"})["worker"]["command"]
    assert command[1:] == ["-m", *lineup.worker("mine", 2, 1, {}).argv[2:]]


def test_help_lists_what_can_be_made() -> None:
    """Every target but those that only others need."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    targets = set(re.findall(r"^\.PHONY:(.*)$", makefile, flags=re.MULTILINE)[0].split()) - {"settings"}
    quiet = ["make", "--no-print-directory", "help"]  # it may be that make runs us
    listed = subprocess.run(quiet, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line.split()[0] for line in listed} == targets
    assert all(len(line.split()) > 1 for line in listed)


@pytest.mark.parametrize(
    ("which", "files"), [("dev", ["compose.yaml", "compose.dev.yaml"]), ("prod", ["compose.yaml"])]
)
def test_make_uses_the_files_of_what_it_is_for(which: str, files: list[str]) -> None:
    """Development has its code mounted, production hasn't; each has its own settings."""
    told = subprocess.run(["make", "-n", "up", f"FOR={which}"], cwd=ROOT, capture_output=True, text=True, check=True)
    command = next(line for line in told.stdout.splitlines() if line.startswith("docker compose")).split()
    assert [part for part in command if part.endswith(".yaml")] == [f"compose/{name}" for name in files]
    assert command[command.index("--env-file") + 1] == f"compose/.env.{which}"
