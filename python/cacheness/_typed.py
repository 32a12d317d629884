"""Typed metadata: what :class:`Cache` and :class:`BlobStore` have alike of :mod:`cacheness.custom_metadata`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._searching import named_plainly
from .errors import CacheConfigurationError, CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Query, Session

#: The metadata backends with a database that SQLAlchemy reaches.
SQL_BACKENDS = frozenset({"sqlite", "postgresql"})


@named_plainly
class TypedMetadata:
    """Rows of models of SQLAlchemy that belong to entries."""

    if TYPE_CHECKING:

        @property
        def read_only(self) -> bool: ...
        def _stats(self) -> dict[str, Any]: ...

    _engine: Engine | None = None
    #: Models whose tables are known to exist.
    _ready: frozenset[type[Any]] = frozenset()

    def _sql_engine(self) -> Engine:
        """The engine of SQLAlchemy on the database."""
        engine = self._engine
        if engine is not None:
            return engine
        _need_sqlalchemy()
        backend = self._stats()["backend_type"]
        if backend not in SQL_BACKENDS:
            raise CacheUnsupportedError(
                f"custom metadata is not available with the metadata backend {backend}",
                hint='open it in a directory, with metadata_backend="sqlite"',
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
        """A session of SQLAlchemy on the database, for queries and changes of typed metadata.

        Use it in a ``with`` statement, and commit it. The first change takes the write lock of the database until the
        transaction ends: other writers wait meanwhile, and a ``put`` in the same thread fails at once. The tables of
        the store itself are read-only.

        Args:
            options: options of ``sqlalchemy.orm.Session``.

        Raises:
            CacheUnsupportedError: SQLAlchemy is not installed, or there is no database in a file.
            CacheConfigurationError: a table cannot be changed to what its model says.
            CacheClosedError: it has been closed.
        """
        engine = self._sql_engine()
        from sqlalchemy.orm import Session

        from ._models import names_of

        self._make_ready(names_of().values())
        # The session keeps it open.
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

    def _rows_of(self, key: str) -> dict[str, Any]:
        """For each registered model with a row of the entry its name and the object, or the list of objects."""
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

        Later calls raise :class:`CacheClosedError`; so do sessions of SQLAlchemy.
        """
        engine = vars(self).pop("_engine", None)
        if engine is not None:
            engine.dispose()
        super().close()  # type: ignore[misc]


def _need_sqlalchemy() -> None:
    try:
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError:
        from .custom_metadata import _missing

        raise _missing("custom metadata") from None
