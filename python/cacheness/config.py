"""Configuration classes. Fields have the names and meanings of the Rust configuration; Rust checks their values."""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from . import _environment
from ._options import SECTIONS, Options, checked_section, given_names, home_of, shown, strict
from ._options import unknown_option as unknown_option  # noqa: PLC0414 - for the decorators
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Self

    from .handlers import CacheHandler

__all__ = [
    "CacheBlobConfig",
    "CacheConfig",
    "CacheMetadataConfig",
    "CacheStorageConfig",
    "CompressionConfig",
    "HandlerConfig",
    "SecurityConfig",
    "SerializationConfig",
]

_CODECS = ("none", "lz4", "zstd", "gzip")


@strict
@dataclass(repr=False, eq=False)
class CacheStorageConfig(Options):
    """Where a store is and what it survives.

    Attributes:
        cache_dir: the directory, or ``":memory:"`` for a store that ends with the process.
        max_cache_size_mb: how many megabytes (2^20 bytes) of values a cache holds at most; ``None`` for no limit. A
            :class:`~cacheness.storage.BlobStore` has no limits.
        cleanup_on_init: whether expired entries are removed when the cache is opened.
        max_entries: how many entries at most; ``None`` for no limit.
        max_age_seconds: how long an entry is served at most, whatever its own time to live; ``None`` for no limit.
        eviction_policy: what goes when a cache is full, down to 90 % of the limit: ``"lru"``, what was not read for
            longest, ``"lfu"``, what was read least often, ``"fifo"``, what came first, or ``"none"``: then a put fails
            with :class:`CacheFullError`. Expired entries go before all others, pinned ones never.
        durability: ``"normal"``: nothing is lost or torn when a process is killed; ``"full"``: nor when the machine
            loses power.
        inline_threshold_bytes: payloads up to this size travel inside their entry, larger ones are files.
        read_only: whether nothing may be written.
    """

    cache_dir: str | os.PathLike[str] = field(default_factory=lambda: _environment.text("CACHENESS_DIR", "./cache"))
    max_cache_size_mb: float | None = field(
        default_factory=lambda: _environment.number("CACHENESS_MAX_SIZE_MB", 10_000.0)
    )
    cleanup_on_init: bool = False
    _: KW_ONLY
    max_entries: int | None = None
    max_age_seconds: float | timedelta | None = None
    eviction_policy: Literal["lru", "lfu", "fifo", "none"] = "lru"
    durability: Literal["normal", "full"] = "normal"
    inline_threshold_bytes: int = 32 * 1024
    read_only: bool = False


@strict
@dataclass(repr=False, eq=False)
class CacheMetadataConfig(Options):
    """What is kept of an entry, and how its payload is checked.

    Attributes:
        backend: where entries are kept. ``None`` is what the directory says, and ``"sqlite"`` for a new one;
            ``"json"`` is one file that people can read, for small stores; ``"sqlite_memory"`` and ``"memory"`` end with
            the process, payloads too, and write nothing into the directory. ``metadata_backend`` is another name of it.
        database_url: ``None``: the database lies in the directory of the store. This release has no others.
        store_cache_key_params: whether an entry keeps the parameters of its key, for listings.
        verify_cache_integrity: whether a payload's hash is checked when it is read.
        enable_memory_cache: whether entries that were read or written are kept in this process's memory, so that a get
            of one of them touches no file. They are always true: changes by other processes are noticed first.
        memory_cache_type: which one leaves first: ``"lru"``, the one not read for longest, ``"lfu"``, the one read
            least often, ``"fifo"``, the one that came first, or ``"rr"``, a random one.
        memory_cache_maxsize: how many at most.
        memory_cache_max_mb: how many megabytes at most; values over ``inline_threshold_bytes`` are never kept.
        memory_cache_ttl_seconds: after how long an entry is read, and its signature checked, again.
        memory_cache_stats: whether ``get_stats`` has ``memory_cache_hits``.
    """

    backend: Literal["sqlite", "json", "sqlite_memory", "memory"] | None = None
    database_url: str | None = None
    store_cache_key_params: bool = True
    verify_cache_integrity: bool = True
    enable_memory_cache: bool = True
    memory_cache_type: Literal["lru", "lfu", "fifo", "rr"] = "lru"
    memory_cache_maxsize: int = 10_000
    memory_cache_ttl_seconds: float | timedelta = 300.0
    memory_cache_stats: bool = False
    _: KW_ONLY
    memory_cache_max_mb: float = 32.0
    if TYPE_CHECKING:
        metadata_backend: InitVar[str | None] = None
    else:
        metadata_backend = property(lambda self: self.backend)

    def _checked(self) -> Self:
        if self.database_url is not None:
            what = f"database_url is {shown(self.database_url)}"
            raise CacheConfigurationError(what, hint="leave it out: the database lies in the directory of the store")
        return super()._checked()


@strict
@dataclass(repr=False, eq=False)
class CacheBlobConfig(Options):
    """Where payloads go that are too large to travel inside an entry.

    Attributes:
        blob_backend: the blob backend; ``"filesystem"`` so far.
        shard_chars: how many hexadecimal digits name the directories that files are spread over, 0 to 4.
    """

    blob_backend: Literal["filesystem"] = "filesystem"
    shard_chars: int = 2

    def _checked(self) -> Self:
        if self.blob_backend != "filesystem":
            what = f"blob_backend is {shown(self.blob_backend)}"
            raise CacheConfigurationError(what, hint="this release has 'filesystem'")
        return super()._checked()


@strict
@dataclass(repr=False, eq=False)
class CompressionConfig(Options):
    """How payloads are compressed, and in which format arrays and tables are stored.

    Attributes:
        pickle_compression_codec: codec of plain data and pickles.
        pickle_compression_level: its level, 1 to 9 (zstd up to 22).
        compression_threshold_bytes: smaller payloads are not compressed.
        use_blosc2_arrays: ``False`` stores arrays as ``.npy``.
        blosc2_array_codec: codec inside Blosc2 files.
        blosc2_array_compression_level: its level, 0 to 9.
        array_format: ``"blosc2"``, ``"npy"``, or ``"auto"``: Blosc2 where a sample says that compression pays.
        parquet_compression: codec inside Parquet and Arrow files.
        dataframe_format: ``"parquet"`` or ``"arrow"`` (Arrow IPC, can be memory-mapped when uncompressed).
        parallel: whether large values are compressed on all cores.
        sample: whether a sample of a large value decides that compression would not pay.
    """

    pickle_compression_codec: str = field(
        default_factory=lambda: _environment.choice("CACHENESS_COMPRESSION_CODEC", "zstd", _CODECS)
    )
    pickle_compression_level: int = field(
        default_factory=lambda: _environment.integer("CACHENESS_COMPRESSION_LEVEL", 5)
    )
    use_blosc2_arrays: bool = True
    blosc2_array_codec: Literal["lz4", "lz4hc", "blosclz", "zstd", "zlib"] = "lz4"
    blosc2_array_compression_level: int = 5
    parquet_compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = "lz4"
    _: KW_ONLY
    compression_threshold_bytes: int = 4096
    array_format: Literal["auto", "blosc2", "npy"] = "auto"
    dataframe_format: Literal["parquet", "arrow"] = "parquet"
    parallel: bool = True
    sample: bool = True


@strict
@dataclass(repr=False, eq=False)
class SerializationConfig(Options):
    """How keys are made from parameters.

    Attributes:
        enable_collections: lists, tuples, mappings and sets may be parameters.
        enable_object_introspection: objects without an encoding of their own are encoded by their parts.
        max_tuple_recursive_length: how deep tuples may nest.
        max_collection_depth: how deep collections may nest.
        hash_path_content: paths are encoded by what they lead to, not by name.
    """

    enable_collections: bool = True
    enable_object_introspection: bool = True
    max_tuple_recursive_length: int = 10
    max_collection_depth: int = 10
    _: KW_ONLY
    hash_path_content: bool = True


@strict
@dataclass(repr=False, eq=False)
class HandlerConfig(Options):
    """Which handlers store values, and in which order they are asked.

    Attributes:
        handler_priority: names of handlers that are asked before the others, in this order. The others follow in
            their usual order, and ``object_pickle``, which takes everything, is the last of the built-in ones wherever
            it is named. A custom handler can be named if it is among ``custom_handlers``, or was registered with
            :func:`cacheness.register_handler` before the cache is opened.
        enable_numpy_arrays, enable_pandas_dataframes, …: whether that handler is asked at all. What it would have
            stored goes to the next one that can.
        enable_dill_fallback: objects that pickle refuses are stored with dill, if it is installed.
        custom_handlers: handlers, or classes of handlers, to register with this cache.
    """

    handler_priority: list[str] = field(default_factory=list)
    enable_pandas_dataframes: bool = True
    enable_polars_dataframes: bool = True
    enable_numpy_arrays: bool = True
    enable_pandas_series: bool = True
    _: KW_ONLY
    enable_plain_objects: bool = True
    enable_polars_series: bool = True
    enable_arrow_tables: bool = True
    enable_object_pickle: bool = True
    enable_dill_fallback: bool = True
    custom_handlers: Sequence[CacheHandler | type[CacheHandler]] = ()


@strict
@dataclass(repr=False, eq=False)
class SecurityConfig(Options):
    """Signatures and pickles. See ``docs/guide.md`` for what each protects from.

    Attributes:
        enable_entry_signing: entries are signed when they are written and checked when they are read.
        signing_key_file: name of the key file in the store's directory, or an absolute path.
        use_in_memory_key: the key lives and ends with this process.
        custom_signed_fields: fields to sign besides those that always are; ``None`` signs all.
        allow_unsigned_entries: entries without a signature are served (never their pickles).
        delete_invalid_signatures: an entry with a wrong signature is deleted when it is met.
        allow_pickle: pickles are written and read at all.
        trust_unsigned_pickles: a pickle is decoded although its entry has no valid signature. Whoever can write the
            directory can then run code in this process.
    """

    enable_entry_signing: bool = True
    signing_key_file: str = "cache_signing_key.bin"
    use_in_memory_key: bool = False
    custom_signed_fields: list[str] | None = None
    allow_unsigned_entries: bool = True
    delete_invalid_signatures: bool = False
    allow_pickle: bool = True
    trust_unsigned_pickles: bool = False


@strict
@dataclass(repr=False, eq=False)
class CacheConfig(Options):
    """All options of a cache, which takes a copy when it is opened.

    Attributes:
        default_ttl_seconds: how long an entry is served unless its ``put`` says otherwise; ``None`` for ever.
        storage_mode: whether the cache is a store: nothing expires unless its ``put`` says so, and nothing is evicted,
            whatever ``default_ttl_seconds`` and the limits say. What it puts is pinned.
        flight_patience_seconds: how long a computation waits for another process to compute a value that it needs,
            before it computes that value as well. A caller that is not inside a computation itself waits as long as the
            other process lives.
    """

    storage: CacheStorageConfig = field(default_factory=CacheStorageConfig)
    metadata: CacheMetadataConfig = field(default_factory=CacheMetadataConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    serialization: SerializationConfig = field(default_factory=SerializationConfig)
    handlers: HandlerConfig = field(default_factory=HandlerConfig)
    default_ttl_seconds: float | timedelta | None = field(
        default_factory=lambda: _environment.number("CACHENESS_DEFAULT_TTL_SECONDS", None)
    )
    _: KW_ONLY
    blob: CacheBlobConfig = field(default_factory=CacheBlobConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    storage_mode: bool = False
    flight_patience_seconds: float | timedelta = 10.0

    @classmethod
    def from_options(cls, /, **options: Any) -> CacheConfig:
        """A configuration from flat options: each goes to the section that has a field of its name.

        A section may be given as a whole; flat options then change a copy of it.

        Raises:
            CacheConfigurationError: an option that no section has; the message suggests the nearest.
        """
        config = cls()
        given = given_names(options)
        # Sections first: what is said of a single option counts, wherever it stands.
        for name in SECTIONS.keys() & given.keys():
            setattr(config, name, checked_section(name, given.pop(name)))
        for name, value in given.items():
            if name in cls.__dataclass_fields__:
                setattr(config, name, value)
                continue
            section = home_of(name)
            if section is None:
                known = [n for s in SECTIONS.values() for n in s.__dataclass_fields__]
                raise unknown_option(name, [*known, *cls.__dataclass_fields__])
            setattr(getattr(config, section), name, value)
        return config

    def _to_json(self, *, content_addressable: bool = False) -> str:
        """The configuration, which has been checked, as the engine reads it."""
        store = {
            "metadata_backend": self.metadata.backend,
            "default_metadata_backend": _environment.choice("CACHENESS_BACKEND", "sqlite", ("sqlite", "json")),
            "durability": self.storage.durability,
            "inline_threshold_bytes": self.storage.inline_threshold_bytes,
            "shard_chars": self.blob.shard_chars,
            "content_addressable": content_addressable,
            "verify_cache_integrity": self.metadata.verify_cache_integrity,
            "store_cache_key_params": self.metadata.store_cache_key_params,
            "memory": {
                "enable_memory_cache": self.metadata.enable_memory_cache,
                "memory_cache_type": self.metadata.memory_cache_type,
                "memory_cache_maxsize": self.metadata.memory_cache_maxsize,
                "memory_cache_max_mb": self.metadata.memory_cache_max_mb,
                "memory_cache_ttl_seconds": self.metadata.memory_cache_ttl_seconds,
            },
            # Not `asdict`, which copies deeply: a third of the time it takes to open a cache.
            "compression": vars(self.compression),
            "serialization": vars(self.serialization),
            "security": vars(self.security),
        }
        limits = {
            "max_cache_size_mb": self.storage.max_cache_size_mb,
            "max_entries": self.storage.max_entries,
            "max_age_seconds": self.storage.max_age_seconds,
            "eviction_policy": self.storage.eviction_policy,
        }
        return json.dumps(
            {
                "storage_mode": self.storage_mode,
                "default_ttl_seconds": self.default_ttl_seconds,
                "flight_patience_seconds": self.flight_patience_seconds,
                "limits": limits,
                "store": store,
            }
        )


SECTIONS.update(
    storage=CacheStorageConfig,
    metadata=CacheMetadataConfig,
    compression=CompressionConfig,
    serialization=SerializationConfig,
    handlers=HandlerConfig,
    blob=CacheBlobConfig,
    security=SecurityConfig,
)
