"""Secrets that are files: where a text may be set, a file may be named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import make_url

from cli.main import main
from tasks import errors, secretfiles, settings
from webapi import settings as api_settings

ROOT = Path(__file__).parents[2]
SECRET = "a text of some length, all random"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reading puts into the environment is taken out again."""
    for name in secretfiles.NAMES:
        for variable in (name, f"{name}_FILE"):
            monkeypatch.setenv(variable, "")
            monkeypatch.delenv(variable)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> None:
    """All the API needs, but for the pepper."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://me@there/db")
    monkeypatch.setenv("FOREBAY_REDIS_URL", "redis://there")
    monkeypatch.setenv("FOREBAY_WEBHOOK_KEY", SECRET)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.mark.parametrize("name", secretfiles.NAMES)
def test_each_secret_may_be_a_file(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the line's end, and a child finds the text where it finds any other."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://me@there/db")
    monkeypatch.setenv(name, "")  # as compose passes what isn't set
    monkeypatch.setenv(f"{name}_FILE", str(file))
    assert secretfiles.read() == secretfiles.read() == []
    assert f"{name}_FILE" not in os.environ
    assert os.environ[name] == SECRET if name != secretfiles.PASSWORD else name not in os.environ


def test_api_reads_its_pepper_from_a_file(api: None, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_KEY_PEPPER_FILE", str(file))
    assert api_settings.read().key_pepper == SECRET


def test_text_and_file_together_are_a_mistake(api: None, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named, and so is everything else that is wrong."""
    monkeypatch.setenv("FOREBAY_KEY_PEPPER", SECRET)
    monkeypatch.setenv("FOREBAY_KEY_PEPPER_FILE", str(file))
    monkeypatch.setenv("FOREBAY_LEASE_S", "soon")
    with pytest.raises(errors.SettingsError) as refused:
        api_settings.read()
    assert all(name in str(refused.value) for name in ("FOREBAY_KEY_PEPPER ", "FOREBAY_KEY_PEPPER_FILE", "LEASE_S"))


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff", b"a\0b"])
def test_file_without_a_text_is_a_mistake(
    content: bytes | None, api: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "odd"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("FOREBAY_KEY_PEPPER_FILE", str(file))
    with pytest.raises(errors.SettingsError, match="FOREBAY_KEY_PEPPER_FILE"):
        api_settings.read()


@pytest.mark.parametrize(
    "url", ["postgresql://me@there:5433/db?sslmode=require", "postgresql://me@/db?host=%2Frun%2Fdb"]
)
def test_password_of_its_own_gets_into_the_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every letter a password may have; the rest of the URL is as it was."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", url)
    monkeypatch.setenv("FOREBAY_REDIS_URL", "redis://there")
    monkeypatch.setenv("FOREBAY_DATABASE_PASSWORD", "p@s:/ %é")
    monkeypatch.setenv("FOREBAY_DATABASE_DIRECT_URL", url)
    read = settings.read()
    for found in (make_url(read.database_url), make_url(read.direct_url)):
        assert found.password == "p@s:/ %é"
        assert found._replace(password=None) == make_url(url)


@pytest.mark.parametrize("url", ["postgresql://there/db", "postgresql://me:mine@there/db", ""])
def test_password_needs_a_user_without_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_DATABASE_URL", url)
    monkeypatch.setenv("FOREBAY_REDIS_URL", "redis://there")
    monkeypatch.setenv("FOREBAY_DATABASE_PASSWORD", "secret")
    with pytest.raises(errors.SettingsError, match="FOREBAY_DATABASE_PASSWORD: FOREBAY_DATABASE_URL must name a user"):
        settings.read()


def test_commands_read_files_too(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's command finds the database by a file, and says which file it can't read."""
    (tmp_path / "url").write_text(postgres_url)
    monkeypatch.setenv("FOREBAY_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert CliRunner().invoke(main, ["migrate"]).exit_code == 0
    monkeypatch.delenv("FOREBAY_DATABASE_URL")
    monkeypatch.setenv("FOREBAY_DATABASE_URL_FILE", str(tmp_path / "nowhere"))
    refused = CliRunner().invoke(main, ["migrate"])
    assert refused.exit_code == 1
    assert "FOREBAY_DATABASE_URL_FILE" in refused.stderr


def imported_flower(**login: str) -> subprocess.CompletedProcess[str]:
    read = "import os, workers.flower; print(os.environ['FLOWER_BASIC_AUTH'])"
    env = {**os.environ, **login}
    return subprocess.run([sys.executable, "-c", read], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_flower_reads_its_login_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "login").write_text("user:a word\n")
    assert imported_flower(FLOWER_BASIC_AUTH_FILE=str(tmp_path / "login")).stdout == "user:a word\n"


@pytest.mark.parametrize("login", [{}, {"FLOWER_BASIC_AUTH": ""}, {"FLOWER_BASIC_AUTH": "user"}])
def test_flower_without_a_login_does_not_start(login: dict[str, str]) -> None:
    """It would show itself to everybody."""
    refused = imported_flower(**login)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "FLOWER_BASIC_AUTH must be user:password" in refused.stderr
