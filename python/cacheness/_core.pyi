"""The engine, written in Rust. Use it through :class:`cacheness.Cache` and :class:`cacheness.BlobStore`."""

import builtins
import os
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from types import EllipsisType, TracebackType
from typing import Any, Literal, Self, SupportsIndex, final, overload

from typing_extensions import disjoint_base

from ._entries import Entries
from .decorators._site import Site
from .handlers import HandlerRegistry

__all__ = [
    "HANDLERS",
    "RECORD_FIELDS",
    "SQLITE_VERSION",
    "Blobs",
    "CacheBase",
    "CallKey",
    "CallSite",
    "CatalogCache",
    "Clock",
    "Flight",
    "FunctionBase",
    "PartOf",
    "QueryResult",
    "SqlConnection",
    "StoreBase",
    "Table",
    "TableColumn",
    "Turn",
    "__version__",
    "array_dumps",
    "array_load_file",
    "array_loads",
    "array_map",
    "array_slice",
    "backends",
    "blob_properties",
    "cache_key",
    "catalog_details",
    "change_tags",
    "change_tags_of",
    "check_blob_options",
    "check_config",
    "clear_function",
    "cli",
    "config_options",
    "config_schema",
    "count",
    "create_index",
    "decode_value",
    "delete_batch",
    "delete_matching",
    "delete_where",
    "derive_key",
    "drop_index",
    "encode_params",
    "encode_value",
    "get_batch",
    "hash_path",
    "hash_value",
    "indexes",
    "is_without_directory",
    "metadata_dumps",
    "metadata_loads",
    "option_accepts",
    "option_line",
    "option_of_text",
    "options_of_urls",
    "pinned",
    "plain_dumps",
    "plain_loads",
    "plug_blobs",
    "plug_metadata",
    "pool_stats",
    "presign",
    "query_meta",
    "register_failing_blobs",
    "render_params",
    "report",
    "search",
    "set_default_handlers_changed",
    "set_pinned",
    "set_text_index",
    "sql_connection",
    "table_dumps",
    "table_loads",
    "tags",
    "touch",
    "touch_matching",
    "update_data",
]

# The index of a part of an array.
_Part = SupportsIndex | slice | EllipsisType
_Index = _Part | tuple[_Part, ...]

__version__: str
#: The built-in handlers, in the order in which they are tried.
HANDLERS: tuple[str, ...]
RECORD_FIELDS: tuple[str, ...]
#: The version of the SQLite inside.
SQLITE_VERSION: str

# Rows, the statement that has more of them, the columns, the number of changed rows or -1, and the last rowid.
_Executed = tuple[list[tuple[Any, ...]], int | None, list[str], int, int]

@final
class SqlConnection:
    """A connection to the metadata database of a cache; see ``cacheness._dbapi``."""

    def execute(self, sql: str, parameters: Iterable[Any], most: int) -> _Executed:
        """Runs a statement; returns at most ``most`` of its rows."""

    def execute_many(self, sql: str, sets: Iterable[Iterable[Any]]) -> _Executed:
        """Runs a statement for each set of parameters."""

    def fetch(self, statement: int, columns: int, most: int) -> tuple[list[tuple[Any, ...]], bool]:
        """The next rows of a statement with this many columns, and whether there are more."""

    def finish(self, statement: int) -> None:
        """Gives up the other rows of a statement."""

    def commit(self) -> None:
        """Commits the open transaction, if there is one."""

    def rollback(self) -> None:
        """Rolls the open transaction back, if there is one."""

    def close(self) -> None:
        """Closes the connection; an open transaction is rolled back."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    @property
    def usable(self) -> bool:
        """Whether it can be used: not closed, and not opened before a fork."""

    def set_autocommit(self, autocommit: bool) -> None:
        """Sets whether each statement is a transaction of its own."""

def sql_connection(held: CacheBase | StoreBase) -> SqlConnection:
    """Opens a connection to the metadata database of a cache or a store."""

@final
class Blobs:
    """A blob backend without a store: bytes under names that it creates."""

    @staticmethod
    def filesystem(directory: str | os.PathLike[str], shard_chars: int) -> Blobs:
        """Files below ``directory/blobs``, spread over directories with names of this many digits."""

    @staticmethod
    def memory() -> Blobs:
        """In memory; it ends with the object."""

    @staticmethod
    def s3(options: str, shard_chars: int) -> Blobs:
        """Objects of a bucket; ``options`` is a JSON object of the options of S3."""

    def properties(self, name: str) -> dict[str, Any] | None:
        """What the storage tells about a blob; ``None`` if it does not exist."""

    def presign(self, name: str, seconds: int) -> str:
        """A URL with which anyone can read the blob for so many seconds."""

    def of_stem(self, start: str) -> builtins.list[str]:
        """The names of the blobs that begin with ``start`` and end with a random part, the oldest first."""

    def write(self, stem: str, extension: str, data: bytes) -> str:
        """Writes a new blob and returns its name, which begins with ``stem``."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a blob; ``None`` if it does not exist."""

    def exists(self, name: str) -> bool:
        """Whether a blob with this name exists."""

    def delete(self, name: str) -> bool:
        """Removes a blob; ``False`` if it does not exist."""

    def list(self) -> builtins.list[tuple[str, int]]:
        """The names of all blobs and their sizes, in no order."""

    def page(self, after: str | None, limit: int) -> builtins.list[tuple[str, int, int]]:
        """A page of all blobs in the order of their names: name, size, and time in microseconds since 1970."""

#: How to read a payload: handler, kind of value, storage format, codec, type of the value, metadata of the handler.
_Description = tuple[str, str, str, str, str, bytes]

def encode_value(
    value: Any, registry: HandlerRegistry, config: str, payload: bool
) -> tuple[_Description, str, bytes | None]:
    """Encodes a value with the first built-in handler of a registry that accepts it.

    Returns:
        How to read it, the extension of a file, and the payload if it is wanted.
    """

def decode_value(description: _Description, payload: bytes, registry: HandlerRegistry, config: str) -> Any:
    """Decodes a payload of ``encode_value``. It is not verified: a pickle runs code."""

@disjoint_base
class CacheBase:
    """Base class of :class:`cacheness.Cache`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _open(
        self,
        directory: str | os.PathLike[str],
        config: str,
        registry: HandlerRegistry,
        read_only: bool,
        clock: Clock | None = None,
        metadata: object = None,
        blobs: object = None,
    ) -> None: ...
    def _set_handlers_changed(self, changed: bool) -> None: ...
    def _stats(self) -> dict[str, Any]: ...
    def _created_range(self) -> tuple[str, str] | None: ...
    def _keys(self, after: str | None = None, expired_too: bool = False) -> tuple[builtins.list[str], str | None]: ...
    def _verify(self, **params: Any) -> dict[str, Any] | None: ...
    @overload
    def put(
        self,
        data: Any,
        /,
        *,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        ttl_seconds: float | timedelta | EllipsisType | None = ...,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        custom_metadata: Any = None,
        **parameters: Any,
    ) -> str: ...
    @overload
    def put(
        self,
        *,
        data: Any,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        ttl_seconds: float | timedelta | EllipsisType | None = ...,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        custom_metadata: Any = None,
        **parameters: Any,
    ) -> str:
        """Stores a value under its parameters, replacing an existing value.

        Args:
            data: the value, by position or, if nothing is given by position, as ``data=…``. Beside a value that is
                given by position, ``data`` is a parameter.
            metadata: plain data stored with the value and shown in listings: a dictionary whose names are strings.
            tags: a list of strings, kept in the field ``tags`` of the metadata, behind those that it has.
            description: a sentence about the value, for listings.
            ttl_seconds: how long the value is served, in seconds or as a ``timedelta``; ``None`` for no limit. Default,
                also with ``...``: the cache's.
            cache_key: a name to store it under in place of parameters, up to 1024 bytes of UTF-8.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            custom_metadata: an object of a model of typed metadata, or a list of them: see
                :mod:`cacheness.custom_metadata`. They are stored in the transaction of the entry, and removed with it.
            parameters: all other keywords are the parameters that identify the value. Reserved keywords are
                ``metadata``, ``tags``, ``custom_metadata``, ``description``, ``ttl_seconds``, ``cache_key``,
                ``params``, ``default``, ``mmap_mode`` and ``strict_verification``. Without parameters and ``cache_key``
                the key is derived from the content: equal payloads share one entry.

        Returns:
            The key: 16 hexadecimal digits for parameters, or ``cache_key``; 32 digits for content.

        Raises:
            TypeError: no value, parameters beside ``cache_key``, a keyword that belongs to ``get``, or ``tags`` that
                are no strings.
            CacheConfigurationError: ``ttl_seconds``, ``cache_key`` or a tag is invalid, or the metadata's own ``tags``
                are no strings.
            CacheSerializationError: a parameter has no stable key, or no handler can store the value.
            CachePickleError: the value can only be pickled and the security configuration refuses that.
            CacheConstraintError: a table of ``custom_metadata`` refuses a row; nothing has changed.
            CacheUnsupportedError: ``custom_metadata`` in a store whose backend has no tables.
            CacheStorageError: the value cannot be written; the previous value stays.
            CacheReadOnlyError: the cache is read-only.
            CacheClosedError: the cache has been closed.
        """

    def get(
        self,
        name: str | None = None,
        /,
        default: Any = None,
        *,
        ttl_seconds: float | timedelta | None = None,
        mmap_mode: Literal["r", "c"] | None = None,
        strict_verification: bool = True,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> Any:
        """Returns the value that was put with these parameters, with its type, or ``default``.

        Keywords of ``put`` that are not parameters (``metadata``, ``description``) are accepted and ignored. An entry
        that is damaged or has an invalid signature is logged as a warning and counts as a miss.

        Args:
            name: the key of the entry, or the name it was stored under, in place of parameters; the same as
            ``cache_key``.
            default: the return value if the value does not exist or has expired.
            ttl_seconds: for this call, entries older than this number of seconds count as expired.
            mmap_mode: ``"r"`` maps the file read-only, ``"c"`` copy-on-write, instead of reading it: uncompressed
                arrays, and with ``"r"`` uncompressed Arrow tables.
            strict_verification: ``False`` serves an entry with an invalid signature, with a warning; never a pickle.
                Use ``verify_integrity`` to check the signature of an entry.
            cache_key: the name it was stored under in place of parameters.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            The value, which the caller owns, or ``default``.

        Raises:
            TypeError: no parameters and no ``cache_key``, or both.
            ValueError: an unknown ``mmap_mode``.
            CacheSerializationError: a parameter has no stable key, or the value cannot be decoded.
            CachePickleError: the value is a pickle and the security configuration refuses those.
            CacheUnsupportedError: the value needs a missing package or handler, or cannot be mapped.
            CacheStorageError: reading fails.
            CacheClosedError: the cache has been closed.
        """

    def get_slice(
        self,
        index: _Index,
        /,
        *,
        verify: bool = False,
        default: Any = None,
        ttl_seconds: float | timedelta | None = None,
        strict_verification: bool = True,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> Any:
        """Reads a part of an array, without reading the rest of it.

        Checks the hash of the whole payload only with ``verify``, which reads all of it.

        Args:
            index: an index of the array: integers, slices and ``...``, as made by ``np.s_[…]``.
            verify: whether to read the whole payload and compare it with its hash first. Pass a parameter of this name
                in ``params``.
            default: the return value if the value does not exist or has expired.
            ttl_seconds: for this call, entries older than this number of seconds count as expired.
            strict_verification: ``False`` serves an entry with an invalid signature, with a warning.
            cache_key: the name it was stored under in place of parameters.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            The same as ``get(…)[index]``, or ``default``.

        Raises:
            IndexError: the index is out of bounds, or has more parts than the array has dimensions.
            TypeError: the index has a part of another type.
            CacheUnsupportedError: the value is not an array.
            CacheError: as for ``get``.
        """

    def get_with_metadata(
        self,
        name: str | None = None,
        /,
        *,
        ttl_seconds: float | timedelta | None = None,
        mmap_mode: Literal["r", "c"] | None = None,
        strict_verification: bool = True,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> tuple[Any, dict[str, Any]] | None:
        """Returns the value and its metadata.

        Takes the arguments of ``get``; ``default`` is ignored.

        Returns:
            The value and its metadata, an empty dictionary if it has none; ``None`` for a miss.

        Raises:
            CacheError: as for ``get``.
        """

    def get_metadata(
        self,
        cache_key: str | None = None,
        check_expiration: bool = True,
        *,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> dict[str, Any] | None:
        """Describes an entry, without reading its value. Counts neither as a hit nor as a miss.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters; parameters beside it are
                ignored.
            check_expiration: whether an expired entry counts as missing. Pass a parameter of this name in ``params``.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            The dictionary of the entry in ``list_entries(include_metadata=True)``; ``None`` if the entry does not
            exist. Its ``metadata`` has the user's fields, and also returns these technical fields by name:
            ``file_hash``, ``entry_signature``, ``actual_path``, ``object_type``, ``storage_format``, ``serializer`` and
            ``compression_codec``.

        Raises:
            TypeError: no parameters and no ``cache_key``, or a keyword that belongs to ``get``.
            CacheSerializationError: a parameter has no stable key.
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the cache has been closed.
        """

    def exists(
        self,
        name: str | None = None,
        /,
        *,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> bool:
        """Whether an unexpired entry with these parameters exists. Does not read its value.

        Args:
            name: its key, or the name it was stored under, in place of parameters; the same as ``cache_key``.
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Raises:
            CacheError: as for ``get_metadata``.
        """

    def invalidate(
        self,
        name: str | None = None,
        /,
        *,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> bool:
        """Removes the entry with these parameters.

        Args:
            name: its key, or the name it was stored under, in place of parameters; the same as ``cache_key``.
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            Whether it existed.

        Raises:
            CacheReadOnlyError: the cache is read-only.
            CacheError: as for ``get_metadata``.
        """

    def invalidate_by_cache_key(self, cache_key: str) -> bool:
        """Removes the entry of a key, as ``put`` and listings show it.

        Returns:
            Whether it existed.

        Raises:
            CacheReadOnlyError: the cache is read-only.
            CacheConfigurationError: the key is empty or too long.
            CacheClosedError: the cache has been closed.
        """

    def list_entries(
        self,
        include_metadata: bool = False,
        *,
        where: dict[str, Any] | None = None,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        tag: str | None = None,
    ) -> Entries:
        """Lists entries; see :meth:`cacheness.Cache.list_entries`."""

    def cache_key(
        self, *, cache_key: str | None = None, params: dict[str, Any] | None = None, **parameters: Any
    ) -> str:
        """The key of these parameters, whether the entry exists or not.

        Args:
            cache_key: a name in place of parameters, returned unchanged.
            params: parameters in a dictionary, including those with the name of a reserved keyword.
            parameters: all other keywords are the parameters.

        Returns:
            16 hexadecimal digits, the same in every process, on every machine and in Rust.

        Raises:
            TypeError: no parameters and no ``cache_key``, both, or a keyword that belongs to ``get``.
            CacheSerializationError: a parameter has no stable key.
        """

    def cleanup_expired(self) -> int:
        """Removes all expired entries.

        Returns:
            How many there were.

        Raises:
            CacheReadOnlyError: the cache is read-only.
            CacheClosedError: the cache has been closed.
        """

    def clear(self) -> int:
        """Removes all entries.

        Returns:
            How many there were.

        Raises:
            CacheReadOnlyError: the cache is read-only.
            CacheClosedError: the cache has been closed.
        """

    def rotate_signing_key(self) -> int:
        """Replaces the signing key and signs every entry that has a valid signature again.

        Other processes may go on working; they notice the new key within a second, which this call waits for. Entries
        whose signature is wrong or missing stay as they are.

        Returns:
            How many entries were signed again.

        Raises:
            CacheConfigurationError: the store does not sign its entries.
            CacheReadOnlyError: the store is read-only.
        """

    def close(self) -> None:
        """Flushes accesses and releases all resources. Closing twice is not an error.

        Later calls raise ``CacheClosedError``.
        """

    @property
    def closed(self) -> bool:
        """Whether the cache is closed, or was never opened."""

    @property
    def read_only(self) -> bool:
        """Whether it is read-only."""

def catalog_details(db_type: str, credentials: str) -> tuple[str, str, builtins.list[tuple[str, str]]]:
    """The details of a connection without secrets: the cache key, the engine, and the fields by name."""

@final
class CatalogCache:
    """Metadata of databases in files, as JSON text."""

    def __new__(
        cls, directory: str | os.PathLike[str], ttl_seconds: float | None, clock: Clock | None = None
    ) -> Self: ...
    def get(self, key: str) -> str | None:
        """The text under a key, if it is valid."""

    def set(self, key: str, metadata: str) -> None:
        """Stores a text under a key."""

    def invalidate(self, key: str) -> bool:
        """Removes the text under a key; ``False`` if there is none."""

    def clear_all(self) -> int:
        """Removes all texts; returns their number."""

@final
class Clock:
    """A clock that advances only when told to, for tests of expiry: ``Cache(…, clock=clock)``.

    Several caches may have the same clock. A pickled one comes back as a clock of its own that stands at the same time.

    Args:
        start: seconds since 1970, or a ``datetime``; the time now if it is not given.

    Raises:
        CacheConfigurationError: ``start`` is no time.

    Example:
        >>> clock = cacheness.Clock()
        >>> cache = cacheness.Cache(":memory:", clock=clock)
        >>> cache.put("soon gone", cache_key="x", ttl_seconds=60)
        'x'
        >>> clock.advance(61)
        >>> cache.get(cache_key="x") is None
        True
    """

    def __new__(cls, start: float | datetime | None = None) -> Self: ...
    def now(self) -> float:
        """Seconds since 1970."""

    def advance(self, seconds: float | timedelta, /) -> None:
        """Moves the clock, backwards if the value is negative.

        Args:
            seconds: a number of seconds, or a ``timedelta``.

        Raises:
            CacheConfigurationError: ``seconds`` is not a duration.
        """

    def __reduce__(self) -> tuple[type[Self], tuple[float]]: ...

@final
class CallKey:
    """The result of a lookup without a value: the key to compute and store, and what else was found."""

    @property
    def key(self) -> str:
        """The key as text."""

    @property
    def call(self) -> str:
        """The call or the parameters as listings show them."""

    @property
    def error(self) -> BaseException | None:
        """Why the cache could not be read."""

    @property
    def due(self) -> bool:
        """Whether ``value`` should be served, and recomputed by one caller."""

    @property
    def value(self) -> Any:
        """The value that is due."""

    @property
    def deferred(self) -> bool:
        """Whether ``CallSite.read`` returns a value."""

@final
class Flight:
    """The right to compute a value while other callers wait. Only the first call of one of its methods counts."""

    def stored(self) -> None:
        """The entry exists: waiting callers look again."""

    def failed(self) -> None:
        """There will be no entry: waiting callers compute for themselves."""

    def interrupted(self) -> None:
        """Another caller takes over."""

@final
class PartOf:
    """Runs code as part of a flight, which nested lookups find in a context variable.

    An exception ends the flight, and waiting callers compute for themselves. After Ctrl-C, or when a task is cancelled,
    another caller takes over. Without a flight it does nothing.
    """

    def __new__(cls, variable: ContextVar[Flight | None], flight: Flight | None) -> Self: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

@final
class Turn:
    """A task's wait for a missing value."""

    def step(self, look: bool = True) -> Any:
        """A ``Flight`` to compute with, a value, or a ``CallKey`` to read; ``None``: poll again after ``delay()``.

        Without ``look`` the entry is known to be damaged.
        """

    def delay(self) -> float:
        """The seconds to wait."""

@final
class CallSite:
    """A place that calls through a cache: its options and its counts."""

    def __new__(
        cls,
        *,
        ttl_seconds: float | timedelta | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        stale_ttl_seconds: float | timedelta | None = None,
        early_recompute: float | None = None,
        codec: str | None = None,
        inline_only: bool = False,
        on_code_change: str | None = None,
        collected: list[str] | None = None,
    ) -> Self: ...
    def set_code(self, code: bytes | None) -> None:
        """Sets the code to compare with that of entries; only the first call counts. ``None``: unknown."""

    @property
    def has_code(self) -> bool:
        """Whether the code has been set, if it must be."""

    @property
    def code(self) -> bytes | None:
        """The code, if it is known."""

    def is_cached(self, cache: CacheBase, params: dict[str, Any]) -> bool:
        """Whether the entry of these parameters would be served. Counts nothing."""

    def key(self, cache: CacheBase, params: dict[str, Any]) -> CallKey:
        """The ``CallKey`` of these parameters; nothing is looked up."""

    def invalidate(self, cache: CacheBase, params: dict[str, Any]) -> bool:
        """Removes the entry of these parameters; returns whether it existed."""

    def lookup(self, cache: CacheBase, params: dict[str, Any]) -> Any:
        """The value of these parameters, or a ``CallKey``."""

    def lookup_call(self, cache: CacheBase, keywords: dict[str, Any]) -> Any:
        """``lookup`` for the keywords of ``Cache.get``."""

    def read(self, cache: CacheBase, key: CallKey) -> Any:
        """The deferred value of a ``CallKey``, or a ``CallKey``."""

    def begin(self, cache: CacheBase, key: CallKey, inside: Flight | None = None) -> Any:
        """Waits for its turn; returns a ``Flight`` to compute with, or the value that another caller has computed."""

    def turn(self, cache: CacheBase, key: CallKey, inside: Flight | None = None) -> Turn:
        """A turn for a task, which does not block."""

    def take_due(self, cache: CacheBase, key: CallKey, inside: Flight | None = None) -> Flight | None:
        """The flight of a value to recompute; ``None`` if another caller is computing or has computed it."""

    def put(self, cache: CacheBase, key: CallKey, value: Any, spent: float, description: str | None = None) -> None:
        """Stores a value and the seconds that it took to compute."""

    def note_failure(self) -> None:
        """Counts a failure of the cache after which the call continued without it."""

    def counts(self) -> tuple[int, int, int, int, float]:
        """Hits, misses, refreshes and failures, and the seconds that the results of the hits took to compute."""

@disjoint_base
class FunctionBase:
    """A function whose results are cached."""

    def __new__(
        cls,
        site: Site,
        calls: CallSite,
        bind: Callable[..., dict[str, Any]],
        cache: CacheBase | Callable[[], CacheBase],
        run: Callable[..., Any] | None = None,
        verbose: bool = False,
    ) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: Any, owner: Any = None, /) -> Any: ...
    @property
    def _site(self) -> Site:
        """Counts and code of the call site."""

def clear_function(cache: CacheBase, function: str) -> int:
    """Removes the entries whose parameters have ``function`` as their ``__function__``, and returns how many."""

@disjoint_base
class StoreBase:
    """Base class of :class:`cacheness.BlobStore`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _open(
        self,
        directory: str | os.PathLike[str],
        config: str,
        registry: HandlerRegistry,
        read_only: bool,
        metadata: object = None,
        blobs: object = None,
    ) -> None: ...
    def _set_handlers_changed(self, changed: bool) -> None: ...
    def _put(
        self,
        data: Any,
        key: str | None,
        metadata: dict[str, Any] | None,
        tags: Iterable[str] | None,
        custom: Any,
    ) -> str: ...
    def _totals(self) -> tuple[int, int]: ...
    def _backends(self) -> tuple[str, str]: ...
    def get(self, key: str, default: Any = None, *, mmap_mode: Literal["r", "c"] | None = None) -> Any:
        """Returns the value of a key, with its type, or ``default``.

        Args:
            key: the key.
            default: the return value if the entry does not exist.
            mmap_mode: ``"r"`` maps the file read-only, ``"c"`` copy-on-write, instead of reading it: uncompressed
                arrays, and with ``"r"`` uncompressed Arrow tables.

        Returns:
            The value, which the caller owns, or ``default``.

        Raises:
            ValueError: an unknown ``mmap_mode``.
            CacheIntegrityError: the payload is missing or damaged.
            CacheSignatureError: the signature is wrong, or missing where one is needed.
            CacheSerializationError: the value cannot be decoded.
            CachePickleError: the value is a pickle and the security configuration refuses those.
            CacheUnsupportedError: the value needs a missing package or handler, or cannot be mapped.
            CacheClosedError: the store has been closed.
        """

    def get_slice(self, key: str, index: _Index, *, verify: bool = False) -> Any:
        """Reads a part of an array, without reading the rest of it.

        Checks the hash of the whole payload only with ``verify``, which reads all of it.

        Args:
            key: the key.
            index: an index of the array: integers, slices and ``...``, as made by ``np.s_[…]``.
            verify: whether the whole payload is read and compared with its hash before.

        Returns:
            The same as ``get(key)[index]``; ``None`` if the entry does not exist.

        Raises:
            IndexError: the index is out of bounds, or has more parts than the array has dimensions.
            TypeError: the index has a part of another type.
            CacheUnsupportedError: the value is not an array.
            CacheError: as for ``get``.
        """

    def get_metadata(self, key: str) -> dict[str, Any] | None:
        """Describes an entry, without reading its value.

        Returns:
            A dictionary, among others with ``cache_key``, ``metadata`` (what the value was put with), ``data_type``,
            ``object_type``, ``storage_format``, ``file_size`` (bytes), ``created_at`` and ``accessed_at`` (ISO 8601,
            UTC); ``None`` if the entry does not exist.

        Raises:
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the store has been closed.
        """

    def update_metadata(self, key: str, metadata: dict[str, Any]) -> bool:
        """Sets fields of an entry's metadata; other fields and the value stay unchanged.

        Args:
            key: the key.
            metadata: the fields to set, plain data.

        Returns:
            Whether there is such an entry.

        Raises:
            CacheSignatureError: the entry's signature is wrong.
            CacheSerializationError: a field is no plain data.
            CacheReadOnlyError: the store is read-only.
        """

    def delete(self, key: str) -> bool:
        """Removes an entry.

        Returns:
            Whether it existed.

        Raises:
            CacheReadOnlyError: the store is read-only.
            CacheClosedError: the store has been closed.
        """

    def exists(self, key: str) -> bool:
        """Whether an entry with that key exists. Does not read its value.

        Raises:
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the store has been closed.
        """

    def list(self, prefix: str | None = None, metadata_filter: dict[str, Any] | None = None) -> builtins.list[str]:
        """The keys, in sorted order.

        Args:
            prefix: only those that begin with it.
            metadata_filter: a filter: only entries that match it, such as ``{"version": "1.0"}`` or
                ``{"accuracy": {"$gte": 0.9}}``.

        Raises:
            CacheError: the filter is not valid; the error names the mistake.
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the store has been closed.
        """

    def _verify(self, key: str) -> dict[str, Any] | None: ...
    def update_data(self, data: Any, key: str) -> bool:
        """Replaces the value of an entry; its metadata stays.

        Args:
            data: the new value.
            key: the key.

        Returns:
            Whether there is such an entry.

        Raises:
            CacheError: as ``put`` raises it; the former value is still there.
        """

    def clear(self) -> int:
        """Removes all entries.

        Returns:
            How many there were.

        Raises:
            CacheReadOnlyError: the store is read-only.
            CacheClosedError: the store has been closed.
        """

    def rotate_signing_key(self) -> int:
        """Replaces the signing key and signs every entry that has a valid signature again.

        Other processes may go on working; they notice the new key within a second, which this call waits for. Entries
        whose signature is wrong or missing stay as they are.

        Returns:
            How many entries were signed again.

        Raises:
            CacheConfigurationError: the store does not sign its entries.
            CacheReadOnlyError: the store is read-only.
        """

    def close(self) -> None:
        """Releases all resources. Closing twice is not an error.

        Later calls raise ``CacheClosedError``.
        """

    @property
    def read_only(self) -> bool:
        """Whether it is read-only."""

@final
class Table:
    """A table passed to or from Python, with the Arrow C stream interface.

    Columns can be taken out one by one. After the first the table exports no stream.
    """

    @staticmethod
    def empty_like(source: Any) -> Table:
        """The table that comes back from ``source`` without rows: shows whether its types survive."""

    @property
    def description(self) -> str | None:
        """The stored description of the table, or ``None``."""

    @property
    def num_rows(self) -> int:
        """Rows."""

    @property
    def num_columns(self) -> int:
        """Columns."""

    def take(self, index: int) -> TableColumn:
        """Takes out column ``index``: the caller then owns its memory alone."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class TableColumn:
    """One column of a :class:`Table`. Its values can be taken once."""

    @staticmethod
    def from_arrow(stream: Any) -> TableColumn:
        """A column that shares the memory of a PyArrow array."""

    @staticmethod
    def from_texts(values: Any, na: Any) -> tuple[TableColumn, str | None] | None:
        """The strings of an object array, and the name of the missing value (``None``, ``NA``, ``nan``).

        Args:
            values: the array, of one dimension.
            na: ``pandas.NA``.

        Returns:
            ``None`` if there is anything but exact ``str`` and missing values of one kind, if there is no string at
            all, or if the items have gaps between them.

        Raises:
            UnicodeEncodeError: for a lone surrogate.
        """

    def objects(self, missing: Any) -> Any | None:
        """The values of a column of strings or bytes as an array of objects, with ``missing`` for nulls.

        Equal values may be one object. ``None`` for a column of another type, which is then still whole.
        """

    def numpy(self) -> tuple[Any, Any | None] | None:
        """The values of a column of fixed width as a writable array, and a mask of nulls.

        Dates, times and 16-bit floats come as the integers that they are made of. Values under nulls are of no meaning.

        Returns:
            The values, and a boolean array or ``None`` where nothing is null; ``None`` for a column of another type,
            which is then still whole.
        """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

def backends() -> tuple[list[str], list[str]]:
    """The names of the metadata backends and of the blob backends of this release."""

def cache_key(params: dict[str, Any], config: dict[str, Any] | None = None) -> str:
    """The cache key of a dictionary of parameters: 16 hexadecimal digits.

    Args:
        params: the parameters.
        config: fields of :class:`cacheness.SerializationConfig` by name; the others have their defaults.

    Raises:
        CacheSerializationError: a parameter has no stable encoding.
    """

def presign(held: Any, seconds: float, /, **params: Any) -> str | None:
    """A URL of the payload of an entry for other programs; ``None`` if there is no entry."""

def blob_properties(held: Any, /, **params: Any) -> dict[str, Any] | None:
    """What the server tells about the payload of an entry; ``None`` if there is none, or it contains its payload."""

def plug_metadata(name: str) -> str:
    """Makes the name of a program's own metadata backend known to the engine, and returns the engine's name."""

def plug_blobs(name: str) -> str:
    """As :func:`plug_metadata`, of a blob backend."""

def check_blob_options(json: str) -> None:
    """Refuses a configuration, as ``CacheConfig._to_json`` writes it, whose blob backend does not take its options."""

def check_config(json: str) -> None:
    """Refuses a configuration, as ``CacheConfig._to_json`` writes it, with invalid values.

    Raises:
        CacheConfigurationError: a value that makes no sense; the sentence names its option.
    """

def config_options() -> str:
    """All options of a configuration in JSON: for each its names, section, variable, default and meaning."""

def config_schema() -> str:
    """The JSON Schema of configuration files."""

def option_of_text(name: str, text: str) -> str:
    """The value, in JSON, of an option in the text of its environment variable.

    Raises:
        CacheConfigurationError: the text is no value of the option; the message names the variable.
    """

def option_accepts(name: str, value: str) -> bool:
    """Whether a value in JSON is one of the option."""

def option_line(name: str, text: str) -> int | None:
    """The line of a file that has an option, counted from 1."""

def options_of_urls(url: str | None, blobs: str | None) -> str:
    """The options, in JSON, that the URLs of a store and of its blobs stand for.

    Raises:
        CacheConfigurationError: a URL is malformed, or has an unknown scheme.
    """

def is_without_directory(json: str) -> bool:
    """Whether nothing of the store would be in its directory; ``json`` is that of ``CacheConfig._to_json``."""

def cli(args: list[str]) -> int:
    """Runs the ``cacheness`` command and returns its exit code."""

def hash_value(value: Any, config: dict[str, Any] | None = None) -> str:
    """A hash of any value that can be a parameter: 32 hexadecimal digits, the same in every process.

    Args:
        value: the value.
        config: fields of :class:`cacheness.SerializationConfig` by name; the others have their defaults.

    Raises:
        CacheSerializationError: the value has no stable encoding.
    """

def hash_path(path: str | os.PathLike[str]) -> str:
    """The BLAKE3 of a file's bytes or of a directory's listing: 64 hexadecimal digits.

    Raises:
        CacheStorageError: it cannot be read.
    """

def metadata_dumps(metadata: dict[str, Any]) -> str:
    """The JSON text of metadata."""

def metadata_loads(json: str) -> dict[str, Any]:
    """The metadata of a JSON text."""

def set_default_handlers_changed(changed: bool) -> None:
    """Whether the registry that all caches share has custom handlers."""

def delete_where(cache: CacheBase, function: Callable[[dict[str, Any]], bool], names: bool = False, /) -> int:
    """Removes the entries for which a predicate of their dictionary is true, after it has been called for all of them.

    With ``names`` the function gets what stands under the names that ``delete_matching`` looks up.
    """

def delete_matching(cache: CacheBase, where: dict[str, Any], named: bool, /) -> int:
    """Removes the entries that match a filter; with ``named``, those with all these values, looked up in all places."""

def touch_matching(cache: CacheBase, where: dict[str, Any], named: bool, /) -> int:
    """Restarts the time to live of the entries that match; returns the number of unexpired ones."""

def report(cache: CacheBase, by: list[str], where: dict[str, Any] | None, /) -> dict[str, Any]:
    """What the entries that match a filter are together, and by the values of fields: ``time``, the totals, ``by``."""

def count(held: Any, where: dict[str, Any] | None, /) -> int:
    """The number of entries that match a filter."""

def search(
    held: Any,
    text: str,
    where: dict[str, Any] | None,
    limit: int | None,
    include_metadata: bool,
    /,
) -> Entries:
    """The entries that match a full-text query and a filter, the most relevant first."""

def create_index(held: Any, field: str, /) -> bool:
    """Creates the index of a field of the metadata; ``False`` if there is one."""

def drop_index(held: Any, field: str, /) -> bool:
    """Removes the index of a field of the metadata; ``False`` if there is none."""

def indexes(held: Any, /) -> list[str]:
    """The fields that have an index."""

def set_text_index(held: Any, wanted: bool, /) -> bool:
    """Creates the full-text index, or removes it; ``False`` if there is one, or none."""

def tags(held: Any, /) -> dict[str, int]:
    """All tags, and how many entries have each."""

def change_tags(cache: CacheBase, add: Iterable[str], remove: Iterable[str], /, **params: Any) -> bool:
    """Adds tags to the entry of a cache and removes others; ``False`` if there is no entry."""

def change_tags_of(store: StoreBase, add: Iterable[str], remove: Iterable[str], key: str, /) -> bool:
    """:func:`change_tags` for the entry of a store."""

def delete_batch(cache: CacheBase, kwargs_list: Iterable[Mapping[str, Any]], /) -> int:
    """Removes the entries of these keywords, each a dictionary as ``invalidate`` takes them; returns how many were
    there.
    """

@final
class QueryResult:
    """The rows of a query; one of the methods takes them."""

    @property
    def columns(self) -> list[tuple[str, list[str | None]]]:
        """The names of the columns, and the types of their values: some of ``bool``, ``int``, ``float``, ``str`` and
        ``bytes``, and ``None`` if there are nulls.
        """

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""

    def tuples(self) -> list[tuple[Any, ...]]:
        """The rows as tuples."""

    def table(self) -> Table:
        """The rows as an Arrow table."""

def query_meta(
    owner: CacheBase | StoreBase,
    sql: str,
    names: list[str] | None,
    values: list[bool | int | float | str | bytes | None],
    timeout: float | None,
    /,
) -> QueryResult:
    """Runs a query in SQL on a cache or a store. ``names`` has the names of the values if they are named."""

def get_batch(cache: CacheBase, kwargs_list: Iterable[Mapping[str, Any]], /) -> list[tuple[str, bool | None, Any]]:
    """The results of ``get`` with each of these keywords, looked up together.

    Each is the key, whether there is a value, and the value; or the key, ``None``, and the error.
    """

def pinned(cache: CacheBase, /) -> list[str]:
    """The keys of all pinned entries, in ascending order."""

def pool_stats(cache: CacheBase, /) -> dict[str, int]:
    """Counts of the connections to the server of the metadata backend; empty if it has no server."""

def set_pinned(cache: CacheBase, pinned: bool, /, **params: Any) -> bool:
    """Pins or unpins an entry; ``False`` if it does not exist."""

def touch(cache: CacheBase, /, **params: Any) -> bool:
    """Restarts the time to live of an entry; ``False`` if it does not exist."""

def update_data(cache: CacheBase, data: Any, /, **params: Any) -> bool:
    """Replaces the value of an entry and keeps its description and metadata; ``False`` if it does not exist."""

# ----- For the package's own tests, and in no wheel: the feature `testing` of the crate, see scripts/build.sh.

def encode_params(params: dict[str, Any], config: dict[str, Any] | None = None) -> bytes:
    """The canonical encoding of a dictionary of parameters."""

def derive_key(encoding: bytes) -> tuple[str, str]:
    """Key and fingerprint of an encoding, in hexadecimal digits."""

def render_params(encoding: bytes) -> Any:
    """The text of an encoding of parameters in a listing."""

def plain_dumps(value: Any) -> bytes | None:
    """The encoding of a plain value, or ``None`` if it is not plain."""

def plain_loads(data: bytes) -> Any:
    """The value of an encoding."""

def register_failing_blobs(name: str, kind: str, retryable: bool | None) -> None:
    """Registers a blob backend whose calls fail with an error of this kind."""

def array_dumps(value: Any, config_json: str | None = None) -> tuple[dict[str, Any], bytes] | None:
    """Encodes an array: the description of the payload, and the payload; ``None`` if the value is not an array."""

def array_loads(meta: dict[str, Any], payload: bytes) -> Any:
    """Decodes the result of :func:`array_dumps`."""

def array_load_file(meta: dict[str, Any], path: str | os.PathLike[str]) -> Any:
    """Decodes a payload that is a file."""

def array_map(meta: dict[str, Any], path: str | os.PathLike[str], mode: str) -> Any:
    """Maps a payload that is a file."""

def array_slice(meta: dict[str, Any], path: str | os.PathLike[str], index: _Index, verify: bool = False) -> Any:
    """Reads a part of a payload that is a file."""

def table_dumps(value: Any, config_json: str | None = None) -> tuple[dict[str, Any], bytes] | None:
    """Encodes a table: the description of the payload, and the payload; ``None`` if the value is not a table."""

def table_loads(meta: dict[str, Any], payload: bytes) -> Any:
    """Decodes the result of :func:`table_dumps`."""
