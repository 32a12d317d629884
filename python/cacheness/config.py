"""Configuration classes. Fields have the names and meanings of the Rust configuration; Rust checks their values."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from . import _environment
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

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

#: Other names of options.
_ALIASES = {"metadata_backend": "backend"}

_CODECS = ("none", "lz4", "zstd", "gzip")


class _Options:
    """What dataclasses have besides their fields; generated for each class it would be half the time of an import."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


@dataclass(repr=False, eq=False)
class CacheStorageConfig(_Options):
    """Where a store is and what it survives.

    Attributes:
        cache_dir: the directory, or ``":memory:"`` for a store that ends with the process.
        max_cache_size_mb: how many megabytes (2^20 bytes) of values a cache holds at most; ``None`` for no limit. A
            :class:`~cacheness.storage.BlobStore` has no limits.
        max_entries: how many entries at most; ``None`` for no limit.
        max_age_seconds: how long an entry is served at most, whatever its own time to live; ``None`` for no limit.
        eviction_policy: what goes when a cache is full, down to 90 % of the limit: ``"lru"``, what was not read for
            longest, ``"lfu"``, what was read least often, ``"fifo"``, what came first, or ``"none"``: then a put fails
            with :class:`CacheFullError`. Expired entries go before all others, pinned ones never.
        cleanup_on_init: whether expired entries are removed when the cache is opened.
        durability: ``"normal"``: nothing is lost or torn when a process is killed; ``"full"``: nor when the machine
            loses power.
        inline_threshold_bytes: payloads up to this size travel inside their entry, larger ones are files.
        read_only: whether nothing may be written.
    """

    cache_dir: str | os.PathLike[str] = field(default_factory=lambda: _environment.text("CACHENESS_DIR", "./cache"))
    max_cache_size_mb: float | None = field(
        default_factory=lambda: _environment.number("CACHENESS_MAX_SIZE_MB", 10_000.0)
    )
    max_entries: int | None = None
    max_age_seconds: float | None = None
    eviction_policy: Literal["lru", "lfu", "fifo", "none"] = "lru"
    cleanup_on_init: bool = False
    durability: Literal["normal", "full"] = "normal"
    inline_threshold_bytes: int = 32 * 1024
    read_only: bool = False


@dataclass(repr=False, eq=False)
class CacheMetadataConfig(_Options):
    """What is kept of an entry, and how its payload is checked.

    Attributes:
        backend: where entries are kept. ``None`` is what the directory says, and ``"sqlite"`` for a new one;
            ``"json"`` is one file that people can read, for small stores; ``"sqlite_memory"`` and ``"memory"`` end with
            the process, payloads too, and write nothing into the directory. ``metadata_backend`` is another name of it.
        store_cache_key_params: whether an entry keeps the parameters of its key, for listings.
        verify_cache_integrity: whether a payload's hash is checked when it is read.
        enable_memory_cache: whether entries that were read or written are kept in this process's memory, so that a get
            of one of them touches no file. They are always true: changes by other processes are noticed first.
        memory_cache_type: which one leaves first: ``"lru"``, the one not read for longest, ``"lfu"``, the one read least
            often, ``"fifo"``, the one that came first, or ``"rr"``, a random one.
        memory_cache_maxsize: how many at most.
        memory_cache_max_mb: how many megabytes at most; values over ``inline_threshold_bytes`` are never kept.
        memory_cache_ttl_seconds: after how long an entry is read, and its signature checked, again.
        memory_cache_stats: whether ``get_stats`` has ``memory_cache_hits``.
    """

    backend: Literal["sqlite", "json", "sqlite_memory", "memory"] | None = None
    store_cache_key_params: bool = True
    verify_cache_integrity: bool = True
    enable_memory_cache: bool = True
    memory_cache_type: Literal["lru", "lfu", "fifo", "rr"] = "lru"
    memory_cache_maxsize: int = 10_000
    memory_cache_max_mb: float = 32.0
    memory_cache_ttl_seconds: float = 300.0
    memory_cache_stats: bool = False
    metadata_backend: InitVar[str | None] = None

    def __post_init__(self, metadata_backend: str | None) -> None:
        if metadata_backend is not None:
            self.backend = metadata_backend  # type: ignore[assignment]


@dataclass(repr=False, eq=False)
class CacheBlobConfig(_Options):
    """Where payloads go that are too large to travel inside an entry.

    Attributes:
        blob_backend: the blob backend; ``"filesystem"`` so far.
        shard_chars: how many hexadecimal digits name the directories that files are spread over, 0 to 4.
    """

    blob_backend: Literal["filesystem"] = "filesystem"
    shard_chars: int = 2


@dataclass(repr=False, eq=False)
class CompressionConfig(_Options):
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
    compression_threshold_bytes: int = 4096
    use_blosc2_arrays: bool = True
    blosc2_array_codec: Literal["lz4", "lz4hc", "blosclz", "zstd", "zlib"] = "lz4"
    blosc2_array_compression_level: int = 5
    array_format: Literal["auto", "blosc2", "npy"] = "auto"
    parquet_compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = "lz4"
    dataframe_format: Literal["parquet", "arrow"] = "parquet"
    parallel: bool = True
    sample: bool = True


@dataclass(repr=False, eq=False)
class SerializationConfig(_Options):
    """How keys are made from parameters.

    Attributes:
        hash_path_content: paths are encoded by what they lead to, not by name.
        enable_collections: lists, tuples, mappings and sets may be parameters.
        enable_object_introspection: objects without an encoding of their own are encoded by their parts.
        max_tuple_recursive_length: how deep tuples may nest.
        max_collection_depth: how deep collections may nest.
    """

    hash_path_content: bool = True
    enable_collections: bool = True
    enable_object_introspection: bool = True
    max_tuple_recursive_length: int = 10
    max_collection_depth: int = 10


@dataclass(repr=False, eq=False)
class HandlerConfig(_Options):
    """Which handlers store values, and in which order they are asked.

    Attributes:
        handler_priority: names in the order to ask; handlers that are not named follow in their usual order.
        enable_numpy_arrays, enable_pandas_dataframes, …: whether that handler is asked at all. What it would have
            stored goes to the next one that can.
        enable_dill_fallback: objects that pickle refuses are stored with dill, if it is installed.
        custom_handlers: handlers, or classes of handlers, to register with this cache.
    """

    handler_priority: list[str] = field(default_factory=list)
    enable_plain_objects: bool = True
    enable_numpy_arrays: bool = True
    enable_pandas_dataframes: bool = True
    enable_pandas_series: bool = True
    enable_polars_dataframes: bool = True
    enable_polars_series: bool = True
    enable_arrow_tables: bool = True
    enable_object_pickle: bool = True
    enable_dill_fallback: bool = True
    custom_handlers: Sequence[CacheHandler | type[CacheHandler]] = ()


@dataclass(repr=False, eq=False)
class SecurityConfig(_Options):
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


@dataclass(repr=False, eq=False)
class CacheConfig(_Options):
    """All options of a cache.

    Attributes:
        default_ttl_seconds: how long an entry is served unless its ``put`` says otherwise; ``None`` for ever.
        flight_patience_seconds: how long a computation waits for another process to compute a value that it needs,
            before it computes that value as well. A caller that is not inside a computation itself waits as long as the
            other process lives.
    """

    storage: CacheStorageConfig = field(default_factory=CacheStorageConfig)
    metadata: CacheMetadataConfig = field(default_factory=CacheMetadataConfig)
    blob: CacheBlobConfig = field(default_factory=CacheBlobConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    serialization: SerializationConfig = field(default_factory=SerializationConfig)
    handlers: HandlerConfig = field(default_factory=HandlerConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    default_ttl_seconds: float | None = field(
        default_factory=lambda: _environment.number("CACHENESS_DEFAULT_TTL_SECONDS", None)
    )
    flight_patience_seconds: float = 10.0

    @classmethod
    def from_options(cls, **options: Any) -> CacheConfig:
        """A configuration from flat options: each goes to the section that has a field of its name.

        Raises:
            CacheConfigurationError: an option that no section has; the message suggests the nearest.
        """
        config = cls()
        own = ["default_ttl_seconds", "flight_patience_seconds"]
        sections = [f.name for f in dataclasses.fields(cls) if f.name not in own]
        for given, value in options.items():
            name = _ALIASES.get(given, given)
            if name != given and name in options:
                raise CacheConfigurationError(f"{name} is given twice, also as {given}")
            if name in sections or name in own:
                setattr(config, name, value)
                continue
            section = next((s for s in sections if _has_field(getattr(config, s), name)), None)
            if section is None:
                known = [f.name for s in sections for f in dataclasses.fields(getattr(config, s))]
                raise unknown_option(name, [*known, *sections, *own])
            setattr(getattr(config, section), name, value)
        return config

    def _to_json(self, *, content_addressable: bool = False) -> str:
        """The configuration as the engine reads it."""
        # Not `asdict`, which copies deeply: a third of the time it takes to open a cache. An attribute that is no field
        # is refused below like any other unknown option.
        section = vars
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
            "compression": section(self.compression),
            "serialization": section(self.serialization),
            "security": section(self.security),
        }
        try:
            limits = {
                "max_cache_size_mb": self.storage.max_cache_size_mb,
                "max_entries": self.storage.max_entries,
                "max_age_seconds": self.storage.max_age_seconds,
                "eviction_policy": self.storage.eviction_policy,
            }
            options = {
                "default_ttl_seconds": self.default_ttl_seconds,
                "flight_patience_seconds": self.flight_patience_seconds,
                "limits": limits,
                "store": store,
            }
            _refuse_infinite(options)
            return json.dumps(options)
        except TypeError as error:
            raise CacheConfigurationError(f"the configuration holds a value of a wrong type: {error}") from None

    def _check(self) -> None:
        """Raises CacheConfigurationError for what Rust does not see."""
        for name, section, expected in [
            ("storage", self.storage, CacheStorageConfig),
            ("metadata", self.metadata, CacheMetadataConfig),
            ("blob", self.blob, CacheBlobConfig),
            ("compression", self.compression, CompressionConfig),
            ("serialization", self.serialization, SerializationConfig),
            ("handlers", self.handlers, HandlerConfig),
            ("security", self.security, SecurityConfig),
        ]:
            if not isinstance(section, expected):
                raise CacheConfigurationError(
                    f"{name} is a {type(section).__name__}", hint=f"give a {expected.__name__}(…)"
                )
        if self.blob.blob_backend != "filesystem":
            raise CacheConfigurationError(
                f"unknown blob backend {self.blob.blob_backend!r}", hint="this release has 'filesystem'"
            )


def _refuse_infinite(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if isinstance(value, dict):
            _refuse_infinite(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise CacheConfigurationError(f"{name} is {value}", hint="give a finite number, or None for no limit")


def _has_field(section: Any, name: str) -> bool:
    return any(f.name == name for f in dataclasses.fields(section))


def unknown_option(name: str, known: list[str]) -> CacheConfigurationError:
    """The error for an option that does not exist; it suggests the nearest that does."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted(set(known)))}"
    return CacheConfigurationError(f"unknown option {name!r}", hint=hint)
