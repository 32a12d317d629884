"""Results of methods about entries: plain lists and dictionaries with a readable display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: How many rows of a listing are shown.
_ROWS = 20

#: The longest text in a row.
_WIDTH = 60

#: Fields of an entry that its metadata also returns.
_TECHNICAL = (
    "object_type",
    "storage_format",
    "serializer",
    "compression_codec",
    "actual_path",
    "file_hash",
    "entry_signature",
)


class EntryMetadata(dict[str, Any]):
    """The user's metadata of an entry.

    It contains only the user's fields, so that it can be put again. Access by name (``[]``, ``get``, ``in``) also finds
    the technical fields of the entry, unless a user's field has the same name.
    """

    __slots__ = ("_technical",)
    _technical: dict[str, Any]

    def __missing__(self, name: str) -> Any:
        return self._technical[name]

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self._technical

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or ``default``."""
        return dict.get(self, name, self._technical.get(name, default))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def add_technical_fields(entry: dict[str, Any]) -> None:
    """Makes the technical fields of an entry accessible through its metadata."""
    metadata = EntryMetadata(entry["metadata"])
    metadata._technical = {name: entry[name] for name in _TECHNICAL if entry[name] is not None}
    entry["metadata"] = metadata


def by_name(entry: dict[str, Any]) -> dict[str, Any]:
    """The values of an entry by the names that ``delete_matching`` looks up, for predicates.

    From the metadata, else the parameters, else the arguments of a function, else the fields of the entry.
    """
    named = dict(entry)
    parameters = entry["cache_key_params"]
    if isinstance(parameters, dict):
        if "__function__" in parameters and isinstance(parameters.get("arguments"), dict):
            named.update(parameters["arguments"])
        named.update(parameters)
    named.update(entry["metadata"])
    return named


class Entries(list[dict[str, Any]]):
    """A listing: a list of dictionaries, one per entry."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "[]"
        rows = [_COLUMNS, *_rows(self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join((*lines, *_rest(self)))

    def _repr_html_(self) -> str:
        return _table(_COLUMNS, _rows(self), *_rest(self))


_COLUMNS = ("key", "what", "type", "format", "size", "created")


def _rows(entries: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            _short(entry["cache_key"]),
            _short(entry.get("call") or _parameters(entry)),
            entry["data_type"],
            entry["storage_format"],
            size(entry["file_size"]),
            entry["created_at"][:19].replace("T", " "),
        )
        for entry in entries[:_ROWS]
    ]


def _parameters(entry: dict[str, Any]) -> str:
    parameters = entry["cache_key_params"]
    if isinstance(parameters, dict):
        return ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return str(entry["description"])


def _rest(entries: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return (f"… and {len(entries) - _ROWS:,} more",) if len(entries) > _ROWS else ()


class Stats(dict[str, Any]):
    """Totals and counts of a cache."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return _table(("", ""), [(name, _shown(value)) for name, value in self.items()])


class StoreReport(dict[str, Any]):
    """The result of checking a whole store.

    ``valid`` (whether no entry is damaged or forged), ``entries`` (their number), ``signatures`` (the numbers of
    ``valid``, ``unsigned`` and ``invalid`` ones), ``problems`` (for each invalid entry its ``cache_key`` and the result
    of ``verify_integrity``).
    """

    __slots__ = ()

    def __repr__(self) -> str:
        signatures = ", ".join(f"{count:,} {state}" for state, count in self["signatures"].items() if count)
        found = "all valid" if self["valid"] else f"{len(self['problems']):,} damaged or forged"
        lines = [f"{self['entries']:,} entries: {found}; signatures: {signatures or 'none'}"]
        lines += [f"  {_short(problem['cache_key'])}: {problem['error']}" for problem in self["problems"][:_ROWS]]
        return "\n".join((*lines, *_rest(self["problems"])))

    def _repr_html_(self) -> str:
        rows = [(problem["cache_key"], problem["error"]) for problem in self["problems"][:_ROWS]]
        return _table(("key", "problem"), rows, repr(self).partition("\n")[0], *_rest(self["problems"]))


def check(keys: Iterable[str], verify: Callable[[str], dict[str, Any] | None]) -> StoreReport:
    """Checks the entries of a store one by one.

    Args:
        keys: their keys.
        verify: checks one entry; returns ``None`` if it has been removed meanwhile.
    """
    signatures = {"valid": 0, "unsigned": 0, "invalid": 0}
    problems = []
    count = 0
    for key in keys:
        found = verify(key)
        if found is None:
            continue
        count += 1
        signatures[found["signature"]] += 1
        if not found["valid"]:
            problems.append({"cache_key": key, **found})
    return StoreReport(valid=not problems, entries=count, signatures=signatures, problems=problems)


def missing() -> dict[str, Any]:
    """The result of checking an entry that does not exist."""
    return {
        "valid": False,
        "expected_hash": None,
        "actual_hash": None,
        "signature": None,
        "error": "the entry does not exist",
    }


def size(count: int) -> str:
    """A number of bytes in a readable unit."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *notes: str) -> str:
    from html import escape

    def row(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    shown = "".join(f"<p>{escape(note)}</p>" for note in notes)
    body = "".join(row(cells, "td") for cells in rows)
    if not body:
        return shown or "<p>none</p>"
    top = f"<thead>{row(head, 'th')}</thead>" if any(head) else ""
    return f"<table>{top}<tbody>{body}</tbody></table>{shown}"


def card(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """The display of a cache or store in a notebook."""
    return _table(("", ""), rows, title)
