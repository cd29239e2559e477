"""Every store for real: PostgreSQL, a folder, and moto's server that speaks like S3."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from db.session import Sessions
from tasks.files.stores import Stores
from tasks.settings import FileSettings


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def bucket(url: str, name: str) -> FileSettings:
    known = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **known).create_bucket(Bucket=name)
    return FileSettings(f"s3://{name}/some/prefix", endpoint=url, region="us-east-1", key="k", secret="s")


@pytest.fixture(params=["postgres", "folder", "bucket"])
def stores(request: pytest.FixtureRequest, sessions: Sessions, tmp_path: Path) -> Stores:
    if request.param == "bucket":
        return Stores(bucket(request.getfixturevalue("s3"), f"b-{uuid.uuid4().hex}"), sessions)
    return Stores(FileSettings("postgres" if request.param == "postgres" else f"file://{tmp_path}"), sessions)
