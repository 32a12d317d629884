"""Hashes of content, sizes of files, durations."""

from __future__ import annotations

import os
from typing import Any

from ._core import hash_path, hash_value
from .errors import CacheUnsupportedError

__all__ = ["days", "get_size_mb", "hash_content", "hash_file_path", "hours", "migrate_cache", "minutes", "seconds"]


def hash_content(content: Any) -> str:
    """A hash of any value that can be a parameter: the same in every process, on every machine, and in Rust.

    Args:
        content: plain data, arrays, tables, paths, dataclasses, …

    Returns:
        32 hexadecimal digits: BLAKE3 of the canonical encoding, truncated to 128 bits.

    Raises:
        CacheSerializationError: the content has no stable encoding.
    """
    return hash_value(content)


def hash_file_path(file_path: str | os.PathLike[str]) -> str:
    """A hash of the content of a file, or of all names and contents below a directory.

    Args:
        file_path: the file or directory.

    Returns:
        Hexadecimal digits.

    Raises:
        CacheSerializationError: the path does not exist or cannot be read.
    """
    return hash_path(file_path)


def get_size_mb(file_path: str | os.PathLike[str]) -> float:
    """The size of a file, or of all files below a directory, in megabytes (2^20 bytes).

    Args:
        file_path: the file or directory. Symbolic links in a directory are not followed.

    Raises:
        FileNotFoundError: the path does not exist.
    """
    from pathlib import Path

    path = Path(file_path)
    if not path.is_dir():
        return path.stat().st_size / 2**20
    sizes = (Path(folder, name).lstat().st_size for folder, _, names in os.walk(path, onerror=_raise) for name in names)
    return sum(sizes) / 2**20


def _raise(error: OSError) -> None:
    raise error


def migrate_cache(
    old_cache_dir: str | os.PathLike[str],
    new_cache_dir: str | os.PathLike[str],
    old_config: Any = None,
    new_config: Any = None,
) -> int:
    """Copies the entries of one cache to another: not available yet.

    Raises:
        CacheUnsupportedError: always.
    """
    del new_cache_dir, old_config, new_config
    raise CacheUnsupportedError(
        f"migrate_cache of {os.fspath(old_cache_dir)!r} is not available yet",
        hint="open a new directory; the cache fills again by itself",
    )


def seconds(count: float) -> float:
    """A number of seconds, for ``ttl_seconds``."""
    return float(count)


def minutes(count: float) -> float:
    """A number of minutes in seconds, for ``ttl_seconds``."""
    return count * 60.0


def hours(count: float) -> float:
    """A number of hours in seconds, for ``ttl_seconds``."""
    return count * 3600.0


def days(count: float) -> float:
    """A number of days in seconds, for ``ttl_seconds``."""
    return count * 86400.0
