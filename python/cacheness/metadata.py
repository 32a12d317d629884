"""The documented import path of metadata backends; see :mod:`cacheness.storage.backends`."""

from __future__ import annotations

from .custom_metadata import Base
from .storage.backends import JsonBackend, MetadataBackend, SqliteBackend, create_metadata_backend

__all__ = ["Base", "JsonBackend", "MetadataBackend", "SqliteBackend", "create_metadata_backend"]
