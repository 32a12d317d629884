"""What the project wants to reach, as data. A target is about one row of the comparison and the column of cacheness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

#: The median of each peer, by row.
Medians = Mapping[str, Mapping[str, float]]
OURS = "cacheness"


@dataclass(frozen=True)
class Verdict:
    """How far a target is reached: met where ``measured`` does not exceed ``limit``."""

    row: str
    target: str
    measured: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Times:
    """At most ``factor`` times what a peer takes in the same run; ``peer`` None is the fastest of them."""

    row: str
    peer: str | None
    factor: float

    def judge(self, medians: Medians) -> Verdict | None:
        """Compare, or return None where the row or the peer was not measured."""
        row = medians.get(self.row, {})
        others = [value for name, value in row.items() if name != OURS and self.peer in (None, name)]
        if OURS not in row or not others:
            return None
        text = f"≤ {self.factor:.2g} × {self.peer or 'the fastest peer'}"
        return Verdict(self.row, text, row[OURS] / min(others), self.factor)


@dataclass(frozen=True)
class AtMost:
    """At most ``limit`` in the row's own unit, on whatever machine."""

    row: str
    limit: float
    unit: str

    def judge(self, medians: Medians) -> Verdict | None:
        """Compare, or return None where the row was not measured."""
        ours = medians.get(self.row, {}).get(OURS)
        return None if ours is None else Verdict(self.row, f"≤ {self.limit:g} {self.unit}", ours, self.limit)


@dataclass(frozen=True)
class TimesOwn:
    """At most ``factor`` times what cacheness takes in another row."""

    row: str
    other: str
    factor: float

    def judge(self, medians: Medians) -> Verdict | None:
        """Compare, or return None where one of the rows was not measured."""
        ours, base = medians.get(self.row, {}).get(OURS), medians.get(self.other, {}).get(OURS)
        if ours is None or base is None:
            return None
        return Verdict(self.row, f"≤ {self.factor:g} × “{self.other}”", ours / base, self.factor)


Target = Times | AtMost | TimesOwn

# The targets for tables are set against an earlier, pure-Python implementation that is not measured here. Its times are
# known from a run beside pickle files, so its ratio to those stands in for it. In that run the pandas table, 55 MB as a
# pickle, took 337 ms to write, four times as long as the Polars one: its strings were Python objects, each
# pickled by itself. Strings of today's default type are pickled as one buffer, so the ratio is only true of objects.
PANDAS_PUT, PANDAS_GET = 0.6 * 570 / 337, 0.5 * 138 / 170
POLARS_PUT, POLARS_GET = 0.6 * 238 / 82, 0.5 * 64 / 61

TARGETS: tuple[Target, ...] = (
    Times("small dict: put", "sqlite3 row", 1.5),
    Times("small dict: put", "diskcache", 1 / 3),
    Times("small dict: get", "sqlite3 row", 1.2),
    Times("small dict: get", "diskcache", 1 / 4),
    Times("decorator: hit", "diskcache", 1 / 4),
    AtMost("open + get + close", 1, "ms"),
    AtMost("list 2,000 entries with metadata", 5, "ms"),
    Times("1 MB float64 smooth: put", "pickle file", 1),
    Times("1 MB float64 smooth: get", "pickle file", 1),
    Times("1 MB float64 random: put", "pickle file", 1),
    Times("1 MB float64 random: get", "pickle file", 1),
    Times("100 MB float64 smooth: put", "pickle file", 1.5),
    Times("100 MB float64 smooth: on disk", "pickle file", 0.2),
    Times("100 MB float64 smooth: get", None, 0.6),
    Times("100 MB float64 random: put", "pickle file", 1.1),
    Times("100 MB float64 random: get", None, 0.6),
    AtMost("100 MB float64 random: mapped, not verified", 2, "ms"),
    Times("pandas 1M × 8, objects: put", "pickle file", PANDAS_PUT),
    Times("pandas 1M × 8, objects: get", "pickle file", PANDAS_GET),
    AtMost("pandas 1M × 8: on disk", 22, "MB"),
    AtMost("pandas 1M × 8, objects: on disk", 22, "MB"),
    Times("Polars 1M × 8: put", "pickle file", POLARS_PUT),
    Times("Polars 1M × 8: get", "pickle file", POLARS_GET),
    AtMost("Polars 1M × 8: on disk", 22, "MB"),
    AtMost("key of a 100 MB array", 20, "ms"),
    AtMost("4 processes: get, p99", 1, "ms"),
    AtMost("4 processes: put, p99", 20, "ms"),
    AtMost("4 processes: errors", 0, "errors"),
    TimesOwn("many entries: put", "1,000 entries: put", 1.5),
    TimesOwn("many entries: get", "1,000 entries: get", 1.5),
    AtMost("many entries: open + get + close", 5, "ms"),
    TimesOwn("full cache of many: put", "full cache of 1,000: put", 1.5),
    AtMost("many entries: delete a tenth by metadata", 2, "s"),
)


def judge(rows: Mapping[str, Mapping[str, list[float]]]) -> list[Verdict]:
    """Hold the targets against the samples of each row and peer; a target without its rows is left out."""
    medians = {row: {peer: median(samples) for peer, samples in peers.items()} for row, peers in rows.items()}
    return [verdict for target in TARGETS if (verdict := target.judge(medians)) is not None]
