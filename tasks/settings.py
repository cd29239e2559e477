"""Settings that more than one kind of process reads, from the environment, once, all mistakes told together."""

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from environs import Env, EnvError, ValidationError

from tasks import errors, failpoints

LEASE_S = 4.0
STREAM_TTL_S = 900

_SECRET_CHARACTERS = 16


Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of ours must know. docs/settings.md says what each is for."""

    database_url: str
    redis_url: str
    broker_url: str
    catalog: Path
    lease_s: float
    stream_ttl_s: int


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """What the operator allows: plain HTTP, and networks that would be refused as not being the public's."""

    allow_http: bool = False
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What the API and the control worker know of webhooks: the key behind all secrets, and where messages may go."""

    key: str
    policy: WebhookPolicy


def read() -> Settings:
    """Reads the environment. Raises `SettingsError` naming every variable that is missing or wrong."""
    env = Env(eager=False, prefix="FOREBAY_")
    settings = read_shared(env)
    seal(env)
    return settings


def read_shared(env: Env) -> Settings:
    """The shared part, for a process that reads more: collect first, then `seal`."""
    redis_url = env.str("REDIS_URL")
    return Settings(
        database_url=env.str("DATABASE_URL"),
        redis_url=redis_url,
        broker_url=env.str("BROKER_URL", redis_url),
        catalog=env.path("CATALOG", Path("models/catalog.toml")),
        lease_s=env.float("LEASE_S", LEASE_S),
        stream_ttl_s=env.int("STREAM_TTL_S", STREAM_TTL_S),
    )


def read_webhooks(env: Env) -> WebhookSettings:
    """The settings of webhooks. As with `read_shared`, mistakes are collected; then call `seal`."""
    named = env.str("WEBHOOK_NETWORKS", "", validate=_refuse_odd_networks) or ""  # None for one that is wrong
    policy = WebhookPolicy(env.bool("WEBHOOK_HTTP", False), _networks(named))
    return WebhookSettings(read_secret(env, "WEBHOOK_KEY"), policy)


def read_secret(env: Env, name: str) -> str:
    """A secret; one that is empty or too short is a mistake, collected like the others."""
    return env.str(name, validate=_refuse_short)


def seal(env: Env) -> None:
    """Raises one `SettingsError` for all mistakes seen so far, or else for a mistake in the failpoints."""
    try:
        env.seal()
    except EnvError as error:
        raise errors.SettingsError(f"settings: {error}") from error
    failpoints.armed()


def _refuse_short(secret: str) -> None:
    if len(secret.strip()) < _SECRET_CHARACTERS:
        raise ValidationError(f"must be a random text of at least {_SECRET_CHARACTERS} characters")


def _networks(named: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name.strip()) for name in named.split(",") if name.strip())


def _refuse_odd_networks(named: str) -> None:
    try:
        _networks(named)
    except ValueError as error:
        raise ValidationError(str(error)) from error
