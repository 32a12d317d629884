"""The configuration in the form that the engine reads: JSON, in the engine's own sections."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import _sources
from ._backend_choice import engine_name, is_plugged, takes_options

if TYPE_CHECKING:
    from .config import CacheConfig


def as_json(config: CacheConfig, *, content_addressable: bool) -> str:
    """A checked configuration, in the form that the engine reads."""
    store = {
        "metadata_backend": _metadata_backend(config),
        "metadata_backend_options": _metadata_options(config),
        # Refused beside such a backend, when a store is opened.
        "database_url": None if is_plugged("metadata", config.metadata.backend) else config.metadata.database_url,
        "blob_backend": _blob_backend(config),
        "blob_backend_options": _blob_options(config),
        "allow_local_index": config.blob.allow_local_index,
        "default_metadata_backend": _sources.of_new_directory()[0],
        "durability": config.storage.durability,
        "inline_threshold_bytes": config.storage.inline_threshold_bytes,
        "shard_chars": config.blob.shard_chars,
        "content_addressable": content_addressable,
        "verify_cache_integrity": config.metadata.verify_cache_integrity,
        "store_cache_key_params": config.metadata.store_cache_key_params,
        "store_full_metadata": config.metadata.store_full_metadata,
        "memory": {
            "enable_memory_cache": config.metadata.enable_memory_cache,
            "memory_cache_type": config.metadata.memory_cache_type,
            "memory_cache_maxsize": config.metadata.memory_cache_maxsize,
            "memory_cache_max_mb": config.metadata.memory_cache_max_mb,
            "memory_cache_ttl_seconds": config.metadata.memory_cache_ttl_seconds,
        },
        # Not `asdict`: its deep copy takes a third of the time of opening a cache.
        "compression": vars(config.compression),
        "serialization": vars(config.serialization),
        "security": vars(config.security),
    }
    limits = {
        "max_cache_size_mb": config.storage.max_cache_size_mb,
        "max_entries": config.storage.max_entries,
        "max_age_seconds": config.storage.max_age_seconds,
        "eviction_policy": config.storage.eviction_policy,
    }
    return json.dumps(
        {
            "storage_mode": config.storage_mode,
            "default_ttl_seconds": config._lifetime(),
            "flight_patience_seconds": config.flight_patience_seconds,
            "limits": limits,
            "store": store,
        }
    )


def _metadata_backend(config: CacheConfig) -> str | None:
    """The metadata backend; ``None`` for that of the directory."""
    backend = config.metadata.backend
    if is_plugged("metadata", backend):
        return engine_name("metadata", backend)
    return backend if isinstance(backend, str) else None


def _metadata_options(config: CacheConfig) -> dict[str, Any]:
    """The options of the metadata backend, if it is one of the engine's."""
    return {} if is_plugged("metadata", config.metadata.backend) else config.metadata.metadata_backend_options


def _blob_backend(config: CacheConfig) -> str | None:
    """The blob backend; ``None`` for the default, in place of which a store in memory has one in memory."""
    backend = config.blob.blob_backend
    if is_plugged("blob", backend):
        return engine_name("blob", backend)
    return backend if isinstance(backend, str) and backend != "filesystem" else None


def _blob_options(config: CacheConfig) -> dict[str, Any]:
    """The options of the blob backend, if it is one of the engine's that has any."""
    backend = config.blob.blob_backend
    is_own = takes_options("blob", backend) and not is_plugged("blob", backend)
    return config.blob.blob_backend_options if is_own else {}
