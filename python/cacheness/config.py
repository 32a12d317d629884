"""Configuration classes. Fields have the same names and meanings as in Rust, which checks their values."""

from __future__ import annotations

from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from . import _core, _sources
from ._backend_choice import BackendSection, check_pair, choose, given
from ._engine_config import as_json
from ._options import SECTIONS, Options, checked_section, home_of, shown, strict, unknown_option
from ._secrets import masked
from ._sources import Origin
from .errors import CacheConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Self

    from .interfaces import CacheHandler
    from .storage.backends.base import BlobBackend, MetadataBackend

    _Url = str | os.PathLike[str]

__all__ = [
    "CacheBlobConfig",
    "CacheConfig",
    "CacheMetadataConfig",
    "CacheStorageConfig",
    "CachenessConfig",
    "CompressionConfig",
    "ConfigValidationError",
    "HandlerConfig",
    "Origin",
    "SecurityConfig",
    "SerializationConfig",
    "config_schema",
    "create_cache_config",
    "load_config_from_dict",
    "load_config_from_file",
    "load_config_from_json",
    "load_config_from_toml",
    "load_config_from_yaml",
    "save_config_to_dict",
    "save_config_to_json",
    "save_config_to_toml",
    "save_config_to_yaml",
    "validate_config",
    "validate_config_strict",
]


@strict
@dataclass(repr=False, eq=False)
class CacheStorageConfig(Options):
    """The place, limits and durability of a store.

    Attributes:
        cache_dir: the directory, or ``":memory:"`` for a store that ends with the process.
        max_cache_size_mb: the maximum size of all values in a cache, in megabytes (2^20 bytes); ``None`` for no limit.
            A :class:`~cacheness.storage.BlobStore` has no limits.
        cleanup_on_init: whether expired entries are removed when the cache is opened.
        max_entries: the maximum number of entries; ``None`` for no limit.
        max_age_seconds: the maximum time an entry is served, whatever its own time to live; ``None`` for no limit.
        eviction_policy: which entries a full cache evicts, down to 90 % of the limit: ``"lru"``, the least recently
            read ones; ``"lfu"``, the least often read ones; ``"fifo"``, the oldest keys; or ``"none"``: a put then
            fails with :class:`CacheFullError`. Expired entries are evicted first, pinned ones never.
        durability: ``"normal"``: no value is lost or torn if a process is killed; ``"full"``: nor if the machine loses
            power.
        inline_threshold_bytes: payloads up to this size are stored inside their entry, larger ones in files.
        read_only: whether the store refuses writes.
    """

    cache_dir: str | os.PathLike[str] = "./cache"
    max_cache_size_mb: float | None = 10_000.0
    cleanup_on_init: bool = False
    _: KW_ONLY
    max_entries: int | None = None
    max_age_seconds: float | timedelta | None = None
    eviction_policy: Literal["lru", "lfu", "fifo", "none"] = "lru"
    durability: Literal["normal", "full"] = "normal"
    inline_threshold_bytes: int = 32 * 1024
    read_only: bool = False

    def _check_made(self) -> None:
        _check_section("storage", self)


@strict
@dataclass(repr=False, eq=False)
class CacheMetadataConfig(BackendSection):
    """How entries are stored, cached in memory and verified.

    Options of a metadata backend (``connection_url``, ``pool_size``, …) may be given beside these, or together in
    ``metadata_backend_options``. Of the backends of this release only ``"postgresql"`` takes any.

    Attributes:
        backend: the metadata backend, also called ``metadata_backend``. ``None``: the backend that the directory
            records, ``"sqlite"`` for a new one; ``"json"``: one readable file, for small stores; ``"postgresql"``: a
            database that several machines share; ``"sqlite_memory"`` and ``"memory"`` end with the process, including
            payloads, and write nothing to the directory.
        database_url: path of the SQLite database, also as ``sqlite:///path``, or the URL of a PostgreSQL database.
            ``None``: the database is in the directory of the store. The directory records it, without its password.
        store_cache_key_params: whether an entry stores the parameters of its key, for listings.
        verify_cache_integrity: whether a payload's hash is checked when it is read.
        enable_memory_cache: whether this process keeps entries that it has read or written in memory, so that a get
            touches no file. They are never stale: changes by other processes are detected first.
        memory_cache_type: which entry is evicted from memory first: ``"lru"``, the least recently read one; ``"lfu"``,
            the least often read one; ``"fifo"``, the oldest one; or ``"rr"``, a random one.
        memory_cache_maxsize: the maximum number of entries in memory.
        memory_cache_max_mb: the maximum size of entries in memory, in megabytes; values over ``inline_threshold_bytes``
            are never kept.
        memory_cache_ttl_seconds: the time after which an entry in memory is read, and its signature checked, again.
        memory_cache_stats: whether ``get_stats`` has ``memory_cache_hits``.
        default_ttl_seconds: an alias of :attr:`CacheConfig.default_ttl_seconds`; ``None`` sets nothing.
        store_full_metadata: whether :meth:`Cache.query_meta` sees the metadata and the parameters of an entry together,
            in the column ``full_metadata``, which is null otherwise. It costs nothing, and holds for entries put
            without it.
        metadata_backend_options: options of the backend, by their names; also called ``backend_options``.
    """

    backend: Literal["sqlite", "json", "postgresql", "sqlite_memory", "memory"] | str | MetadataBackend | None = None
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
    default_ttl_seconds: float | timedelta | None = None
    store_full_metadata: bool = False
    metadata_backend_options: dict[str, Any] = field(default_factory=dict)
    if TYPE_CHECKING:
        metadata_backend: InitVar[str | MetadataBackend | None] = None
        backend_options: InitVar[dict[str, Any]] = {}
        connection_url: InitVar[str] = ""
        table_name: InitVar[str] = ""
        pool_size: InitVar[int] = 0
        max_overflow: InitVar[int] = 0
        pool_pre_ping: InitVar[bool] = False
        pool_recycle: InitVar[int] = 0
        pool_timeout: InitVar[float] = 0
        schema: InitVar[str] = ""
        table_prefix: InitVar[str] = ""
        connect_timeout: InitVar[float] = 0
        statement_timeout: InitVar[float] = 0
        echo: InitVar[bool] = False

    _aliases = {"metadata_backend": "backend", "backend_options": "metadata_backend_options"}  # noqa: RUF012 - a field if annotated
    _backend = "backend"
    _backend_options = "metadata_backend_options"
    _of_backends = (
        "connection_url",
        "table_name",
        "pool_size",
        "max_overflow",
        "pool_pre_ping",
        "pool_recycle",
        "pool_timeout",
        "schema",
        "table_prefix",
        "connect_timeout",
        "statement_timeout",
        "echo",
    )

    def _check_made(self) -> None:
        _check_section("metadata", self)


@strict
@dataclass(repr=False, eq=False)
class CacheBlobConfig(BackendSection):
    """The storage of payloads that are too large to be stored inside an entry.

    Options of a blob backend (``bucket``, ``region``, …) may be given beside these, or together in
    ``blob_backend_options``: those of S3 are in ``docs/s3.md``, the others take none.

    Attributes:
        blob_backend: the blob backend, also called ``backend``: ``"filesystem"``; ``"s3"``, a bucket of S3 or of a
            server that speaks like it, or a URL ``s3://bucket/prefix``; or ``"memory"`` beside a metadata backend in
            memory.
        shard_chars: the number of characters in the names of the directories that files are spread over, 0 to 4.
        blob_backend_options: options of the backend, by their names; also called ``backend_options``.
        allow_local_index: whether payloads on a server may have their entries on this machine. The store is then for
            this machine alone, and its payloads are lost with its entries.
    """

    blob_backend: Literal["filesystem", "memory", "s3"] | str | BlobBackend = "filesystem"
    shard_chars: int = 2
    _: KW_ONLY
    blob_backend_options: dict[str, Any] = field(default_factory=dict)
    allow_local_index: bool = False
    if TYPE_CHECKING:
        backend: InitVar[str | BlobBackend] = ""
        backend_options: InitVar[dict[str, Any]] = {}
        bucket: InitVar[str] = ""
        prefix: InitVar[str] = ""
        region: InitVar[str] = ""
        endpoint_url: InitVar[str] = ""
        use_ssl: InitVar[bool] = True
        access_key: InitVar[str] = ""
        secret_key: InitVar[str] = ""
        session_token: InitVar[str] = ""
        profile: InitVar[str] = ""
        addressing_style: InitVar[str] = ""
        storage_class: InitVar[str] = ""
        encryption: InitVar[bool] = False
        server_side_encryption: InitVar[str] = ""
        kms_key_id: InitVar[str] = ""
        content_type: InitVar[str] = ""
        cache_control: InitVar[str] = ""
        object_metadata: InitVar[dict[str, str]] = {}
        part_size_mb: InitVar[int] = 0
        max_concurrency: InitVar[int] = 0
        connect_timeout_seconds: InitVar[float] = 0
        request_timeout_seconds: InitVar[float] = 0
        max_retries: InitVar[int] = 0
        retry_timeout_seconds: InitVar[float] = 0

    _aliases = {"backend": "blob_backend", "backend_options": "blob_backend_options"}  # noqa: RUF012 - a field if annotated
    _backend = "blob_backend"
    _backend_options = "blob_backend_options"
    _of_backends = (
        "bucket",
        "prefix",
        "region",
        "endpoint_url",
        "use_ssl",
        "access_key",
        "secret_key",
        "session_token",
        "profile",
        "addressing_style",
        "storage_class",
        "encryption",
        "server_side_encryption",
        "kms_key_id",
        "content_type",
        "cache_control",
        "object_metadata",
        "part_size_mb",
        "max_concurrency",
        "connect_timeout_seconds",
        "request_timeout_seconds",
        "max_retries",
        "retry_timeout_seconds",
    )

    def _check_made(self) -> None:
        _check_section("blob", self)


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
        array_format: ``"blosc2"``, ``"npy"``, or ``"auto"``: Blosc2 if a sample compresses well.
        parquet_compression: codec inside Parquet and Arrow files.
        dataframe_format: ``"parquet"`` or ``"arrow"`` (Arrow IPC, can be memory-mapped when uncompressed).
        parallel: whether large values are compressed on all cores.
        sample: whether a sample of a large value decides if it is compressed.
    """

    pickle_compression_codec: str = "zstd"
    pickle_compression_level: int = 5
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

    def _check_made(self) -> None:
        _check_section("compression", self)


@strict
@dataclass(repr=False, eq=False)
class SerializationConfig(Options):
    """How keys are derived from parameters.

    Attributes:
        enable_collections: whether ``enable_object_introspection`` applies to objects inside lists, tuples, mappings
            and sets. If not, collections can still be parameters, but their members must have an encoding of their own:
            plain values, arrays, tables, data classes, objects with a ``__cache_key__``.
        enable_object_introspection: whether objects without an encoding of their own are encoded by their parts.
        max_tuple_recursive_length: the maximum nesting of tuples.
        max_collection_depth: the maximum nesting of collections.
        hash_path_content: whether paths are encoded by the content of their file or directory instead of by name.
    """

    enable_collections: bool = True
    enable_object_introspection: bool = True
    max_tuple_recursive_length: int = 10
    max_collection_depth: int = 10
    _: KW_ONLY
    hash_path_content: bool = True

    def _check_made(self) -> None:
        _check_section("serialization", self)


@strict
@dataclass(repr=False, eq=False)
class HandlerConfig(Options):
    """Which handlers store values, and the order in which they are tried.

    Attributes:
        handler_priority: names of handlers to try before the others, in this order. The others follow in their default
            order, and ``object_pickle``, which accepts everything, is the last of the built-in ones even if it is
            listed. A custom handler can be listed if it is among ``custom_handlers``, or was registered with
            :func:`cacheness.register_handler` before the cache is opened.
        enable_numpy_arrays, enable_pandas_dataframes, …: whether that handler is used. If not, the next handler that
            accepts a value stores it.
        enable_dill_fallback: whether objects that pickle refuses are stored with dill, if it is installed.
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
    custom_handlers: Sequence[CacheHandler | type[CacheHandler]] = field(default_factory=list)


@strict
@dataclass(repr=False, eq=False)
class SecurityConfig(Options):
    """Signatures and pickles. See ``docs/security.md`` for the attacks that each option prevents.

    Attributes:
        enable_entry_signing: whether entries are signed when written and checked when read; also called
            ``enable_signing``.
        signing_key_file: name of the key file in the store's directory, or an absolute path.
        use_in_memory_key: whether the key exists only in this process.
        custom_signed_fields: fields to sign besides those that are always signed; ``None`` signs all.
        allow_unsigned_entries: whether entries without a signature are served (never pickles).
        delete_invalid_signatures: whether an entry with an invalid signature is deleted when it is read.
        allow_pickle: whether pickles are written and read.
        trust_unsigned_pickles: whether a pickle is decoded without a valid signature of its entry. Any user who can
            write the directory can then run code in this process.
    """

    enable_entry_signing: bool = True
    signing_key_file: str = "cache_signing_key.bin"
    use_in_memory_key: bool = False
    custom_signed_fields: list[str] | None = None
    allow_unsigned_entries: bool = True
    delete_invalid_signatures: bool = False
    allow_pickle: bool = True
    trust_unsigned_pickles: bool = False
    if TYPE_CHECKING:
        enable_signing: InitVar[bool] = True

    _aliases = {"enable_signing": "enable_entry_signing"}  # noqa: RUF012 - a field if annotated

    def _check_made(self) -> None:
        _check_section("security", self)


#: The options of :meth:`CacheConfig.create_performance_optimized` and :meth:`CacheConfig.create_size_optimized`.
_FAST: dict[str, Any] = {
    "pickle_compression_codec": "lz4",
    "pickle_compression_level": 1,
    "blosc2_array_codec": "lz4",
    "blosc2_array_compression_level": 1,
    "parquet_compression": "lz4",
    "dataframe_format": "arrow",
}
_SMALL: dict[str, Any] = {
    "pickle_compression_codec": "zstd",
    "pickle_compression_level": 19,
    "compression_threshold_bytes": 256,
    "array_format": "blosc2",
    "blosc2_array_codec": "zstd",
    "blosc2_array_compression_level": 9,
    "parquet_compression": "zstd",
    "dataframe_format": "parquet",
    "sample": False,
}


@strict
@dataclass(repr=False, eq=False)
class CacheConfig(Options):
    """All options of a cache, which copies the configuration when it is opened.

    An option of a section can also be given, read and assigned without the section: ``CacheConfig(cache_dir="data")``
    is ``CacheConfig(storage=CacheStorageConfig(cache_dir="data"))``, and ``config.cache_dir`` its value. An option
    given beside its section changes a copy of the section.

    Attributes:
        default_ttl_seconds: how long an entry is served unless its ``put`` sets a time to live; ``None`` for no limit.
        storage_mode: whether the cache is a store: nothing expires unless its ``put`` sets a time to live, and nothing
            is evicted, whatever ``default_ttl_seconds`` and the limits are. Its puts pin their entries.
        flight_patience_seconds: how long a computation waits for another process to compute a value that it needs,
            before it computes that value too. A caller outside of computations waits as long as the other process
            lives.

    Raises:
        CacheConfigurationError: an option does not exist or is invalid, or has different values in a section and beside
            it.
    """

    storage: CacheStorageConfig = field(default_factory=CacheStorageConfig)
    metadata: CacheMetadataConfig = field(default_factory=CacheMetadataConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    serialization: SerializationConfig = field(default_factory=SerializationConfig)
    handlers: HandlerConfig = field(default_factory=HandlerConfig)
    default_ttl_seconds: float | timedelta | None = None
    _: KW_ONLY
    blob: CacheBlobConfig = field(default_factory=CacheBlobConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    storage_mode: bool = False
    flight_patience_seconds: float | timedelta = 10.0

    if TYPE_CHECKING:

        def __init__(
            self,
            storage: CacheStorageConfig = ...,
            metadata: CacheMetadataConfig = ...,
            compression: CompressionConfig = ...,
            serialization: SerializationConfig = ...,
            handlers: HandlerConfig = ...,
            default_ttl_seconds: float | timedelta | None = ...,
            *,
            blob: CacheBlobConfig = ...,
            security: SecurityConfig = ...,
            storage_mode: bool = ...,
            flight_patience_seconds: float | timedelta = ...,
            **options: Any,
        ) -> None: ...

    @classmethod
    def _own(cls, name: str) -> str:
        if name in cls.__dataclass_fields__:
            return name
        raise unknown_option(name, cls._known(), f" of {cls.__name__}")

    @classmethod
    def _known(cls) -> list[str]:
        return [*super()._known(), *(known for section in SECTIONS.values() for known in section._known())]

    @classmethod
    def _sorted(cls, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        own, flat = {}, {}
        for name, value in options.items():
            if name in cls.__dataclass_fields__ or home_of(name) is None:
                own[cls._own(name)] = value
            else:
                flat[name] = value
        return own, flat

    def _take(self, flat: dict[str, Any]) -> None:
        by_section: dict[str, dict[str, Any]] = {}
        for name, value in flat.items():
            by_section.setdefault(home_of(name) or "", {})[name] = value
        for section, options in by_section.items():
            kind = SECTIONS[section]
            given = getattr(self, section)
            if not isinstance(given, kind):
                checked_section(section, given)
            named, _ = kind._sorted(options)
            # Not `_checked`: another option may correct an invalid value.
            changed = given._copy()
            for name, value in named.items():
                is_whole = any(kind._aliases.get(option, option) == name for option in options)
                whole = value if is_whole else _together(name, given, value)
                changed.__dict__[name] = whole
                if whole is value and given._is_said(name) and given._normal(name) != changed._normal(name):
                    raise CacheConfigurationError(
                        f"{name} is {shown(given.__dict__[name])} in {section}, and {shown(value)} beside it",
                        hint="give it once",
                    )
            said = getattr(given, "_given", frozenset()) | named.keys()
            object.__setattr__(changed, "_given", said)
            # Options of a backend that the environment sets, beside those that are given.
            _sources.apply(changed, section, said)
            setattr(self, section, changed)

    def _assign(self, name: str, value: Any) -> None:
        section = home_of(name)
        setattr(self if section is None else getattr(self, section), name if section else self._own(name), value)

    def _find(self, name: str) -> Any:
        section = None if name.startswith("_") else home_of(name)
        if section is None or section not in self.__dict__:
            return super()._find(name)
        return getattr(self.__dict__[section], name)

    def _checked(self) -> Self:
        checked = super()._checked()
        checked._lifetime()
        return checked

    def _check_made(self) -> None:
        _core.check_config(self._checked()._to_json())

    def _complete(self) -> None:
        """Takes the store from ``CACHENESS_STORE``, if the program names none."""
        url, blobs = _sources.urls()
        if not url and not blobs:
            return
        storage: frozenset[str] = getattr(self.storage, "_given", frozenset())
        metadata: frozenset[str] = getattr(self.metadata, "_given", frozenset())
        if "cache_dir" in storage or {"backend", "database_url"} & metadata:
            return
        if "blob_backend" in getattr(self.blob, "_given", frozenset()):
            blobs = None
        import json

        said = json.loads(_core.options_of_urls(url, blobs))
        known = getattr(self.storage, "_sources", {}).get("cache_dir")
        if known is not None and known[1] == "CACHENESS_DIR" and said.get("cache_dir", known[0]) != known[0]:
            raise CacheConfigurationError(
                "CACHENESS_STORE names the place of the store, and so does CACHENESS_DIR", hint="set one of them"
            )
        for name, value in said.items():
            section = home_of(name) or ""
            changed = getattr(self, section)._copy()
            changed.__dict__[name] = value
            source = "CACHENESS_BLOBS" if name == "blob_backend" else "CACHENESS_STORE"
            object.__setattr__(changed, "_sources", {**getattr(changed, "_sources", {}), name: (value, source)})
            setattr(self, section, changed)
        if "database_url" in said:
            self._drop_directory()

    def _drop_directory(self) -> None:
        """Does without a directory if nothing would be in it and none is named."""
        storage = self.storage
        is_named = "cache_dir" in getattr(storage, "_given", ()) or "cache_dir" in getattr(storage, "_sources", {})
        if is_named or storage.cache_dir != "./cache":
            return
        ready = self._checked()
        choose(ready.metadata, ready.blob, ":memory:")
        if _core.is_without_directory(ready._to_json()):
            self.storage = storage._copy()
            self.storage.__dict__["cache_dir"] = ":memory:"

    def origins(self) -> dict[str, Origin]:
        """Each option, its value, and where the value comes from: the program, the environment, a file, or nothing.

        Returns:
            For each option, by section and name (``"storage.max_entries"``), an :class:`Origin`: the value, with
            secrets hidden, and its source. Options of a backend are listed if they are set.
        """
        found: dict[str, Origin] = {}
        with _sources.ignored("all"):
            defaults = CacheConfig()
        for row in _sources.rows():
            name, section = row["name"], row["section"]
            mine: Options = getattr(self, section) if section else self
            plain: Options = getattr(defaults, section) if section else defaults
            if row["of_backend"]:
                options = mine.__dict__[mine._backend_options]
                if not isinstance(options, dict) or name not in options:
                    continue
                value, default = options[name], None
            else:
                value, default = mine.__dict__[name], plain.__dict__[name]
            source = _sources.source_of(mine, name, value)
            if source is None:
                is_said = name in getattr(mine, "_given", ()) or value != default
                source = _sources.ARGUMENT if is_said else _sources.DEFAULT
            if name == "backend" and source == _sources.DEFAULT:
                new, source = _sources.of_new_directory()
                value = new if source != _sources.DEFAULT else value
            found[f"{section}.{name}" if section else name] = Origin(masked(name, value), source)
        return found

    @classmethod
    def create_performance_optimized(
        cls, cache_dir: str | os.PathLike[str] | None = None, **options: Any
    ) -> CacheConfig:
        """A configuration for speed: LZ4 at its lowest level, and tables as Arrow files.

        Args:
            cache_dir: the directory.
            options: all others; they override those of this configuration.

        Raises:
            CacheConfigurationError: as for :class:`CacheConfig`.
        """
        return cls._optimized(_FAST, cache_dir, options)

    @classmethod
    def create_size_optimized(cls, cache_dir: str | os.PathLike[str] | None = None, **options: Any) -> CacheConfig:
        """A configuration for small files: Zstandard at high levels, Blosc2 for all arrays, and no payload too small or
        too random to be compressed.

        Args:
            cache_dir: the directory.
            options: all others; they override those of this configuration.

        Raises:
            CacheConfigurationError: as for :class:`CacheConfig`.
        """
        return cls._optimized(_SMALL, cache_dir, options)

    @classmethod
    def _optimized(
        cls, preset: dict[str, Any], cache_dir: str | os.PathLike[str] | None, options: dict[str, Any]
    ) -> CacheConfig:
        if cache_dir is not None:
            options["cache_dir"] = cache_dir
        return cls(**options) if "compression" in options else cls(**{**preset, **options})

    def _lifetime(self) -> float | timedelta | None:
        """The default time to live of entries."""
        own, other = self.default_ttl_seconds, self.metadata.default_ttl_seconds
        if other is None:
            return own
        name = "default_ttl_seconds"
        if own is not None and self._is_said(name) and self._normal(name) != self.metadata._normal(name):
            raise CacheConfigurationError(
                f"{name} is {shown(other)} in metadata, and {shown(own)} beside it", hint="give it once"
            )
        return other

    def _to_open(self) -> CacheConfig:
        """A checked copy that names only backends of this release.

        Raises:
            CacheConfigurationError: an option is invalid.
            CacheUnsupportedError: it names a backend that this release does not have.
        """
        ready = self._checked()
        choose(ready.metadata, ready.blob, str(ready.storage.cache_dir))
        check_pair(ready.metadata, ready.blob, str(ready.storage.cache_dir))
        return ready

    def _given_backends(self) -> tuple[MetadataBackend | None, BlobBackend | None]:
        """The backends that the program brings along. Of a configuration that is :meth:`_to_open`."""
        return given(self.metadata, self.blob)

    def _to_json(self, *, content_addressable: bool = False) -> str:
        """The checked configuration, in the form that the engine reads."""
        return as_json(self, content_addressable=content_addressable)


SECTIONS.update(
    storage=CacheStorageConfig,
    metadata=CacheMetadataConfig,
    compression=CompressionConfig,
    serialization=SerializationConfig,
    handlers=HandlerConfig,
    blob=CacheBlobConfig,
    security=SecurityConfig,
)


def _together(name: str, section: Options, value: Any) -> Any:
    """Options of a backend beside its section, together with those in it that have other names or the same values."""
    inside = section.__dict__.get(name)
    if (
        name != getattr(section, "_backend_options", None)
        or not isinstance(inside, dict)
        or not isinstance(value, dict)
    ):
        return value
    # The program's own; those of the environment are added again.
    inside = {key: inner for key, inner in inside.items() if _sources.source_of(section, key, inner) is None}
    if any(option in inside and inside[option] != inner for option, inner in value.items()):
        return value
    return {**inside, **value}


def _check_section(name: str, section: Options) -> None:
    """Refuses invalid values of one section; the other sections have their defaults."""
    config = CacheConfig()
    setattr(config, name, section._checked())
    _core.check_config(config._to_json())


#: An alias of :class:`CacheConfig`.
CachenessConfig = CacheConfig

# After the classes, which these modules import.
from ._config_checks import ConfigValidationError, validate_config, validate_config_strict  # noqa: E402
from ._config_files import (  # noqa: E402
    config_schema,
    create_cache_config,
    load_config_from_dict,
    load_config_from_file,
    load_config_from_json,
    load_config_from_toml,
    load_config_from_yaml,
    save_config_to_dict,
    save_config_to_json,
    save_config_to_toml,
    save_config_to_yaml,
)
