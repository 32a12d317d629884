"""Fixtures of all tests."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from soak import times

from cacheness import Cache, reset_cache, set_default_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
