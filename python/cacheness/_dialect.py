"""SQLAlchemy's dialect ``sqlite+cacheness``: SQLite through the connections of a cache, and the engine of a cache."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, exc, pool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import reflection
from sqlalchemy.orm import configure_mappers  # noqa: F401 - loads the module of the lock below

from . import _dbapi

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .cache import Cache
    from .storage import BlobStore

__all__ = ["CachenessDialect", "engine_of", "make_engine"]


class CachenessDialect(SQLiteDialect):
    """SQLite through :mod:`cacheness._dbapi`. A URL names the directory of a cache: ``sqlite+cacheness:////path``.

    The first statement that writes begins a transaction, which holds the write lock. A savepoint begins one too, so
    nested transactions work without further measures.
    """

    driver = "cacheness"
    default_paramstyle = "qmark"
    supports_statement_cache = True
    returns_native_bytes = True
    description_encoding = None
    _isolation_lookup = SQLiteDialect._isolation_lookup.union({"AUTOCOMMIT": None})

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module with the interface of PEP 249."""
        return _dbapi

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """Connections are shared by threads, one after the other."""
        del url
        return pool.QueuePool

    def _get_server_version_info(self, connection: Any) -> Any:
        del connection
        return _dbapi.sqlite_version_info

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """``AUTOCOMMIT``, ``SERIALIZABLE``, or ``READ UNCOMMITTED``, which SQLite treats like it."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        if level != "AUTOCOMMIT":
            super().set_isolation_level(dbapi_connection, level)

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """The level of a connection."""
        if dbapi_connection.autocommit:
            return "AUTOCOMMIT"
        return super().get_isolation_level(dbapi_connection)  # type: ignore[no-untyped-call]

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether each statement is a transaction of its own."""
        return bool(dbapi_conn.autocommit)

    def create_connect_args(self, url: URL) -> Any:
        """The directory of the cache."""
        if url.username or url.password or url.host or url.port or not url.database:
            raise exc.ArgumentError(f"{url} is no directory: write sqlite+cacheness:////absolute/path")
        return [os.path.abspath(url.database)], {}  # noqa: PTH100 - pathlib would resolve links

    @reflection.cache
    def get_table_names(
        self, connection: Any, schema: str | None = None, sqlite_include_internal: bool = False, **options: Any
    ) -> list[str]:
        """The tables, without those of the engine and of SQLite: nobody wants to reflect or drop them."""
        names = super().get_table_names(  # type: ignore[no-untyped-call]
            connection, schema=schema, sqlite_include_internal=sqlite_include_internal, **options
        )
        ours = () if sqlite_include_internal else ("cache_", "refinery_")
        return [name for name in names if not name.startswith(ours)]

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the connection was opened before a fork or its cache has been closed."""
        del connection, cursor
        return isinstance(e, _dbapi.InterfaceError)


registry.register("sqlite.cacheness", __name__, "CachenessDialect")

#: Engines whose connections a forked child must not use.
_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()


def _renew_after_fork() -> None:
    """Gives every engine of a forked child a pool of its own; the parent's connections are neither used nor closed."""
    for engine in list(_ENGINES):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_renew_after_fork)

#: Held by a thread that configures mappers, at the first use of a model: a fork waits for it.
_CONFIGURING: Any = getattr(sys.modules["sqlalchemy.orm.mapper"], "_CONFIGURE_MUTEX", None)
if _CONFIGURING is not None:
    os.register_at_fork(
        before=_CONFIGURING.acquire, after_in_parent=_CONFIGURING.release, after_in_child=_CONFIGURING.release
    )


def make_engine(url: str | URL, **options: Any) -> Engine:
    """An engine whose pool survives forks."""
    # No limit on connections: a thread that waits for one while it writes would block the others.
    options = {"pool_size": 8, "max_overflow": -1, "pool_reset_on_return": "rollback", **options}
    engine = create_engine(url, **options)
    _ENGINES.add(engine)

    @event.listens_for(engine, "checkout")
    def checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        if not dbapi_connection.usable:
            record.dbapi_connection = proxy.dbapi_connection = None
            raise exc.DisconnectionError("the connection was opened before the process was forked")

    return engine


def engine_of(owner: Cache | BlobStore) -> Engine:
    """An engine on the database of an open cache or store, which keeps the cache open no longer than others do."""
    reference = weakref.ref(owner)

    def connect() -> _dbapi.Connection:
        opened = reference()
        if opened is None:
            raise _dbapi.InterfaceError("the cache of this engine is gone")
        return _dbapi.connect(opened)

    engine = make_engine(URL.create("sqlite+cacheness", database=owner._place), creator=connect)
    # The first connection of an engine is made under a lock, which a forked child could find held for ever. So it is
    # made before others know the engine.
    engine.connect().close()
    return engine
