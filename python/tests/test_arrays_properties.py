"""Properties that hold for every array: it comes back with every bit, its dtype and its layout."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from soak import times

from cacheness import _core
from cacheness.errors import CacheError

simple_dtypes = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?"),
    npst.complex_number_dtypes(endianness="?"),
    npst.datetime64_dtypes(endianness="?"),
    npst.timedelta64_dtypes(endianness="?"),
    npst.byte_string_dtypes(endianness="?", max_len=300),
    npst.unicode_string_dtypes(endianness="?", max_len=80),
)
dtypes = st.one_of(
    simple_dtypes,
    npst.array_dtypes(simple_dtypes, min_size=1, max_size=4),
    npst.nested_dtypes(simple_dtypes).filter(lambda dtype: dtype.subdtype is None and dtype.itemsize > 0),
)
configs = st.fixed_dictionaries(
    {
        "array_format": st.sampled_from(["auto", "npy", "blosc2"]),
        "blosc2_array_codec": st.sampled_from(["lz4", "lz4hc", "blosclz", "zstd", "zlib"]),
        "blosc2_array_compression_level": st.integers(0, 9),
        "parallel": st.booleans(),
        "sample": st.booleans(),
    }
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Any dtype and shape, bits drawn at random or in runs, C or Fortran order or with gaps."""
    dtype = np.dtype(draw(dtypes))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=6))
    if shape and draw(st.booleans()):
        shape = (*shape[:-1], shape[-1] * draw(st.sampled_from([1, 100, 3000])))
    count = int(np.prod(shape, dtype=int))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = rng.integers(0, 256, size=count * dtype.itemsize, dtype="u1")
    if draw(st.booleans()):
        raw = np.sort(raw)
    if _holds(dtype, "bU"):
        # Not every pattern of bits is a bool or a character.
        array = np.zeros(shape, dtype)
    else:
        array = np.frombuffer(raw.tobytes(), dtype=dtype, count=count).reshape(shape).copy()
    layout = draw(st.sampled_from(["C", "F", "reversed", "step", "swapped"]))
    if layout == "F":
        return np.asfortranarray(array) if array.ndim else array
    if layout == "reversed" and array.ndim:
        return array[::-1]
    if layout == "step" and array.ndim:
        return array[..., ::2]
    return array.swapaxes(0, -1) if layout == "swapped" and array.ndim else array


def _holds(dtype: np.dtype, kinds: str) -> bool:
    if dtype.subdtype is not None:
        return _holds(dtype.subdtype[0], kinds)
    if dtype.fields is not None:
        return any(_holds(field[0], kinds) for field in dtype.fields.values())
    return dtype.kind in kinds


def dumps(value: object, config: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    encoded = _core.array_dumps(value, json.dumps(config))
    assert encoded is not None
    return encoded


relaxed = settings(max_examples=times(150))


@relaxed
@given(arrays(), configs)
def test_every_array_comes_back(array: np.ndarray, config: dict[str, Any]) -> None:
    meta, payload = dumps(array, config)
    found = _core.array_loads(meta, payload)
    assert type(found) is np.ndarray
    assert found.dtype == array.dtype and found.dtype.char == array.dtype.char
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable and found.flags.owndata
    if array.flags.forc:
        assert found.flags.f_contiguous == array.flags.f_contiguous
        assert found.flags.c_contiguous == array.flags.c_contiguous


@relaxed
@given(npst.arrays(simple_dtypes, npst.array_shapes(max_dims=4, max_side=8)), configs)
def test_every_value_comes_back(array: np.ndarray, config: dict[str, Any]) -> None:
    found = _core.array_loads(*dumps(array, config))
    assert found.tobytes() == array.tobytes() and found.dtype == array.dtype


@relaxed
@given(st.data(), configs)
def test_every_part_comes_back(tmp_path_factory: Any, data: st.DataObject, config: dict[str, Any]) -> None:
    shape = data.draw(npst.array_shapes(max_dims=4, max_side=30))
    array = np.arange(np.prod(shape), dtype="<i4").reshape(shape, order=data.draw(st.sampled_from("CF")))
    index = data.draw(npst.basic_indices(shape, allow_newaxis=False))
    meta, payload = dumps(array, config)
    path = tmp_path_factory.getbasetemp() / "part"
    path.write_bytes(payload)
    found = _core.array_slice(meta, path, index)
    expected = array[index]
    assert type(found) is type(expected)
    assert np.array_equal(found, expected) and found.dtype == expected.dtype


@relaxed
@given(st.binary(max_size=400), st.sampled_from(["npy", "b2nd"]), st.data())
def test_damaged_payloads_raise_or_decode(noise: bytes, storage: str, data: st.DataObject) -> None:
    config = {"array_format": "npy" if storage == "npy" else "blosc2"}
    meta, payload = dumps(np.arange(500, dtype="<f8") ** 2, config)
    at = data.draw(st.integers(0, len(payload)))
    damaged = payload[:at] + noise + payload[at + len(noise) :]
    try:
        found = _core.array_loads(meta, damaged)
    except CacheError:
        return
    assert found.nbytes <= 1 << 27
