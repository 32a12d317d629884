"""The engine, written in Rust. Use it through :class:`cacheness.Cache` and :class:`cacheness.BlobStore`."""

import builtins
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any, Literal, Self, SupportsIndex, final, overload

from typing_extensions import disjoint_base

from ._entries import Entries
from .decorators._site import Site
from .handlers import HandlerRegistry

__all__ = [
    "HANDLERS",
    "Blobs",
    "CacheBase",
    "CallKey",
    "CallSite",
    "Clock",
    "Flight",
    "FunctionBase",
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
    "cache_key",
    "check_config",
    "clear_function",
    "cli",
    "decode_value",
    "delete_batch",
    "delete_matching",
    "delete_where",
    "derive_key",
    "encode_params",
    "encode_value",
    "hash_path",
    "hash_value",
    "metadata_dumps",
    "metadata_loads",
    "pinned",
    "plain_dumps",
    "plain_loads",
    "render_params",
    "set_default_handlers_changed",
    "set_pinned",
    "table_dumps",
    "table_loads",
    "touch",
    "touch_matching",
    "update_data",
]

# What stands in brackets behind an array whose part is read.
_Part = SupportsIndex | slice | EllipsisType
_Index = _Part | tuple[_Part, ...]

__version__: str
#: The built-in handlers, in the order in which they are asked.
HANDLERS: tuple[str, ...]

@final
class Blobs:
    """A blob backend outside of a store: bytes under names that it makes."""

    @staticmethod
    def filesystem(directory: str | os.PathLike[str], shard_chars: int) -> Blobs:
        """Files below ``directory/blobs``, spread over directories with names of so many digits."""

    @staticmethod
    def memory() -> Blobs:
        """In memory; it ends with the object."""

    def write(self, stem: str, extension: str, data: bytes) -> str:
        """Writes a new blob and returns its name, which begins with ``stem``."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a blob; ``None`` if there is none."""

    def exists(self, name: str) -> bool:
        """Whether there is a blob of this name."""

    def delete(self, name: str) -> bool:
        """Removes a blob; ``False`` if there is none."""

    def list(self) -> builtins.list[tuple[str, int]]:
        """The names of all blobs and their sizes, in no order."""

#: How to read a payload: handler, kind of value, storage format, codec, type of the value, what the handler must know.
_Description = tuple[str, str, str, str, str, bytes]

def encode_value(
    value: Any, registry: HandlerRegistry, config: str, payload: bool
) -> tuple[_Description, str, bytes | None]:
    """Encodes a value with the first built-in handler of a registry that takes it.

    Returns:
        How to read it, the extension of a file, and the payload if it is wanted.
    """

def decode_value(description: _Description, payload: bytes, registry: HandlerRegistry, config: str) -> Any:
    """The value of a payload that ``encode_value`` has made. Nothing is checked: a pickle runs code."""

@disjoint_base
class CacheBase:
    """What :class:`cacheness.Cache` derives from."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _open(
        self,
        directory: str | os.PathLike[str],
        config: str,
        registry: HandlerRegistry,
        read_only: bool,
        clock: Clock | None = None,
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
        description: str | None = None,
        ttl_seconds: float | timedelta | EllipsisType | None = ...,
        cache_key: str | None = None,
        params: dict[str, Any] | None = None,
        custom_metadata: Any = None,
        **parameters: Any,
    ) -> str:
        """Stores a value under its parameters, replacing what is there.

        Args:
            data: the value, by position or, where nothing is given by position, as ``data=…``. Beside a value that is
                given by position, ``data`` is a parameter.
            metadata: plain data that goes with it, shown by listings: a dictionary whose names are strings.
            description: a sentence about it, for listings.
            ttl_seconds: how long it is served, in seconds or as a ``timedelta``; ``None`` for ever. The cache's default
                if it is not given, or ``...``.
            cache_key: a name to store it under in place of parameters, up to 1024 bytes of UTF-8.
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            custom_metadata: not available yet.
            parameters: all other keywords are the parameters that identify the value. Reserved are ``metadata``,
                ``custom_metadata``, ``description``, ``ttl_seconds``, ``cache_key``, ``params``, ``default``,
                ``mmap_mode`` and ``strict_verification``. Without parameters and ``cache_key`` the key is made from the
                content: equal payloads have one entry.

        Returns:
            The key: 16 hexadecimal digits made from the parameters, or ``cache_key``; 32 digits made from the content.

        Raises:
            TypeError: no value, parameters beside ``cache_key``, or a keyword that belongs to ``get``.
            CacheConfigurationError: ``ttl_seconds`` or ``cache_key`` makes no sense.
            CacheSerializationError: a parameter has no stable key, or no handler can store the value.
            CachePickleError: the value can only be pickled and the security configuration refuses that.
            CacheUnsupportedError: ``custom_metadata``.
            CacheStorageError: it cannot be written; the former value is still there.
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
        """The value that was put with these parameters, of the type it was put with, or ``default``.

        Keywords of ``put`` that are no parameters (``metadata``, ``description``) may be given and do nothing. An entry
        that is damaged or has a wrong signature is logged as a warning and counts as a miss.

        Args:
            name: the key of the entry, or the name it was stored under, in place of parameters; the same as
            ``cache_key``.
            default: what to return if there is no such value or it has expired.
            ttl_seconds: for this call, entries that are older than so many seconds count as expired.
            mmap_mode: ``"r"`` maps the file read-only and ``"c"`` copy-on-write in place of reading it: uncompressed
                arrays, and with ``"r"`` uncompressed Arrow tables.
            strict_verification: ``False`` serves an entry although its signature is wrong, with a warning; never a
                pickle. ``verify_integrity`` says what the signature of an entry is.
            cache_key: the name it was stored under in place of parameters.
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            The value, which is the caller's own, or ``default``.

        Raises:
            TypeError: no parameters and no ``cache_key``, or both.
            ValueError: an ``mmap_mode`` that does not exist.
            CacheSerializationError: a parameter has no stable key, or the value cannot be decoded.
            CachePickleError: the value is a pickle and the security configuration refuses those.
            CacheUnsupportedError: the value needs a package or handler that is not here, or cannot be mapped.
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
        """Part of an array, without reading the rest of it.

        The hash of the whole payload is not checked, because the whole is not read, unless ``verify`` asks for it.

        Args:
            index: what would stand in brackets behind the array: integers, slices and ``...``; ``np.s_[…]`` makes one.
            verify: whether the whole payload is read and compared with its hash before. A parameter of this name goes
                into ``params``.
            default: what to return if there is no such value or it has expired.
            ttl_seconds: for this call, entries that are older than so many seconds count as expired.
            strict_verification: ``False`` serves an entry although its signature is wrong, with a warning.
            cache_key: the name it was stored under in place of parameters.
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            What ``get(…)[index]`` would be, or ``default``.

        Raises:
            IndexError: the index is out of bounds, or has more parts than the array has dimensions.
            TypeError: the index has a part of another type.
            CacheUnsupportedError: the value is no array.
            CacheError: as ``get`` raises it.
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
        """The value and the metadata that it was put with.

        Takes the arguments of ``get``; ``default`` does nothing.

        Returns:
            The value and its metadata, an empty dictionary if it has none; ``None`` for a miss.

        Raises:
            CacheError: as ``get`` raises it.
        """

    def get_metadata(
        self,
        cache_key: str | None = None,
        check_expiration: bool = True,
        *,
        params: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> dict[str, Any] | None:
        """What is known of an entry, without reading its value. Counts neither as a hit nor as a miss.

        Args:
            cache_key: its key, or the name it was stored under, in place of parameters, which are ignored beside it.
            check_expiration: whether an entry that has expired counts as missing. A parameter of this name goes into
                ``params``.
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            The dictionary that ``list_entries(include_metadata=True)`` has for the entry; ``None`` if there is none.
            Its ``metadata`` holds the user's fields, and answers by name also for technical ones that these lack:
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
        """Whether there is an entry with these parameters that has not expired. Its value is not read.

        Args:
            name: its key, or the name it was stored under, in place of parameters; the same as ``cache_key``.
            cache_key: its key, or the name it was stored under, in place of parameters.
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Raises:
            CacheError: as ``get_metadata`` raises it.
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
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            parameters: all other keywords are the parameters that identify the value.

        Returns:
            Whether there was one.

        Raises:
            CacheReadOnlyError: the cache is read-only.
            CacheError: as ``get_metadata`` raises it.
        """

    def invalidate_by_cache_key(self, cache_key: str) -> bool:
        """Removes the entry of a key, as ``put`` and listings show it.

        Returns:
            Whether there was one.

        Raises:
            CacheReadOnlyError: the cache is read-only.
            CacheConfigurationError: the key is empty or too long.
            CacheClosedError: the cache has been closed.
        """

    def list_entries(self, include_metadata: bool = False) -> Entries:
        """All entries in the order of their keys, without their values; also those that have expired.

        Args:
            include_metadata: whether the dictionaries also have ``metadata``, the user's.

        Returns:
            A list of dictionaries, which a notebook shows as a table. Each has among others ``cache_key``, ``function``
            (the name of the decorated function whose result it is, else ``None``), ``call`` (the call of that function,
            or the parameters, or the name, in at most 200 characters), ``description`` (``""`` where none was given),
            ``data_type``, ``object_type``, ``storage_format``, ``file_size`` (bytes), ``access_count``,
            ``cache_key_params`` and ``compression_info`` (``codec``, ``format``, ``original_size`` and
            ``compressed_size`` in bytes, and their ``ratio``; ``None`` where a handler of your own does not say). Times
            are ISO 8601: ``created``, ``last_accessed`` and ``expires`` in UTC with the offset ``+00:00``;
            ``created_at``, ``accessed_at`` and ``expires_at`` in local time without an offset, to be compared with
            ``datetime.now()``.

        Raises:
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the cache has been closed.
        """

    def cache_key(
        self, *, cache_key: str | None = None, params: dict[str, Any] | None = None, **parameters: Any
    ) -> str:
        """The key that these parameters have, whether there is an entry or not.

        Args:
            cache_key: a name in place of parameters, which is returned as it is.
            params: parameters in a dictionary, also those that have the name of a reserved keyword.
            parameters: all other keywords are the parameters.

        Returns:
            16 hexadecimal digits, the same in every process, on every machine and in Rust.

        Raises:
            TypeError: no parameters and no ``cache_key``, both, or a keyword that belongs to ``get``.
            CacheSerializationError: a parameter has no stable key.
        """

    def cleanup_expired(self) -> int:
        """Removes all entries that have expired.

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
        """Writes down accesses and releases all resources. Closing twice is no error.

        Later calls raise ``CacheClosedError``.
        """

    @property
    def closed(self) -> bool:
        """Whether the cache has been closed, or never was opened."""

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written."""

@final
class Clock:
    """A clock that stands still until it is moved, for tests of what expires: ``Cache(…, clock=clock)``.

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
        """Moves the clock, back where it is negative.

        Args:
            seconds: a number of seconds, or a ``timedelta``.

        Raises:
            CacheConfigurationError: that is no length of time.
        """

    def __reduce__(self) -> tuple[type[Self], tuple[float]]: ...

@final
class CallKey:
    """What a lookup returns unless it returns a value: the key to compute and put under, and what else was found."""

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
        """Whether ``value`` is to be served, and computed anew by somebody."""

    @property
    def value(self) -> Any:
        """The value that is due."""

    @property
    def deferred(self) -> bool:
        """Whether there is a value that ``CallSite.read`` returns."""

@final
class Flight:
    """The right to compute a value while others wait for it. Only the first of its methods that is called counts."""

    def stored(self) -> None:
        """The entry is there: those who wait look again."""

    def failed(self) -> None:
        """There will be no entry: those who wait compute for themselves."""

    def interrupted(self) -> None:
        """Another caller takes over."""

@final
class Turn:
    """The way of a task to a value that is missing."""

    def step(self, look: bool = True) -> Any:
        """A ``Flight`` to compute with, a value, or a ``CallKey`` to read; ``None`` to ask again after ``delay()``.

        Without ``look`` the entry is known to be damaged.
        """

    def delay(self) -> float:
        """How many seconds to wait."""

@final
class CallSite:
    """A place that calls through a cache: its options and its counts."""

    def __new__(
        cls,
        *,
        ttl_seconds: float | timedelta | None = None,
        metadata: dict[str, Any] | None = None,
        stale_ttl_seconds: float | timedelta | None = None,
        early_recompute: float | None = None,
        codec: str | None = None,
        inline_only: bool = False,
        on_code_change: str | None = None,
        collected: list[str] | None = None,
    ) -> Self: ...
    def set_code(self, code: bytes | None) -> None:
        """Sets the code that is compared with that of entries; the first one counts. ``None``: it is not known."""

    @property
    def has_code(self) -> bool:
        """Whether the code has been set, where it is to be set."""

    @property
    def code(self) -> bytes | None:
        """The code, if it is known."""

    def is_cached(self, cache: CacheBase, params: dict[str, Any]) -> bool:
        """Whether the entry of these parameters would be served. Counts nothing."""

    def key(self, cache: CacheBase, params: dict[str, Any]) -> CallKey:
        """The ``CallKey`` of these parameters; nothing is looked up."""

    def invalidate(self, cache: CacheBase, params: dict[str, Any]) -> bool:
        """Removes the entry of these parameters; whether there was one."""

    def lookup(self, cache: CacheBase, params: dict[str, Any]) -> Any:
        """The value of these parameters, or a ``CallKey``."""

    def lookup_call(self, cache: CacheBase, keywords: dict[str, Any]) -> Any:
        """``lookup`` for the keywords of ``Cache.get``."""

    def read(self, cache: CacheBase, key: CallKey) -> Any:
        """The value that a ``CallKey`` has deferred, or a ``CallKey``."""

    def begin(self, cache: CacheBase, key: CallKey, inside: Flight | None = None) -> Any:
        """Waits for its turn: a ``Flight`` to compute with, or the value that somebody else has computed."""

    def turn(self, cache: CacheBase, key: CallKey, inside: Flight | None = None) -> Turn:
        """A turn that a task takes without blocking."""

    def take_due(self, cache: CacheBase, key: CallKey, inside: Flight | None = None) -> Flight | None:
        """The flight of a value that is due; ``None`` if somebody else computes it or has computed it."""

    def put(self, cache: CacheBase, key: CallKey, value: Any, spent: float, description: str | None = None) -> None:
        """Stores a value that took so many seconds to compute."""

    def note_failure(self) -> None:
        """Notes that the cache failed and the call went on without it."""

    def counts(self) -> tuple[int, int, int, int, float]:
        """Hits, misses, refreshes and failures, and the seconds that the hits took when they were computed."""

@disjoint_base
class FunctionBase:
    """A function whose results are kept."""

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
        """What the call site counts and compares."""

def clear_function(cache: CacheBase, function: str) -> int:
    """Removes the entries whose parameters have ``function`` as their ``__function__``, and returns how many."""

@disjoint_base
class StoreBase:
    """What :class:`cacheness.BlobStore` derives from."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _open(
        self,
        directory: str | os.PathLike[str],
        config: str,
        registry: HandlerRegistry,
        read_only: bool,
    ) -> None: ...
    def _set_handlers_changed(self, changed: bool) -> None: ...
    def _put(self, data: Any, key: str | None, metadata: dict[str, Any] | None) -> str: ...
    def _totals(self) -> tuple[int, int]: ...
    def _backends(self) -> tuple[str, str]: ...
    def get(self, key: str, default: Any = None, *, mmap_mode: Literal["r", "c"] | None = None) -> Any:
        """The value of a key, of the type it was put with, or ``default``.

        Args:
            key: the key.
            default: what to return if there is no such entry.
            mmap_mode: ``"r"`` maps the file read-only and ``"c"`` copy-on-write in place of reading it: uncompressed
                arrays, and with ``"r"`` uncompressed Arrow tables.

        Returns:
            The value, which is the caller's own, or ``default``.

        Raises:
            ValueError: an ``mmap_mode`` that does not exist.
            CacheIntegrityError: the payload is missing or damaged.
            CacheSignatureError: the signature is wrong, or missing where one is needed.
            CacheSerializationError: the value cannot be decoded.
            CachePickleError: the value is a pickle and the security configuration refuses those.
            CacheUnsupportedError: the value needs a package or handler that is not here, or cannot be mapped.
            CacheClosedError: the store has been closed.
        """

    def get_slice(self, key: str, index: _Index, *, verify: bool = False) -> Any:
        """Part of an array, without reading the rest of it.

        The hash of the whole payload is not checked, because the whole is not read, unless ``verify`` asks for it.

        Args:
            key: the key.
            index: what would stand in brackets behind the array: integers, slices and ``...``; ``np.s_[…]`` makes one.
            verify: whether the whole payload is read and compared with its hash before.

        Returns:
            What ``get(key)[index]`` would be; ``None`` if there is no such entry.

        Raises:
            IndexError: the index is out of bounds, or has more parts than the array has dimensions.
            TypeError: the index has a part of another type.
            CacheUnsupportedError: the value is no array.
            CacheError: as ``get`` raises it.
        """

    def get_metadata(self, key: str) -> dict[str, Any] | None:
        """What is known of an entry, without reading its value.

        Returns:
            A dictionary, among others with ``cache_key``, ``metadata`` (what the value was put with), ``data_type``,
            ``object_type``, ``storage_format``, ``file_size`` (bytes), ``created_at`` and ``accessed_at`` (ISO 8601,
            UTC); ``None`` if there is no such entry.

        Raises:
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the store has been closed.
        """

    def update_metadata(self, key: str, metadata: dict[str, Any]) -> bool:
        """Sets fields of an entry's metadata; other fields and the value stay as they are.

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
            Whether there was one.

        Raises:
            CacheReadOnlyError: the store is read-only.
            CacheClosedError: the store has been closed.
        """

    def exists(self, key: str) -> bool:
        """Whether there is an entry of that key. Its value is not read.

        Raises:
            CacheMetadataError: the database cannot be read.
            CacheClosedError: the store has been closed.
        """

    def list(self, prefix: str | None = None, metadata_filter: dict[str, Any] | None = None) -> builtins.list[str]:
        """The keys, in their order.

        Args:
            prefix: only those that begin with it.
            metadata_filter: only those whose metadata has all of these fields, with equal values. A field that the
                metadata lacks is one of the entry itself, such as ``data_type``.

        Raises:
            CacheUnsupportedError: a comparison such as ``{"$gte": 0.9}`` in place of a value.
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
        """Releases all resources. Closing twice is no error.

        Later calls raise ``CacheClosedError``.
        """

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written."""

@final
class Table:
    """A table on its way to or from Python, with the Arrow C stream interface.

    Columns can be taken out one by one. After the first the table exports no stream.
    """

    @staticmethod
    def empty_like(source: Any) -> Table:
        """The table that comes back from ``source`` if it has no rows: shows whether its types survive."""

    @property
    def description(self) -> str | None:
        """The description that travelled with the table, or ``None``."""

    @property
    def num_rows(self) -> int:
        """Rows."""

    @property
    def num_columns(self) -> int:
        """Columns."""

    def take(self, index: int) -> TableColumn:
        """Takes column ``index`` out: its memory is then the caller's alone."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class TableColumn:
    """One column of a :class:`Table`. Its values can be taken once."""

    @staticmethod
    def from_arrow(stream: Any) -> TableColumn:
        """A column that shares the memory of a PyArrow array."""

    @staticmethod
    def from_texts(values: Any, na: Any) -> tuple[TableColumn, str | None] | None:
        """The strings of an object array, and the name of what stands for missing ones (``None``, ``NA``, ``nan``).

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
        """The values of a column of strings or bytes as an array of objects, ``missing`` where one is null.

        Equal values may be one object. ``None`` for a column of another type, which is then still whole.
        """

    def numpy(self) -> tuple[Any, Any | None] | None:
        """The values of a column of fixed width as an array that may be written to, and where they are null.

        Dates, times and 16-bit floats come as the integers that they are made of. Values under nulls are of no meaning.

        Returns:
            The values, and a boolean array or ``None`` where nothing is null; ``None`` for a column of another type,
            which is then still whole.
        """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

def cache_key(params: dict[str, Any], config: dict[str, Any] | None = None) -> str:
    """The cache key of a dictionary of parameters: 16 hexadecimal digits.

    Args:
        params: the parameters.
        config: fields of :class:`cacheness.SerializationConfig` by name; the others have their defaults.

    Raises:
        CacheSerializationError: a parameter has no stable encoding.
    """

def check_config(json: str) -> None:
    """Refuses a configuration, as ``CacheConfig._to_json`` writes it, whose values make no sense.

    Raises:
        CacheConfigurationError: a value that makes no sense; the sentence names its option.
    """

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
    """Removes the entries for which a function of their dictionary is true, once it has been asked about all of them.

    With ``names`` the function gets what stands under the names that ``delete_matching`` looks up.
    """

def delete_matching(cache: CacheBase, values: dict[str, Any], /) -> int:
    """Removes the entries that have all these values."""

def touch_matching(cache: CacheBase, values: dict[str, Any], /) -> int:
    """Makes the entries fresh that have all these values; returns how many had not expired."""

def delete_batch(cache: CacheBase, kwargs_list: Iterable[Mapping[str, Any]], /) -> int:
    """Removes the entries of these keywords, each a dictionary as ``invalidate`` takes them; returns how many were
    there.
    """

def pinned(cache: CacheBase, /) -> list[str]:
    """The keys of all pinned entries, in ascending order."""

def set_pinned(cache: CacheBase, pinned: bool, /, **params: Any) -> bool:
    """Keeps an entry from being evicted, or no longer; ``False`` if there is none."""

def touch(cache: CacheBase, /, **params: Any) -> bool:
    """Makes an entry as fresh as if it had just been put; ``False`` if there is none."""

def update_data(cache: CacheBase, data: Any, /, **params: Any) -> bool:
    """Replaces the value of an entry and keeps its description and metadata; ``False`` if there is none."""

# ----- For the package's own tests, and in no wheel: the feature `testing` of the crate, see scripts/build.sh.

def encode_params(params: dict[str, Any], config: dict[str, Any] | None = None) -> bytes:
    """The canonical encoding of a dictionary of parameters."""

def derive_key(encoding: bytes) -> tuple[str, str]:
    """Key and fingerprint of an encoding, in hexadecimal digits."""

def render_params(encoding: bytes) -> Any:
    """What a listing shows of an encoding of parameters."""

def plain_dumps(value: Any) -> bytes | None:
    """The encoding of a plain value, or ``None`` if it is not plain."""

def plain_loads(data: bytes) -> Any:
    """The value of an encoding."""

def array_dumps(value: Any, config_json: str | None = None) -> tuple[dict[str, Any], bytes] | None:
    """Encodes an array: what describes the payload, and the payload; ``None`` if it is not for arrays."""

def array_loads(meta: dict[str, Any], payload: bytes) -> Any:
    """Decodes what :func:`array_dumps` returned."""

def array_load_file(meta: dict[str, Any], path: str | os.PathLike[str]) -> Any:
    """Decodes a payload that is a file."""

def array_map(meta: dict[str, Any], path: str | os.PathLike[str], mode: str) -> Any:
    """Maps a payload that is a file."""

def array_slice(meta: dict[str, Any], path: str | os.PathLike[str], index: _Index, verify: bool = False) -> Any:
    """Reads a part of a payload that is a file."""

def table_dumps(value: Any, config_json: str | None = None) -> tuple[dict[str, Any], bytes] | None:
    """Encodes a table: what describes the payload, and the payload; ``None`` if it is not for tables."""

def table_loads(meta: dict[str, Any], payload: bytes) -> Any:
    """Decodes what :func:`table_dumps` returned."""
