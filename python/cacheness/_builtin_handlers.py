"""The engine's built-in handlers as :class:`~cacheness.CacheHandler` s, for use outside a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from . import _core
from ._options import shown
from ._sources import ignored
from .config import CacheConfig, CompressionConfig, HandlerConfig
from .errors import CacheConfigurationError, CacheError, CacheSerializationError
from .interfaces import CacheHandler

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ArrayHandler",
    "ArrowTableHandler",
    "ObjectHandler",
    "PandasDataFrameHandler",
    "PandasSeriesHandler",
    "PolarsDataFrameHandler",
    "PolarsSeriesHandler",
    "handler_of",
    "named",
]

#: Fields that describe a payload besides the kind of value; the last is bytes, written in hexadecimal digits.
_FIELDS = ("handler", "data_type", "storage_format", "compression_codec", "object_type", "handler_meta")


# Importing the package reads no environment: an error there is one of opening a cache.
with ignored("all"):
    _COMPRESSION, _CONFIG = CompressionConfig(), HandlerConfig()


class _Order:
    """Tries some of the built-in handlers, in this order, as a registry would."""

    _compression: ClassVar[CompressionConfig] = _COMPRESSION
    _config: ClassVar[HandlerConfig] = _CONFIG

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def _is_plain(self) -> bool:
        return False

    def _candidates(self, value: Any) -> list[str]:  # noqa: ARG002 - as of a registry
        return self._names


def handler_of(value: Any, names: list[str]) -> str | None:
    """The first of the built-in handlers of these names that accepts the value."""
    try:
        description, _, _ = _core.encode_value(value, _Order(names), _as_json(None), False)  # type: ignore[arg-type]
    except CacheSerializationError:
        return None
    return description[0]


class _Builtin(CacheHandler):
    """A built-in handler, for use without a store."""

    #: Its names in entries and configurations.
    names: ClassVar[tuple[str, ...]]
    _data_type: ClassVar[str]

    @property
    def data_type(self) -> str:
        """The kind of value, as recorded in entries."""
        return self._data_type

    def can_handle(self, data: Any) -> bool:
        """Whether this is the handler of ``data`` among the built-in ones."""
        try:
            return handler_of(data, list(_core.HANDLERS)) in self.names
        except CacheError:
            return False

    def put(self, data: Any, file_path: Path, config: Any = None) -> dict[str, Any]:
        """Writes ``data`` into one file: ``file_path`` with a suffix of the format.

        Args:
            data: the value.
            file_path: the path, without a suffix.
            config: a :class:`~cacheness.CompressionConfig`, or the configuration of a cache.

        Returns:
            The metadata that :meth:`get` needs, plain data, with the ``file_path``.

        Raises:
            CacheSerializationError: another handler stores this value, or none does.
        """
        description, extension, payload = _core.encode_value(
            data,
            _Order(list(self.names)),  # type: ignore[arg-type]
            _as_json(config),
            True,
        )
        path = f"{os.fspath(file_path)}.{extension}"
        with open(path, "wb") as file:  # noqa: PTH123 - pathlib takes long to import
            file.write(payload or b"")
        metadata: dict[str, Any] = dict(zip(_FIELDS, description, strict=True))
        return {**metadata, "handler_meta": description[-1].hex(), "file_path": path}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        """Reads the value from the file that :meth:`put` has written.

        The file is not verified: a pickle in it runs code.

        Args:
            file_path: the file.
            metadata: the result of ``put``.
        """
        try:
            texts = [str(metadata[name]) for name in _FIELDS[:-1]]
            meta = bytes.fromhex(metadata["handler_meta"])
        except (KeyError, TypeError, ValueError):
            raise CacheConfigurationError(
                "the metadata is not a result of put", hint=f"it must have {', '.join(_FIELDS)}"
            ) from None
        if texts[0] not in self.names:
            raise CacheConfigurationError(f"the file was written by the handler {texts[0]!r}, not by this one")
        with open(file_path, "rb") as file:  # noqa: PTH123
            payload = file.read()
        description = (texts[0], texts[1], texts[2], texts[3], texts[4], meta)
        return _core.decode_value(description, payload, _Order(list(self.names)), _as_json(None))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ObjectHandler(_Builtin):
    """Values without a format of their own: plain data as MessagePack, other objects as pickles."""

    names = ("plain_objects", "object_pickle")
    _data_type = "object"


class ArrayHandler(_Builtin):
    """NumPy arrays: Blosc2 or ``.npy``."""

    names = ("numpy_arrays",)
    _data_type = "array"


class PandasDataFrameHandler(_Builtin):
    """Frames of pandas: Parquet or Arrow IPC."""

    names = ("pandas_dataframes",)
    _data_type = "dataframe"


class PandasSeriesHandler(_Builtin):
    """Series of pandas: Parquet or Arrow IPC."""

    names = ("pandas_series",)
    _data_type = "series"


class PolarsDataFrameHandler(_Builtin):
    """Frames of Polars: Parquet or Arrow IPC."""

    names = ("polars_dataframes",)
    _data_type = "dataframe"


class PolarsSeriesHandler(_Builtin):
    """Series of Polars: Parquet or Arrow IPC."""

    names = ("polars_series",)
    _data_type = "series"


class ArrowTableHandler(_Builtin):
    """Tables of PyArrow: Parquet or Arrow IPC."""

    names = ("arrow_tables",)
    _data_type = "table"


_ALL: tuple[type[_Builtin], ...] = (
    ObjectHandler,
    ArrayHandler,
    PandasDataFrameHandler,
    PandasSeriesHandler,
    PolarsDataFrameHandler,
    PolarsSeriesHandler,
    ArrowTableHandler,
)


def named(name: str) -> CacheHandler | None:
    """The built-in handler of this name."""
    return next((handler() for handler in _ALL if name in handler.names), None)


def _as_json(config: Any) -> str:
    """The configuration for writing a payload."""
    compression = getattr(config, "compression", config)
    if compression is None:
        compression = CompressionConfig()
    elif not isinstance(compression, CompressionConfig):
        raise CacheConfigurationError(f"config is {shown(config)}", hint="give a CompressionConfig")
    ready = CacheConfig()
    ready.compression = compression
    # The caller reads the file explicitly, and so trusts it.
    ready.security.trust_unsigned_pickles = True
    return ready._checked()._to_json()
