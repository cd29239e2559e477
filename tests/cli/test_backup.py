"""`forebay backup` and `forebay restore`: all of it comes back, and what isn't whole is refused."""

import json
import shutil
import stat
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli.launcher import credentials, datafolder, embedded, modelfiles, standalone
from cli.launcher.datafolder import DataFolder
from cli.main import main
from cli.operator import kept
from db import migrate
from db import session as db_session
from tasks import keys
from tasks.models import catalog
from tests.support import databases, dumps
from tests.support.platform import forgetful_postgres, running
from tests.support.revisions import moved


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """A data folder as an `up --model` of the version before has left it, stopped."""
    made = DataFolder(tmp_path_factory.mktemp("installation") / "data")
    with datafolder.claim(made.root), running(made.root, forgetful_postgres) as url:
        migrate.upgrade(url)
        dumps.fill(url)
        _make_secrets(made, url)
        with databases.pool(url) as engine, engine.begin() as connection:
            moved(connection, "0027")
    given = []
    for place in ("one", "other"):
        file = made.root.with_name(place) / "model.gguf"
        file.parent.mkdir()
        file.write_bytes(place.encode() * 1000)
        given.append(file)
    entry = {"engine": "llamacpp", "context": 64, "slots": 1, "types": ["generate"]}
    modelfiles.write(made.catalog, {file.parent.name: {**entry, "file": str(file)} for file in given})
    return made


@pytest.fixture(scope="module")
def backup(data: DataFolder) -> Path:
    """A backup of it."""
    made = data.root.with_name("backup")
    with datafolder.claim(data.root), running(data.root, forgetful_postgres):  # as if `up` ran
        assert forebay("backup", made, data.root).exit_code == 0
    return made


@pytest.fixture
def copy(backup: Path, tmp_path: Path) -> Path:
    """One to be spoiled."""
    return Path(shutil.copytree(backup, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("FOREBAY_DATABASE_URL", "FOREBAY_CATALOG", "FOREBAY_KEY_PEPPER"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def forebay(command: str, folder: Path, data: Path, *options: str) -> Result:
    return CliRunner().invoke(main, [command, str(folder), "--data", str(data), *options])


def refused(result: Result) -> str:
    assert result.exit_code == 1
    return result.stderr


def _make_secrets(made: DataFolder, url: str) -> None:
    known = credentials.open_or_make(made.secrets)
    engine = db_session.open_engine(url, pool_size=1)
    with db_session.open_sessions(engine).begin() as session:
        key = keys.create(session, pepper=known.pepper, tenant="default", name="forebay up").key
    engine.dispose()
    credentials.write(made.secrets, replace(known, key=key))


def test_restored_folder_has_every_row_every_secret_and_every_model(
    data: DataFolder, backup: Path, tmp_path: Path
) -> None:
    """Whatever a restore that was killed has left. Stopped, it is backed up with its models of then."""
    left = tmp_path / "again.restoring" / embedded.POSTGRES
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    (tmp_path / "again").mkdir()  # an empty folder is as good as none
    result = forebay("restore", backup, tmp_path / "again")
    assert result.exit_code == 0, result.output
    again = DataFolder(tmp_path / "again")
    found = []
    for folder in (data, again):
        with datafolder.claim(folder.root), standalone.started(folder) as url:
            found.append((dumps.rows(url), dumps.definitions(url)))
    assert [name for name in dumps.FILLED if not found[0][0][name]] == []
    assert found[0] == found[1]
    assert credentials.read(again.secrets) == credentials.read(data.secrets)
    models = catalog.load(again.served_by_default)
    assert {name: model.file.read_bytes()[:5] for name, model in models.items() if model.file} == {
        "one": b"oneon",
        "other": b"other",
    }
    assert all(again.root in model.file.parents for model in models.values() if model.file)
    assert not again.root.with_name("again.restoring").exists()
    assert forebay("backup", tmp_path / "second", again.root).exit_code == 0
    first, second = (kept.read(folder).files for folder in (backup, tmp_path / "second"))
    assert {name: file for name, file in first.items() if name != kept.DATABASE} == {
        name: file for name, file in second.items() if name != kept.DATABASE
    }


def test_backup_is_for_nobody_else_to_read(backup: Path) -> None:
    """It has the pepper and every tenant's documents."""
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700


def test_models_may_stay_where_they_are(data: DataFolder, tmp_path: Path) -> None:
    """The catalogue says where."""
    with datafolder.claim(data.root), running(data.root, forgetful_postgres):
        assert forebay("backup", tmp_path / "backup", data.root, "--without-models").exit_code == 0
    assert set(kept.read(tmp_path / "backup").files) == {kept.CATALOG, kept.DATABASE, kept.SECRETS}
    before, after = (catalog.load(path) for path in (data.catalog, tmp_path / "backup" / kept.CATALOG))
    assert before == after


def _cut(folder: Path) -> None:
    with (folder / kept.DATABASE).open("r+b") as file:
        file.truncate(1000)


def _turn_a_byte(folder: Path) -> None:
    with (folder / kept.DATABASE).open("r+b") as file:
        file.seek(500)
        byte = file.read(1)
        file.seek(500)
        file.write(bytes([byte[0] ^ 1]))


def _lose_a_model(folder: Path) -> None:
    (folder / kept.MODELS / "model.gguf").unlink()


def _stop_before_the_end(folder: Path) -> None:
    (folder / kept.MANIFEST).rename(folder / "manifest.json.new")


def _come_from_the_future(folder: Path) -> None:
    _tell(folder, format=kept.FORMAT + 1)


def _have_newer_tables(folder: Path) -> None:
    _tell(folder, revision="9999")


def _tell(folder: Path, **changes: object) -> None:
    path = folder / kept.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_cut, "database.dump has 1000 bytes instead of"),
        (_turn_a_byte, "database.dump has other bytes than were written"),
        (_lose_a_model, "models/model.gguf can't be read"),
        (_stop_before_the_end, "is no whole backup: manifest.json, which is written last, is missing"),
        (_come_from_the_future, "was made by a newer version"),
        (_have_newer_tables, "newer version, forebay 0.1.0 with tables 9999"),
    ],
)
def test_backup_that_is_not_whole_makes_no_data_folder(
    copy: Path, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """It is refused before anything is made."""
    spoil(copy)
    assert reason in refused(forebay("restore", copy, tmp_path / "again"))
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("in_use", [True, False])
def test_nothing_is_restored_over_data(backup: Path, data: DataFolder, in_use: bool) -> None:
    """Nor under the feet of an `up`."""
    before = data.secrets.read_text()
    with datafolder.claim(data.root) if in_use else nullcontext():
        reason = refused(forebay("restore", backup, data.root))
    assert ("is in use by another `forebay up`" if in_use else "has data already") in reason
    assert data.secrets.read_text() == before


@pytest.mark.parametrize(("mode", "there", "reason"), [(0o755, "x", "isn't empty"), (0o755, "", "others may enter")])
def test_folder_that_is_no_place_for_a_backup_stays_as_it_is(
    tmp_path: Path, mode: int, there: str, reason: str
) -> None:
    """It may be everybody's, as /tmp is."""
    folder = tmp_path / "everybodys"
    folder.mkdir(mode)
    if there:
        (folder / there).touch()
    with pytest.raises(click.ClickException, match=reason):
        kept.begin(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_empty_folder_of_ones_own_is_taken(tmp_path: Path) -> None:
    """Made before, for nobody else."""
    (tmp_path / "backup").mkdir(0o700)
    kept.begin(tmp_path / "backup")


def test_backup_that_no_key_would_open_is_refused(
    data: DataFolder, tmp_path: Path, without_settings: pytest.MonkeyPatch
) -> None:
    """`up` may run with another pepper than the folder's."""
    without_settings.setenv("FOREBAY_KEY_PEPPER", "another pepper than up's")
    with datafolder.claim(data.root), running(data.root, forgetful_postgres):
        assert "isn't the one that `up` runs with" in refused(forebay("backup", tmp_path / "backup", data.root))
    assert not (tmp_path / "backup" / kept.MANIFEST).exists()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_servers_of_ones_own_are_left_to_pg_dump(
    command: str, copy: Path, tmp_path: Path, without_settings: pytest.MonkeyPatch
) -> None:
    """What the data folder has then isn't the database that is used."""
    without_settings.setenv("FOREBAY_DATABASE_URL", "postgresql://somewhere/else")
    assert "pg_dump" in refused(forebay(command, copy, tmp_path / "data"))
