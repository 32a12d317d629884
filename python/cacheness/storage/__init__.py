"""The store: artifacts under names, without expiry."""

from __future__ import annotations

from ..handlers import HandlerRegistry
from ._blob_store import BlobStore

__all__ = ["BlobStore", "HandlerRegistry"]
