"""Reports of what a cache holds, against pandas over the same entries."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import pickle
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cacheness import Cache, Clock
from cacheness.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = 1_700_000_000
COUNT = 2300  # more than two pages

MODELS = ["ridge", "lasso", None, 1, True, 2.5]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cache, pd.DataFrame]]:
    """A cache, and a table of what was put into it."""
    draw = random.Random(7)
    clock = Clock(START)
    rows = []
    with Cache(tmp_path_factory.mktemp("report") / "cache", clock=clock, default_ttl_seconds=None) as cache:
        for number in range(COUNT):
            clock.advance(draw.choice([0.25, 60, 3600]))
            value = draw.choice([number, np.zeros(draw.randrange(50)), pd.DataFrame({"a": range(3)})])
            model, tags, depth = draw.choice(MODELS), draw.sample(["a", "b", "c"], draw.randrange(4)), draw.randrange(4)
            metadata = {"model": model, "tags": tags, "config": {"depth": depth}}
            if draw.random() < 0.1:
                del metadata["model"]
                model = None
            ttl = draw.choice([None, 10.0, 1e9])
            key = cache.put(value, project=f"p{number % 3}", number=number, metadata=metadata, ttl_seconds=ttl)
            pinned = draw.random() < 0.1
            if pinned:
                cache.pin(key)
            reads = draw.randrange(3)
            for _ in range(reads):
                cache.get(key)
            rows.append((key, model, tags, depth, f"p{number % 3}", clock.now(), ttl, pinned, reads))
        clock.advance(100)
        names = ["key", "model", "tags", "depth", "project", "created", "ttl", "pinned", "reads"]
        table = pd.DataFrame(rows, columns=names)
        table["model"] = table["model"].astype(object).where(table["model"].notna(), None)
        size = {entry["cache_key"]: (entry["file_size"], entry["data_type"]) for entry in cache.list_entries()}
        table["bytes"] = [size[key][0] for key in table["key"]]
        table["type"] = [size[key][1] for key in table["key"]]
        table["expired"] = table["created"] + table["ttl"].astype(float) <= clock.now()
        yield cache, table


def iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(round(seconds * 1e6) / 1e6, dt.UTC).isoformat(timespec="microseconds")


def totals(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "entries": len(rows),
        "bytes": int(rows["bytes"].sum()),
        "oldest": iso(rows["created"].min()),
        "newest": iso(rows["created"].max()),
        "expired": int(rows["expired"].sum()),
        "pinned": int(rows["pinned"].sum()),
        "reads": int(rows["reads"].sum()),
        "seconds_saved": 0.0,
    }


def grouped(table: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    """The totals by the texts of values: `1` and `True` are one value to Python."""
    return {name: totals(rows) for name, rows in table.groupby(table[column].map(repr))}


def found(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {repr(group["value"]): {name: part for name, part in group.items() if name != "value"} for group in groups}


def test_totals_are_those_of_pandas(known: tuple[Cache, pd.DataFrame]) -> None:
    cache, table = known
    report = cache.report(["model", "config.depth", "params.project", "entry.pinned", "entry.access_count"])
    assert {name: report[name] for name in totals(table)} == totals(table)
    by = report["by"]
    assert next(iter(by)) == "entry.data_type"
    columns = {
        "entry.data_type": "type",
        "model": "model",
        "config.depth": "depth",
        "params.project": "project",
        "entry.pinned": "pinned",
        "entry.access_count": "reads",
    }
    assert set(columns) == set(by)
    for field, column in columns.items():
        assert found(by[field]) == grouped(table, column), field
        sizes = [group["bytes"] for group in by[field]]
        assert sizes == sorted(sizes, reverse=True)


def test_a_list_counts_once_for_each_element(known: tuple[Cache, pd.DataFrame]) -> None:
    cache, table = known
    report = cache.report("tags")
    # An empty list becomes NaN.
    exploded = table.explode("tags")
    exploded["tags"] = exploded["tags"].astype(object).where(exploded["tags"].notna(), None)
    assert found(report["by"]["tags"]) == grouped(exploded, "tags")


def test_a_filter(known: tuple[Cache, pd.DataFrame]) -> None:
    cache, table = known
    where = {"config.depth": {"$gte": 2}, "params.project": "p1"}
    report = cache.report(by="model", where=where)
    selected = table[(table["depth"] >= 2) & (table["project"] == "p1")]
    assert report["where"] == where
    assert {name: report[name] for name in totals(selected)} == totals(selected)
    assert found(report["by"]["model"]) == grouped(selected, "model")
    for value in MODELS:
        group = report.group("model", value)
        assert group is not None
        # What a filter for the value selects is what the group counts.
        assert group["entries"] == len(cache.list_entries(where={**where, "model": value}))
    assert report.group("model", "other") is None
    with pytest.raises(KeyError):
        report.group("other", 1)


def test_values_are_equal_as_in_filters(cache: Cache) -> None:
    instant = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    values = [
        [1, 1.0, decimal.Decimal(1), np.int8(1), np.float32(1)],
        [True, np.True_],
        [float("nan"), float("nan")],
        [2**53 + 1],
        [2.0**53, 2**53],
        ["1"],
        [b"1", bytearray(b"1")],
        [instant, instant.astimezone(dt.timezone(dt.timedelta(hours=5)))],
        [dt.datetime(2026, 1, 1)],
        [dt.date(2026, 1, 1)],
        [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}],
        [None],
    ]
    for place, equal in enumerate(values):
        for number, value in enumerate(equal):
            cache.put(0, place=place, number=number, metadata={"value": value})
    report = cache.report("value")
    assert sorted(group["entries"] for group in report["by"]["value"]) == sorted(map(len, values))
    for equal in values:
        for value in equal:
            group = report.group("value", value)
            assert group is not None and group["entries"] == len(equal), value
            assert len(cache.list_entries(where={"value": value})) == len(equal), value


def test_paths_lead_where_those_of_filters_lead(cache: Cache) -> None:
    all_metadata: list[dict[str, Any]] = [
        {"runs": [{"loss": 1}, {"loss": 2}, 3]},
        {"runs": {"0": {"loss": 1}, "loss": 4}},
        {"runs": [[{"loss": 5}]]},
        {"runs": "text"},
        {"a.b": 1, "params": {"loss": 9}, "file_hash": "mine"},
        {"a": {"b": 2}},
        {},
    ]
    for number, metadata in enumerate(all_metadata):
        cache.put(0, number=number, a={"b": [3, 4]}, metadata=metadata)
    fields = {
        "runs.loss": {1, 2, 4, None},
        "runs.0.loss": {1, 5, None},
        "runs.2": {3, None},
        r"a\.b": {1, None},
        "a.b": {2, None},
        "metadata.params.loss": {9, None},
        "params.a.b": {3, 4},
        "params.missing": {None},
        "file_hash": {"mine", None},
    }
    report = cache.report(fields)
    for field, values in fields.items():
        assert {group["value"] for group in report["by"][field]} == values, field
        for group in report["by"][field]:
            if group["value"] is not None:
                assert group["entries"] == len(cache.list_entries(where={field: group["value"]})), field


def test_reads_of_results_save_the_time_of_their_computation(cache: Cache) -> None:
    @cache.cached
    def slow(number: int) -> int:
        return number

    for number in (1, 1, 1, 2, 2, 3):
        slow(number)
    entries = cache.list_entries()
    expected = sum(entry["access_count"] * entry["compute_seconds"] for entry in entries)
    assert sum(entry["access_count"] for entry in entries) == 3
    report = cache.report("entry.function")
    assert report["seconds_saved"] == pytest.approx(expected)
    assert (report["reads"], report["hits"], report["misses"], report["hit_rate"]) == (3, 3, 3, 0.5)
    (group,) = report["by"]["entry.function"]
    assert group["value"] == entries[0]["function"] and group["seconds_saved"] == report["seconds_saved"]


def test_times_of_entries_are_instants(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", clock=Clock(START)) as cache:
        cache.put(1, cache_key="kept", ttl_seconds=None)
        cache.put(2, cache_key="ends", ttl_seconds=60)
        by = cache.report(["entry.expires_at", "entry.created"])["by"]
        assert {group["value"] for group in by["entry.expires_at"]} == {
            None,
            dt.datetime.fromtimestamp(START + 60, dt.UTC),
        }
        assert [group["value"] for group in by["entry.created"]] == [dt.datetime.fromtimestamp(START, dt.UTC)]


@pytest.mark.parametrize(
    ("field", "message"),
    [("entry.acess_count", "did you mean entry[.]access_count"), ("a..b", "empty"), ("", "empty"), ("$or", "[$]or")],
)
def test_what_is_no_field(cache: Cache, field: str, message: str) -> None:
    with pytest.raises(CacheError, match=message):
        cache.report(field)


def test_what_is_no_argument(cache: Cache) -> None:
    with pytest.raises(TypeError, match="a field is a string"):
        cache.report([1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a filter is a dictionary"):
        cache.report(where="accuracy > 1")  # type: ignore[arg-type]
    with pytest.raises(CacheError, match=r"[$]gt"):
        cache.report(where={"accuracy": {"$gtt": 1}})


def test_it_prints_and_travels(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache", clock=Clock(START), backend="sqlite") as cache:
        assert "0 entries" in repr(cache.report("model")) and "<p>0 entries" in cache.report()._repr_html_()
        cache.put("long", number=0, metadata={"model": "<ridge>"})
        for number in range(1, 30):
            cache.put(2, number=number, metadata={"model": number})
        report = cache.report("model")
    lines = repr(report).splitlines()
    assert lines[:2] == [
        "30 entries, 34 B; 0 expired, 0 pinned",
        "put from 2023-11-14 22:13:20 to 2023-11-14 22:13:20 (UTC)",
    ]
    assert lines[5].split() == ["type", "entries", "size", "oldest", "newest", "expired", "pinned", "reads", "saved"]
    assert lines[6].split()[:4] == ["plain", "30", "34", "B"]
    assert [line.split()[0] for line in lines[8:12]] == ["model", "<ridge>", "1", "2"]
    assert lines[-1] == "… and 10 more"
    html = report._repr_html_()
    assert html.count("<table>") == 2 and "&lt;ridge&gt;" in html and "<ridge>" not in html
    copy = report.to_dict()
    assert type(copy) is dict and copy == report and json.loads(json.dumps(copy)) == copy
    copy["by"]["model"].clear()
    assert len(report["by"]["model"]) == 30
    again = pickle.loads(pickle.dumps(report))
    assert again == report and repr(again) == repr(report)


@pytest.mark.parametrize("backend", ["sqlite_memory", "memory", "json"])
def test_every_backend(tmp_path: Path, backend: str) -> None:
    with Cache(tmp_path / "cache", backend=backend) as cache:
        for number in range(10):
            cache.put(number, number=number, metadata={"even": number % 2 == 0})
        cache.pin(number=3)
        report = cache.report("even")
        assert {group["value"]: (group["entries"], group["pinned"]) for group in report["by"]["even"]} == {
            True: (5, 0),
            False: (5, 1),
        }
