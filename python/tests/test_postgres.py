"""Caches in a PostgreSQL database: the server whose address is in ``CACHENESS_TEST_POSTGRES_URL``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from sqlalchemy import DateTime, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from cacheness import Cache, CacheConfig, CacheMetadataConfig
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model
from cacheness.errors import CacheConfigurationError, CacheConstraintError, CacheError
from cacheness.metadata import Base

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = os.environ.get("CACHENESS_TEST_POSTGRES_URL", "")


def make(place: Path, schema: str, **options: Any) -> Cache:
    """A cache in the schema."""
    metadata = CacheMetadataConfig(
        metadata_backend="postgresql", metadata_backend_options={"connection_url": ADDRESS, "schema": schema, **options}
    )
    return Cache(CacheConfig(cache_dir=str(place), metadata=metadata))


def test_values_of_every_kind(tmp_path: Path, schema: str) -> None:
    """Small values are in the database, large ones in files; both come back."""
    frame = pd.DataFrame({"a": range(50_000), "b": [str(i) for i in range(50_000)]})
    values = {
        "text": "ключ \0 \x1a",
        "plain": {"a": [1, 2.5, None], "when": datetime(2026, 1, 1, tzinfo=UTC)},
        "small": np.arange(10),
        "large": np.random.default_rng(1).random(200_000),
        "frame": frame,
    }
    with make(tmp_path, schema) as cache:
        for name, value in values.items():
            cache.put(value, name=name, description="with \0 in it", metadata={"kind": name, "n": len(name)})
        assert cache.get_stats()["backend_type"] == "postgresql"
    with make(tmp_path, schema) as cache:
        assert cache.get(name="text") == values["text"]
        assert cache.get(name="plain") == values["plain"]
        assert np.array_equal(cache.get(name="small"), values["small"])
        assert np.array_equal(cache.get(name="large"), values["large"])
        pd.testing.assert_frame_equal(cache.get(name="frame"), frame)
        assert len(cache) == 5
        found = cache.list_entries(where={"n": {"$gte": 5}}, sort="kind")
        assert [cache.get_metadata(cache_key=entry["cache_key"])["metadata"]["kind"] for entry in found] == [
            "frame",
            "large",
            "plain",
            "small",
        ]
        rows = cache.query_meta("SELECT cache_key, file_size FROM entries WHERE metadata::json->>'kind' = ?", ["text"])
        assert [row["cache_key"] for row in rows] == [cache.list_entries(where={"kind": "text"})[0]["cache_key"]]
        cache.create_text_index()
        cache.put(1, name="noted", description="Fraud detection")
        assert len(cache.search("fraud*")) == 1
        assert cache.invalidate(name="frame")
        assert cache.get(name="frame") is None


@pytest.mark.parametrize(
    "config",
    [
        lambda place, url, schema: CacheConfig(
            cache_dir=place,
            metadata_backend="postgresql",
            metadata_backend_options={"connection_url": url, "schema": schema},
        ),
        lambda place, url, schema: CacheConfig(
            cache_dir=place,
            metadata=CacheMetadataConfig(
                backend="postgresql", connection_url=url, schema=schema, pool_size=2, max_overflow=3
            ),
        ),
        lambda place, url, schema: CacheConfig(
            cache_dir=place,
            metadata=CacheMetadataConfig(database_url=f"{url}{'&' if '?' in url else '?'}schema={schema}"),
        ),
        lambda place, url, schema: CacheConfig(
            cache_dir=place, metadata_backend="postgres", backend_options={"connection_url": url, "schema": schema}
        ),
    ],
)
def test_every_form_of_the_configuration(tmp_path: Path, schema: str, config: Any) -> None:
    """The address can be given in each of the documented places."""
    with Cache(config(str(tmp_path), ADDRESS, schema)) as cache:
        cache.put([1, 2], model="a")
        assert cache.get(model="a") == [1, 2]
    with psycopg.connect(ADDRESS) as connection:
        assert connection.execute(f'SELECT count(*) FROM "{schema}".cache_entries').fetchone() == (1,)


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """Neither the password of an address nor an option with one is in a representation, an error or a file."""
    url = "postgresql://ada:hush@127.0.0.1:1/none"
    config = CacheConfig(
        cache_dir=str(tmp_path), metadata_backend="postgresql", metadata_backend_options={"connection_url": url}
    )
    assert "hush" not in repr(config)
    with pytest.raises(CacheError) as caught:
        Cache(config).put(1, a=1)
    assert "hush" not in repr(caught.value) + str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hush" in path.read_bytes()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_siez": 3}, "pool_siez"),
        ({"pool_size": "many"}, "pool_size"),
        ({"connection_url": "mysql://h/x"}, "mysql"),
        ({"statement_timeout": 0}, "statement_timeout"),
        ({"table_prefix": "a-b"}, "table_prefix"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, schema: str, options: dict[str, Any], message: str) -> None:
    """A mistake in the options says which one."""
    with pytest.raises(CacheConfigurationError, match=message):
        make(tmp_path, schema, **options).put(1, a=1)


@custom_metadata_model("pg_experiments")
class PgExperiment(Base, CustomMetadataBase):
    """A model with columns that SQLite does not have."""

    __tablename__ = "custom_pg_experiments"

    run: Mapped[str] = mapped_column(String(50), unique=True)
    accuracy: Mapped[float]
    cost: Mapped[Any] = mapped_column(Numeric(10, 2), nullable=True)
    when: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def experiment(run: str, accuracy: float) -> PgExperiment:
    """An object of the model."""
    return PgExperiment(run=run, accuracy=accuracy, cost="12.50", when=datetime(2026, 1, 2, 3, tzinfo=UTC))


def test_typed_metadata(tmp_path: Path, schema: str) -> None:
    """Rows are stored with their entry, or not at all, and go with it."""
    with make(tmp_path, schema) as cache:
        for i in range(5):
            cache.put(i, custom_metadata=experiment(f"run {i}", i / 10), i=i)
        with cache.query_custom_session("pg_experiments") as query:
            assert query.filter(PgExperiment.accuracy >= 0.2).count() == 3
        row = cache.get_custom_metadata_for_entry(i=3)["pg_experiments"]
        row = row[0] if isinstance(row, list) else row
        assert (row.run, float(row.cost), row.when) == ("run 3", 12.5, datetime(2026, 1, 2, 3, tzinfo=UTC))
        with pytest.raises(CacheConstraintError, match="run"):
            cache.put("new", custom_metadata=experiment("run 1", 1), i=2)
        assert cache.get(i=2) == 2
        # A put without rows replaces the entry and removes the former rows.
        cache.put("new", i=0)
        cache.invalidate(i=1)
        assert sorted(one.run for one in cache.query_custom("pg_experiments")) == ["run 2", "run 3", "run 4"]
        cache.put("again", custom_metadata=experiment("run 0", 0.5), i=0)
        cache.clear_all()
        assert cache.query_custom("pg_experiments") == []


def _child(place: str, schema: str, number: int, count: int) -> None:
    from pathlib import Path

    with make(Path(place), schema) as cache:
        for i in range(count):
            cache.put({"by": number, "i": i}, own=number, i=i)
            cache.put(number, shared=i)
            assert cache.get(own=number, i=i) == {"by": number, "i": i}


def test_processes_that_start_at_once(tmp_path: Path, schema: str) -> None:
    """Twenty processes open an empty database at the same moment; all of them work."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_child, args=(str(tmp_path), schema, n, 5)) for n in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 20
    with make(tmp_path, schema) as cache:
        assert len(cache) == 20 * 5 + 5


def test_a_forked_child_uses_connections_of_its_own(tmp_path: Path, schema: str) -> None:
    """The child and its parent use the same cache object, and both go on."""
    with make(tmp_path, schema) as cache:
        cache.put(1, a=1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for i in range(20):
                    cache.put(i, child=i)
                status = 0 if cache.get(a=1) == 1 else 2
            finally:
                os._exit(status)
        for i in range(20):
            cache.put(i, parent=i)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(cache) == 41


COUNTED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_postgres import make
from cacheness import cached

cache = make(Path({place!r}), {schema!r})

@cached(cache_instance=cache)
def slow(x):
    with open({log!r}, "a") as log:
        log.write("computed\\n")
    time.sleep({seconds})
    return x + 1

print(slow(1), flush=True)
"""


def test_a_function_is_computed_once_by_many_processes(tmp_path: Path, schema: str) -> None:
    """Advisory locks let one process compute; one that is killed while it computes gives way to the next."""
    log = tmp_path / "log"
    values = {"tests": os.path.dirname(__file__), "place": str(tmp_path / "c"), "schema": schema, "log": str(log)}  # noqa: PTH120
    script = textwrap.dedent(COUNTED)
    first = subprocess.Popen([sys.executable, "-c", script.format(**values, seconds=600)])
    while not log.exists():
        assert first.poll() is None
    others = [
        subprocess.Popen([sys.executable, "-c", script.format(**values, seconds=0.5)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert [other.communicate()[0].strip() for other in others] == [b"2"] * 4
    assert log.read_text().count("computed") == 2


def test_a_lost_connection_is_opened_again(tmp_path: Path, schema: str) -> None:
    """The server ends the sessions of the cache: the next calls use new ones."""
    with make(tmp_path, schema, pool_size=3) as cache:
        cache.put(1, a=1)
        with psycopg.connect(ADDRESS, autocommit=True) as connection:
            for i in range(5):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cacheness' "
                    "AND pid <> pg_backend_pid()"
                )
                assert cache.get(a=1) == 1
                cache.put(i, b=i)
        assert len(cache) == 6


def test_connections_are_counted(tmp_path: Path, schema: str) -> None:
    """One thread needs one connection; more threads than connections wait."""
    with make(tmp_path, schema, pool_size=2, max_overflow=1) as cache:
        for i in range(10):
            cache.put(i, i=i)
        stats = cache.get_pool_stats()
        assert stats["pool_size"] == 2
        assert stats["max_overflow"] == 1
        assert (stats["open"], stats["in_use"], stats["idle"], stats["overflow"]) == (1, 0, 1, 0)
        assert (stats["opened"], stats["waits"]) == (1, 0)
        # Nobody else can write the rows: the puts hold their connections until the transaction ends.
        with psycopg.connect(ADDRESS) as blocker:
            blocker.execute(f'LOCK TABLE "{schema}".cache_entries IN EXCLUSIVE MODE')
            threads = [threading.Thread(target=cache.put, args=(i,), kwargs={"t": i}) for i in range(5)]
            for thread in threads:
                thread.start()
            while (stats := cache.get_pool_stats())["waits"] < 2:
                assert any(thread.is_alive() for thread in threads)
            assert (stats["open"], stats["in_use"], stats["idle"], stats["overflow"]) == (3, 3, 0, 1)
        for thread in threads:
            thread.join()
        stats = cache.get_pool_stats()
        assert stats["in_use"] == 0
        assert stats["open"] == stats["idle"] == 2, "one was beyond the size of the pool"
        assert all(cache.get(t=i) == i for i in range(5))
    with Cache(CacheConfig(cache_dir=str(tmp_path / "local"))) as cache:
        assert cache.get_pool_stats() == {}
