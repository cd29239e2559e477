"""`forebay backup` and `forebay restore`: all of it comes back, and what isn't whole is refused."""

import json
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from cli.launcher import credentials, datafolder, embedded, given, leftovers, lineup, modelfiles, standalone
from cli.launcher.datafolder import DataFolder
from cli.main import main
from cli.operator import backup as backing_up
from cli.operator import kept
from db import migrate
from db import session as db_session
from tasks import ids, keys
from tasks.models import catalog, parts
from tasks.models.catalog import Model
from tests.support import databases, dumps
from tests.support.platform import forgetful_postgres, running
from tests.support.revisions import moved

# A job that has ended once more, with what is written in the transaction that ends one.
_END_ONE_MORE = [
    f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object('{key}', CAST(:id AS uuid)))).*"
    f" FROM {table} AS t JOIN job_outputs AS ended ON ended.job_id = t.{key} LIMIT 1"
    for table, key in (("jobs", "id"), ("ledger", "job_id"), ("job_outputs", "job_id"))
]
_TORN = """
SELECT count(*) FROM (SELECT id AS job_id FROM jobs WHERE finished_at IS NOT NULL) AS ended
FULL JOIN ledger USING (job_id) FULL JOIN job_outputs USING (job_id)
WHERE ended IS NULL OR ledger IS NULL OR job_outputs IS NULL
"""
SPLIT = ("split-00001-of-00002.gguf", "split-00002-of-00002.gguf")


@dataclass(frozen=True, slots=True)
class Up:
    """A data folder as that of an `up --model` whose tables are of the version before, and its PostgreSQL."""

    data: DataFolder
    url: str
    rows: Mapping[str, Sequence[str]]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    made = DataFolder(tmp_path_factory.mktemp("installation") / "data")
    with datafolder.claim(made.root), running(made.root, forgetful_postgres) as url:
        migrate.upgrade(url)
        dumps.fill(url)
        _make_secrets(made, url)
        with databases.pool(url) as engine, engine.begin() as connection:
            moved(connection, "0027")
        files = [made.root.with_name("one") / name for name in SPLIT]
        files.append(made.root.with_name("other") / SPLIT[0].replace("2", "1"))
        for file in files:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(str(file).encode() * 1000)
        entry = {"engine": "llamacpp", "context": 64, "slots": 1, "types": ["generate"]}
        models = {file.parent.name: {**entry, "file": str(file)} for file in (files[0], files[2])}
        modelfiles.write(made.catalog, models | {"twin": {**models["one"], "engine": "ctransformers"}})
        yield Up(made, url, dumps.rows(url))


@pytest.fixture(scope="module")
def data(installation: Up) -> DataFolder:
    return installation.data


@pytest.fixture(scope="module")
def backup(installation: Up) -> Path:
    """A backup of it, made while jobs are accepted and end."""
    made = installation.data.root.with_name("backup")
    enough = threading.Event()
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(_write, installation.url, enough)
        try:
            result = forebay("backup", made, installation.data.root)
        finally:
            enough.set()
        assert writing.result() > 1
    assert result.exit_code == 0, result.output
    return made


def _write(url: str, enough: threading.Event) -> int:
    """Jobs that end until it is enough; how many."""
    with databases.pool(url) as engine:
        for number in count():
            if enough.is_set():
                return number
            with engine.begin() as connection:
                job_id = ids.new()
                for statement in _END_ONE_MORE:
                    connection.execute(text(statement), {"id": job_id})
    return 0


@pytest.fixture
def copy(backup: Path, tmp_path: Path) -> Path:
    """One to be spoiled."""
    return Path(shutil.copytree(backup, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("FOREBAY_DATABASE_URL", "FOREBAY_CATALOG", *given.SECRETS):
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
    installation: Up, backup: Path, tmp_path: Path
) -> None:
    """Of one moment while jobs went on, whatever a restore that was killed has left. Stopped, it is backed up again."""
    left = tmp_path / "again.restoring" / embedded.POSTGRES
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    (tmp_path / "again").mkdir()  # an empty folder is as good as none
    with subprocess.Popen(["/bin/sleep", "30"], start_new_session=True) as writes:
        leftovers.write(left.with_name("run.json"), [(embedded.POSTGRES, writes.pid, signal.SIGINT)])
        result = forebay("restore", backup, tmp_path / "again")
        assert writes.poll() is not None
    assert result.exit_code == 0, result.output
    again = DataFolder(tmp_path / "again")
    with datafolder.claim(again.root), standalone.started(again) as url:
        _equal(installation, url)
    assert credentials.read(again.secrets) == credentials.read(installation.data.secrets)
    served, restored = catalog.load(installation.data.catalog), catalog.load(again.served_by_default)
    assert _bytes(served.values()) == _bytes(restored.values())
    assert restored["twin"].file == restored["one"].file
    assert all(again.root in model.file.parents for model in restored.values() if model.file)
    assert not again.root.with_name("again.restoring").exists()
    assert forebay("backup", tmp_path / "second", again.root).exit_code == 0
    first, second = (kept.read(folder).files for folder in (backup, tmp_path / "second"))
    assert {name: file for name, file in first.items() if name != kept.DATABASE} == {
        name: file for name, file in second.items() if name != kept.DATABASE
    }


def _equal(installation: Up, url: str) -> None:
    """All rows of before, and of those that were written meanwhile what was true at one moment."""
    restored = dumps.rows(url)
    assert dumps.definitions(url) == dumps.definitions(installation.url)
    assert set(restored) == set(installation.rows)
    assert [name for name in dumps.FILLED if not installation.rows[name]] == []
    lost = {name: set(rows) - set(restored[name]) for name, rows in installation.rows.items()}
    assert not any(lost.values()), lost
    with databases.pool(url) as engine, engine.connect() as connection:
        assert connection.scalar(text(_TORN)) == 0


def _bytes(models: Iterable[Model]) -> dict[str, list[bytes]]:
    """What is in all files of each model."""
    return {model.name: [part.read_bytes() for part in parts.of(model.file)] for model in models if model.file}


def test_backup_is_for_nobody_else_to_read(backup: Path) -> None:
    """It has the pepper and every tenant's documents."""
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700


def test_models_may_stay_where_they_are(data: DataFolder, tmp_path: Path) -> None:
    """The catalogue says where."""
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
    (folder / kept.MODELS / "1" / SPLIT[1]).unlink()


def _stop_before_the_end(folder: Path) -> None:
    (folder / kept.MANIFEST).rename(folder / "manifest.json.new")


def _come_from_the_future(folder: Path) -> None:
    _tell(folder, format=kept.FORMAT + 1)


def _become_a_list(folder: Path) -> None:
    (folder / kept.MANIFEST).write_text("[]")


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
        (_lose_a_model, "models/1/split-00002-of-00002.gguf can't be read"),
        (_stop_before_the_end, "is no whole backup: manifest.json, which is written last, is missing"),
        (_come_from_the_future, "was made by a newer version"),
        (_become_a_list, "is damaged: manifest.json isn't as it was written"),
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


def test_nothing_is_backed_up_into_what_it_is_a_backup_of(data: DataFolder) -> None:
    assert "is in the data folder itself" in refused(forebay("backup", data.root / "inside", data.root))
    assert not (data.root / "inside").exists()


def test_nothing_is_restored_over_data(backup: Path, data: DataFolder, tmp_path: Path) -> None:
    """Nor under the feet of an `up`, nor where a folder can't be replaced."""
    kept_as_it_is = data.secrets.read_text()
    assert "is in use by another `forebay up`" in refused(forebay("restore", backup, data.root))
    assert data.secrets.read_text() == kept_as_it_is
    (tmp_path / "something").touch()
    assert "has data already" in refused(forebay("restore", backup, tmp_path))
    assert "something is mounted" in refused(forebay("restore", backup, Path("/proc")))


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


@pytest.mark.parametrize("setting", given.SECRETS)
def test_secret_that_only_up_was_given_is_asked_for(
    data: DataFolder, tmp_path: Path, without_settings: pytest.MonkeyPatch, setting: str
) -> None:
    """And isn't written down where `up` runs. A backup with another in its place would be good for nothing."""
    known = credentials.read(data.secrets)
    env = {"FOREBAY_CATALOG": str(data.catalog), setting: known.pepper}
    given.write(data.given, env, known.pepper, 8000, 0)
    try:
        assert "set it here as for `up`" in refused(forebay("backup", tmp_path / "one", data.root))
        assert not (tmp_path / "one").exists()
        assert known.pepper not in data.given.read_text()
        without_settings.setenv(setting, known.pepper)
        assert forebay("backup", tmp_path / "two", data.root, "--without-models").exit_code == 0
    finally:
        data.given.unlink()
    secrets = credentials.read(tmp_path / "two" / kept.SECRETS)
    assert {"FOREBAY_KEY_PEPPER": secrets.pepper, "FOREBAY_WEBHOOK_KEY": secrets.webhook_key}[setting] == known.pepper


def test_backup_is_of_what_up_was_given_and_not_of_what_this_shell_has(
    data: DataFolder, tmp_path: Path, without_settings: pytest.MonkeyPatch
) -> None:
    """Secrets and catalogue."""
    known = credentials.read(data.secrets)
    for name in given.SECRETS:
        without_settings.setenv(name, "of this shell")
    without_settings.setenv("FOREBAY_CATALOG", str(lineup.CATALOG))
    given.write(data.given, {"FOREBAY_CATALOG": str(data.catalog)}, known.pepper, 8000, 0)
    try:
        assert forebay("backup", tmp_path / "backup", data.root, "--without-models").exit_code == 0
    finally:
        data.given.unlink()
    assert credentials.read(tmp_path / "backup" / kept.SECRETS) == known
    assert (tmp_path / "backup" / kept.CATALOG).exists()


def test_backup_in_which_tables_change_is_none(installation: Up) -> None:
    """The manifest would name tables that the dump doesn't have."""
    move = "UPDATE alembic_version SET version_num = '{}'"
    with databases.pool(installation.url) as engine, engine.connect() as connection:
        again = connection.execution_options(isolation_level="AUTOCOMMIT")
        changed = pytest.raises(click.ClickException, match="were 0027: make the backup again")
        with changed, backing_up.same_tables(installation.url):
            again.execute(text(move.format("0026")))
        again.execute(text(move.format("0027")))


def test_data_of_another_postgresql_is_refused_and_no_backup_begun(tmp_path: Path) -> None:
    """In words."""
    cluster = tmp_path / "data" / embedded.POSTGRES
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9\n")
    assert "was made by PostgreSQL 9" in refused(forebay("backup", tmp_path / "backup", tmp_path / "data"))
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_servers_of_ones_own_are_left_to_pg_dump(
    command: str, copy: Path, tmp_path: Path, without_settings: pytest.MonkeyPatch
) -> None:
    """What the data folder has then isn't the database that is used."""
    without_settings.setenv("FOREBAY_DATABASE_URL", "postgresql://somewhere/else")
    assert "pg_dump" in refused(forebay(command, copy, tmp_path / "data"))
