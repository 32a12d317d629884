"""Pictures of a cache, drawn by Matplotlib."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from ._fields import Field, identity, pages, plain_scalar, text
from .errors import CacheConfigurationError, CacheUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    from .cache import Cache

__all__ = ["Plot"]

#: How many groups have a colour of their own; the others are drawn together.
_GROUPS = 9

_UNITS = (("TB", 2**40), ("GB", 2**30), ("MB", 2**20), ("KB", 2**10), ("bytes", 1))


class Plot:
    """Draws what a cache holds: ``cache.plot``. Every method returns the Axes, to be changed or saved.

    Matplotlib is needed: ``pip install 'cacheness[plot]'``.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __repr__(self) -> str:
        return f"<pictures of {self._cache!r}: sizes(), hits(), metric(name)>"

    def sizes(
        self, *, by: str | None = "entry.data_type", where: dict[str, Any] | None = None, ax: Axes | None = None
    ) -> Axes:
        """The bytes of the entries that there are now, by the time at which they were put.

        Entries that have been removed or replaced since are not in it.

        Args:
            by: the field whose values are stacked, as :meth:`Cache.report` names it; ``None`` for the total.
            where: a filter.
            ax: where to draw. Default: a new figure.

        Raises:
            CacheUnsupportedError: Matplotlib is not installed.
            CacheError: as for :meth:`Cache.report`; a field has several values in an entry, which cannot be stacked.
        """
        ax = _axes(ax)
        groups = _Groups()
        points: list[tuple[dt.datetime, int, int]] = []
        for entry, value in self._grouped(by, where):
            points.append((dt.datetime.fromisoformat(entry["created"]), groups.number(value), entry["file_size"]))
        points.sort(key=lambda point: point[0])
        sums = [0] * len(groups)
        for _, group, size in points:
            sums[group] += size
        order, place = groups.largest(sums)
        unit, factor = next(((unit, factor) for unit, factor in _UNITS if sum(sums) >= factor), ("bytes", 1))
        times: list[Any] = []
        lines: list[list[float]] = [[] for _ in order]
        now = [0] * len(order)
        for time, group, size in points:
            now[place[group]] += size
            if times and times[-1] == time:
                for line, value in zip(lines, now, strict=True):
                    line[-1] = value / factor
                continue
            times.append(time)
            for line, value in zip(lines, now, strict=True):
                line.append(value / factor)
        if times:
            labels = order if by is not None else ["all entries"]
            # The last step would have no width.
            times.append(times[-1] + max((times[-1] - times[0]) / 50, dt.timedelta(seconds=1)))
            for line in lines:
                line.append(line[-1])
            ax.stackplot(times, *lines, labels=labels, step="post", alpha=0.8)
        _finish(ax, "Size by time of put", by if len(order) > 1 else None)
        ax.set_ylabel(unit)
        ax.set_ylim(bottom=0)
        return ax

    def hits(self, *, by: str | None = None, where: dict[str, Any] | None = None, ax: Axes | None = None) -> Axes:
        """Hits and misses of this process since the cache was opened; with ``by``, reads of entries by any process.

        The store counts the reads of every entry, but not the misses, which belong to no entry.

        Args:
            by: a field, as :meth:`Cache.report` names it: draws the reads of its values instead, of the entries that
                have it.
            where: a filter, beside ``by``.
            ax: where to draw. Default: a new figure.

        Raises:
            CacheConfigurationError: a filter without ``by``.
            CacheUnsupportedError: Matplotlib is not installed.
            CacheError: as for :meth:`Cache.report`.
        """
        if by is None and where is not None:
            raise CacheConfigurationError(
                "hits and misses are counted for the whole cache, not for a filter", hint="give by= as well"
            )
        ax = _axes(ax)
        if by is None:
            stats = self._cache._stats()
            counts = [stats["cache_hits"], stats["cache_misses"]]
            bars = ax.bar(["hits", "misses"], counts, color=["C2", "C3"])
            ax.bar_label(bars, [f"{count:,}" for count in counts])
            ax.set_title(f"Hits and misses: {stats['hit_rate']:.0%} hits" if any(counts) else "Hits and misses")
            ax.set_ylabel("lookups of this process")
            ax.set_ylim(0, 1.1 * max(1, *counts))
            ax.yaxis.set_major_locator(_whole_numbers())
        else:
            field = Field(self._cache, by)
            groups = _Groups()
            reads: list[int] = []
            for page in pages(self._cache, _with(where, field), include_metadata=field.needs_metadata):
                for entry in page:
                    for value in field.values(entry):
                        number = groups.number(value)
                        reads += [0] * (number + 1 - len(reads))
                        reads[number] += entry["access_count"]
            order, place = groups.largest(reads)
            sums = [0] * len(order)
            for number, count in enumerate(reads):
                sums[place[number]] += count
            bars = ax.barh(range(len(order)), sums)
            ax.bar_label(bars, [f"{count:,}" for count in sums], padding=2)
            ax.set_yticks(range(len(order)), order)
            ax.invert_yaxis()
            ax.set_xlim(0, 1.1 * max([1, *sums]))
            ax.xaxis.set_major_locator(_whole_numbers())
            ax.set_title("Reads of entries")
            ax.set_xlabel("reads")
            ax.set_ylabel(by)
        _plain(ax)
        return ax

    def metric(
        self, name: str, *, by: str | None = None, where: dict[str, Any] | None = None, ax: Axes | None = None
    ) -> Axes:
        """A number in the metadata of the entries, by the time at which they were put.

        Entries in which the field is missing or is not a finite number are left out; one with a list has a point for
        each number in it.

        Args:
            name: the field, as :meth:`Cache.report` names it: ``"accuracy"``, ``"config.depth"``, ``"params.alpha"``.
            by: a field whose values get a colour each.
            where: a filter.
            ax: where to draw. Default: a new figure.

        Raises:
            CacheUnsupportedError: Matplotlib is not installed.
            CacheError: as for :meth:`Cache.report`.
        """
        ax = _axes(ax)
        field = Field(self._cache, name)
        groups = _Groups()
        points: list[tuple[Any, float, int]] = []
        for entry, value in self._grouped(by, where, field):
            for number in field.values(entry):
                number = plain_scalar(number)  # noqa: PLW2901
                if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
                    continue
                points.append((dt.datetime.fromisoformat(entry["created"]), float(number), groups.number(value)))
        counts = [0] * len(groups)
        for *_, group in points:
            counts[group] += 1
        order, place = groups.largest(counts)
        for number_of_group, label in enumerate(order):
            mine = sorted((time, value) for time, value, group in points if place[group] == number_of_group)
            ax.plot(
                [time for time, _ in mine],
                [value for _, value in mine],
                marker="o",
                markersize=4,
                linewidth=0.8,
                label=label if by is not None else name,
            )
        _finish(ax, name, by)
        ax.set_ylabel(name)
        return ax

    def _grouped(
        self, by: str | None, where: dict[str, Any] | None, metric: Field | None = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """The entries that match, each with its value of a field."""
        field = None if by is None else Field(self._cache, by)
        needs_metadata = any(each is not None and each.needs_metadata for each in (field, metric))
        if metric is not None:
            where = _with(where, metric)
        for page in pages(self._cache, where, include_metadata=needs_metadata):
            for entry in page:
                values = [None] if field is None else field.values(entry)
                if len(values) > 1:
                    raise CacheConfigurationError(
                        f"entry {entry['cache_key']} has {len(values)} values of {by}",
                        hint="group by a field with one value in each entry",
                    )
                yield entry, values[0]


def _with(where: dict[str, Any] | None, field: Field) -> dict[str, Any]:
    """The filter, and that the field exists."""
    exists = {field.text: {"$exists": True}}
    return exists if not where else {"$and": [where, exists]}


class _Groups:
    """Values of a field, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, value: Any) -> int:
        same = identity(value)
        number = self._numbers.get(same)
        if number is None:
            number = self._numbers[same] = len(self._texts)
            self._texts.append(text(value))
        return number

    def largest(self, weights: list[int]) -> tuple[list[str], list[int]]:
        """The labels of what is drawn, the largest first, and for each number the place of its label."""
        ranked = sorted(range(len(self)), key=lambda number: (-weights[number], self._texts[number]))
        own = ranked if len(ranked) <= _GROUPS else ranked[: _GROUPS - 1]
        # A label that begins with an underscore is left out of legends.
        texts = [self._texts[number] for number in own]
        labels = [f"\u200b{label}" if label.startswith("_") else label for label in texts]
        place = [len(own)] * len(self)
        for rank, number in enumerate(own):
            place[number] = rank
        if len(own) < len(ranked):
            labels.append(f"{len(ranked) - len(own):,} others")
        return labels, place


def _axes(ax: Axes | None) -> Axes:
    """The Axes to draw in, made if there are none."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise CacheUnsupportedError(
            f"cache.plot needs matplotlib, which cannot be imported: {error}", hint="pip install 'cacheness[plot]'"
        ) from error
    return plt.subplots(layout="constrained")[1]


def _finish(ax: Axes, title: str, legend: str | None) -> None:
    """The title, a legend, and dates that are short."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=dt.UTC, maxticks=6)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=dt.UTC))  # type: ignore[no-untyped-call]
    ax.set_title(title)
    ax.set_xlabel("time of put (UTC)")
    if legend is not None and ax.get_legend_handles_labels()[0]:
        ax.legend(title=legend)
    _plain(ax)


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, integer=True)


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
