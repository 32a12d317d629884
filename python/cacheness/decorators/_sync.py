"""What a call of a decorated function does."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .._core import CallKey
from ..errors import CacheConfigurationError, CacheError, CacheSerializationError
from ._default import get_cache
from ._site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._options import Options


def wrap(function: Callable[..., Any], options: Options) -> Callable[..., Any]:
    """The decorated function."""
    site = Site(function, options, inline_only=False)
    lookup, bind, instance = site.calls.lookup, site.bind, options.cache_instance

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            cache = get_cache() if instance is None else instance
        except CacheConfigurationError:
            raise
        except (CacheError, OSError) as error:
            site.failed(error, "use the cache")
            return function(*args, **kwargs)
        params = bind(*args, **kwargs)
        try:
            found = lookup(cache, params)
        except CacheSerializationError as error:
            site.no_key(error)
        if type(found) is not CallKey:
            return found
        return site.missed(cache, found, lambda: function(*args, **kwargs))

    site.attach(wrapper)
    return wrapper
