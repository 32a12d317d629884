"""Objects of models as rows: what ``put(custom_metadata=…)`` hands to the engine.

The engine stores rows in the transaction of their entry, so they are complete data before it begins: defaults are
computed here, values go through the types of their columns, and a column that refers to the generated key of another
row of the same put names that row. Events of a flush (``before_insert`` and the like) are not sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc, inspect, select
from sqlalchemy.orm import attributes, object_session
from sqlalchemy.orm.interfaces import MANYTOMANY, MANYTOONE, ONETOMANY

from . import _dbapi
from ._models import CustomMetadataBase, mapper_of
from .errors import CacheConfigurationError, CacheConstraintError, CacheSerializationError, CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Column, Table
    from sqlalchemy.orm import InstanceState, Mapper

    from ._typed import TypedMetadata

__all__ = ["prepare"]

#: The mark of an object whose key was generated: another put gives it another one.
_GENERATED = "cacheness generated key"


def prepare(owner: TypedMetadata, custom: Any) -> Rows:
    """The rows of an object, or of several.

    Raises:
        CacheConfigurationError: it is no object of a model, or its relationships form a circle.
        CacheSerializationError: a column cannot keep its value.
        CacheUnsupportedError: the cache or the store has no tables.
    """
    objects = list(custom) if isinstance(custom, list | tuple | set | frozenset) else [custom]
    for one in objects:
        if mapper_of(type(one)) is None or not isinstance(one, CustomMetadataBase):
            raise CacheConfigurationError(
                f"custom_metadata is a {type(one).__name__}, which is no model of typed metadata",
                hint="pass an object of a class that derives from Base and CustomMetadataBase, or a list of them; "
                "plain data goes into metadata={…}",
            )
    engine = owner._sql_engine()
    owner._make_ready({type(one) for one in objects})
    return Rows(engine, objects)


class _Context:
    """What a default may ask for: a part of SQLAlchemy's execution context."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.current_parameters = parameters

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> dict[str, Any]:
        """The values of the row by the names of their columns."""
        del isolate_multiinsert_groups
        return self.current_parameters


class Rows:
    """Rows of one put. ``rows`` is what the engine takes: table, owner, values, and references to earlier rows."""

    def __init__(self, engine: Any, objects: Iterable[Any]) -> None:
        self._engine = engine
        self.rows: list[tuple[str, str | None, list[tuple[str, Any]], list[tuple[str, int]]]] = []
        #: The number of the row of an object in a table.
        self._places: dict[tuple[InstanceState[Any], Table], int] = {}
        #: Values that the objects did not have before.
        self._computed: list[tuple[InstanceState[Any], str, Any]] = []
        states = _Graph(objects)
        for state in states.sorted():
            mapper = state.mapper
            for level in reversed(list(mapper.iterate_to_root())):
                if (state, level.local_table) not in self._places:
                    self._add(state, level, states.links)
        for secondary, ends in states.pairs:
            self._add_pair(secondary, ends)

    def _add(self, state: InstanceState[Any], mapper: Mapper[Any], links: _Links) -> None:
        table: Any = mapper.local_table
        equal: Any = mapper._inherits_equated_pairs or ()
        inherited: dict[Any, Any] = {own: parent for parent, own in equal}
        owner: str | None = None
        references: list[tuple[str, int]] = []
        values: dict[str, Any] = {}
        late: list[Column[Any]] = []
        fresh = state.key is not None or _GENERATED in state.info
        for column in table.columns:
            if column.name == "cache_key" and any(key.column.table.info.get("engine") for key in column.foreign_keys):
                owner = column.name
                continue
            if column.computed is not None:
                continue
            if column in inherited and mapper.inherits is not None:
                source: tuple[InstanceState[Any], Column[Any]] | None = (state, inherited[column])
            else:
                source = links.get((state, column))
            if source is not None:
                other, other_column = source
                place = self._places.get((other, other_column.table))
                value = _value(other, other_column)
                if place is not None and other_column is other_column.table.autoincrement_column:
                    given = dict(self.rows[place][2])
                    if other_column.name not in given:
                        references.append((column.name, place))
                        continue
                    value = given[other_column.name]
                values[column.name] = value
                continue
            if column is table.autoincrement_column and fresh:
                continue
            value = _value(state, column)
            if value is None and not (column.type.should_evaluate_none and _is_set(state, column)):
                late.append(column)
                continue
            values[column.name] = self._processed(state, column, self._evaluated(value))
        parameters = {**values}
        for column in late:
            default: Any = column.default
            if default is None or default.is_sequence:
                if column.server_default is None and column is not table.autoincrement_column:
                    values[column.name] = None
                continue
            if default.is_callable:
                value = default.arg(_Context(parameters))
            elif default.is_clause_element:
                value = self._evaluated(default.arg)
            else:
                value = default.arg
            self._computed.append((state, state.mapper.get_property_by_column(column).key, value))
            values[column.name] = None if value is None else self._processed(state, column, value)
        self._places[state, table] = len(self.rows)
        self.rows.append((table.name, owner, list(values.items()), references))

    def _add_pair(self, secondary: Table, ends: list[tuple[InstanceState[Any], Column[Any], Column[Any]]]) -> None:
        values: list[tuple[str, Any]] = []
        references: list[tuple[str, int]] = []
        for state, column, own in ends:
            place = self._places.get((state, column.table))
            given = dict(self.rows[place][2]) if place is not None else {}
            if place is not None and column.name not in given:
                references.append((own.name, place))
            else:
                values.append((own.name, given.get(column.name, _value(state, column))))
        self.rows.append((secondary.name, None, values, references))

    def _evaluated(self, value: Any) -> Any:
        """The value of an expression of SQL, which the database computes."""
        if hasattr(value, "__clause_element__"):
            value = value.__clause_element__()
        if not hasattr(value, "compile") or not hasattr(value, "self_group"):
            return value
        with self._engine.connect() as connection:
            return connection.scalar(select(value))

    def _processed(self, state: InstanceState[Any], column: Column[Any], value: Any) -> Any:
        """The value as the database keeps it."""
        from ._postgres import text_of

        kind = column.type.dialect_impl(self._engine.dialect)
        if kind._has_bind_expression:
            raise CacheUnsupportedError(
                f"{type(state.obj()).__name__}.{column.key}: its type computes values in SQL, which a put does not do",
                hint="add the object to cache.session() after the put",
            )
        try:
            processor = kind.bind_processor(self._engine.dialect)
            processed = processor(value) if processor is not None else value
            return text_of(processed) if self._engine.dialect.name == "postgresql" else _plain(processed)
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError, exc.SQLAlchemyError) as error:
            raise CacheSerializationError(
                f"{type(state.obj()).__name__}.{column.key}: {column.type!r} cannot keep {value!r}: {error}"
            ) from error

    def stored(self, key: str, ids: list[int]) -> None:
        """Tells the objects what they are in the database."""
        for state, name, value in self._computed:
            _set(state, name, value)
        for (state, table), place in self._places.items():
            column: Any = table.autoincrement_column
            _, owner, values, references = self.rows[place]
            if column is not None and not any(column.name == name for name, _ in [*values, *references]):
                _set(state, state.mapper.get_property_by_column(column).key, ids[place])
                state.info[_GENERATED] = True
            if owner is not None:
                _set(state, state.mapper.get_property_by_column(table.columns["cache_key"]).key, key)

    def refused(self, error: BaseException) -> BaseException:
        """The error of the put, with SQLAlchemy's as its cause."""
        if isinstance(error, CacheConstraintError):
            message = str(error.args[0])
            parts = re.match(r"a row of (.*?) is refused: (.*)", message)
            table, reason = parts.groups() if parts else ("", message)
            row = next((row for row in self.rows if row[0] == table), None)
            columns = [name for name, _ in row[2]] if row else []
            marks = ", ".join("?" for _ in columns)
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - shown only
            original = _dbapi.IntegrityError(reason)
            original.sqlite_errorcode = 19
            parameters = tuple(value for _, value in row[2]) if row else ()
            error.__cause__ = exc.IntegrityError(statement, parameters, original)
        return error


_Links = dict[tuple["InstanceState[Any]", "Column[Any]"], tuple["InstanceState[Any]", "Column[Any]"]]


class _Graph:
    """Objects, those that their relationships add, and which columns get their value from which other object."""

    def __init__(self, objects: Iterable[Any]) -> None:
        self.links: _Links = {}
        self.pairs: list[tuple[Table, list[tuple[InstanceState[Any], Column[Any], Column[Any]]]]] = []
        self._states: dict[InstanceState[Any], None] = {}
        self._needs: dict[InstanceState[Any], dict[InstanceState[Any], None]] = {}
        self._pairs: set[tuple[Any, frozenset[Any]]] = set()
        self._given = [inspect(one) for one in objects]
        for one in objects:
            if object_session(one) is not None:
                raise CacheConfigurationError(
                    f"this {type(one).__name__} belongs to a session, which would store it too",
                    hint="session.expunge(object), or make a new object",
                )
        for state in self._given:
            self._visit(state)

    def _visit(self, state: InstanceState[Any]) -> None:
        if state in self._states:
            return
        self._states[state] = None
        self._needs.setdefault(state, {})
        for relation in state.mapper.relationships:
            if relation.viewonly:
                continue
            for other in _related(state, relation):
                # An object that is in the database already is referred to, and not stored again.
                is_new = other in self._given or other.key is None
                if is_new:
                    self._visit(other)
                if relation.direction is ONETOMANY:
                    for column, own in relation.synchronize_pairs:
                        self._link(other, own, state, column)
                elif relation.direction is MANYTOONE:
                    for column, own in relation.synchronize_pairs:
                        self._link(state, own, other, column)
                elif relation.direction is MANYTOMANY:
                    self._pair(state, other, relation)

    def _link(self, state: InstanceState[Any], own: Any, other: InstanceState[Any], column: Any) -> None:
        self.links[state, own] = (other, column)
        self._needs.setdefault(state, {})[other] = None

    def _pair(self, state: InstanceState[Any], other: InstanceState[Any], relation: Any) -> None:
        ends = [(state, column, own) for column, own in relation.synchronize_pairs]
        ends += [(other, column, own) for column, own in relation.secondary_synchronize_pairs]
        mark = (relation.secondary, frozenset((end[0], end[2]) for end in ends))
        if mark not in self._pairs:
            self._pairs.add(mark)
            self.pairs.append((relation.secondary, ends))

    def sorted(self) -> Iterator[InstanceState[Any]]:
        """Each object behind those that it refers to."""
        done: dict[InstanceState[Any], bool] = {}

        def visit(state: InstanceState[Any]) -> Iterator[InstanceState[Any]]:
            if done.get(state) is False:
                raise CacheConfigurationError(
                    f"objects of {type(state.obj()).__name__} refer to each other in a circle",
                    hint="store them in a session, with post_update=True",
                )
            if state in done or state not in self._states:
                return
            done[state] = False
            for other in self._needs.get(state, ()):
                yield from visit(other)
            done[state] = True
            yield state

        for state in list(self._states):
            yield from visit(state)


def _related(state: InstanceState[Any], relation: Any) -> Iterator[InstanceState[Any]]:
    value = state.dict.get(relation.key)
    if value is None:
        return
    implementation: Any = state.manager[relation.key].impl
    if implementation.collection:
        for other in list(implementation.get_collection(state, state.dict)):
            yield inspect(other)
    else:
        yield inspect(value)


def _is_set(state: InstanceState[Any], column: Column[Any]) -> bool:
    return state.mapper.get_property_by_column(column).key in state.dict


def _value(state: InstanceState[Any], column: Column[Any]) -> Any:
    try:
        name = state.mapper.get_property_by_column(column).key
    except exc.InvalidRequestError:
        return None
    return state.dict.get(name)


def _set(state: InstanceState[Any], name: str, value: Any) -> None:
    thing = state.obj()
    if thing is not None:
        attributes.set_committed_value(thing, name, value)


def _plain(value: Any) -> Any:
    """A value of one of SQLite's types."""
    if value is None or isinstance(value, str | float | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if hasattr(value, "__index__"):
        value = value.__index__()
        if not -(1 << 63) <= value < 1 << 63:
            raise OverflowError("SQLite has integers of 64 bits")
        return int(value)
    if hasattr(value, "dtype") and hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"SQLite has no type {type(value).__name__}")
