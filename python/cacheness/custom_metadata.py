"""Tables of typed metadata: not available yet. The names exist, and using them raises an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .errors import CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Base", "CustomMetadataBase", "custom_metadata_model", "migrate_custom_metadata_tables"]


class Base:
    """Base class of models of typed metadata."""


class CustomMetadataBase:
    """Mixin that gives models of typed metadata the key of their entry."""


def custom_metadata_model(schema_name: str) -> Callable[[type[Any]], type[Any]]:
    """Registers a model of typed metadata: not available yet.

    Raises:
        CacheUnsupportedError: always, when a class is decorated.
    """

    def decorate(model: type[Any]) -> NoReturn:
        raise CacheUnsupportedError(
            f"custom_metadata_model({schema_name!r}) of {model.__name__}: typed metadata is not available yet",
            hint="use metadata={…} to store plain data with an entry",
        )

    return decorate


def migrate_custom_metadata_tables(engine: Any = None) -> None:
    """Creates the tables of all models: not available yet.

    Raises:
        CacheUnsupportedError: always.
    """
    del engine
    raise CacheUnsupportedError("migrate_custom_metadata_tables: typed metadata is not available yet")
