"""Conversion of pandas, Polars and PyArrow tables to Arrow data with a description, and back.

:func:`encode` refuses values that it cannot restore equal, with the same type, dtypes, index, categories, time zones
and
order: the caller then uses another format. The rules are in ``docs/formats/tables.md``.

None of the three packages is imported before a value of its types is stored or read.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, NamedTuple

from cacheness._labels import Unsupported
from cacheness._libraries import check
from cacheness.errors import CacheError, CacheSerializationError, CacheUnsupportedError, CacheVersionError

__all__ = ["Encoded", "decode", "encode"]

VERSION = 1

_DECODERS = {
    "pandas": "cacheness._tables_pandas",
    "polars": "cacheness._tables_polars",
    "pyarrow": "cacheness._tables_arrow",
}

#: Types that the modules above handle.
_NEEDED = {"pandas": ("pandas", "pyarrow"), "polars": ("polars",), "pyarrow": ("pyarrow",)}


class Encoded(NamedTuple):
    """A table as Arrow data, with its description."""

    stream: Any
    """An object with the Arrow C stream interface."""
    description: str
    """JSON; stored in the schema metadata of the file."""
    handler: str
    data_type: str
    object_type: str
    by_value: bool
    """The description keeps the nullability of columns and the categories of dictionaries; the file need not."""
    arrow_only: bool
    """Parquet would lose something of this table."""


def encode(value: Any) -> Encoded | None:
    """Describe ``value``, or return ``None`` if it is not a table.

    Raises:
        Unsupported: a part of it would not come back unchanged, or its library fails.
        CacheSerializationError: it is a Polars ``LazyFrame``, which is a query and not a table.
        CacheUnsupportedError: ``value`` needs PyArrow, which is not installed.
    """
    package = type(value).__module__.partition(".")[0]
    module = _DECODERS.get(package)
    if module is None or package not in sys.modules:
        return None
    decoder = _import(module, package)
    try:
        return _describe(decoder, value, package)
    except (Unsupported, CacheError, MemoryError):
        raise
    except BaseException as error:
        if not (isinstance(error, Exception) or _is_panic(error)):
            raise
        raise Unsupported(f"{type(error).__name__}: {error}") from error


def _is_panic(error: BaseException) -> bool:
    """Whether Polars panicked; its exception class does not derive from ``Exception``."""
    return type(error).__name__ == "PanicException"


def _describe(decoder: Any, value: Any, package: str) -> Encoded | None:
    found = decoder.describe(value)
    if found is None:
        return None
    description: dict[str, Any]
    encoded: Encoded
    description, encoded = found
    cls = type(value)
    text = json.dumps({"version": VERSION, "package": package, **description}, allow_nan=False, separators=(",", ":"))
    return encoded._replace(description=text, object_type=f"{cls.__module__}.{cls.__qualname__}")


def decode(table: Any, object_type: str) -> Any:
    """Rebuild the value from the ``_core.Table`` that was read.

    Raises:
        CacheUnsupportedError: its package is not installed.
        CacheVersionError: a newer release wrote it.
        CacheSerializationError: the description does not fit the columns.
    """
    if table.description is None:
        return _import("cacheness._tables_arrow", "pyarrow").from_rust(table)
    try:
        description = json.loads(table.description)
        version, package = description["version"], description["package"]
    except (ValueError, TypeError, KeyError) as error:
        raise CacheSerializationError(f"the table's description cannot be read: {error!r}") from error
    if version != VERSION:
        raise CacheVersionError(
            f"the table's description has version {version}", "read it with a newer release of cacheness"
        )
    module = _DECODERS.get(package)
    if module is None:
        raise CacheUnsupportedError(f"a table of {package!r} ({object_type}) cannot be read by this release")
    decoder = _import(module, package)
    try:
        return decoder.rebuild(description, table)
    except (CacheError, MemoryError):
        raise
    except ImportError as error:
        raise CacheUnsupportedError(
            f"the table needs {error.name}, which cannot be imported: {error}", f"pip install {error.name}"
        ) from error
    except BaseException as error:
        if not (isinstance(error, Exception) or _is_panic(error)):
            raise
        raise CacheSerializationError(f"the table's description does not fit its columns: {error!r}") from error


def _import(module: str, package: str) -> Any:
    try:
        for needed in _NEEDED[package]:
            importlib.import_module(needed)
            check(needed)
        return importlib.import_module(module)
    except ImportError as error:
        raise CacheUnsupportedError(
            f"{package} tables need {error.name or package}, which cannot be imported: {error}",
            "pip install 'cacheness[dataframes]'",
        ) from error
