"""Reports: what a cache holds, by type and by any field."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from . import _core
from ._entries import _short, _table, size
from ._fields import identity, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cache import Cache

__all__ = ["Report", "report"]

#: How many groups of a field are shown.
_ROWS = 20

#: By what every report is grouped first.
_TYPE = "entry.data_type"

_COLUMNS = ("entries", "size", "oldest", "newest", "expired", "pinned", "reads", "saved")


class Report(dict[str, Any]):
    """What a cache holds: a dictionary that prints as tables. See :meth:`cacheness.Cache.report`."""

    __slots__ = ()

    def group(self, field: str, value: Any) -> dict[str, Any] | None:
        """The totals of the entries with this value of a field; ``None`` if there are none.

        Args:
            field: one of the fields of the report.
            value: the value, which is compared as in filters; ``None`` for entries without the field.

        Raises:
            KeyError: the report has no such field.
        """
        wanted = identity(value)
        return next((group for group in self["by"][field] if identity(group["value"]) == wanted), None)

    def to_dict(self) -> dict[str, Any]:
        """A copy of plain dictionaries and lists."""
        return copy.deepcopy(dict(self))

    def __repr__(self) -> str:
        lines = list(_head(self))
        for field, groups in self["by"].items():
            if not groups:
                continue
            rows = [(_title(field), *_COLUMNS), *map(_row, groups[:_ROWS])]
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            lines.append("")
            lines += [
                "  ".join(
                    # Names and times begin, numbers end, at the same place.
                    cell.ljust(width) if i in (0, 3, 4) else cell.rjust(width)
                    for i, (cell, width) in enumerate(zip(row, widths, strict=True))
                ).rstrip()
                for row in rows
            ]
            lines += _rest(groups)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [_table((), (), *_head(self))]
        parts += [
            _table((_title(field), *_COLUMNS), map(_row, groups[:_ROWS]), *_rest(groups))
            for field, groups in self["by"].items()
            if groups
        ]
        return "".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def report(cache: Cache, by: str | Iterable[str], where: dict[str, Any] | None) -> Report:
    """The report of :meth:`cacheness.Cache.report`."""
    names = [by] if isinstance(by, str) else list(by)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a field is a string such as 'accuracy' or 'params.model', not a {type(name).__name__}")
    found = _core.report(cache, names, where)
    groups = found.pop("by")
    stats = cache._stats()
    return Report(
        cache_dir=cache.cache_dir,
        where=where,
        **found,
        hits=stats["cache_hits"],
        misses=stats["cache_misses"],
        hit_rate=stats["hit_rate"],
        by=groups,
    )


def _head(report: Report) -> Iterable[str]:
    flags = f"{report['expired']:,} expired, {report['pinned']:,} pinned"
    yield f"{_count(report['entries'], 'entry', 'entries')}, {size(report['bytes'])}; {flags}"
    if report["entries"]:
        yield f"put from {_moment(report['oldest'])} to {_moment(report['newest'])} (UTC)"
    yield f"{_count(report['reads'], 'read')} saved {_duration(report['seconds_saved'])} of computation"
    hits, misses = report["hits"], report["misses"]
    counts = f"{_count(hits, 'hit')}, {_count(misses, 'miss', 'misses')}"
    yield f"this process: {counts}" + (f" ({report['hit_rate']:.0%})" if hits + misses else "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _title(field: str) -> str:
    return "type" if field == _TYPE else field


def _row(group: dict[str, Any]) -> tuple[str, ...]:
    return (
        _short(text(group["value"])),
        f"{group['entries']:,}",
        size(group["bytes"]),
        _moment(group["oldest"]),
        _moment(group["newest"]),
        f"{group['expired']:,}",
        f"{group['pinned']:,}",
        f"{group['reads']:,}",
        _duration(group["seconds_saved"]),
    )


def _rest(groups: list[dict[str, Any]]) -> tuple[str, ...]:
    return (f"… and {len(groups) - _ROWS:,} more",) if len(groups) > _ROWS else ()


def _moment(iso: str) -> str:
    return iso[:19].replace("T", " ")


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"
