"""Tables of typed metadata: SQLAlchemy models whose rows belong to entries.

A model derives from :class:`~cacheness.metadata.Base` and :class:`CustomMetadataBase`, and is registered under a name::

    @custom_metadata_model("experiments")
    class Experiment(Base, CustomMetadataBase):
        __tablename__ = "custom_experiments"
        accuracy: Mapped[float] = mapped_column(index=True)

    cache.put(model, fold=3, custom_metadata=Experiment(accuracy=0.95))

Rows are stored in the transaction of their entry, and removed with it. This needs SQLAlchemy 2 (the extra ``sql``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .errors import CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from ._models import Base, CustomMetadataBase

__all__ = ["Base", "CustomMetadataBase", "custom_metadata_model", "migrate_custom_metadata_tables"]

_Model = TypeVar("_Model", bound=type[Any])

if not TYPE_CHECKING:
    try:
        # All at once: a process that is forked while a thread imports a module cannot import it any more.
        from . import _custom_rows, _dialect, _migrate  # noqa: F401
        from ._models import Base, CustomMetadataBase
    except ModuleNotFoundError as _error:
        if (_error.name or "").partition(".")[0] != "sqlalchemy":
            raise

        class Base:
            """Base class of models of typed metadata."""

            def __init_subclass__(cls, **options: Any) -> None:
                raise _missing(f"the model {cls.__name__}")

        class CustomMetadataBase:
            """Mixin that gives models of typed metadata the key of their entry."""


def _missing(what: str) -> CacheUnsupportedError:
    return CacheUnsupportedError(
        f"{what} needs SQLAlchemy, which is not installed", hint="pip install 'cacheness[sql]'"
    )


def _models(what: str) -> Any:
    try:
        from . import _models
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sqlalchemy":
            raise
        raise _missing(what) from None
    return _models


def custom_metadata_model(schema_name: str) -> Callable[[_Model], _Model]:
    """Registers a model of typed metadata under a name, by which queries find it.

    A model of the same name replaces the former one, so that a cell of a notebook can be run again.

    Args:
        schema_name: the name.

    Raises:
        CacheConfigurationError: the name is not a string, or the class is no model.
        CacheUnsupportedError: SQLAlchemy is not installed.

    Warns:
        UserWarning: the name of the table does not begin with ``custom_``; or no column has an index, so that each
            query reads the whole table.
    """

    def decorate(model: _Model) -> _Model:
        _models(f"custom_metadata_model({schema_name!r})").register(schema_name, model)
        return model

    return decorate


def migrate_custom_metadata_tables(engine: Engine | None = None) -> None:
    """Creates the tables of all registered models, and adds columns that are new.

    It is not needed for a cache, which does it at the first use of a model.

    Args:
        engine: the engine of a database, such as ``cache.metadata_backend.engine``. ``None`` for that of the default
            cache.

    Raises:
        CacheConfigurationError: ``engine`` is no engine; or a table differs from its model in a way that cannot be
            changed, which the error names together with what to do.
        CacheUnsupportedError: SQLAlchemy is not installed; or the default cache has no SQL database.
    """
    models = _models("migrate_custom_metadata_tables")
    if engine is None:
        from .decorators import get_cache

        engine = get_cache()._sql_engine()
    from ._migrate import migrate

    migrate(engine, models.all_tables())
