"""Decorated functions that are not coroutine functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._function import Cached
from ._site import Identity, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._options import Options


def wrap(function: Callable[..., Any], options: Options, identity: Identity | None = None) -> Cached:
    """The decorated function."""
    return Cached.around(Site(function, options, inline_only=False, identity=identity))
