"""Pickles: protocol 5 with large buffers kept apart, then dill. The engine decides whether a pickle is read at all."""

from __future__ import annotations

import pickle
from typing import Any

from . import _reducers, _replaced
from ._keys_parts import meant
from .errors import CacheSerializationError, CacheUnsupportedError


def dumps(value: Any, dill_fallback: bool) -> tuple[str, list[Any]]:
    """Pickles ``value``.

    Returns:
        The storage format (``"pickle"`` or ``"dill"``) and the parts of the payload: the pickle, then its buffers.

    Raises:
        CacheSerializationError: neither can.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = _reducers.dumps(value, buffers.append)
        return "pickle", [data, *(buffer.raw() for buffer in buffers)]
    except BufferError:
        # A buffer that is not contiguous cannot be kept apart.
        return "pickle", [_reducers.dumps(value)]
    except Exception as error:  # noqa: BLE001 - any __reduce__ may raise anything
        first = error
    if not dill_fallback:
        raise _undillable(value, first, "set enable_dill_fallback, or register a handler") from first
    try:
        from . import _dill
    except ImportError:
        raise _undillable(value, first, "pip install 'cacheness[dill]', or register a handler for the type") from first
    try:
        return "dill", [_dill.dumps(value)]
    except _replaced.Replaced as error:
        raise _refused(value, error, error.hint) from error
    except Exception as error:
        raise _refused(value, error, "register a handler for the type") from error


def loads(storage_format: str, parts: list[Any], key: str) -> Any:
    """Reads what :func:`dumps` wrote under ``key``. ``parts`` are buffers that the value may keep.

    Raises:
        CacheUnsupportedError: something that the value is made of is not here.
        CacheSerializationError: the value's class refuses what the pickle has to say, in whatever way.
    """
    if storage_format == "dill":
        try:
            import dill
        except ImportError:
            raise CacheUnsupportedError(
                f"entry {key} was stored with dill, which is not installed", hint="pip install 'cacheness[dill]'"
            ) from None
        load = dill.loads
    elif storage_format == "pickle":
        load = pickle.loads
    else:
        raise CacheSerializationError(f"entry {key} is no pickle: it is stored as {storage_format!r}")
    try:
        return load(parts[0], buffers=parts[1:])
    except MemoryError:
        # Says nothing about the value.
        raise
    except (ImportError, AttributeError) as error:
        raise CacheUnsupportedError(
            f"entry {key}: the pickle needs something that is not here: {error}",
            hint="import or install what the value is made of",
        ) from error
    except Exception as error:  # any __init__ and __setstate__ may raise anything
        raise CacheSerializationError(
            f"entry {key} cannot be unpickled: {type(error).__name__}: {error}",
            hint="give the value's class a __reduce__ that makes it again",
        ) from error


def _undillable(value: Any, error: Exception, hint: str) -> CacheSerializationError:
    """What dill would not help with either is said before dill is."""
    replaced = _replaced.find(value, _reducers.dispatch_table())
    return _refused(value, error, hint) if replaced is None else _refused(value, replaced, replaced.hint)


def _refused(value: Any, error: Exception, hint: str) -> CacheSerializationError:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    hint = meant(value) or hint
    return CacheSerializationError(f"a value of type {name} cannot be pickled: {error}", hint=hint)
