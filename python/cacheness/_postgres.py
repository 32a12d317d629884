"""The engine of SQLAlchemy on the PostgreSQL database of a cache: connections of its own, through psycopg.

A put does not use them: its rows of typed metadata are stored by the cache's own connection, in the transaction of
their entry. PostgreSQL is a server, so two kinds of connections do each other no harm.
"""

from __future__ import annotations

import importlib.util
import os
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, make_url

from .errors import CacheConfigurationError, CacheUnsupportedError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .cache import Cache
    from .storage import BlobStore

__all__ = ["engine_of", "text_of"]

#: Parameters of a connection URL that are the cache's own.
_OWN = ("schema", "table_prefix")

#: Engines whose connections a forked child must not use.
_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()


def _renew_after_fork() -> None:
    """Gives every engine of a forked child a pool of its own; the parent's connections are neither used nor closed."""
    for engine in list(_ENGINES):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_renew_after_fork)


def engine_of(owner: Cache | BlobStore) -> Engine:
    """An engine on the database of a cache or store.

    Raises:
        CacheUnsupportedError: psycopg is not installed.
        CacheConfigurationError: the configuration does not have the address; the tables have another name than models
            refer to.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise CacheUnsupportedError(
            "custom metadata in PostgreSQL needs psycopg", hint="pip install 'cacheness[postgresql]'"
        )
    metadata = owner._config.metadata
    options = metadata.metadata_backend_options
    address = metadata.database_url or options.get("connection_url")
    if not address:
        raise CacheConfigurationError(
            "the configuration does not say where the PostgreSQL database is",
            hint="give connection_url or database_url",
        )
    url = make_url(address)
    own = {name: options.get(name) or url.query.get(name) for name in _OWN}
    if own["table_prefix"] not in (None, "cache_"):
        raise CacheConfigurationError(
            f"table_prefix is {own['table_prefix']!r}, and models refer to the table cache_entries",
            hint="leave table_prefix out and give each cache a schema of its own",
        )
    query = {name: value for name, value in url.query.items() if name not in _OWN}
    url = url.set(drivername="postgresql+psycopg", query=query)
    arguments: dict[str, Any] = {"application_name": "cacheness"}
    given = query.get("options", "")
    if own["schema"]:
        arguments["options"] = f"{given} -csearch_path={_word(str(own['schema']))}".strip()
    sizes = {
        name: options[name] for name in ("pool_size", "max_overflow", "pool_timeout", "pool_recycle") if name in options
    }
    engine = create_engine(
        url, connect_args=arguments, pool_pre_ping=bool(options.get("pool_pre_ping", False)), **sizes
    )
    _ENGINES.add(engine)
    return engine


def _word(name: str) -> str:
    """A name as a part of the options of a connection, where a backslash escapes a blank."""
    quoted = '"' + name.replace('"', '""') + '"'
    return quoted.replace("\\", "\\\\").replace(" ", "\\ ")


def text_of(value: Any) -> Any:
    """A value of a column as a put sends it: what is no plain value is the text that PostgreSQL reads."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dict | list):
        import json

        return json.dumps(value)
    # psycopg's Json and Jsonb hold the value and how it becomes a text.
    if type(value).__module__.startswith("psycopg.") and hasattr(value, "obj"):
        import json

        return (getattr(value, "dumps", None) or json.dumps)(value.obj)
    return str(value)
