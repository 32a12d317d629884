"""Keys of parameters without a cache."""

from __future__ import annotations

from typing import Any

from . import _core
from ._options import shown
from .config import SerializationConfig
from .errors import CacheConfigurationError

__all__ = ["create_unified_cache_key", "serialize_for_cache_key"]


def create_unified_cache_key(params: dict[str, Any], config: SerializationConfig | None = None) -> str:
    """The key of an entry with these parameters: the same as ``cache.cache_key(**params)``.

    Args:
        params: the parameters.
        config: how keys are derived; for a cache's keys, ``cache.config.serialization``.

    Returns:
        16 hexadecimal digits.

    Raises:
        CacheSerializationError: a parameter has no stable encoding.
    """
    if not isinstance(params, dict):
        raise CacheConfigurationError(f"params is {shown(params)}", hint="give a dictionary of parameters")
    return _core.cache_key(params, _as_dict(config))


def serialize_for_cache_key(obj: Any, config: SerializationConfig | None = None) -> str:
    """A text that represents a value in keys: the same for equal values, in every process and in Rust.

    Args:
        obj: the value.
        config: how keys are derived.

    Returns:
        32 hexadecimal digits, as of :func:`cacheness.hash_content`.

    Raises:
        CacheSerializationError: the value has no stable encoding.
    """
    return _core.hash_value(obj, _as_dict(config))


def _as_dict(config: SerializationConfig | None) -> dict[str, Any] | None:
    if config is None:
        return None
    if not isinstance(config, SerializationConfig):
        raise CacheConfigurationError(f"config is {shown(config)}", hint="give a SerializationConfig")
    return dict(vars(config._checked()))
