"""Caches and stores by URL: :func:`cacheness.open` and :func:`cacheness.open_store`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _core
from ._options import shown
from .cache import Cache
from .config import CacheConfig
from .errors import CacheConfigurationError
from .storage import BlobStore

if TYPE_CHECKING:
    from .config import _Url

__all__ = ["open", "open_store"]


def open(  # noqa: A001 - it is called cacheness.open
    url: _Url | None = None,
    blobs: _Url | None = None,
    *,
    config: CacheConfig | None = None,
    clock: _core.Clock | None = None,
    **options: Any,
) -> Cache:
    """Opens the cache of a URL.

    ============================================= ==============================================
    URL                                           the cache
    ============================================= ==============================================
    a path, ``file:///path``                      is in this directory
    ``sqlite:///path``, ``json:///path``          the same, with this metadata backend
    ``":memory:"``, ``memory://``                 is in memory
    ``postgresql://user:password@host/database``  has its entries in this database
    ============================================= ==============================================

    After ``sqlite:`` and ``json:``, three slashes begin a relative path, and four an absolute one.

    Entries in a database need a directory beside it (``cache_dir``, by default ``CACHENESS_DIR`` or ``./cache``): for
    the signing key, and for payloads unless ``blobs`` says where they are. If ``blobs`` are elsewhere, and
    ``signing_key_file`` is an absolute path or nothing is signed, there is no directory.

    Args:
        url: the URL or the path. Default: ``CACHENESS_STORE``, or else the directory of the configuration.
        blobs: where payloads above ``inline_threshold_bytes`` are: the path of a directory, ``file:///path``,
            ``s3://bucket/prefix`` or ``memory://``. Default: ``CACHENESS_BLOBS`` if ``CACHENESS_STORE`` is used, or
            else the directory.
        config: a configuration, which is copied; the URLs and options are set in the copy.
        clock: a clock for tests. Default: the system's clock.
        options: any field of the configuration's sections, by its name: ``read_only``, ``default_ttl_seconds``, …

    Raises:
        CacheConfigurationError: a URL is malformed, contradicts an option, or names no backend of this release; an
            option does not exist or is invalid. Passwords are hidden.
        CacheError: as for :class:`Cache`.

    Example:
        >>> import cacheness
        >>> with cacheness.open("memory://", default_ttl_seconds=60) as cache:
        ...     cache.put([0.95], model="ridge")
        ...     cache.get(model="ridge")
        '…'
        [0.95]
    """
    return Cache(_configured(url, blobs, config, options), clock=clock)


def open_store(
    url: _Url | None = None,
    blobs: _Url | None = None,
    *,
    content_addressable: bool = False,
    config: CacheConfig | None = None,
    **options: Any,
) -> BlobStore:
    """Opens the store of artifacts of a URL, as :func:`open` does a cache.

    The result is a :class:`BlobStore`, whose entries never expire and are not evicted.

    Args:
        url: as for :func:`open`.
        blobs: as for :func:`open`.
        content_addressable: whether equal values share one payload.
        config: as for :func:`open`.
        options: any field of the configuration's sections, by its name.

    Raises:
        CacheError: as for :func:`open`.
    """
    return BlobStore(config=_configured(url, blobs, config, options), content_addressable=content_addressable)


def _configured(
    url: _Url | None, blobs: _Url | None, config: CacheConfig | None, options: dict[str, Any]
) -> CacheConfig:
    """The configuration with the options that the URLs stand for."""
    said = _of_urls(url, blobs)
    for name in said.keys() & options.keys():
        if str(options[name]) != said[name]:
            raise CacheConfigurationError(
                f"the URL and the option {name} name two places", hint=f"leave {name} out, or the URL"
            )
    given = {**options, **said}
    if config is None:
        made = CacheConfig(**given)
    elif isinstance(config, CacheConfig):
        made = config._checked()
        for name, value in given.items():
            setattr(made, name, value)
    else:
        raise CacheConfigurationError(f"config is {shown(config)}", hint="give a CacheConfig")
    if "database_url" in said and "cache_dir" not in given:
        made._drop_directory()
    return made


def _of_urls(url: _Url | None, blobs: _Url | None) -> dict[str, str]:
    import json

    texts = [_text(name, value) for name, value in (("url", url), ("blobs", blobs))]
    found: dict[str, str] = json.loads(_core.options_of_urls(*texts))
    return found


def _text(name: str, value: _Url | None) -> str | None:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if text is not None and not isinstance(text, str):
        raise CacheConfigurationError(f"{name} is {shown(value)}", hint="give a path, or a URL as text")
    return text
