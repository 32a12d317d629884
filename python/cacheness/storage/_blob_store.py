"""The store: artifacts under names, without expiry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .. import _core, _entries
from .._options import absolute, directory, refuse_copy, shown
from .._remote import Remote
from .._searching import Searching
from .._typed import TypedMetadata
from ..cache import _CacheRegistry
from ..config import CacheConfig, CacheStorageConfig
from ..errors import CacheConfigurationError, CacheError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType
    from typing import Literal, Self

    from ..config import CompressionConfig
    from ..handlers import HandlerRegistry
    from .backends import BlobBackend, MetadataBackend

_ARRAY_CODECS = ("lz4", "lz4hc", "blosclz", "zstd", "zlib")


class BlobStore(Searching, TypedMetadata, Remote, _core.StoreBase):
    """Stores artifacts under names: no expiry, no eviction, errors instead of misses.

    Its puts pin their entries: a :class:`~cacheness.Cache` on the same directory does not evict them either.

    Args:
        cache_dir: the directory, or ``":memory:"`` for a store that ends with the process. Default: that of ``config``,
            or else ``.blobstore``.
        backend: the metadata backend: ``"sqlite"``, the default for a new directory, or ``"json"``, one readable file.
            An existing directory records its backend; naming another one is an error.
        compression: codec of payloads: ``lz4``, ``zstd``, ``gzip``, ``none``, and ``blosclz`` for arrays. Default: that
            of ``config``, or else ``lz4``.
        compression_level: 1 to 9. Default: that of ``config``, or else 3.
        content_addressable: whether equal values share one payload; the key of a value put without one is the hash of
            its content.
        blob_backend: the storage of payloads: ``"filesystem"``, the default, or ``"memory"`` beside a metadata backend
            in memory.
        enable_signing: whether entries are signed. Default: that of ``config``, or else ``True``.
        config: a :class:`~cacheness.CacheConfig` for all other options, which the store copies.
        options: any field of the configuration's sections, by its name.

    Raises:
        CacheConfigurationError: an option does not exist or is invalid.
        NotAStoreError: the path is not a directory.
        CacheVersionError: a newer release wrote the directory.

    Example:
        >>> with BlobStore(":memory:") as store:
        ...     store.put([1, 2], key="scores", metadata={"accuracy": 0.95})
        ...     store.get("scores")
        'scores'
        [1, 2]
    """

    _config: CacheConfig
    handler_registry: HandlerRegistry

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        backend: Literal["sqlite", "json", "sqlite_memory", "memory"] | str | MetadataBackend | None = None,
        compression: str | None = None,
        compression_level: int | None = None,
        content_addressable: bool = False,
        *,
        blob_backend: str | BlobBackend | None = None,
        enable_signing: bool | None = None,
        config: CacheConfig | None = None,
        **options: Any,
    ) -> None:
        if config is None:
            config = CacheConfig(CacheStorageConfig(".blobstore"))
            compression = "lz4" if compression is None else compression
            compression_level = 3 if compression_level is None else compression_level
        elif not isinstance(config, CacheConfig):
            raise CacheConfigurationError(f"config is {shown(config)}", hint="give a CacheConfig")
        config = config._checked()
        if cache_dir is not None:
            config.storage.cache_dir = directory("cache_dir", cache_dir)
        backend = _one_backend(backend, options)
        if backend is not None:
            config.metadata.backend = backend
        if blob_backend is not None:
            config.blob.blob_backend = blob_backend
        if enable_signing is not None:
            config.security.enable_entry_signing = enable_signing
        for name, value in options.items():
            setattr(config, name, value)
        if compression is not None:
            _compress(config.compression, compression)
        if compression_level is not None:
            config.compression.pickle_compression_level = compression_level
            config.compression.blosc2_array_compression_level = compression_level
        # Checks the types of the arguments above too.
        config = config._checked()
        if not isinstance(content_addressable, bool):
            raise CacheConfigurationError(
                f"content_addressable is {shown(content_addressable)}", hint="give True or False"
            )
        self._config = config
        self._place = absolute(self.cache_dir)
        self._content_addressable = content_addressable
        self.handler_registry = _CacheRegistry(config, self)
        ready = config._to_open()
        self._plugged = ready._given_backends()
        self._open(
            self.cache_dir,
            ready._to_json(content_addressable=content_addressable),
            self.handler_registry,
            config.storage.read_only,
            *self._plugged,
        )

    @property
    def cache_dir(self) -> str:
        """The directory."""
        return str(self._config.storage.cache_dir)

    @property
    def handlers(self) -> HandlerRegistry:
        """The registry of the store's handlers; an alias of ``handler_registry``."""
        return self.handler_registry

    @property
    def backend(self) -> MetadataBackend:
        """The metadata backend, as seen from outside; one that the program brought along is that object itself."""
        from .backends._metadata import OpenedBackend

        if self._plugged[0] is not None:
            return self._plugged[0]

        entry = self.get_metadata
        return OpenedBackend(self.cache_dir, self._stats, entry, self._entries, self.delete, self._sql_engine)

    @property
    def metadata_backend(self) -> MetadataBackend:
        """An alias of :attr:`backend`."""
        return self.backend

    def _stats(self) -> dict[str, Any]:
        entries, size = self._totals()
        metadata, blobs = self._backends()
        return {
            "total_entries": entries,
            "total_size_bytes": size,
            "total_size_mb": size / 2**20,
            "backend_type": metadata,
            "blob_backend_type": blobs,
        }

    def _entries(self) -> list[dict[str, Any]]:
        found = (self.get_metadata(key) for key in self.list())
        return [entry for entry in found if entry is not None]

    def put(
        self,
        data: Any,
        key: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        tags: Iterable[str] | None = None,
        custom_metadata: Any = None,
    ) -> str:
        """Stores ``data`` under ``key``, replacing an existing value.

        Args:
            data: the value.
            key: up to 1024 bytes of UTF-8. Default: a new random key, or in a content-addressable store the hash of the
                content.
            metadata: plain data stored with the value.
            tags: a list of strings, kept in the field ``tags`` of the metadata, behind those that it has.
            custom_metadata: an object of a model of typed metadata, or a list of them, stored in the same transaction:
                see :mod:`cacheness.custom_metadata`.

        Returns:
            The key.

        Raises:
            CacheConstraintError: a table of ``custom_metadata`` refuses a row; nothing has changed.
            CacheUnsupportedError: ``custom_metadata`` in a store whose backend has no tables.
            CacheSerializationError: no handler can store the value.
            CacheStorageError: the value cannot be written; the previous value stays.
        """
        if key is None and not self._content_addressable:
            key = os.urandom(16).hex()
        return self._put(data, key, metadata, tags, custom_metadata)

    def get_custom_metadata_for_entry(self, key: str) -> dict[str, Any]:
        """The typed metadata of an entry.

        Args:
            key: the key.

        Returns:
            For each registered model with a row of the entry its name and the object; a list of objects if there are
            several. Empty if there is no entry.

        Raises:
            CacheUnsupportedError: as for :meth:`session`.
        """
        self._sql_engine()
        return self._rows_of(key) if self.exists(key) else {}

    def add_tags(self, key: str, *tags: str) -> bool:
        """Adds tags to an entry, behind those that it has; the value stays.

        Tags are the strings in the field ``tags`` of the metadata, where the filter ``{"tags": "fraud"}`` finds them.
        If several callers change an entry at once, all changes count.

        Args:
            key: the key.
            tags: the tags.

        Returns:
            Whether the entry exists.

        Raises:
            CacheConfigurationError: an empty tag, or the field ``tags`` of the metadata holds no strings.
            CacheSignatureError: the entry's signature is invalid.
            CacheReadOnlyError: the store is read-only.
        """
        return _core.change_tags_of(self, tags, (), key)

    def remove_tags(self, key: str, *tags: str) -> bool:
        """Removes tags from an entry, if it has them; the value stays.

        Args:
            key: the key.
            tags: the tags.

        Returns:
            Whether the entry exists.

        Raises:
            CacheError: as for :meth:`add_tags`.
        """
        return _core.change_tags_of(self, (), tags, key)

    def verify_integrity(self, key: str | None = None) -> dict[str, Any]:
        """Reads payloads and compares them with their entries: of one entry, or of the whole store.

        Args:
            key: the key of an entry.

        Returns:
            For one entry: ``valid``; ``expected_hash`` and ``actual_hash`` (hexadecimal digits or ``None``);
            ``signature`` (``"valid"``, ``"unsigned"``, ``"invalid"`` or ``None``); ``error``, a message or ``None``. An
            entry that does not exist is not valid.

            Without a key, for all entries: ``valid``, whether no entry is damaged or forged; ``entries``, their number;
            ``signatures``, the numbers of ``valid``, ``unsigned`` and ``invalid`` ones; ``problems``, for each invalid
            entry its ``cache_key`` and the result for that entry. It prints as a summary.

        Raises:
            CacheStorageError: reading fails for another reason than damage to the payload.
            CacheClosedError: the store has been closed.
        """
        if key is None:
            return _entries.check(self.list(), self._verify)
        return self._verify(key) or _entries.missing()

    def query_meta(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        as_: Literal["pandas", "polars", "arrow"] | None = None,
        *,
        timeout: float | timedelta | None = None,
    ) -> Any:
        """Runs a query in SQL over the metadata of all artifacts, as :meth:`Cache.query_meta` does.

        Args:
            sql: one ``SELECT`` that reads the views ``entries`` and ``cache_entries``.
            params: the values of its parameters: a sequence for ``?``, or a mapping for ``:name``.
            as_: ``"pandas"`` or ``"polars"`` for a data frame, ``"arrow"`` for a PyArrow table.
            timeout: how long it may take, in seconds or as a ``timedelta``.

        Returns:
            A list with a dictionary for each row, or the table.

        Raises:
            CacheConfigurationError: the statement does more than read the views, or is wrong; a parameter does not fit.
            CacheUnsupportedError: the metadata backend has no SQL, or a package is not installed.
            CacheTimeoutError: it took longer than ``timeout``.
            CacheClosedError: the store has been closed.
        """
        # Imported late, because few programs query.
        from .. import _sql

        return _sql.query(self, sql, params, as_, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return self.exists(key)

    def __len__(self) -> int:
        return self._totals()[0]

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        if not hasattr(self, "_config"):
            return f"<{type(self).__name__}, not opened>"
        try:
            entries, size = self._totals()
        except CacheError as error:
            return f"<BlobStore {self.cache_dir!r}, {type(error).__name__}: {error}>"
        return f"<BlobStore {self.cache_dir!r}: {entries:,} entries, {size / 2**20:.1f} MB>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (type(self), self._place, self._content_addressable, self._config))


def _one_backend(backend: Any, options: dict[str, Any]) -> Any:
    """The backend, which ``metadata_backend`` can also name."""
    other = options.pop("metadata_backend", None)
    if backend is not None and other is not None:
        raise CacheConfigurationError("backend is given twice, also as metadata_backend")
    return other if backend is None else backend


def _compress(options: CompressionConfig, codec: str) -> None:
    """Sets the codec of all payloads; arrays and other values support different codecs."""
    if codec == "blosclz":
        options.blosc2_array_codec = "blosclz"
    elif codec in ("lz4", "zstd", "gzip", "none"):
        options.pickle_compression_codec = codec
        options.parquet_compression = codec  # type: ignore[assignment]
        if codec == "none":
            options.array_format = "npy"
        else:
            options.blosc2_array_codec = codec if codec in _ARRAY_CODECS else "zlib"  # type: ignore[assignment]
    else:
        raise CacheConfigurationError(
            f"unknown compression {shown(codec)}", hint="give lz4, zstd, gzip, blosclz or none"
        )


def _reopen(cls: type[BlobStore], cache_dir: str, content_addressable: bool, config: CacheConfig) -> BlobStore:
    refuse_copy(cls, cache_dir, config.metadata.database_url)
    return cls(cache_dir, content_addressable=content_addressable, config=config)
