"""Backends of stores: what this release has, what to derive others from, and the registries of both kinds."""

from __future__ import annotations

from typing import Any

from . import _registries
from ._blobs import FilesystemBlobBackend, InMemoryBlobBackend
from ._metadata import JsonBackend, SqliteBackend, create_metadata_backend
from ._s3 import S3BlobBackend
from .base import BlobBackend, BlobInfo, MetadataBackend

__all__ = [
    "BlobBackend",
    "BlobInfo",
    "FilesystemBlobBackend",
    "InMemoryBlobBackend",
    "JsonBackend",
    "MetadataBackend",
    "S3BlobBackend",
    "SqliteBackend",
    "create_metadata_backend",
    "get_blob_backend",
    "get_metadata_backend",
    "list_blob_backends",
    "list_metadata_backends",
    "register_backend",
    "register_blob_backend",
    "register_metadata_backend",
    "unregister_blob_backend",
    "unregister_metadata_backend",
]


def register_metadata_backend(
    name: str,
    backend_class: type[MetadataBackend],
    description: str | None = None,
    required_packages: list[str] | None = None,
) -> None:
    """Adds a metadata backend to those that a configuration can name.

    A store is opened with it by its name.

    Args:
        name: its name; not one of this release.
        backend_class: its class, derived from :class:`MetadataBackend`.
        description: a sentence about it; the first line of its docstring if there is none.
        required_packages: packages that have to be installed.

    Raises:
        CacheConfigurationError: the class is none, lacks methods, or the name is taken.
    """
    _registries.METADATA.register(name, backend_class, description, required_packages)


def unregister_metadata_backend(name: str) -> bool:
    """Removes a metadata backend that a program has added; ``False`` if there is none of that name."""
    return _registries.METADATA.unregister(name)


def get_metadata_backend(name: str, **options: Any) -> MetadataBackend:
    """A metadata backend by its name.

    Args:
        name: the name.
        options: what its class takes.

    Raises:
        CacheConfigurationError: there is none of that name.
        CacheUnsupportedError: a package that it needs is not installed, or this release does not have it yet.
    """
    return _registries.METADATA.get(name, options)


def list_metadata_backends() -> list[dict[str, Any]]:
    """All metadata backends: dictionaries with ``name``, ``description``, ``required_packages`` and ``is_builtin``."""
    return _registries.METADATA.list()


def register_blob_backend(
    name: str,
    backend_class: type[BlobBackend],
    description: str | None = None,
    required_packages: list[str] | None = None,
) -> None:
    """Adds a blob backend to those that a configuration can name.

    A store is opened with it by its name.

    Args:
        name: its name; not one of this release.
        backend_class: its class, derived from :class:`BlobBackend`.
        description: a sentence about it; the first line of its docstring if there is none.
        required_packages: packages that have to be installed.

    Raises:
        CacheConfigurationError: the class is none, lacks methods, or the name is taken.
    """
    _registries.BLOB.register(name, backend_class, description, required_packages)


def unregister_blob_backend(name: str) -> bool:
    """Removes a blob backend that a program has added; ``False`` if there is none of that name."""
    return _registries.BLOB.unregister(name)


def get_blob_backend(name: str, **options: Any) -> BlobBackend:
    """A blob backend by its name.

    Args:
        name: the name.
        options: what its class takes.

    Raises:
        CacheConfigurationError: there is none of that name.
        CacheUnsupportedError: a package that it needs is not installed.
    """
    return _registries.BLOB.get(name, options)


def list_blob_backends() -> list[dict[str, Any]]:
    """All blob backends: dictionaries with ``name``, ``description``, ``required_packages`` and ``is_builtin``."""
    return _registries.BLOB.list()


#: Another name of :func:`register_metadata_backend`.
register_backend = register_metadata_backend
