"""The peers of the comparison: one small class each, all with the same put and get.

Durability is what each peer gives a killed process: nothing acknowledged is lost, nothing is synced to the disk. That
is cacheness's ``durability="normal"``, SQLite's ``synchronous=NORMAL`` in WAL mode and LMDB without ``sync``.
"""

from __future__ import annotations

import pickle
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

PICKLE_PROTOCOL = 5
Function = Callable[[int], Any]


class Peer(ABC):
    """A place for values under integer keys, in a directory of its own."""

    name: str
    #: Several processes may write at once, and a reader never sees half a value.
    concurrent = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def put(self, key: int, value: Any) -> None:
        """Store a value."""

    @abstractmethod
    def get(self, key: int) -> Any:
        """Return the value of a key; raises where there is none."""

    @abstractmethod
    def delete(self, key: int) -> None:
        """Forget a key and give its space back."""

    def close(self) -> None:  # noqa: B027 - a plain file has nothing to close
        """Release what the peer holds open."""

    def memoize(self, function: Function) -> Function | None:
        """Return the function behind the peer's own decorator, ``None`` where the peer has none."""
        del function
        return None

    def put_with_metadata(self, key: int, value: Any, metadata: dict[str, Any]) -> bool:
        """Store a value beside metadata; ``False`` where the peer cannot."""
        del key, value, metadata
        return False

    def list_with_metadata(self) -> int:
        """List all entries with their metadata and return how many there are."""
        raise NotImplementedError(self.name)

    def hash_argument(self, argument: Any) -> bool:
        """Derive a key from an argument; ``False`` where the peer has no such step."""
        del argument
        return False


class Cacheness(Peer):
    """This project, with its default configuration: hashes, signature and metadata included."""

    name = "cacheness"
    concurrent = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        import cacheness

        self._module = cacheness
        self.cache = cacheness.Cache(str(directory))

    def put(self, key: int, value: Any) -> None:
        self.cache.put(value, run=key)

    def get(self, key: int) -> Any:
        value = self.cache.get(run=key)
        if value is None:
            raise KeyError(key)
        return value

    def delete(self, key: int) -> None:
        self.cache.invalidate(run=key)

    def close(self) -> None:
        self.cache.close()

    def memoize(self, function: Function) -> Function:
        decorated: Function = self._module.cached(cache_instance=self.cache)(function)
        return decorated

    def put_with_metadata(self, key: int, value: Any, metadata: dict[str, Any]) -> bool:
        self.cache.put(value, metadata=metadata, run=key)
        return True

    def list_with_metadata(self) -> int:
        return len(self.cache.list_entries(include_metadata=True))

    def hash_argument(self, argument: Any) -> bool:
        self.cache.exists(argument=argument)
        return True


class DiskCache(Peer):
    """diskcache: pickles in SQLite rows, larger ones in files."""

    name = "diskcache"
    concurrent = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        import diskcache

        # Its default limit of 1 GB would evict what the large values need.
        self.cache = diskcache.Cache(str(directory), size_limit=1 << 40, timeout=60)

    def put(self, key: int, value: Any) -> None:
        self.cache.set(key, value)

    def get(self, key: int) -> Any:
        return self.cache[key]

    def delete(self, key: int) -> None:
        del self.cache[key]

    def close(self) -> None:
        self.cache.close()

    def memoize(self, function: Function) -> Function:
        decorated: Function = self.cache.memoize()(function)
        return decorated

    def put_with_metadata(self, key: int, value: Any, metadata: dict[str, Any]) -> bool:
        # The nearest thing: one text column named tag.
        self.cache.set(key, value, tag=repr(metadata))
        return True

    def list_with_metadata(self) -> int:
        return sum(1 for _ in self.cache.iterkeys())


class Joblib(Peer):
    """joblib: a file per value for put and get, ``Memory`` for the decorator and for hashing arguments."""

    name = "joblib"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        import joblib

        self._joblib = joblib
        self.memory = joblib.Memory(str(directory / "memory"), verbose=0)

    def _path(self, key: int) -> Path:
        return self.directory / f"{key}.joblib"

    def put(self, key: int, value: Any) -> None:
        self._joblib.dump(value, self._path(key))

    def get(self, key: int) -> Any:
        return self._joblib.load(self._path(key))

    def delete(self, key: int) -> None:
        self._path(key).unlink()

    def memoize(self, function: Function) -> Function:
        decorated: Function = self.memory.cache(function)
        return decorated

    def hash_argument(self, argument: Any) -> bool:
        self._joblib.hash(argument)
        return True


class PickleFile(Peer):
    """A pickle per file, written in place: nothing guards a reader, nothing is hashed."""

    name = "pickle file"

    def _path(self, key: int) -> str:
        return f"{self.directory}/{key}.pkl"

    def put(self, key: int, value: Any) -> None:
        with open(self._path(key), "wb") as file:  # noqa: PTH123 - the cheapest way there is
            pickle.dump(value, file, PICKLE_PROTOCOL)

    def get(self, key: int) -> Any:
        with open(self._path(key), "rb") as file:  # noqa: PTH123
            return pickle.load(file)

    def delete(self, key: int) -> None:
        Path(self._path(key)).unlink()


class SqliteRow(Peer):
    """A row in a SQLite table through the standard library: what any cache on SQLite pays at least."""

    name = "sqlite3 row"
    concurrent = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.connection = sqlite3.connect(directory / "rows.db", timeout=60, isolation_level=None)
        self.connection.execute("PRAGMA busy_timeout=60000")
        self._in_wal_mode()
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS rows (key INTEGER PRIMARY KEY, metadata TEXT, value BLOB)")

    def _in_wal_mode(self) -> None:
        """Switch to WAL; SQLite answers "locked" at once when several processes do so, whatever the timeout is."""
        for _ in range(1000):
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                time.sleep(0.01)
            else:
                return
        raise TimeoutError("other processes kept the database locked for ten seconds")

    def put(self, key: int, value: Any) -> None:
        row = (key, pickle.dumps(value, PICKLE_PROTOCOL))
        self.connection.execute("INSERT OR REPLACE INTO rows (key, value) VALUES (?, ?)", row)

    def get(self, key: int) -> Any:
        row = self.connection.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return pickle.loads(row[0])

    def delete(self, key: int) -> None:
        self.connection.execute("DELETE FROM rows WHERE key = ?", (key,))

    def close(self) -> None:
        self.connection.close()

    def put_with_metadata(self, key: int, value: Any, metadata: dict[str, Any]) -> bool:
        row = (key, repr(metadata), pickle.dumps(value, PICKLE_PROTOCOL))
        self.connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", row)
        return True

    def list_with_metadata(self) -> int:
        return len(self.connection.execute("SELECT key, metadata, length(value) FROM rows").fetchall())


class Lmdb(Peer):
    """LMDB: pickles in a memory-mapped B+ tree, not synced."""

    name = "LMDB"
    concurrent = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        import lmdb

        self.environment = lmdb.open(str(directory), map_size=64 << 30, sync=False, metasync=False)

    def put(self, key: int, value: Any) -> None:
        with self.environment.begin(write=True) as transaction:
            transaction.put(key.to_bytes(8, "big"), pickle.dumps(value, PICKLE_PROTOCOL))

    def get(self, key: int) -> Any:
        with self.environment.begin(buffers=True) as transaction:
            data = transaction.get(key.to_bytes(8, "big"))
            if data is None:
                raise KeyError(key)
            # Without out-of-band buffers `loads` copies, so nothing points into the map afterwards.
            return pickle.loads(data)

    def delete(self, key: int) -> None:
        with self.environment.begin(write=True) as transaction:
            transaction.delete(key.to_bytes(8, "big"))

    def close(self) -> None:
        self.environment.close()

    def put_with_metadata(self, key: int, value: Any, metadata: dict[str, Any]) -> bool:
        self.put(key, (metadata, value))
        return True

    def list_with_metadata(self) -> int:
        with self.environment.begin(buffers=True) as transaction:
            return sum(1 for _ in transaction.cursor())


PEERS: tuple[type[Peer], ...] = (Cacheness, DiskCache, Joblib, PickleFile, SqliteRow, Lmdb)
