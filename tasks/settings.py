"""Settings that more than one kind of process reads, from the environment, once, all mistakes told together."""

import ipaddress
import os
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from environs import Env, EnvError, ValidationError, validate

from tasks import errors, failpoints, secretfiles

LEASE_S = 4.0
STREAM_TTL_S = 900

# How what stands before PostgreSQL shares its connections out, in PgBouncer's words; without it, as by session.
POOLINGS = BY_SESSION, BY_TRANSACTION = "session", "transaction"

_SECRET_CHARACTERS = 16


Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Where the bytes of files are kept: `postgres`, a folder as `file:///…`, or a bucket as `s3://bucket/prefix`.

    The rest is a bucket's; what of it isn't given is found where AWS's own tools find it.
    """

    where: str = "postgres"
    endpoint: str | None = None
    region: str | None = None
    key: str | None = None
    secret: str | None = field(default=None, repr=False)


IN_POSTGRES = FileSettings()


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of ours must know. docs/settings.md says what each is for."""

    database_url: str
    redis_url: str
    broker_url: str
    catalog: Path
    lease_s: float
    stream_ttl_s: int
    pooled_by_transaction: bool = False  # at `database_url`; what needs a connection of its own asks `direct_url`
    database_direct_url: str | None = None
    files: FileSettings = IN_POSTGRES

    @property
    def direct_url(self) -> str:
        return self.database_direct_url or self.database_url


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


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """Functions of the server: which modules have more of them, which variables those may see (names only), how long a
    call may take in seconds, and where the services are that ours ask."""

    modules: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    limit_s: float = 10.0
    weather_url: str = "https://api.open-meteo.com"
    geocoding_url: str = "https://geocoding-api.open-meteo.com"


OUR_FUNCTIONS = FunctionSettings()


def read() -> Settings:
    """Reads the environment. Raises `SettingsError` naming every variable that is missing or wrong."""
    env = environment()
    settings = read_shared(env)
    seal(env)
    return settings


def environment() -> Env:
    """Our part of the environment, secrets that are files too, for who reads settings: collect, then `seal`."""
    secretfiles.read()
    return Env(eager=False, prefix="FOREBAY_")


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
        pooled_by_transaction=_pooled_by_transaction(env),
        database_direct_url=env.str("DATABASE_DIRECT_URL", None),
        files=read_files(env),
    )


def read_files(env: Env) -> FileSettings:
    """The settings of files. As with `read_shared`, mistakes are collected; then call `seal`."""
    return FileSettings(
        where=env.str("FILES", "", validate=_refuse_odd_place) or IN_POSTGRES.where,
        endpoint=env.str("FILES_ENDPOINT", "") or None,
        region=env.str("FILES_REGION", "") or None,
        key=env.str("FILES_KEY", "") or None,
        secret=env.str("FILES_SECRET", "") or None,
    )


def _pooled_by_transaction(env: Env) -> bool:
    def refuse_odd(pooling: str) -> None:
        if pooling and pooling not in POOLINGS:  # compose passes nothing where nothing is set
            raise ValidationError(f"must be one of {', '.join(POOLINGS)}")
        if pooling == BY_TRANSACTION and not os.environ.get("FOREBAY_DATABASE_DIRECT_URL"):
            raise ValidationError("wants FOREBAY_DATABASE_DIRECT_URL too, for what such a pool can't do")

    return env.str("DATABASE_POOLING", BY_SESSION, validate=refuse_odd) == BY_TRANSACTION


def read_webhooks(env: Env) -> WebhookSettings:
    """The settings of webhooks. As with `read_shared`, mistakes are collected; then call `seal`."""
    named = env.str("WEBHOOK_NETWORKS", "", validate=_refuse_odd_networks) or ""  # None for one that is wrong
    policy = WebhookPolicy(env.bool("WEBHOOK_HTTP", False), _networks(named))
    return WebhookSettings(read_secret(env, "WEBHOOK_KEY"), policy)


def read_functions(env: Env) -> FunctionSettings:
    """The settings of functions. As with `read_shared`, mistakes are collected; then call `seal`."""
    usual = OUR_FUNCTIONS
    return FunctionSettings(
        modules=_names(env.str("FUNCTIONS", "", validate=_refuse_odd_modules)),
        variables=_names(env.str("FUNCTIONS_ENV", "", validate=_refuse_odd_variables)),
        limit_s=env.float("FUNCTION_S", usual.limit_s, validate=validate.Range(0.1, 300)),
        weather_url=env.str("WEATHER_URL", usual.weather_url, validate=_refuse_odd_address),
        geocoding_url=env.str("GEOCODING_URL", usual.geocoding_url, validate=_refuse_odd_address),
    )


def read_secret(env: Env, name: str) -> str:
    """A secret; one that is empty or too short is a mistake, collected like the others."""
    return env.str(name, validate=_refuse_short)


def seal(env: Env) -> None:
    """Raises one `SettingsError` for all mistakes seen so far, or else for a mistake in the failpoints."""
    mistakes = secretfiles.read()
    try:
        env.seal()
    except EnvError as error:
        mistakes.insert(0, str(error))
    if mistakes:
        raise errors.SettingsError(f"settings: {'; '.join(mistakes)}")
    failpoints.armed()


def _refuse_short(secret: str) -> None:
    if len(secret.strip()) < _SECRET_CHARACTERS:
        raise ValidationError(f"must be a random text of at least {_SECRET_CHARACTERS} characters")


def _names(listed: str | None) -> tuple[str, ...]:  # None for one that is wrong
    return tuple(name.strip() for name in (listed or "").split(",") if name.strip())


def _refuse_odd_modules(listed: str) -> None:
    for name in _names(listed):
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValidationError(f"{name!r} must be a module's name, as in mypackage.tools")


def _refuse_odd_variables(listed: str) -> None:
    for name in _names(listed):
        if name.startswith(("FOREBAY_", "FLOWER_")):
            raise ValidationError(f"{name} is ours, and no function's affair")
        if name not in os.environ:
            raise ValidationError(f"{name} isn't set")


def _refuse_odd_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValidationError("must be an address, as in https://api.example.com")


def _refuse_odd_place(where: str) -> None:
    at = urlsplit(where)
    known = {"file": not at.netloc and at.path.startswith("/"), "s3": bool(at.netloc)}
    if where not in ("", IN_POSTGRES.where) and (not known.get(at.scheme) or at.query or at.fragment or at.username):
        raise ValidationError("must be postgres, file:///folder or s3://bucket/prefix")


def _networks(named: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name.strip()) for name in named.split(",") if name.strip())


def _refuse_odd_networks(named: str) -> None:
    try:
        _networks(named)
    except ValueError as error:
        raise ValidationError(str(error)) from error
