"""Queries in SQL, and of typed metadata."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

from ._names import Names, named_as_cache
from .errors import CacheConfigurationError, CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from typing import Literal

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy import Engine
    from sqlalchemy.orm import Query, Session

#: The metadata backends with a database that SQLAlchemy reaches.
SQL_BACKENDS = frozenset({"sqlite", "postgresql"})


@named_as_cache
class Queries(Names):
    """Queries of the metadata backend, and of typed metadata: see :mod:`cacheness.custom_metadata`."""

    _engine: Engine | None = None
    #: Models whose tables are known to exist.
    _ready: frozenset[type[Any]] = frozenset()

    def _sql_engine(self) -> Engine:
        """The engine of SQLAlchemy on the database of this cache."""
        engine = self._engine
        if engine is not None:
            return engine
        _need_sqlalchemy()
        backend = self._stats()["backend_type"]
        if backend not in SQL_BACKENDS:
            raise CacheUnsupportedError(
                f"custom metadata is not available with the metadata backend {backend}",
                hint='open the cache in a directory, with metadata_backend="sqlite"',
            )
        if backend == "postgresql":
            from ._postgres import engine_of
        else:
            from ._dialect import engine_of

        # No lock, which a forked child could find held for ever: of two engines that are made at once, one stays.
        made: Engine = vars(self).setdefault("_engine", engine_of(self))  # type: ignore[arg-type]
        return made

    def _make_ready(self, models: Iterable[type[Any]]) -> None:
        """Creates the tables of these models, unless that has been done."""
        missing = frozenset(models) - self._ready
        if not missing:
            return
        engine = self._sql_engine()
        from ._migrate import migrate
        from ._models import tables_of

        if self.read_only:
            return
        migrate(engine, tables_of(missing))
        self._ready |= missing

    def session(self, **options: Any) -> Session:
        """A session of SQLAlchemy on the database of the cache, for queries and changes of typed metadata.

        Use it in a ``with`` statement, and commit it. The first change takes the write lock of the database until the
        transaction ends: other writers wait meanwhile, and a ``put`` in the same thread fails at once. The tables of
        the store itself are read-only.

        Args:
            options: options of ``sqlalchemy.orm.Session``.

        Raises:
            CacheUnsupportedError: SQLAlchemy is not installed, or the cache has no database in a file.
            CacheConfigurationError: a table cannot be changed to what its model says.
            CacheClosedError: the cache has been closed.
        """
        engine = self._sql_engine()
        from sqlalchemy.orm import Session

        from ._models import names_of

        self._make_ready(names_of().values())
        # The session keeps the cache open.
        session = Session(engine, **{"expire_on_commit": False, **options})
        session.info["cache"] = self
        return session

    def query_custom(self, table_name: str, filters: dict[str, Any] | None = None) -> list[Any]:
        """The rows of a model, as its objects, in the order in which they were stored.

        Args:
            table_name: the name under which the model is registered, or its table.
            filters: values that columns must have; ``None`` stands for a column without a value, and a list for any of
                its values.

        Raises:
            CacheConfigurationError: there is no such model or column.
            CacheUnsupportedError: as for :meth:`session`.
        """
        model = self._model(table_name)
        from sqlalchemy import inspect, select

        statement = select(model)
        columns = inspect(model).columns
        for name, value in (filters or {}).items():
            if name not in columns:
                raise CacheConfigurationError(
                    f"{model.__name__} has no column {name!r}", hint=f"its columns are {', '.join(columns.keys())}"
                )
            column = getattr(model, name)
            many = isinstance(value, list | tuple | set | frozenset)
            statement = statement.where(column.in_(value) if many else column == value)
        with self.session() as session:
            return list(session.scalars(statement.order_by(*inspect(model).primary_key)).unique())

    @contextmanager
    def query_custom_session(self, table_name: str) -> Iterator[Query[Any]]:
        """A query over the rows of a model, for a ``with`` statement.

        Changes through the query (``delete()``, ``update(…)``) are committed at the end, unless an error leaves the
        statement.

        Args:
            table_name: the name under which the model is registered, or its table.

        Raises:
            CacheConfigurationError: there is no such model.
            CacheUnsupportedError: as for :meth:`session`.
        """
        model = self._model(table_name)
        with self.session() as session:
            yield session.query(model)
            session.commit()

    def get_custom_metadata_for_entry(self, cache_key: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The typed metadata of an entry.

        Args:
            cache_key: the key or the name of the entry, instead of parameters.
            parameters: the parameters of the entry, as for :meth:`get`.

        Returns:
            For each registered model with a row of the entry its name and the object; a list of objects if there are
            several. Empty if there is no entry, or if it has expired.

        Raises:
            CacheUnsupportedError: as for :meth:`session`.
        """
        self._sql_engine()
        if cache_key is not None:
            parameters = {"cache_key": cache_key}
        if not self.exists(**parameters):
            return {}
        key = self.cache_key(**parameters)
        from sqlalchemy import inspect, select

        from ._models import names_of

        found: dict[str, Any] = {}
        with self.session() as session:
            for name, model in names_of().items():
                statement = select(model).where(model.cache_key == key).order_by(*inspect(model).primary_key)
                rows = list(session.scalars(statement).unique())
                if rows:
                    found[name] = rows[0] if len(rows) == 1 else rows
        return found

    def _model(self, name: str) -> type[Any]:
        self._sql_engine()
        from ._models import find

        return find(name)

    def close(self) -> None:
        """Flushes access records and releases all resources. Closing twice is not an error.

        Later calls raise :class:`CacheClosedError`; so do sessions of SQLAlchemy on this cache.
        """
        engine = vars(self).pop("_engine", None)
        if engine is not None:
            engine.dispose()
        super().close()

    @overload
    def query_meta(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        as_: None = None,
        *,
        timeout: float | timedelta | None = None,
    ) -> list[dict[str, Any]]: ...
    @overload
    def query_meta(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        as_: Literal["pandas"],
        timeout: float | timedelta | None = None,
    ) -> pd.DataFrame: ...
    @overload
    def query_meta(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        as_: Literal["polars"],
        timeout: float | timedelta | None = None,
    ) -> pl.DataFrame: ...
    @overload
    def query_meta(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        as_: Literal["arrow"],
        timeout: float | timedelta | None = None,
    ) -> pa.Table: ...
    def query_meta(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        as_: Literal["pandas", "polars", "arrow"] | None = None,
        *,
        timeout: float | timedelta | None = None,
    ) -> Any:
        """Runs a query in SQL over the metadata of all entries, including expired ones.

        The views ``entries`` and ``cache_entries`` have a row for every entry: its fields as listings show them
        (``created``, ``last_accessed`` and ``expires`` in UTC), ``metadata`` and ``params`` as JSON, and ``pinned``.
        ``cache_entries`` also has ``full_metadata``, both of them together, if the cache was opened with
        ``store_full_metadata=True``. ``docs/formats/views.md`` specifies them. The query sees one moment, and writers
        go on meanwhile. It can be interrupted with Ctrl-C.

        Args:
            sql: one ``SELECT`` in the dialect of SQLite, which reads nothing but the views.
            params: the values of its parameters: a sequence for ``?``, or a mapping for ``:name``. A value is ``None``,
                a ``bool``, ``int``, ``float``, ``str`` or ``bytes``, a scalar of NumPy, or a ``datetime`` with a time
                zone.
            as_: ``"pandas"`` or ``"polars"`` for a data frame, ``"arrow"`` for a PyArrow table.
            timeout: how long it may take, in seconds or as a ``timedelta``. Give one for SQL that is not your own.

        Returns:
            A list with a dictionary for each row, or the table.

        Raises:
            CacheConfigurationError: the statement writes, or reads something else; it is wrong or fails; a parameter
                does not fit it or is of another type; two columns have one name.
            CacheUnsupportedError: the metadata backend has no SQL, or a package is not installed.
            CacheTimeoutError: it took longer than ``timeout``.
            CacheClosedError: the cache has been closed.

        Example:
            >>> with Cache(":memory:", backend="sqlite_memory") as cache:
            ...     _ = cache.put(1, model="ridge", metadata={"accuracy": 0.95})
            ...     cache.query_meta(
            ...         "SELECT params ->> 'model' AS model FROM entries WHERE metadata ->> 'accuracy' > ?", (0.9,)
            ...     )
            [{'model': 'ridge'}]
        """
        # Imported late, because few programs query.
        from . import _sql

        return _sql.query(self, sql, params, as_, timeout)


def _need_sqlalchemy() -> None:
    try:
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError:
        from .custom_metadata import _missing

        raise _missing("custom metadata") from None
