"""SQL on the metadata database of a cache, with the interface of PEP 249.

Python's own ``sqlite3`` must not open that database while a cache has it open: closing it would drop the file locks of
the SQLite inside the extension module, and another process could then damage the database. This module reaches the
database through the engine's own connections. SQLAlchemy uses it below the dialect ``sqlite+cacheness``.

The first statement that writes begins a transaction, which holds the write lock until :meth:`Connection.commit` or
:meth:`Connection.rollback`. Reads before it see the newest committed state.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    from .cache import Cache
    from .storage import BlobStore

__all__ = [
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "sqlite_version",
    "sqlite_version_info",
    "threadsafety",
]

apilevel = "2.0"
paramstyle = "qmark"
#: Threads may share the module and connections; a transaction is the connection's.
threadsafety = 2
#: The version of SQLite inside the extension module.
sqlite_version = _core.SQLITE_VERSION
sqlite_version_info = tuple(int(part) for part in sqlite_version.split("."))

Binary = memoryview

#: The number of rows that a cursor reads at once.
_ROWS = 256


class Warning(Exception):  # noqa: A001, N818 - the name is PEP 249's
    """An important warning."""


class Error(Exception):
    """Base class of all errors.

    Attributes:
        sqlite_errorcode: SQLite's extended result code; 0 if the error is not SQLite's.
    """

    sqlite_errorcode: int = 0


class InterfaceError(Error):
    """The connection cannot be used."""


class DatabaseError(Error):
    """The database reports an error."""


class DataError(DatabaseError):
    """A value is too large."""


class OperationalError(DatabaseError):
    """The database cannot do it, or not now."""


class IntegrityError(DatabaseError):
    """A constraint is violated."""


class InternalError(DatabaseError):
    """SQLite is in a state that it does not expect."""


class ProgrammingError(DatabaseError):
    """The call is wrong."""


class NotSupportedError(DatabaseError):
    """The database does not have it."""


#: Classes of SQLite's primary result codes; the others are operational errors.
_CLASSES: dict[int, type[Error]] = {
    2: InternalError,  # SQLITE_INTERNAL
    11: DatabaseError,  # SQLITE_CORRUPT
    12: InternalError,  # SQLITE_NOTFOUND
    18: DataError,  # SQLITE_TOOBIG
    19: IntegrityError,  # SQLITE_CONSTRAINT
    20: IntegrityError,  # SQLITE_MISMATCH
    21: InterfaceError,  # SQLITE_MISUSE
    23: DatabaseError,  # SQLITE_AUTH
    25: InterfaceError,  # SQLITE_RANGE
    26: DatabaseError,  # SQLITE_NOTADB
}


def make_error(kind: str, code: int, message: str) -> Exception:
    """The exception for an error of the engine's connection."""
    if kind == "misuse":
        return ProgrammingError(message)
    if kind == "gone":
        return InterfaceError(message)
    if kind == "engine":
        return OperationalError(message)
    if code & 0xFF == 7:
        return MemoryError(message)
    error = _CLASSES.get(code & 0xFF, OperationalError)(message)
    error.sqlite_errorcode = code
    return error


def connect(cache: Cache | BlobStore | str | os.PathLike[str]) -> Connection:
    """Opens a connection to the metadata database of a cache.

    Args:
        cache: an open cache or store, or the directory of one, which is opened for as long as the connection is.

    Raises:
        CacheUnsupportedError: the cache has no database in a file.
        CacheError: as for opening a cache.
    """
    if isinstance(cache, str | os.PathLike):
        from .cache import Cache

        cache = Cache(cache)
        return Connection(_core.sql_connection(cache), cache)
    return Connection(_core.sql_connection(cache))


class Connection:
    """A connection; see :func:`connect`. It closes itself when nothing refers to it."""

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(self, inner: _core.SqlConnection, owned: Cache | None = None) -> None:
        self._inner = inner
        #: A cache that is open as long as this connection.
        self._owned = owned
        self._autocommit = False

    @property
    def autocommit(self) -> bool:
        """Whether each statement is a transaction of its own."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self._inner.set_autocommit(bool(value))
        self._autocommit = bool(value)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._inner.in_transaction

    @property
    def usable(self) -> bool:
        """``False`` after :meth:`close`, after the cache is closed, and in a process forked after it was opened."""
        return self._inner.usable

    def cursor(self) -> Cursor:
        """A new cursor."""
        return Cursor(self)

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Cursor:
        """Executes a statement on a new cursor, and returns that."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Cursor:
        """Executes a statement on a new cursor once for each set of parameters, and returns the cursor."""
        return self.cursor().executemany(sql, parameters)

    def commit(self) -> None:
        """Commits the open transaction, if there is one."""
        self._inner.commit()

    def rollback(self) -> None:
        """Rolls the open transaction back, if there is one."""
        self._inner.rollback()

    def close(self) -> None:
        """Closes the connection; rolls an open transaction back."""
        self._inner.close()
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()


class Cursor:
    """Executes statements and reads their rows.

    Attributes:
        description: the columns of the rows, or ``None``.
        rowcount: the number of rows that were changed; -1 for a query.
        lastrowid: the rowid of the last row that was inserted through the connection.
        arraysize: how many rows :meth:`fetchmany` returns.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._inner = connection._inner
        self.description: tuple[tuple[str, None, None, None, None, None, None], ...] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1
        self._rows: list[tuple[Any, ...]] = []
        self._next = 0
        self._statement: int | None = None

    @property
    def connection(self) -> Connection:
        """The connection."""
        if self._connection is None:
            raise ProgrammingError("the cursor has been closed")
        return self._connection

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Self:
        """Executes one statement; parameters stand for the question marks in it."""
        self._renew()
        rows, statement, columns, changed, lastrowid = self._inner.execute(sql, parameters, _ROWS)
        self._rows = rows
        self._statement = statement
        self.description = tuple((name, None, None, None, None, None, None) for name in columns) or None
        self.rowcount = changed
        self.lastrowid = lastrowid
        return self

    def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Self:
        """Executes a statement once for each set of parameters."""
        self._renew()
        _, _, _, self.rowcount, self.lastrowid = self._inner.execute_many(sql, parameters)
        return self

    def _renew(self) -> None:
        if self._connection is None:
            raise ProgrammingError("the cursor has been closed")
        self._give_up()
        self.description = None
        self.rowcount = -1

    def _give_up(self) -> None:
        statement, self._statement = self._statement, None
        self._rows = []
        self._next = 0
        if statement is not None:
            self._inner.finish(statement)

    def _more(self, most: int) -> bool:
        """Reads the next rows; ``False`` if there are none."""
        if self._statement is None or self.description is None:
            return False
        statement, self._statement = self._statement, None
        self._rows, more = self._inner.fetch(statement, len(self.description), most)
        self._next = 0
        if more:
            self._statement = statement
        return bool(self._rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; ``None`` at the end."""
        if self._connection is None:
            raise ProgrammingError("the cursor has been closed")
        if self._next >= len(self._rows) and not self._more(_ROWS):
            return None
        row = self._rows[self._next]
        self._next += 1
        return row

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, at most ``size``."""
        rows: list[tuple[Any, ...]] = []
        most = self.arraysize if size is None else size
        while len(rows) < most and (row := self.fetchone()) is not None:
            rows.append(row)
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        if self._connection is None:
            raise ProgrammingError("the cursor has been closed")
        rows = self._rows[self._next :] if self._next else self._rows
        self._rows, self._next = [], 0
        while self._more(1 << 14):
            rows += self._rows
            self._rows = []
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Does nothing."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Gives up the remaining rows."""
        if self._connection is not None:
            self._give_up()
            self._connection = None

    def __del__(self) -> None:
        if getattr(self, "_statement", None) is not None:
            self._give_up()
