"""Decorators that cache the results of a function, and the default cache.

They know the class ``Cache``, which does not know them. Both use ``cacheness._compute`` (waiting for other callers,
computing, storing) and ``cacheness._callables`` (the function that runs when an object is called).

=====================  =================================================================================
module                 subject
=====================  =================================================================================
``_default``           the default cache
``_cached``            the decorators
``_options``           the options of the decorators, and their checks
``_target``            the function behind methods, partials and callable objects, and its name
``_function``          the decorated function object
``_travel``            pickling of decorated functions
``_site``              the state of one decorated function: its name, its key, its counts
``_binding``           arguments of a call to parameters of a key
``_captured``          captured variables, which are part of the key too
``_code``              the code of a function as text; its hash, for ``track_code``
``_reach``             the code and constants a function depends on, for ``on_code_change``
``_home``              the modules that count as a function's own package
``_bound``             classmethods
``_sync``, ``_async``  the calls themselves
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
