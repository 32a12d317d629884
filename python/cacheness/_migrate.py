"""Tables of typed metadata in a database: created when they are missing, extended by new columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Index, UniqueConstraint, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from .errors import CacheConfigurationError, CacheMetadataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.engine import Inspector

__all__ = ["migrate"]


def migrate(engine: Engine, tables: Sequence[Table]) -> None:
    """Creates and extends tables, in one transaction.

    Raises:
        CacheConfigurationError: ``engine`` is no engine; or a table cannot be changed to what its model says.
        CacheMetadataError: the database refuses.
    """
    if not isinstance(engine, Engine):
        raise CacheConfigurationError(
            f"engine is a {type(engine).__name__}", hint="give an engine of SQLAlchemy, or leave it out"
        )
    if not tables:
        return
    with engine.connect() as connection:
        if not any(True for _ in _missing(inspect(connection), tables)):
            return
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                # One process at a time looks and creates.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            for change in list(_missing(inspect(connection), tables)):
                change(connection)
            connection.commit()
    except SQLAlchemyError as error:
        raise CacheMetadataError(f"cannot create the tables of custom metadata: {error}") from error


def _missing(inspector: Inspector, tables: Iterable[Table]) -> Iterable[Any]:
    """What has to be done, as functions of a connection."""
    existing = set(inspector.get_table_names())
    for table in tables:
        if table.name not in existing:
            yield lambda connection, table=table: table.create(connection)
            continue
        yield from _missing_parts(inspector, table)


def _missing_parts(inspector: Inspector, table: Table) -> Iterable[Any]:
    present = {column["name"]: column for column in inspector.get_columns(table.name)}
    key = set(inspector.get_pk_constraint(table.name)["constrained_columns"])
    for column in table.columns:
        if column.name not in present:
            _refuse_addition(table, column)
            yield lambda connection, column=column: _add(connection, table, column)
        else:
            _compare(table, column, present[column.name], column.name in key)
    for name in present.keys() - table.columns.keys():
        lost = present[name]
        if not lost["nullable"] and lost["default"] is None and name not in key:
            raise _impossible(table, f"has the column {name}, which must not be null, and the model has not")
    indexes = {index["name"]: index for index in inspector.get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in indexes:
            yield lambda connection, index=index: index.create(connection)
    unique = {tuple(sorted(found["column_names"])) for found in inspector.get_unique_constraints(table.name)}
    unique |= {
        tuple(sorted(str(name) for name in found["column_names"])) for found in indexes.values() if found["unique"]
    }
    for constraint in table.constraints:
        if not isinstance(constraint, UniqueConstraint):
            continue
        names = tuple(sorted(column.name for column in constraint.columns))
        if names not in unique and all(name in present for name in names):
            # A table cannot be given a constraint later, and an index does the same.
            yield lambda connection, names=names: _unique_index(connection, table, names)


def _unique_index(connection: Connection, table: Table, names: Sequence[str]) -> None:
    index = Index(f"uq_{table.name}_{'_'.join(names)}", *(table.columns[name] for name in names), unique=True)
    table.indexes.discard(index)
    index.create(connection)


def _add(connection: Connection, table: Table, column: Column[Any]) -> None:
    quote = connection.dialect.identifier_preparer
    words = CreateColumn(column).compile(dialect=connection.dialect)
    sql = f"ALTER TABLE {quote.format_table(table)} ADD COLUMN {words}"
    for key in column.foreign_keys:
        target = key.column
        sql += f" REFERENCES {quote.format_table(target.table)} ({quote.format_column(target)})"
        if key.ondelete:
            sql += f" ON DELETE {key.ondelete}"
    connection.exec_driver_sql(sql)
    if column.unique and not column.index:
        _unique_index(connection, table, [column.name])


def _refuse_addition(table: Table, column: Column[Any]) -> None:
    if column.primary_key:
        raise _impossible(table, f"lacks the column {column.name}, which is part of the primary key")
    if not column.nullable and column.server_default is None:
        raise _impossible(
            table,
            f"lacks the column {column.name}, and rows that exist have no value for it",
            "make the column nullable, or give it a server_default",
        )


def _compare(table: Table, column: Column[Any], present: Any, in_key: bool) -> None:
    if column.primary_key != in_key:
        raise _impossible(table, f"has another primary key than the model: {column.name}")
    wanted, found = column.type._type_affinity, present["type"]._type_affinity
    if wanted is not None and found is not None and not _is_same(wanted, found):
        raise _impossible(
            table,
            f"has the column {column.name} of type {present['type']!r}, and the model has {column.type!r}",
            "give the new column another name",
        )
    if not column.primary_key and column.nullable != present["nullable"]:
        now = "may" if present["nullable"] else "must not"
        raise _impossible(table, f"has the column {column.name}, which {now} be null, unlike that of the model")


def _is_same(wanted: type[Any], found: type[Any]) -> bool:
    """Whether SQLite keeps both alike: what is reflected names fewer types than there are."""
    if wanted is found or issubclass(wanted, found) or issubclass(found, wanted):
        return True
    texts, numbers = {"String", "Enum", "Interval", "Uuid", "JSON", "DateTime", "NullType"}, {"Numeric", "Float"}
    names = {wanted.__name__, found.__name__}
    loose = {"Enum", "Interval", "Uuid", "JSON", "NullType", "PickleType", "TypeEngine", "ARRAY"}
    return bool(names & loose) or names <= texts - {"DateTime"} or names <= numbers or names == {"Boolean", "Integer"}


def _impossible(table: Table, what: str, instead: str | None = None) -> CacheConfigurationError:
    choice = f"{instead}; or " if instead else ""
    return CacheConfigurationError(
        f"the table {table.name} {what}: a table that exists cannot be changed so",
        hint=f'{choice}give the model another __tablename__, or drop the table (DROP TABLE "{table.name}" in '
        "cache.session()), with the rows that it has",
    )
