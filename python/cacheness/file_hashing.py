"""Hashes of files and directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .utils import hash_file_path

if TYPE_CHECKING:
    import os

__all__ = ["hash_directory_parallel", "hash_file_path"]


def hash_directory_parallel(directory_path: str | os.PathLike[str], max_workers: int | None = None) -> str:
    """A hash of all names and contents below a directory, read on all cores; the same as :func:`hash_file_path`.

    Args:
        directory_path: the directory.
        max_workers: no effect: the engine chooses the number of threads.

    Raises:
        NotADirectoryError: the path is not a directory.
        CacheSerializationError: the directory cannot be read.
    """
    del max_workers
    import os

    if not os.path.isdir(directory_path):  # noqa: PTH112 - pathlib takes long to import
        raise NotADirectoryError(f"{os.fspath(directory_path)!r} is not a directory")
    return hash_file_path(directory_path)
