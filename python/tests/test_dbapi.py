"""SQL on the database of a cache: the interface of PEP 249, transactions, threads and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cacheness import Cache, CacheBusyError, CacheUnsupportedError, _dbapi


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as cache:
        yield cache


@pytest.fixture
def connection(cache: Cache) -> Iterator[_dbapi.Connection]:
    connection = _dbapi.connect(cache)
    connection.execute("CREATE TABLE custom_t (id INTEGER PRIMARY KEY, value)")
    connection.commit()
    yield connection
    connection.close()


def in_child(work: Callable[[], Any]) -> int:
    """Runs work in a forked child; returns its pid. The child ends with 0 if the work is done."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:  # noqa: BLE001
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return pid


def ends_well(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def count(connection: _dbapi.Connection) -> int:
    return connection.execute("SELECT count(*) FROM custom_t").fetchall()[0][0]


# ----- The interface.


def test_the_module_has_what_pep_249_asks_for() -> None:
    assert (_dbapi.apilevel, _dbapi.paramstyle, _dbapi.threadsafety) == ("2.0", "qmark", 2)
    for name in ("Interface", "Database"):
        assert issubclass(getattr(_dbapi, f"{name}Error"), _dbapi.Error)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        error = getattr(_dbapi, f"{name}Error")
        assert issubclass(error, _dbapi.DatabaseError)
        assert getattr(_dbapi.Connection, f"{name}Error") is error
    assert _dbapi.sqlite_version_info > (3, 40)


@pytest.mark.parametrize(
    "value",
    [None, 0, -(1 << 63), (1 << 63) - 1, 0.1, -1e308, float("inf"), "", "ä\0€😀", b"", b"\0\xff" * 5000, "x" * 100_000],
)
def test_values_come_back(connection: _dbapi.Connection, value: Any) -> None:
    connection.execute("INSERT INTO custom_t (value) VALUES (?)", [value])
    (found,) = connection.execute("SELECT value FROM custom_t").fetchall()[0]
    assert (found, type(found)) == (value, type(value))


def test_other_types_are_kept_as_one_of_those_or_refused(connection: _dbapi.Connection) -> None:
    import numpy as np

    given = [True, np.int64(7), np.float32(0.5), np.float64(0.1), bytearray(b"a"), memoryview(b"b")]
    expected = [1, 7, 0.5, 0.1, b"a", b"b"]
    for value, plain in zip(given, expected, strict=True):
        assert connection.execute("SELECT ?", (value,)).fetchone() == (plain,)
    with pytest.raises(OverflowError, match="64 bits"):
        connection.execute("SELECT ?", (1 << 63,))
    with pytest.raises(_dbapi.ProgrammingError, match="object"):
        connection.execute("SELECT ?", (object(),))
    with pytest.raises(UnicodeEncodeError):
        connection.execute("SELECT ?", ("\ud800",))


def test_a_cursor_describes_and_pages(connection: _dbapi.Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO custom_t (value) VALUES (?)", ((i,) for i in range(1000)))
    assert (cursor.rowcount, cursor.lastrowid, cursor.description) == (1000, 1000, None)
    cursor.execute("SELECT id, value AS v FROM custom_t ORDER BY id")
    assert [column[0] for column in cursor.description or ()] == ["id", "v"]
    assert cursor.rowcount == -1
    assert cursor.fetchone() == (1, 0)
    assert cursor.fetchmany(3) == [(2, 1), (3, 2), (4, 3)]
    assert cursor.fetchmany() == [(5, 4)]
    rest = list(cursor)
    assert (rest[0], rest[-1], len(rest)) == ((6, 5), (1000, 999), 995)
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    assert cursor.execute("UPDATE custom_t SET value = 0 WHERE id <= 10").rowcount == 10
    returned = cursor.execute("DELETE FROM custom_t WHERE id > 990 RETURNING id").fetchall()
    assert sorted(returned) == [(i,) for i in range(991, 1001)]
    cursor.close()
    with pytest.raises(_dbapi.ProgrammingError, match="closed"):
        cursor.execute("SELECT 1")


@pytest.mark.parametrize(
    ("sql", "parameters", "error", "message"),
    [
        ("SELEC 1", (), _dbapi.OperationalError, "syntax"),
        ("SELECT * FROM missing", (), _dbapi.OperationalError, "no such table"),
        ("SELECT 1; SELECT 2", (), _dbapi.ProgrammingError, "one statement"),
        ("SELECT ?", (), _dbapi.ProgrammingError, "1 parameters, and 0"),
        ("SELECT 1", (1,), _dbapi.ProgrammingError, "0 parameters, and 1"),
        (
            "INSERT INTO custom_t VALUES (1, 1), (1, 2)",
            (),
            _dbapi.IntegrityError,
            "UNIQUE constraint failed: custom_t.id",
        ),
        ("SELECT zeroblob(2000000000)", (), _dbapi.DataError, "too big"),
        ("SELECT 'x' REGEXP '('", (), _dbapi.OperationalError, "regex"),
    ],
)
def test_errors_have_their_class(
    connection: _dbapi.Connection, sql: str, parameters: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        connection.execute(sql, parameters)
    assert connection.execute("SELECT 1; -- and nothing more").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM cache_entries",
        "UPDATE cache_info SET value = ''",
        "INSERT INTO cache_pins VALUES ('x')",
        "DROP TABLE cache_entries",
        "ALTER TABLE Cache_Entries ADD COLUMN x",
        "CREATE INDEX mine ON cache_entries (handler)",
        "CREATE TABLE cache_other (x)",
        "CREATE TRIGGER mine AFTER INSERT ON cache_entries BEGIN SELECT 1; END",
        "ATTACH '/tmp/other.db' AS other",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 99",
        "PRAGMA wal_checkpoint",
        "PRAGMA writable_schema = ON",
        "VACUUM INTO '/tmp/copy.db'",
    ],
)
def test_what_belongs_to_the_engine_is_left_alone(connection: _dbapi.Connection, sql: str) -> None:
    with pytest.raises(_dbapi.DatabaseError, match=r"not authorized|denied"):
        connection.execute(sql)
    connection.rollback()


def test_entries_can_be_read(cache: Cache, connection: _dbapi.Connection) -> None:
    key = cache.put([1], fold=1)
    assert connection.execute("SELECT cache_key FROM cache_entries").fetchall() == [(key,)]


# ----- Transactions.


def test_the_first_change_begins_a_transaction(cache: Cache, connection: _dbapi.Connection) -> None:
    other = _dbapi.connect(cache)
    connection.execute("SELECT * FROM custom_t").fetchall()
    assert not connection.in_transaction
    connection.execute("INSERT INTO custom_t (value) VALUES (1)")
    assert connection.in_transaction
    assert (count(connection), count(other)) == (1, 0)
    connection.rollback()
    assert not connection.in_transaction
    with connection:
        connection.execute("CREATE TABLE custom_u (x)")
        connection.execute("INSERT INTO custom_t (value) VALUES (1)")
    assert count(other) == 1
    with pytest.raises(ZeroDivisionError), connection:
        print(connection.execute("DELETE FROM custom_t").rowcount / 0)
    assert count(other) == 1
    connection.autocommit = True
    connection.execute("INSERT INTO custom_t (value) VALUES (2)")
    assert (connection.in_transaction, count(other)) == (False, 2)
    with pytest.raises(_dbapi.IntegrityError):
        connection.execute("INSERT INTO custom_t (id) VALUES (8), (8)")
    assert (connection.in_transaction, count(other)) == (False, 2)


def test_savepoints(connection: _dbapi.Connection) -> None:
    connection.execute("SAVEPOINT a")
    assert connection.in_transaction
    connection.execute("INSERT INTO custom_t (value) VALUES (1)")
    connection.execute("SAVEPOINT b")
    connection.execute("INSERT INTO custom_t (value) VALUES (2)")
    connection.execute("ROLLBACK TO b")
    connection.execute("RELEASE b")
    connection.execute("RELEASE a")
    assert connection.in_transaction, "the transaction that began with the savepoint is not over"
    connection.commit()
    assert count(connection) == 1
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO custom_t (value) VALUES (2)")
    connection.execute("ROLLBACK")
    assert count(connection) == 1


def test_rows_are_gone_after_a_rollback(connection: _dbapi.Connection) -> None:
    connection.executemany("INSERT INTO custom_t (value) VALUES (?)", [(i,) for i in range(1000)])
    cursor = connection.execute("SELECT id FROM custom_t")
    assert cursor.fetchone() == (1,)
    connection.rollback()
    with pytest.raises(_dbapi.ProgrammingError, match="gone"):
        cursor.fetchall()


def test_rows_can_be_read_while_others_commit(cache: Cache, connection: _dbapi.Connection) -> None:
    connection.executemany("INSERT INTO custom_t (value) VALUES (?)", [(i,) for i in range(1000)])
    connection.commit()
    cursor = connection.execute("SELECT id FROM custom_t")
    first = cursor.fetchone()
    other = _dbapi.connect(cache)
    other.execute("DELETE FROM custom_t")
    other.commit()
    cache.put(1, x=1)
    assert first == (1,)
    assert len(cursor.fetchall()) == 999


def test_a_thread_does_not_wait_for_itself(cache: Cache, connection: _dbapi.Connection) -> None:
    connection.execute("INSERT INTO custom_t (value) VALUES (1)")
    with pytest.raises(CacheBusyError, match="this thread has an open transaction") as caught:
        cache.put(1, x=1)
    assert caught.value.hint == "commit the session or roll it back before you write through the cache"
    with pytest.raises(_dbapi.OperationalError, match="another session"):
        _dbapi.connect(cache).execute("DELETE FROM custom_t")
    connection.commit()
    cache.put(1, x=1)
    assert cache.get(x=1) == 1


def test_writers_wait_for_each_other(cache: Cache, connection: _dbapi.Connection) -> None:
    connection.execute("INSERT INTO custom_t (value) VALUES (1)")
    ready = threading.Event()

    def put() -> None:
        ready.set()
        cache.put(1, x=1)

    def insert() -> None:
        other = _dbapi.connect(cache)
        other.execute("INSERT INTO custom_t (value) VALUES (2)")
        other.commit()

    threads = [threading.Thread(target=put), threading.Thread(target=insert)]
    for thread in threads:
        thread.start()
    ready.wait()
    time.sleep(0.1)
    assert not cache.exists(x=1)
    connection.commit()
    for thread in threads:
        thread.join()
    assert (cache.get(x=1), count(connection)) == (1, 2)


def test_a_wait_can_be_interrupted(tmp_path: Path) -> None:
    program = f"""
import os, signal, threading
from cacheness import Cache, _dbapi
cache = Cache({str(tmp_path / "cache")!r})
holder = _dbapi.connect(cache)
def hold():
    holder.execute("CREATE TABLE custom_t (x)")
thread = threading.Thread(target=hold); thread.start(); thread.join()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    _dbapi.connect(cache).execute("CREATE TABLE custom_u (x)")
except KeyboardInterrupt:
    print("interrupted", flush=True)
holder.rollback()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "interrupted\n", done.stderr


# ----- Life.


def test_a_closed_cache_ends_its_connections(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    connection = _dbapi.connect(cache)
    assert connection.usable
    cache.close()
    assert not connection.usable
    with pytest.raises(_dbapi.InterfaceError, match="the store has been closed"):
        connection.execute("SELECT 1")
    connection.close()
    connection.close()


def test_a_directory_is_opened_for_a_connection(tmp_path: Path) -> None:
    with _dbapi.connect(tmp_path) as connection:
        connection.execute("CREATE TABLE custom_t (x)")
    connection.close()
    with pytest.raises(_dbapi.Error, match="closed"):
        connection.execute("SELECT 1")
    with _dbapi.connect(tmp_path) as connection:
        assert connection.execute("SELECT * FROM custom_t").fetchall() == []


@pytest.mark.parametrize("options", [{"cache_dir": ":memory:"}, {"metadata_backend": "json"}])
def test_other_backends_have_no_connections(tmp_path: Path, options: dict[str, Any]) -> None:
    with Cache(**{"cache_dir": tmp_path, **options}) as cache, pytest.raises(CacheUnsupportedError, match="no SQL"):
        _dbapi.connect(cache)


def test_a_read_only_cache_can_be_read(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        key = cache.put(1, x=1)
    with Cache(tmp_path, read_only=True) as cache:
        connection = _dbapi.connect(cache)
        assert connection.execute("SELECT cache_key FROM cache_entries").fetchall() == [(key,)]
        with pytest.raises(_dbapi.OperationalError, match=r"readonly|read-only"):
            connection.execute("CREATE TABLE custom_t (x)")


# ----- Forks.


def test_a_transaction_survives_a_fork_in_the_parent_only(cache: Cache, connection: _dbapi.Connection) -> None:
    connection.execute("INSERT INTO custom_t (value) VALUES (1)")

    def child() -> None:
        for call in (connection.commit, connection.rollback, lambda: connection.execute("SELECT 1")):
            with pytest.raises(_dbapi.InterfaceError, match="before the process was forked"):
                call()
        own = _dbapi.connect(cache)
        assert count(own) == 0, "the parent has not committed"
        # The parent's transaction is none of the child's: its lock is waited for.
        cache.put("child", x=1)
        own.execute("INSERT INTO custom_t (value) VALUES (2)")
        own.commit()

    pid = in_child(child)
    time.sleep(0.2)
    assert not cache.exists(x=1), "the child waits for the lock that the parent holds"
    connection.execute("INSERT INTO custom_t (value) VALUES (3)")
    connection.commit()
    assert ends_well(pid)
    assert cache.get(x=1) == "child"
    assert sorted(connection.execute("SELECT value FROM custom_t").fetchall()) == [(1,), (2,), (3,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_rows_that_are_being_read_survive_a_fork(cache: Cache, connection: _dbapi.Connection) -> None:
    connection.executemany("INSERT INTO custom_t (value) VALUES (?)", [(i,) for i in range(5000)])
    connection.commit()
    cursor = connection.execute("SELECT value FROM custom_t ORDER BY id")
    assert cursor.fetchone() == (0,)

    def child() -> None:
        with pytest.raises(_dbapi.InterfaceError):
            cursor.fetchall()
        own = _dbapi.connect(cache)
        own.execute("DELETE FROM custom_t")
        own.commit()
        for i in range(200):
            cache.put(b"x" * 1000, x=i)

    assert ends_well(in_child(child))
    assert cursor.fetchall() == [(i,) for i in range(1, 5000)]
    assert count(connection) == 0


def test_forks_of_forks_and_threads(cache: Cache, connection: _dbapi.Connection) -> None:
    stop = threading.Event()

    def write() -> None:
        own = _dbapi.connect(cache)
        while not stop.is_set():
            own.execute("INSERT INTO custom_t (value) VALUES ('thread')")
            own.commit()

    def grandchild() -> None:
        own = _dbapi.connect(cache)
        own.execute("INSERT INTO custom_t (value) VALUES ('grandchild')")
        own.commit()

    def child() -> None:
        own = _dbapi.connect(cache)
        own.execute("INSERT INTO custom_t (value) VALUES ('child')")
        pid = in_child(lambda: time.sleep(0))
        own.commit()
        assert ends_well(pid)
        assert ends_well(in_child(grandchild))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert all(ends_well(in_child(child)) for _ in range(10))
    finally:
        stop.set()
        thread.join()
    found = dict(connection.execute("SELECT value, count(*) FROM custom_t GROUP BY value").fetchall())
    assert (found["child"], found["grandchild"]) == (10, 10)


def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        connection = _dbapi.connect(cache)
        connection.execute("CREATE TABLE custom_t (x)")
        connection.commit()
        program = f"""
from cacheness import Cache, _dbapi
connection = _dbapi.connect({str(tmp_path)!r})
connection.executemany("INSERT INTO custom_t VALUES (?)", [(i,) for i in range(100)])
print("ready", flush=True)
import time; time.sleep(600)
"""
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            writer.send_signal(signal.SIGKILL)
        assert connection.execute("SELECT * FROM custom_t").fetchall() == []
        cache.put(1, x=1)
        assert cache.get(x=1) == 1
