"""Dtypes of pandas as text and back, as ``docs/formats/plain.md`` specifies; called from Rust."""

from __future__ import annotations

from typing import Any

from . import _core

_CATEGORY = "category"
_STRING = "string"


def to_text(dtype: Any) -> str | None:
    """The text that restores an equal dtype; ``None`` if there is none, or the value is not a dtype of pandas."""
    import pandas as pd
    from pandas.api.extensions import ExtensionDtype

    if not isinstance(dtype, ExtensionDtype):
        return None
    for text in _texts(dtype, pd):
        try:
            back = from_text(text)
        except Exception:  # noqa: BLE001, S112 - what pandas cannot read is no text of the dtype, whatever it raises
            continue
        if type(back) is type(dtype) and back == dtype and repr(back) == repr(dtype):
            return text
    return None


def _texts(dtype: Any, pd: Any) -> list[str]:
    """Candidate texts of the dtype."""
    if isinstance(dtype, pd.CategoricalDtype):
        known = dtype.categories is not None
        categories = {
            "categories": dtype.categories.tolist() if known else None,
            "dtype": dtype.categories.dtype if known else None,
            "ordered": dtype.ordered,
        }
        try:
            return [f"{_CATEGORY} {_core.metadata_dumps(categories)}"]
        except (TypeError, ValueError):
            return []
    if isinstance(dtype, pd.StringDtype):
        return [f"{_STRING} {dtype.storage} {'NA' if dtype.na_value is pd.NA else 'nan'}"]
    return [str(dtype), repr(dtype)]


def from_text(text: str) -> Any:
    """The dtype of a text that :func:`to_text` made."""
    import pandas as pd

    kind, _, more = text.partition(" ")
    if kind == _STRING and more:
        storage, _, missing = more.partition(" ")
        return pd.StringDtype(storage) if missing == "NA" else pd.StringDtype(storage, na_value=float("nan"))
    if kind == _CATEGORY and more:
        given = _core.metadata_loads(more)
        if given["categories"] is None:
            return pd.CategoricalDtype(None, given["ordered"])
        return pd.CategoricalDtype(
            pd.Index(given["categories"], dtype=given["dtype"], tupleize_cols=False), given["ordered"]
        )
    return pd.api.types.pandas_dtype(text)
