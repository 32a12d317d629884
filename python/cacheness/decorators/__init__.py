"""Decorators that keep a function's results, and the cache they use unless they are given one.

=====================  =================================================================================
module                 is for
=====================  =================================================================================
``_default``           the default cache
``_cached``            the decorators
``_options``           what the decorators take, and what is wrong with it
``_target``            the function behind methods, partials and callable objects, and its name
``_function``          a decorated function as Python sees it
``_travel``            decorated functions on their way into other processes
``_site``              what one decorated function is: its name, its key, its counts
``_binding``           arguments of a call to parameters of a key
``_captured``          variables of the function around, which are part of the key too
``_code``              what a function does, as a text; its hash, for ``track_code``
``_reach``             what a function calls and reads, for ``on_code_change``
``_home``              which modules were written along with a function
``_bound``             classmethods
``_compute``           waiting for others, computing, storing
``_sync``, ``_async``  what a call does
``_types``             the types of decorated functions
=====================  =================================================================================
"""

from __future__ import annotations

from ._cached import cache_async, cache_if, cached
from ._default import get_cache, reset_cache, set_default_cache
from ._types import CachedFunction, CacheInfo

__all__ = [
    "CacheInfo",
    "CachedFunction",
    "cache_async",
    "cache_if",
    "cached",
    "get_cache",
    "reset_cache",
    "set_default_cache",
]
