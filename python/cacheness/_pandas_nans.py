"""NaN in columns of NumPy floats: nulls in the file, as pandas exports them, restored to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["dump_nans", "put_nans", "put_nans_beside", "usual_nan"]


def dump_nans(values: np.ndarray, missing: np.ndarray) -> tuple[dict[str, str], Any]:
    """The NaN that nulls in the file represent, and the bits of all other NaN, if any."""
    usual = usual_nan(values.dtype)
    bits = np.ascontiguousarray(values).view(usual.dtype)
    found = bits[missing]
    if (found == found[0]).all():
        return ({} if found[0] == usual else {"nan": f"{found[0]:x}"}), None
    return {}, pa.array(bits, mask=~missing | (bits == usual))


def put_nans(values: np.ndarray, missing: np.ndarray, spec: dict[str, Any]) -> None:
    """Write the NaN that nulls represent into ``values``."""
    usual = usual_nan(values.dtype)
    values.view(usual.dtype)[missing] = int(spec["nan"], 16) if "nan" in spec else usual


def put_nans_beside(values: np.ndarray, column: Any) -> None:
    """Write the NaN whose bits are in a separate column into ``values``, floats or objects."""
    bits, missing = column.numpy()
    here = np.ones(len(bits), bool) if missing is None else ~missing
    values[here] = bits[here].view(f"float{bits.itemsize * 8}")


def usual_nan(dtype: np.dtype) -> Any:
    """The bits of ``numpy.nan``."""
    return np.array(np.nan, dtype).view(f"u{dtype.itemsize}")[()]
