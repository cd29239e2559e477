"""Settings that more than one kind of process reads, from the environment, once, all mistakes told together."""

from dataclasses import dataclass
from pathlib import Path

from environs import Env, EnvError

from tasks import errors, failpoints


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of ours must know. README's table says what each is for."""

    database_url: str
    redis_url: str
    broker_url: str
    catalog: Path
    lease_s: float
    stream_ttl_s: int


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
        lease_s=env.float("LEASE_S", 4.0),
        stream_ttl_s=env.int("STREAM_TTL_S", 900),
    )


def seal(env: Env) -> None:
    """Raises one `SettingsError` for all mistakes seen so far, or else for a mistake in the failpoints."""
    try:
        env.seal()
    except EnvError as error:
        raise errors.SettingsError(f"settings: {error}") from error
    failpoints.armed()
