"""Pickles: protocol 5 with separate large buffers, then dill. The engine decides whether a pickle may be read."""

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
        CacheSerializationError: neither pickle nor dill can.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = _reducers.dumps(value, buffers.append)
        return "pickle", [data, *(buffer.raw() for buffer in buffers)]
    except BufferError:
        # A buffer that is not contiguous cannot be separated.
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
    """Reads the value that :func:`dumps` wrote under ``key``. ``parts`` are buffers that the value may keep.

    Raises:
        CacheUnsupportedError: a module or class that the value needs is missing.
        CacheSerializationError: the value's class refuses the content of the pickle, with any exception.
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
        raise CacheSerializationError(f"entry {key} is not a pickle: it is stored as {storage_format!r}")
    try:
        return load(parts[0], buffers=parts[1:])
    except MemoryError:
        # Not an error of the value.
        raise
    except (ImportError, AttributeError) as error:
        raise CacheUnsupportedError(
            f"entry {key}: the pickle needs a module or class that is missing: {error}",
            hint="import or install it",
        ) from error
    except Exception as error:  # any __init__ and __setstate__ may raise anything
        raise CacheSerializationError(
            f"entry {key} cannot be unpickled: {type(error).__name__}: {error}",
            hint="give the value's class a __reduce__ that restores it",
        ) from error


def _undillable(value: Any, error: Exception, hint: str) -> CacheSerializationError:
    """The error if dill is missing or disabled; a hint about the value itself goes before one about dill."""
    replaced = _replaced.find(value, _reducers.dispatch_table())
    return _refused(value, error, hint) if replaced is None else _refused(value, replaced, replaced.hint)


def _refused(value: Any, error: Exception, hint: str) -> CacheSerializationError:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    hint = meant(value) or hint
    return CacheSerializationError(f"a value of type {name} cannot be pickled: {error}", hint=hint)
