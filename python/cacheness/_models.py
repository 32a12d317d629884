"""Models of typed metadata: their base classes, their names, and what is checked when one is registered."""

from __future__ import annotations

import difflib
import re
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKey, Integer, PrimaryKeyConstraint, String, Table, inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, declared_attr, has_inherited_table, mapped_column

from .errors import CacheConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import MetaData

__all__ = ["Base", "CustomMetadataBase", "all_tables", "find", "names_of", "register", "tables_of"]

#: The table of entries, which every table of typed metadata refers to.
ENTRIES = "cache_entries"


class CustomMetadataBase:
    """Mixin that gives a model the key of the entry that its rows belong to.

    The column ``cache_key`` refers to the entry; the database removes the rows with it. ``put`` sets it. A model
    without a primary key of its own gets the column ``id``, and one without ``__tablename__`` the table ``custom_``
    followed by the name of the class.
    """

    if TYPE_CHECKING:
        cache_key: Mapped[str]
    else:

        @declared_attr
        def cache_key(cls) -> Mapped[str]:  # noqa: N805
            """The key of the entry."""
            # A key of parameters has 16 characters, a name up to 1024.
            key = ForeignKey(f"{ENTRIES}.cache_key", ondelete="CASCADE")
            return mapped_column(String(1024), key, nullable=False, index=True)


#: Models by module and name.
_DEFINED: weakref.WeakValueDictionary[tuple[str, str], type[Any]] = weakref.WeakValueDictionary()


def _needs_name(cls: type[Any]) -> bool:
    """Whether a model of typed metadata has neither a table nor a name of one."""
    names = ("__tablename__", "__table__")
    return (
        issubclass(cls, CustomMetadataBase)
        and not cls.__dict__.get("__abstract__", False)
        and not has_inherited_table(cls)
        and not any(hasattr(cls, name) for name in names)
    )


class Base(DeclarativeBase):
    """Base class of models of typed metadata, and of models that these have relationships to."""

    def __init_subclass__(cls, **options: Any) -> None:
        # A cell of a notebook that runs again defines its models again: names in relationships mean the new ones.
        former = _DEFINED.get((cls.__module__, cls.__qualname__))
        if former is not None:
            cls.registry._dispose_cls(former)
        _DEFINED[cls.__module__, cls.__qualname__] = cls
        if _needs_name(cls):
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__)
            cls.__tablename__ = f"custom_{words.lower()}"
        super().__init_subclass__(**options)

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *parts: Any, **options: Any) -> Table:
        if name in metadata.tables and name != ENTRIES and not options.get("extend_existing"):
            metadata.remove(metadata.tables[name])
        has_key = any(
            isinstance(part, PrimaryKeyConstraint) or (isinstance(part, Column) and part.primary_key) for part in parts
        )
        if not has_key and issubclass(cls, CustomMetadataBase):
            parts = (Column("id", Integer, primary_key=True), *parts)
        return Table(name, metadata, *parts, **options)


#: What models refer to; the engine creates it.
Table(ENTRIES, Base.metadata, Column("cache_key", String(1024), primary_key=True), info={"engine": True})

#: Registered models by their names.
_MODELS: dict[str, type[Any]] = {}


def register(name: str, model: type[Any]) -> None:
    """See :func:`cacheness.custom_metadata.custom_metadata_model`."""
    if not isinstance(name, str) or not name:
        raise CacheConfigurationError(
            f"the name of a model is {name!r}", hint='write @custom_metadata_model("experiments")'
        )
    mapper = mapper_of(model)
    if mapper is None or not issubclass(model, CustomMetadataBase):
        raise CacheConfigurationError(
            f"{getattr(model, '__name__', model)} is no model of typed metadata",
            hint=f"write class {getattr(model, '__name__', 'Model')}(Base, CustomMetadataBase), with Base of "
            "cacheness.metadata",
        )
    for sentence in _doubts(mapper.local_table):
        warnings.warn(f"{model.__name__}: {sentence}", UserWarning, stacklevel=3)
    _MODELS[name] = model


def mapper_of(model: object) -> Mapper[Any] | None:
    """The mapper of a class; ``None`` if it is no model."""
    if not isinstance(model, type):
        return None
    try:
        mapper: Mapper[Any] = inspect(model)
    except NoInspectionAvailable:
        return None
    return mapper


def _doubts(table: Any) -> Iterable[str]:
    if not table.name.startswith("custom_"):
        yield (
            f'its table is called "{table.name}"; begin the name with custom_ ("custom_{table.name}"), to tell it from '
            "the tables of the store"
        )
    columns = [column for column in table.columns if not column.primary_key and column.name != "cache_key"]
    indexed = {column.name for index in table.indexes for column in index.columns} - {"cache_key"}
    if columns and not indexed and not any(column.unique for column in columns):
        names = ", ".join(column.name for column in columns)
        yield f"none of its columns has an index ({names}); give index=True to those that queries filter or sort by"


def find(name: str) -> type[Any]:
    """The model that is registered under a name, or whose table has it, with or without ``custom_``.

    Raises:
        CacheConfigurationError: there is none.
    """
    if name in _MODELS:
        return _MODELS[name]
    for model in _MODELS.values():
        if model.__table__.name in (name, f"custom_{name}"):
            return model
    near = difflib.get_close_matches(str(name), _MODELS, n=1)
    if near:
        hint = f'did you mean "{near[0]}"?'
    elif _MODELS:
        hint = "the registered models are " + ", ".join(sorted(_MODELS))
    else:
        hint = "decorate a model with @custom_metadata_model, and import the module that defines it"
    raise CacheConfigurationError(f"no model is registered as {name!r}", hint=hint)


def names_of() -> dict[str, type[Any]]:
    """The registered models by their names."""
    return dict(_MODELS)


def tables_of(models: Iterable[type[Any]]) -> list[Table]:
    """The tables of models, and those that they need, each behind those that it refers to."""
    found: dict[str, Table] = {}

    def add(table: Any) -> None:
        if not isinstance(table, Table) or table.info.get("engine") or found.get(table.key) is table:
            return
        found[table.key] = table
        for key in table.foreign_keys:
            add(key.column.table)

    seen: set[Any] = set()

    def visit(mapper: Mapper[Any]) -> None:
        if mapper in seen:
            return
        seen.add(mapper)
        for table in mapper.tables:
            add(table)
        for relation in mapper.relationships:
            if relation.secondary is not None:
                add(relation.secondary)
            visit(relation.mapper)

    for model in models:
        for mapper in inspect(model).self_and_descendants:
            visit(mapper)
    order = {table.key: place for place, table in enumerate(Base.metadata.sorted_tables)}
    return sorted(found.values(), key=lambda table: order.get(table.key, -1))


def all_tables() -> list[Table]:
    """The tables of all registered models."""
    return tables_of(_MODELS.values())
