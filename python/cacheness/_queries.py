"""Queries in SQL, and of typed metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from ._names import Names, named_as_cache
from ._typed import TypedMetadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from typing import Literal

    import pandas as pd
    import polars as pl
    import pyarrow as pa


@named_as_cache
class Queries(TypedMetadata, Names):
    """Queries of the metadata backend, and of typed metadata: see :mod:`cacheness.custom_metadata`."""

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
        return self._rows_of(key)

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
