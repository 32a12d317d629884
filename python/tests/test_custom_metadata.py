# ruff: noqa: RUF012 - SQLAlchemy reads the attributes of classes
"""Typed metadata: models, their tables, and rows that live and die with their entries."""

from __future__ import annotations

import datetime
import decimal
import enum
import sys
import threading
import types
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    PickleType,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    Unicode,
    Uuid,
    exc,
    func,
    select,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cacheness import (
    BlobStore,
    Cache,
    CacheClosedError,
    CacheConfigurationError,
    CacheConstraintError,
    CacheSerializationError,
    CacheUnsupportedError,
    Clock,
)
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model, migrate_custom_metadata_tables
from cacheness.metadata import Base


@custom_metadata_model("experiments")
class Experiment(Base, CustomMetadataBase):
    __tablename__ = "custom_experiments"

    experiment_id = Column(String(100), nullable=False, unique=True, index=True)
    accuracy = Column(Float, index=True)
    is_production = Column(Boolean, default=False)
    created_at = Column(DateTime, default=datetime.datetime.now)


@custom_metadata_model("performance")
class Performance(Base, CustomMetadataBase):
    __tablename__ = "custom_performance"

    run_id: Mapped[str] = mapped_column(index=True)
    seconds: Mapped[float | None]


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Shouted(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.upper()


@custom_metadata_model("types")
class Types(Base, CustomMetadataBase):
    __tablename__ = "custom_types"

    key: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    integer: Mapped[int | None] = mapped_column(Integer, index=True)
    small: Mapped[int | None] = mapped_column(SmallInteger)
    big: Mapped[int | None] = mapped_column(BigInteger)
    text: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Unicode(20))
    number: Mapped[float | None] = mapped_column(Double)
    exact: Mapped[decimal.Decimal | None] = mapped_column(Numeric(12, 3))
    flag: Mapped[bool | None]
    day: Mapped[datetime.date | None] = mapped_column(Date)
    at: Mapped[datetime.datetime | None]
    time: Mapped[datetime.time | None] = mapped_column(Time)
    span: Mapped[datetime.timedelta | None] = mapped_column(Interval)
    data: Mapped[bytes | None] = mapped_column(LargeBinary)
    json: Mapped[Any] = mapped_column(JSON, nullable=True)
    level: Mapped[Level | None] = mapped_column(Enum(Level))
    pickled: Mapped[Any] = mapped_column(PickleType, nullable=True)
    identity: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    shouted: Mapped[str | None] = mapped_column(Shouted)


VALUES = {
    "integer": -(1 << 40),
    "small": 7,
    "big": (1 << 63) - 1,
    "text": "ä" * 5000,
    "name": "€",
    "number": 0.1,
    "exact": decimal.Decimal("123456.789"),
    "flag": True,
    "day": datetime.date(2024, 2, 29),
    "at": datetime.datetime(2024, 2, 29, 12, 30, 1, 999999),
    "time": datetime.time(23, 59, 59, 1),
    "span": datetime.timedelta(days=3, microseconds=5),
    "data": b"\0\xff",
    "json": {"a": [1, None, {"b": 0.5}]},
    "level": Level.HIGH,
    "pickled": {1, 2},
    "identity": uuid.UUID(int=5),
}


@pytest.fixture
def clock() -> Clock:
    return Clock(1_900_000_000)


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Iterator[Cache]:
    with Cache(tmp_path / "cache", clock=clock) as cache:
        yield cache


def ids(cache: Cache) -> list[str]:
    return [row.experiment_id for row in cache.query_custom("experiments")]


# ----- Storing and reading.


def test_rows_are_stored_with_their_entry(cache: Cache) -> None:
    experiment = Experiment(experiment_id="e1", accuracy=0.95)
    performance = Performance(run_id="r1", seconds=1.5)
    key = cache.put([1, 2], fold=1, custom_metadata=[experiment, performance])
    assert cache.get(fold=1) == [1, 2]
    found = cache.get_custom_metadata_for_entry(fold=1)
    assert found.keys() == {"experiments", "performance"}
    assert (found["experiments"].accuracy, found["experiments"].is_production) == (0.95, False)
    assert found["performance"].cache_key == key == experiment.cache_key
    assert found["experiments"].id == experiment.id
    assert found["experiments"].created_at == experiment.created_at
    assert cache.get_custom_metadata_for_entry(key).keys() == found.keys()
    assert cache.get_custom_metadata_for_entry(cache_key=key).keys() == found.keys()
    assert cache.get_custom_metadata_for_entry(fold=2) == {}
    assert cache.get(fold=1, custom_metadata=experiment) == [1, 2], "the keywords of put can be passed to get"


def test_names_and_contents_are_keys_too(cache: Cache) -> None:
    name = "n" * 1024
    cache.put(1, cache_key=name, custom_metadata=Experiment(experiment_id="name"))
    key = cache.put([5], custom_metadata=Experiment(experiment_id="content"))
    assert cache.get_custom_metadata_for_entry(name)["experiments"].cache_key == name
    assert cache.get_custom_metadata_for_entry(key)["experiments"].experiment_id == "content"
    with cache.query_custom_session("experiments") as query:
        assert {row.cache_key for row in query} == {name, key}


@pytest.mark.parametrize("values", [VALUES, dict.fromkeys(VALUES)], ids=["values", "nulls"])
def test_every_type_comes_back(cache: Cache, values: dict[str, Any]) -> None:
    given = Types(**values, shouted="quiet")
    cache.put(1, x=1, custom_metadata=given)
    (found,) = cache.query_custom("types")
    assert {name: getattr(found, name) for name in values} == values
    assert (found.shouted, found.key) == ("QUIET", given.key)
    # A session of SQLAlchemy stores the same.
    with cache.session() as session:
        session.add(Types(**values, shouted="quiet", cache_key=found.cache_key))
        session.commit()
    table: Any = Types.__table__
    with cache.session() as session:
        columns = ", ".join(f"typeof({name}), {name}" for name in dict(table.columns) if name != "key")
        one, other = session.connection().exec_driver_sql(f"SELECT {columns} FROM custom_types").fetchall()
    assert one == other


def test_numbers_of_numpy_are_numbers(cache: Cache) -> None:
    cache.put(1, x=1, custom_metadata=Experiment(experiment_id="e", accuracy=np.float32(0.5)))
    cache.put(1, x=2, custom_metadata=Types(integer=np.int64(3), number=np.float64(0.25), flag=True))
    assert cache.query_custom("types", {"integer": 3})[0].number == 0.25
    assert cache.query_custom("experiments", {"accuracy": 0.5})


def test_queries(cache: Cache) -> None:
    for i in range(10):
        cache.put(i, fold=i, custom_metadata=Experiment(experiment_id=f"e{i}", accuracy=i / 10))
    assert ids(cache) == [f"e{i}" for i in range(10)]
    for name in ("experiments", "custom_experiments"):
        assert [row.experiment_id for row in cache.query_custom(name, {"accuracy": 0.5})] == ["e5"]
    assert len(cache.query_custom("experiments", {"experiment_id": ["e1", "e2", "no"], "is_production": False})) == 2
    assert cache.query_custom("experiments", {"accuracy": None}) == []
    with cache.query_custom_session("experiments") as query:
        best = query.filter(Experiment.accuracy >= 0.5).order_by(Experiment.accuracy.desc()).limit(3).all()
        mean = query.with_entities(func.avg(Experiment.accuracy)).scalar()
        assert query.filter(Experiment.experiment_id.regexp_match("^e[12]$")).count() == 2
    assert [row.experiment_id for row in best] == ["e9", "e8", "e7"]
    assert mean == pytest.approx(0.45)
    with cache.query_custom_session("experiments") as query:
        query.filter(Experiment.accuracy < 0.5).update({"is_production": True})
    assert len(cache.query_custom("experiments", {"is_production": True})) == 5
    with pytest.raises(ZeroDivisionError), cache.query_custom_session("experiments") as query:
        print(query.delete() / 0)
    assert len(ids(cache)) == 10
    with pytest.raises(CacheConfigurationError, match="experimens") as caught:
        cache.query_custom("experimens")
    assert "experiments" in str(caught.value.hint)
    with pytest.raises(CacheConfigurationError, match="no column 'acuracy'"):
        cache.query_custom("experiments", {"acuracy": 1})


def test_a_session_joins_and_changes(cache: Cache) -> None:
    for i in range(4):
        rows = [Experiment(experiment_id=f"e{i}", accuracy=i / 4), Performance(run_id=f"r{i}", seconds=i)]
        cache.put(i, fold=i, custom_metadata=rows)
    with cache.session() as session:
        joined = (
            select(Performance.seconds)
            .join(Experiment, Experiment.cache_key == Performance.cache_key)
            .where(Experiment.accuracy >= 0.5)
            .order_by(Performance.seconds)
        )
        assert session.scalars(joined).all() == [2, 3]
        session.scalars(select(Experiment).where(Experiment.experiment_id == "e0")).one().accuracy = 1.0
        with session.begin_nested() as nested:
            session.add(Experiment(experiment_id="more", cache_key=cache.cache_key(fold=1)))
            session.flush()
            nested.rollback()
        session.commit()
    assert [row.experiment_id for row in cache.query_custom("experiments", {"accuracy": 1.0})] == ["e0"]
    assert len(ids(cache)) == 4
    with cache.session() as session:
        session.add(Experiment(experiment_id="alone", cache_key="no such entry"))
        with pytest.raises(exc.IntegrityError, match="FOREIGN KEY"):
            session.commit()


def test_defaults_of_every_kind(cache: Cache) -> None:
    @custom_metadata_model("defaults")
    class Defaults(Base, CustomMetadataBase):
        __tablename__ = "custom_defaults"
        scalar = Column(Integer, default=5, index=True)
        callable = Column(String, default=lambda: "called")
        context = Column(String, default=lambda context: f"{context.get_current_parameters()['given']}!")
        given = Column(String)
        expression = Column(Integer, default=func.abs(-3))
        server = Column(Integer, server_default="8")
        column = Column(Integer)

    row = Defaults(given="hello", column=func.abs(-9))
    cache.put(1, x=1, custom_metadata=row)
    (found,) = cache.query_custom("defaults")
    values = (found.scalar, found.callable, found.context, found.expression, found.server, found.column)
    assert values == (5, "called", "hello!", 3, 8, 9)
    assert (row.scalar, row.context, row.id) == (5, "hello!", found.id)


def test_relationships(cache: Cache) -> None:
    links = Table(
        "custom_links",
        Base.metadata,
        Column("study", ForeignKey("custom_studies.id", ondelete="CASCADE"), primary_key=True),
        Column("label", ForeignKey("custom_labels.id", ondelete="CASCADE"), primary_key=True),
        extend_existing=True,
    )

    class Label(Base):
        __tablename__ = "custom_labels"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(unique=True)

    class Step(Base):
        __tablename__ = "custom_steps"
        id: Mapped[int] = mapped_column(primary_key=True)
        study_id: Mapped[int] = mapped_column(ForeignKey("custom_studies.id", ondelete="CASCADE"), index=True)
        number: Mapped[int]
        study: Mapped[Study] = relationship(back_populates="steps")

    @custom_metadata_model("studies")
    class Study(Base, CustomMetadataBase):
        __tablename__ = "custom_studies"
        name: Mapped[str] = mapped_column(index=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("custom_studies.id", ondelete="SET NULL"))
        steps: Mapped[list[Any]] = relationship(Step, back_populates="study", order_by=Step.number)
        labels: Mapped[list[Any]] = relationship(Label, secondary=links, order_by=Label.text)

    Study.parent = relationship(Study, remote_side=Study.id)  # type: ignore[attr-defined]

    both = Label(text="both")
    first = Study(name="first", steps=[Step(number=2), Step(number=1)], labels=[both, Label(text="a")])
    second = Study(name="second", labels=[both])
    second.parent = first  # type: ignore[attr-defined]
    cache.put(1, x=1, custom_metadata=[second, first])
    with cache.query_custom_session("studies") as query:
        one, two = query.order_by(Study.name).all()
        assert [step.number for step in one.steps] == [1, 2]
        assert [label.text for label in one.labels] == ["a", "both"]
        assert [label.text for label in two.labels] == ["both"]
        assert two.parent is one
    assert first.steps[0].id
    assert cache.invalidate(x=1)
    with cache.session() as session:
        assert session.scalars(select(Study)).all() == session.scalars(select(Step)).all() == []
        assert session.execute(select(links)).all() == []
        assert len(session.scalars(select(Label)).all()) == 2, "they belong to no entry"


def test_inheritance(cache: Cache) -> None:
    @custom_metadata_model("animals")
    class Animal(Base, CustomMetadataBase):
        __tablename__ = "custom_animals"
        kind = Column(String, index=True)
        name = Column(String)
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Dog(Animal):
        breed = Column(String)
        __mapper_args__ = {"polymorphic_identity": "dog"}

    class Bird(Animal):
        __tablename__ = "custom_birds"
        id = Column(ForeignKey("custom_animals.id", ondelete="CASCADE"), primary_key=True)
        span = Column(Float)
        __mapper_args__ = {"polymorphic_identity": "bird"}

    cache.put(1, x=1, custom_metadata=[Animal(name="a"), Dog(name="d", breed="x"), Bird(name="b", span=2.0)])
    with cache.query_custom_session("animals") as query:
        found = query.order_by(Animal.id).all()
        assert [type(one) for one in found] == [Animal, Dog, Bird]
        assert (found[1].breed, found[2].span) == ("x", 2.0)
    assert cache.invalidate(x=1)
    with cache.session() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM custom_birds").scalar() == 0


def test_several_rows_of_one_model(cache: Cache) -> None:
    cache.put(1, x=1, custom_metadata=[Performance(run_id="a"), Performance(run_id="b")])
    found = cache.get_custom_metadata_for_entry(x=1)["performance"]
    assert [row.run_id for row in found] == ["a", "b"]
    cache.put(1, x=1, custom_metadata=[])
    assert cache.get_custom_metadata_for_entry(x=1) == {}


# ----- One transaction.


def test_a_violated_constraint_changes_nothing(cache: Cache) -> None:
    cache.put("kept", x=1, custom_metadata=Experiment(experiment_id="taken"))
    cache.put("former", x=2, metadata={"n": 1}, custom_metadata=Experiment(experiment_id="mine"))
    rows = [Performance(run_id="r"), Experiment(experiment_id="taken", accuracy=0.5)]
    with pytest.raises(
        CacheConstraintError, match=r"UNIQUE constraint failed: custom_experiments\.experiment_id"
    ) as caught:
        cache.put(np.arange(100_000), x=2, custom_metadata=rows)
    cause = caught.value.__cause__
    assert isinstance(cause, exc.IntegrityError)
    assert isinstance(cause.orig, cache.metadata_backend.engine.dialect.dbapi.IntegrityError)
    assert "custom_experiments" in str(cause.statement)
    assert "taken" in cause.params
    assert cache.get_with_metadata(x=2) == ("former", {"n": 1})
    assert ids(cache) == ["taken", "mine"]
    assert cache.query_custom("performance") == []
    assert not [path for path in (Path(cache.cache_dir) / "blobs").rglob("*") if path.is_file()]
    with pytest.raises(CacheConstraintError, match=r"NOT NULL constraint failed: custom_experiments\.experiment_id"):
        cache.put(1, x=3, custom_metadata=Experiment(accuracy=0.5))
    assert not cache.exists(x=3)
    assert cache.verify_integrity()["valid"]


def test_a_value_that_a_column_cannot_keep(cache: Cache) -> None:
    for row, column in (
        (Experiment(experiment_id="e", created_at="yesterday"), "created_at"),
        (Types(integer=1 << 63), "integer"),
        (Types(text={"a": 1}), "text"),
        (Types(level=5), "level"),
    ):
        with pytest.raises(CacheSerializationError, match=column):
            cache.put(1, x=1, custom_metadata=row)
    assert len(cache) == 0


@pytest.mark.parametrize("given", [object(), "text", {"a": 1}, [Experiment(experiment_id="e"), 5], Experiment])
def test_what_is_no_row_is_refused(cache: Cache, given: Any) -> None:
    with pytest.raises(CacheConfigurationError, match="custom_metadata is a"):
        cache.put(1, x=1, custom_metadata=given)
    assert len(cache) == 0


def test_an_object_of_a_session_is_refused(cache: Cache) -> None:
    cache.put(1, x=1)
    with cache.session() as session:
        row = Experiment(experiment_id="e", cache_key=cache.cache_key(x=1))
        session.add(row)
        with pytest.raises(CacheConfigurationError, match="belongs to a session"):
            cache.put(1, x=2, custom_metadata=row)


# ----- Every way out.


def replace(cache: Cache, clock: Clock) -> None:
    cache.put(2, x=1)


def replace_in_place(cache: Cache, clock: Clock) -> None:
    cache.update_data(2, x=1)


def invalidate(cache: Cache, clock: Clock) -> None:
    assert cache.invalidate(x=1)


def invalidate_by_key(cache: Cache, clock: Clock) -> None:
    assert cache.invalidate_by_cache_key(cache.cache_key(x=1))


def delete_item(cache: Cache, clock: Clock) -> None:
    del cache[cache.cache_key(x=1)]


def clear(cache: Cache, clock: Clock) -> None:
    cache.clear_all()


def expire(cache: Cache, clock: Clock) -> None:
    cache.touch(x=1, ttl_seconds=5)
    clock.advance(10)
    assert cache.get_custom_metadata_for_entry(x=1) == {}, "an expired entry has none"
    assert cache.cleanup_expired() == 1


def delete_batch(cache: Cache, clock: Clock) -> None:
    assert cache.delete_batch([{"x": 1}]) == 1


def delete_matching(cache: Cache, clock: Clock) -> None:
    assert cache.delete_matching(tag="gone") == 1


def delete_where(cache: Cache, clock: Clock) -> None:
    assert cache.delete_where(lambda entry: entry.get("metadata", {}).get("tag") == "gone") == 1


def evict(cache: Cache, clock: Clock) -> None:
    with Cache(cache.cache_dir, max_entries=2, clock=clock) as small:
        clock.advance(1)
        small.get(x=2)
        small.put(3, x=3)
        small.put(4, x=4)
    assert not cache.exists(x=1)


@pytest.mark.parametrize(
    "way",
    [
        replace,
        replace_in_place,
        invalidate,
        invalidate_by_key,
        delete_item,
        clear,
        expire,
        delete_batch,
        delete_matching,
        delete_where,
        evict,
    ],
)
def test_rows_go_with_their_entry(cache: Cache, clock: Clock, way: Callable[[Cache, Clock], None]) -> None:
    for i in (1, 2):
        rows = [Experiment(experiment_id=f"e{i}"), Performance(run_id=f"r{i}"), Performance(run_id=f"s{i}")]
        cache.put(i, x=i, metadata={"tag": "gone" if i == 1 else "kept"}, custom_metadata=rows)
    way(cache, clock)
    others = cache.exists(x=2)
    assert others or way in (clear, evict)
    assert ids(cache) == (["e2"] if others else [])
    assert {row.run_id for row in cache.query_custom("performance")} == ({"r2", "s2"} if others else set())


def test_rows_stay_with_an_entry_that_is_changed(cache: Cache, clock: Clock) -> None:
    cache.put(1, x=1, custom_metadata=Experiment(experiment_id="e"))
    cache.touch(x=1, ttl_seconds=100)
    cache.pin(x=1)
    assert cache.rotate_signing_key() == 1
    cache.get(x=1)
    assert ids(cache) == ["e"]
    cache.put(1, x=1, custom_metadata=Experiment(experiment_id="e"))
    assert ids(cache) == ["e"], "a row that replaces itself is no conflict"


def test_replacing_notices_tables_of_others(cache: Cache) -> None:
    cache.put(1, x=1)
    cache.put(2, x=1)
    with Cache(cache.cache_dir) as other:
        other.put(3, x=1, custom_metadata=Experiment(experiment_id="e"))
    cache.put(4, x=1)
    assert ids(cache) == []


# ----- Tables.


def test_both_styles_and_a_table_of_its_own_name(cache: Cache) -> None:
    @custom_metadata_model("named")
    class MLRunResult(Base, CustomMetadataBase):
        score: Mapped[float] = mapped_column(index=True)

    assert MLRunResult.__tablename__ == "custom_ml_run_result"
    cache.put(1, x=1, custom_metadata=MLRunResult(score=1.0))
    assert cache.query_custom("ml_run_result")[0].score == 1.0
    assert cache.query_custom("named", {"score": 1.0})


def test_a_cell_can_run_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
@custom_metadata_model("cell")
class Cell(Base, CustomMetadataBase):
    __tablename__ = "custom_cell"
    value: Mapped[int] = mapped_column(index=True)
    {more}
"""
    notebook = types.ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    names = vars(notebook)
    names |= {**globals(), "__name__": "notebook"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(source.format(more=""), names)
        cache.put(1, x=1, custom_metadata=names["Cell"](value=1))
        exec(source.format(more="added: Mapped[str | None] = mapped_column(index=True)"), names)
        cache.put(1, x=2, custom_metadata=names["Cell"](value=2, added="new"))
    assert [(row.value, row.added) for row in cache.query_custom("cell")] == [(1, None), (2, "new")]


def define(columns: dict[str, Any]) -> Any:
    return custom_metadata_model("changing")(
        type(
            "Changing",
            (Base, CustomMetadataBase),
            {"__tablename__": "custom_changing", **{name: column._copy() for name, column in columns.items()}},
        )
    )


def test_columns_are_added(cache: Cache) -> None:
    cache.put(1, x=1, custom_metadata=define({"a": Column(Integer, index=True)})(a=1))
    more = {
        "b": Column(String, index=True),
        "c": Column(Integer, server_default="7", nullable=False),
        "d": Column(String, unique=True),
        "e": Column(ForeignKey("custom_changing.id", ondelete="SET NULL")),
    }
    cache.put(1, x=2, custom_metadata=define({"a": Column(Integer, index=True), **more})(a=2, b="x", d="y"))
    assert [(row.a, row.b, row.c, row.d) for row in cache.query_custom("changing")] == [
        (1, None, 7, None),
        (2, "x", 7, "y"),
    ]
    with pytest.raises(CacheConstraintError, match="UNIQUE"):
        cache.put(1, x=3, custom_metadata=define({"a": Column(Integer, index=True), **more})(d="y"))
    # A column that is gone from the model stays in the table.
    cache.put(1, x=4, custom_metadata=define({"a": Column(Integer, index=True)})(a=4))
    assert len(cache.query_custom("changing")) == 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": Column(Integer, index=True), "b": Column(String, nullable=False)}, "lacks the column b"),
        ({"a": Column(String, index=True)}, "has the column a of type INTEGER"),
        ({"a": Column(Integer, index=True, nullable=False)}, "has the column a, which may be null"),
        ({"a": Column(Integer, index=True), "n": Column(String, primary_key=True)}, "primary key"),
        ({"x": Column(Integer, index=True)}, "has the column must, which must not be null"),
    ],
)
def test_a_change_that_cannot_be_made_says_what_to_do(cache: Cache, columns: dict[str, Any], message: str) -> None:
    former = {"a": Column(Integer, index=True)}
    if "x" in columns:
        former["must"] = Column(Integer, nullable=False)
    cache.put(1, x=1, custom_metadata=define(former)(**dict.fromkeys(former, 1)))
    changed = define(columns)
    for use in (
        lambda: cache.put(2, x=1, custom_metadata=changed()),
        lambda: cache.query_custom("changing"),
        lambda: cache.session(),
    ):
        with pytest.raises(CacheConfigurationError, match=message) as caught:
            use()
        assert "__tablename__" in str(caught.value.hint)
    assert cache.get(x=1) == 1
    define(former)
    assert len(cache.query_custom("changing")) == 1


def test_tables_are_migrated_by_hand(cache: Cache, tmp_path: Path) -> None:
    from sqlalchemy import create_engine, inspect

    assert hasattr(cache.metadata_backend, "engine")
    engine = cache.metadata_backend.engine
    migrate_custom_metadata_tables(engine=engine)
    assert {"custom_experiments", "custom_performance", "custom_types"} <= set(inspect(engine).get_table_names())
    # Another database, which is none of a cache's.
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    migrate_custom_metadata_tables(other)
    names = set(inspect(other).get_table_names())
    other.dispose()
    assert "custom_experiments" in names
    assert "cache_entries" not in names
    with pytest.raises(CacheConfigurationError, match="engine is a"):
        migrate_custom_metadata_tables(engine="sqlite://")  # type: ignore[arg-type]


def test_tables_appear_once_when_many_need_them(tmp_path: Path) -> None:
    caches = [Cache(tmp_path) for _ in range(8)]
    errors: list[BaseException] = []

    def put(number: int) -> None:
        try:
            caches[number].put(number, x=number, custom_metadata=Experiment(experiment_id=f"e{number}"))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=put, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(ids(caches[0])) == 8
    for cache in caches:
        cache.close()


def test_models_are_checked() -> None:
    with pytest.warns(UserWarning, match="Bad: ") as caught:

        @custom_metadata_model("bad")
        class Bad(Base, CustomMetadataBase):
            __tablename__ = "experiments"
            accuracy = Column(Float)

    said = [str(warning.message) for warning in caught]
    assert len(said) == 2
    assert '"custom_experiments"' in said[0]
    assert "none of its columns has an index (accuracy)" in said[1]
    assert all(warning.filename == __file__ for warning in caught)
    for name, model in (("", Experiment), (5, Experiment), ("x", object), ("x", Base)):
        with pytest.raises(CacheConfigurationError):
            custom_metadata_model(name)(model)  # type: ignore[arg-type, type-var]


# ----- Other stores.


@pytest.mark.parametrize("options", [{"cache_dir": ":memory:"}, {"metadata_backend": "json"}])
def test_other_backends_say_that_they_have_no_tables(tmp_path: Path, options: dict[str, Any]) -> None:
    with Cache(**{"cache_dir": tmp_path, **options}) as cache:
        cache.put(1, x=1)
        for call in (
            lambda: cache.put(2, x=1, custom_metadata=Experiment(experiment_id="e")),
            lambda: cache.query_custom("experiments"),
            lambda: cache.query_custom_session("experiments").__enter__(),
            lambda: cache.get_custom_metadata_for_entry(x=1),
            lambda: cache.session(),
        ):
            with pytest.raises(
                CacheUnsupportedError, match="custom metadata is not available with the metadata backend"
            ):
                call()
        assert not hasattr(cache.metadata_backend, "engine")
        assert cache.get(x=1) == 1


def test_a_closed_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(1, x=1, custom_metadata=Experiment(experiment_id="e"))
    session = cache.session()
    assert session.scalars(select(Experiment)).all()
    cache.close()
    with pytest.raises(exc.DBAPIError, match="closed"):
        session.scalars(select(Experiment)).all()
    with pytest.raises(CacheClosedError):
        cache.query_custom("experiments")


def test_a_session_keeps_its_cache(tmp_path: Path) -> None:
    session = Cache(tmp_path).session()
    assert session.scalars(select(Experiment)).all() == []
    session.info["cache"].close()


def test_a_read_only_cache_is_queried(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put(1, x=1, custom_metadata=Experiment(experiment_id="e"))
    with Cache(tmp_path, read_only=True) as cache:
        assert ids(cache) == ["e"]


def test_artifacts_have_rows_too(tmp_path: Path) -> None:
    with BlobStore(tmp_path / "store") as store:
        row = Experiment(experiment_id="a", accuracy=0.5)
        assert store.put([1], "models/a", {"stage": "test"}, custom_metadata=row) == "models/a"
        assert row.cache_key == "models/a"
        store.put([2], key="models/b", custom_metadata=[Experiment(experiment_id="b"), Performance(run_id="r")])
        with pytest.raises(CacheConstraintError, match="experiment_id"):
            store.put([3], key="models/b", custom_metadata=Experiment(experiment_id="a"))
        assert store.get("models/b") == [2], "nothing has changed"
        assert [found.experiment_id for found in store.query_custom("experiments", {"accuracy": 0.5})] == ["a"]
        assert set(store.get_custom_metadata_for_entry("models/b")) == {"experiments", "performance"}
        assert store.get_custom_metadata_for_entry("models/c") == {}
        with store.query_custom_session("performance") as query:
            assert query.count() == 1
        assert store.delete("models/b")
        assert store.query_custom("performance") == []
        with store.session() as session:
            session.query(Experiment).update({"accuracy": 0.75})
            session.commit()
        engine = store.metadata_backend.engine
    with pytest.raises(CacheClosedError):
        store.session()
    with pytest.raises(CacheClosedError), engine.connect():
        pass
    # Both see the rows of the other.
    with Cache(tmp_path / "store") as cache:
        assert cache.get_custom_metadata_for_entry("models/a")["experiments"].accuracy == 0.75
    with BlobStore(tmp_path / "named", content_addressable=True) as store:
        row = Experiment(experiment_id="c")
        assert store.put([1], custom_metadata=row) == row.cache_key
    with BlobStore(tmp_path / "json", backend="json") as store:
        with pytest.raises(CacheUnsupportedError, match="json"):
            store.put([1], key="a", custom_metadata=Experiment(experiment_id="a"))
        assert not store.exists("a")
