"""Calls of decorated coroutine functions. The event loop never blocks.

Small values are read on the event loop, which takes microseconds; large ones are read, and all values written, in
threads. A call polls for the computation of another thread or process, and awaits that of a task of the same loop.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .. import _core
from .._compute import inside, part_of
from .._core import CallKey
from ..errors import CacheError, CacheSerializationError
from ._default import get_cache
from ._function import Cached
from ._site import Identity, Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..cache import Cache
    from ._options import Options

#: Computations by tasks of a loop: done when the computation has ended, successfully or not.
_running: dict[tuple[asyncio.AbstractEventLoop, int, str], asyncio.Future[None]] = {}
#: Refreshing tasks; the loop does not keep them alive.
_refreshing: set[asyncio.Task[None]] = set()


def wrap(function: Callable[..., Awaitable[Any]], options: Options, identity: Identity | None = None) -> Cached:
    """The decorated coroutine function."""
    site = Site(function, options, inline_only=True, identity=identity)
    calls, bind, instance, verbose = site.calls, site.bind, options.cache_instance, options.verbose

    async def run(args: tuple[Any, ...], keywords: dict[str, Any] | None) -> Any:
        kwargs = keywords or {}
        try:
            cache = get_cache() if instance is None else instance
        except (CacheError, OSError) as error:
            return await site.without_cache(error, args, kwargs)
        if not calls.has_code:
            site.note_code()
        params = bind(*args, **kwargs)
        try:
            found = calls.lookup(cache, params)
        except CacheSerializationError as error:
            return await site.without_key(error, args, kwargs)
        if type(found) is not CallKey:
            if verbose:
                site.log_hit(params)
            return found
        return await _missed(site, cache, found, lambda: function(*args, **kwargs))

    return Cached.around(site, run)


async def _missed(site: Site, cache: Cache, found: CallKey, call: Callable[[], Awaitable[Any]]) -> Any:
    if found.deferred:
        value = await asyncio.to_thread(site.calls.read, cache, found)
        if not isinstance(value, CallKey):
            site.log_call(found, "hit")
            return value
        found = value
    if found.due:
        _refresh(site, cache, found, call)
        return found.value
    flight = None
    try:
        if found.error is not None:
            raise found.error
        begun = await _begin(site, cache, found)
        if not isinstance(begun, _core.Flight):
            site.log_call(found, "hit")
            return begun
        flight = begun
    except CacheError as error:
        site.failed(error, "read from the cache")
    return await _compute(site, cache, found, call, flight)


async def _begin(site: Site, cache: Cache, key: CallKey) -> Any:
    """A flight, or the value that another caller has computed."""
    turn = site.calls.turn(cache, key, inside.get())
    place = (asyncio.get_running_loop(), id(cache), key.key)
    damaged = False
    while True:
        begun = turn.step(not damaged)
        if isinstance(begun, CallKey):
            begun = await asyncio.to_thread(site.calls.read, cache, begun)
            if not isinstance(begun, CallKey):
                return begun
            if begun.error is not None:
                raise begun.error
            damaged = True
        elif begun is not None:
            return begun
        elif (running := _running.get(place)) is not None:
            await asyncio.wait((running,))
        else:
            await asyncio.sleep(turn.delay())


async def _compute(
    site: Site, cache: Cache, key: CallKey, call: Callable[[], Awaitable[Any]], flight: _core.Flight | None
) -> Any:
    loop = asyncio.get_running_loop()
    place = (loop, id(cache), key.key)
    ended = loop.create_future()
    # A call that computes without a flight does not register: other tasks do not wait for it.
    announced = flight is not None and _running.setdefault(place, ended) is ended
    try:
        # If the task is cancelled while the thread writes, a value may be computed twice, but no caller waits in vain.
        with part_of(flight):
            start = perf_counter()
            result = await call()
            spent = perf_counter() - start
            await asyncio.to_thread(site.keep, cache, key, result, spent, flight)
    finally:
        if announced:
            del _running[place]
        if not ended.done():
            ended.set_result(None)
    return result


def _refresh(site: Site, cache: Cache, found: CallKey, call: Callable[[], Awaitable[Any]]) -> None:
    """Recomputes a due value in a separate task, unless another caller does. Errors are logged."""
    flight = site.take_due(cache, found)
    if flight is not None:
        task = asyncio.get_running_loop().create_task(_refresh_task(site, cache, found, call, flight))
        _refreshing.add(task)
        task.add_done_callback(_refreshing.discard)


async def _refresh_task(
    site: Site, cache: Cache, found: CallKey, call: Callable[[], Awaitable[Any]], flight: _core.Flight
) -> None:
    try:
        await _compute(site, cache, found, call, flight)
    except Exception as error:  # noqa: BLE001 - otherwise the error would be lost
        site.not_refreshed(error)
