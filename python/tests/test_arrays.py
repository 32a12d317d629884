"""Arrays: what is stored comes back the same, and other tools open it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

from cacheness import Cache, _core
from cacheness.errors import CacheError, CacheSerializationError, CacheUnsupportedError

NPY = {"array_format": "npy"}
BLOSC2 = {"array_format": "blosc2"}
FORMATS = [NPY, BLOSC2, {}]


def dumps(value: object, config: dict[str, Any] | None = None) -> tuple[dict[str, Any], bytes]:
    encoded = _core.array_dumps(value, json.dumps(config or {}))
    assert encoded is not None, f"{type(value)} is not stored as an array"
    return encoded


def same_dtype(left: np.dtype, right: np.dtype) -> bool:
    if left != right or left.char != right.char or left.isalignedstruct != right.isalignedstruct:
        return False
    if left.fields is None:
        return True
    return left.names == right.names and all(
        same_dtype(left.fields[name][0], right.fields[name][0]) and left.fields[name][1:] == right.fields[name][1:]
        for name in left.fields
    )


def assert_same(found: np.ndarray, array: np.ndarray) -> None:
    assert type(found) is np.ndarray
    assert same_dtype(found.dtype, array.dtype), (found.dtype, array.dtype)
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable and found.flags.aligned
    assert found.flags.owndata and found.base is None
    if array.flags.c_contiguous or array.flags.f_contiguous:
        assert found.flags.c_contiguous == array.flags.c_contiguous
        assert found.flags.f_contiguous == array.flags.f_contiguous
    else:
        assert found.flags.c_contiguous


def round_trip(array: np.ndarray, config: dict[str, Any]) -> dict[str, Any]:
    meta, payload = dumps(array, config)
    assert_same(_core.array_loads(meta, payload), array)
    return meta


DTYPES = [
    "?", "i1", "u2", "<i4", ">i4", "<u8", ">u8", "<f2", ">f2", "<f4", "<f8", ">f8", "g", "<c8", ">c16", "G",
    "q", "Q", ">q", "S1", "S5", "<U1", "<U7", ">U7", "U100", "V3", "V300",
    *(f"<{kind}8[{unit}]" for kind in "Mm" for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s")),
    "<m8", ">M8[us]", "<M8",
    [("a", "<i4"), ("b", "S3", (2, 2)), ("c", [("x", ">f8"), ("y", "?")])],
    [(("a title", "a"), "<i4")],
    [("naïve", "<f4"), ("it's", "<f4")],
]  # fmt: skip


@pytest.mark.parametrize("config", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(dtype: Any, config: dict[str, Any]) -> None:
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(7)
    count = 30_000 // dtype.itemsize + 5
    raw = rng.integers(0, 256, size=count * dtype.itemsize, dtype="u1")
    if dtype.kind == "b":
        raw &= 1
    if dtype.kind == "U":
        raw.view("<u4")[...] = rng.integers(32, 0x2FFF, size=raw.size // 4)
        if dtype.byteorder == ">":
            raw = raw.view("<u4").byteswap().view("u1")
    array = np.frombuffer(raw.tobytes(), dtype=dtype)
    for candidate in (array, array[:1], array[:0], array[0:1].reshape(()), array[: count // 2 * 2].reshape(2, -1)):
        round_trip(candidate, config)
        round_trip(np.asfortranarray(candidate), config)
    round_trip(array[::-2], config)


def test_aligned_and_padded_structs() -> None:
    for dtype in (
        np.dtype("i1,i8", align=True),
        np.dtype([("a", "i1"), ("b", "f8"), ("c", "i2")], align=True),
        np.dtype({"names": ["a", "b"], "formats": ["i2", "i4"], "offsets": [0, 6], "itemsize": 20}),
    ):
        round_trip(np.ones(1000, dtype), {})


@pytest.mark.parametrize("config", FORMATS, ids=str)
def test_shapes_and_layouts(config: dict[str, Any]) -> None:
    base = np.arange(60_000, dtype="<f8").reshape(30, 40, 50)
    for array in (
        base, base.T, base.transpose(1, 0, 2), base[::2, ::-1, 3:], base[:, 0], base[..., 0], base[3:3],
        base.reshape(1, -1), base.reshape(-1, 1), base.reshape(1, 1, -1, 1), np.asfortranarray(base),
        np.broadcast_to(base[0, 0], (20, 50)), np.zeros((0, 3, 0)), np.array(5.0), np.ones((1,) * 40),
        np.ones((2,) * 12), np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        base.reshape(2, 3, 5, 4, 2, 5, 5, 10), np.frombuffer(b"\0" + base.tobytes(), "u1")[1:].view("<f8"),
    ):  # fmt: skip
        round_trip(array, config)


def test_bits_of_nan_and_zero_are_kept() -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000001, 0x8000000000000000, 0x7FF0000000000000], "<u8")
    array = np.tile(bits.view("<f8"), 10_000)
    for config in FORMATS:
        round_trip(array, config)
    nat = np.array(["NaT", "2020-01-01"], "M8[ns]").repeat(5000)
    round_trip(nat, {})


def test_what_is_not_an_array_is_left_to_others(tmp_path: Path) -> None:
    class Sub(np.ndarray):
        pass

    plain = np.arange(6.0)
    memmap = np.memmap(tmp_path / "m", dtype="f8", shape=(6,), mode="w+")
    for value in (
        1, None, "x", [1.0], {"a": plain}, plain.view(Sub), np.matrix([[1.0]]), memmap, np.ma.masked,
        np.array([None]), np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]), np.rec.array([(1, 2.0)]),
        np.array(["a", "b"], dtype=np.dtypes.StringDType()), np.zeros(3, np.dtype("i4", metadata={"unit": "m"})),
        np.zeros(3, [("a", np.dtype("i4", metadata={"unit": "m"}))]), np.zeros(3, "V0"),
        np.zeros(3, np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]})),
        np.zeros(3, np.dtype((np.record, [("a", "i4")]))), np.str_("a\0"), np.bytes_(b"a\0"), np.float64, np.dtype("f8"),
    ):  # fmt: skip
        assert _core.array_dumps(value) is None, repr(value)


def test_scalars_come_back_with_their_type() -> None:
    for scalar in (
        np.bool_(True), np.int8(-5), np.longlong(7), np.ulonglong(7), np.float16(1.5), np.float32("nan"), np.float64(-0.0),
        np.longdouble(1) / 3, np.complex64(1 + 2j), np.datetime64("2020-01-01", "s"), np.timedelta64("NaT", "ns"),
        np.str_("naïve"), np.str_(""), np.bytes_(b"x"), np.void(b"abc"), np.array([(1, 2.0)], "i4,f8")[0],
    ):  # fmt: skip
        meta, payload = dumps(scalar)
        found = _core.array_loads(meta, payload)
        assert type(found) is type(scalar)
        assert found.dtype == scalar.dtype and found.tobytes() == scalar.tobytes()
        assert meta["object_type"] == f"numpy.{type(scalar).__name__}"


def assert_same_masked(found: np.ma.MaskedArray, array: np.ma.MaskedArray) -> None:
    assert type(found) is np.ma.MaskedArray
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.data.tobytes() == array.data.tobytes()
    assert (found.mask is np.ma.nomask) == (array.mask is np.ma.nomask)
    assert np.array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(array))
    assert found.hardmask == array.hardmask
    assert np.array_equal(np.array(found.fill_value), np.array(array.fill_value))
    assert (found._fill_value is None) == (array._fill_value is None)
    if array.flags.forc:
        assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("config", FORMATS, ids=str)
def test_masked_arrays(config: dict[str, Any]) -> None:
    big = np.ma.masked_where(np.arange(100_000) % 3 == 0, np.arange(100_000.0))
    structured = np.ma.array([(1, 2.0), (3, 4.0)], mask=[(0, 1), (1, 0)], dtype="i4,f8")
    for array in (
        np.ma.array([1, 2, 3]), np.ma.array([1, 2, 3], mask=[0, 1, 0]), np.ma.array([1.0, 2.0], mask=True, fill_value=-9.0),
        np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]], hard_mask=True), np.ma.array(5, mask=True), big, structured,
        np.ma.array(np.asfortranarray(np.ones((30, 40))), mask=np.zeros((30, 40), bool)), np.ma.array([], dtype="f4"),
        np.ma.array(["a", "bc"], mask=[1, 0]), big[::3], np.ma.array([1, 2], dtype=">i8", mask=[0, 1]),
    ):  # fmt: skip
        meta, payload = dumps(array, config)
        assert meta["storage_format"] == "masked"
        found = _core.array_loads(meta, payload)
        assert_same_masked(found, array)
        found[...] = found
        for cut in (1, len(payload) // 2):
            with pytest.raises(CacheError):
                _core.array_loads(meta, payload[:-cut])
    special = np.ma.array([1, 2])
    special.note = "metres"
    assert _core.array_dumps(special) is None


def test_formats_are_chosen_by_what_pays() -> None:
    smooth = np.linspace(0, 1, 1_000_000)
    noise = np.random.default_rng(1).random(1_000_000)
    meta, payload = dumps(smooth)
    assert meta["storage_format"] == meta["extension"] == "b2nd" and meta["compression"] == "lz4"
    assert len(payload) < smooth.nbytes * 0.2
    for array, config in ((noise, {}), (smooth[:1000], {}), (smooth, NPY), (smooth, {"use_blosc2_arrays": False})):
        meta, _ = dumps(array, config)
        assert meta["storage_format"] == "npy" and meta["compression"] == "none"
    for codec in ("lz4", "lz4hc", "blosclz", "zstd", "zlib"):
        config = {"blosc2_array_codec": codec, "blosc2_array_compression_level": 3}
        assert round_trip(smooth, config)["compression"] == codec


def test_arrays_of_one_value_are_small() -> None:
    for array in (
        np.zeros(5_000_000),
        np.full(3_000_000, np.nan),
        np.ones((3000, 1001), bool),
        np.full(10**6, 7, "<i8"),
    ):
        meta, payload = dumps(array)
        assert meta["storage_format"] == "b2nd" and len(payload) < array.nbytes / 2000
        assert_same(_core.array_loads(meta, payload), array)


def in_file(tmp_path: Path, value: object, config: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    meta, payload = dumps(value, config)
    path = tmp_path / f"blob.{meta['extension']}"
    path.write_bytes(payload)
    return meta, path


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "dtype", ["<f8", ">i4", "<M8[ns]", "U7", "U100", "S3", "<c16", [("a", "<i4"), ("b", "<f8")]], ids=str
)
def test_blosc2_opens_our_files(tmp_path: Path, dtype: Any, order: str) -> None:
    dtype = np.dtype(dtype)
    items = np.arange(120_000 * dtype.itemsize // 4, dtype="<u4") % 90 + 32
    array = np.asarray(items.view("u1").view(dtype).reshape(60, 2, 1000), order=order)
    meta, path = in_file(tmp_path, array, BLOSC2)
    assert path.suffix == ".b2nd"
    opened = blosc2.open(str(path), mode="r")
    assert opened.shape == array.shape and opened.dtype == array.dtype
    assert opened[:].tobytes() == array.tobytes()
    assert opened[3:7, 1, 5:900:3].tobytes() == array[3:7, 1, 5:900:3].tobytes()
    from_memory = blosc2.ndarray_from_cframe(path.read_bytes())
    assert from_memory[:].tobytes() == array.tobytes()
    assert_same(_core.array_load_file(meta, path), array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "shape",
    [
        (1,), (600_000,), (1, 600_000), (3, 200_003), (200_003, 3), (600, 1003), (20_003, 30), (9000, 3, 21),
        (3, 9001, 21), (70, 80, 90), (1, 40_000, 1, 11), (7, 5, 3, 11, 13), (40_000, 1, 2, 1, 5), (3, 2, 5, 7, 4, 11), (2,) * 8,
    ],
)  # fmt: skip
def test_blosc2_opens_every_shape(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    array = np.asarray(np.arange(np.prod(shape), dtype="<f4").reshape(shape), order=order)
    meta, path = in_file(tmp_path, array, BLOSC2)
    opened = blosc2.open(str(path), mode="r")
    assert opened.shape == shape
    assert np.array_equal(opened[...], array)
    assert np.array_equal(opened[..., ::3], array[..., ::3])
    assert np.array_equal(opened[: shape[0] // 2 + 1], array[: shape[0] // 2 + 1])
    assert_same(_core.array_load_file(meta, path), array)
    for index in (np.s_[..., ::3], np.s_[shape[0] // 3 : shape[0] // 2 + 1], np.s_[-1:], np.s_[..., -1:]):
        assert np.array_equal(_core.array_slice(meta, path, index), array[index])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("codec", ["lz4", "lz4hc", "blosclz", "zstd", "zlib"])
def test_blosc2_reads_every_codec(tmp_path: Path, codec: str, level: int, order: str) -> None:
    config = {**BLOSC2, "blosc2_array_codec": codec, "blosc2_array_compression_level": level}
    for shape in ((200_000,), (400, 500), (20_000, 10)):
        array = np.asarray(np.linspace(0, 1, 200_000).reshape(shape), order=order)
        meta, path = in_file(tmp_path, array, config)
        assert np.array_equal(blosc2.open(str(path), mode="r")[:], array)
        assert_same(_core.array_load_file(meta, path), array)


#: The array of `test_frames_of_transposed_arrays_are_still_read` as a frame that holds it transposed, which is how Fortran
#: order was written before.
TRANSPOSED = (
    "nqhiMmZyYW1lANIAAADVzwAAAAAAAAGvpBIAVAPTAAAAAAAAB4DTAAAAAAAAAI/SAAAACNIAAAeA0gAAB4DRAAHRAAHC2AYBAAAAAAAEAAAAAAAAAAAA"
    "k80AIN4AAqRiMm5k0gAAAHqpY2FjaGVuZXNz0gAAAMfcAALGAAAASJcAA5PTAAAAAAAAAALTAAAAAAAAAAPTAAAAAAAAACiT0gAAAALSAAAAA9IAAAAo"
    "k9IAAAAC0gAAAAPSAAAAKADbAAAAAzxmOMYAAAAJgaVvcmRlcqFGBQF1CIAHAACABwAAjwAAAAEAAAAAAAQAAAAAAAAAAAAkAAAAZwAAAHheY2AYBaNg"
    "FIyCYQIaoJA4VQ1EqiJkHpHKyLD2AwOHgIiEjIKSipqGlo6egaGRsYmpmbmFpZW1ja2dvYODo6OTk7MzcapcXIhT5epKpLUuxKlycSVOlasbg73DgIAB"
    "stYBAIa/eyoFAQcICAAAAAgAAAAoAAAAAQAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAlAGTzQAG3gAA3AAAzgAAACPYAAAAAAAAAAAAAAAAAAAAAAA="
)


def test_frames_of_transposed_arrays_are_still_read(tmp_path: Path) -> None:
    meta = {**FOREIGN, "storage_format": "b2nd"}
    array = np.asfortranarray(np.arange(40.0)[:, None, None] + np.arange(3)[:, None] * 2 + np.arange(2))
    frame = base64.b64decode(TRANSPOSED)
    assert np.array_equal(blosc2.ndarray_from_cframe(frame)[:], array.T), "what the frame is, by its own library"
    assert_same(_core.array_loads(meta, frame), array)
    path = tmp_path / "old.b2nd"
    path.write_bytes(frame)
    for index in (np.s_[3:17, 1, :], np.s_[..., 1], np.s_[39]):
        assert np.array_equal(_core.array_slice(meta, path, index), array[index])


@pytest.mark.parametrize("compression", [{}, {"array_format": "npy"}, {"array_format": "blosc2"}], ids=str)
@pytest.mark.parametrize("shape", [(300, 400), (40_000, 5), (5, 40_000), (30, 50, 70)])
def test_fortran_order_has_its_shape_in_every_tool(
    tmp_path: Path, shape: tuple[int, ...], compression: dict[str, str]
) -> None:
    array = np.asfortranarray(np.arange(float(np.prod(shape))).reshape(shape) // 7)
    with Cache(tmp_path, **compression) as cache:
        cache.put(array, cache_key="k")
        assert_same(cache.get(cache_key="k"), array)
        part = cache.get_slice(np.s_[3:5], cache_key="k")
        assert np.array_equal(part, array[3:5])
        (path,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
        if path.suffix == ".npy":
            assert np.array_equal(np.load(path), array)
            assert np.array_equal(np.load(path, mmap_mode="r"), array)
            mapped = cache.get(cache_key="k", mmap_mode="r")
            assert mapped.shape == shape and np.array_equal(mapped, array)
        else:
            opened = blosc2.open(str(path), mode="r")
            assert opened.shape == shape and np.array_equal(opened[:], array)


FOREIGN = {"handler": "numpy_arrays", "data_type": "array", "compression": "zstd", "object_type": "numpy.ndarray"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (100, 70, 50), "blocks": (20, 30, 50)},
        {"chunks": (160, 120, 70), "blocks": (7, 11, 13)},
        {"chunks": (1, 50, 20)},
        {"cparams": {"codec": blosc2.Codec.LZ4, "filters": [blosc2.Filter.BITSHUFFLE]}},
        {"cparams": {"codec": blosc2.Codec.BLOSCLZ, "filters": [blosc2.Filter.NOFILTER]}},
        {"cparams": {"codec": blosc2.Codec.ZLIB, "clevel": 0}},
        {"cparams": {"codec": blosc2.Codec.ZSTD, "use_dict": True, "clevel": 3}},
        {"cparams": {"codec": blosc2.Codec.LZ4HC, "filters": [blosc2.Filter.DELTA, blosc2.Filter.SHUFFLE]}},
    ],
    ids=str,
)
def test_we_read_what_blosc2_writes(tmp_path: Path, options: dict[str, Any]) -> None:
    array = np.arange(150 * 110 * 60, dtype="<i4").reshape(150, 110, 60) // 3
    path = tmp_path / "foreign.b2nd"
    blosc2.asarray(array, urlpath=str(path), mode="w", **options)
    meta = {**FOREIGN, "storage_format": "b2nd"}
    assert_same(_core.array_load_file(meta, path), array)
    assert_same(_core.array_loads(meta, blosc2.asarray(array, **options).to_cframe()), array)
    for index in ((slice(3, 140), slice(50, 60), 7), (5, ...), (..., slice(58, 60)), (slice(None, None, -7),)):
        assert np.array_equal(_core.array_slice(meta, path, index), array[index])


def test_we_read_special_values_of_blosc2(tmp_path: Path) -> None:
    meta = {**FOREIGN, "storage_format": "b2nd"}
    for made, expected in (
        (blosc2.zeros((1000, 300), dtype="<f8"), np.zeros((1000, 300))),
        (blosc2.nans((1000, 300), dtype="<f4"), np.full((1000, 300), np.nan, "<f4")),
        (blosc2.full((1000, 300), 7, dtype="<i2"), np.full((1000, 300), 7, "<i2")),
        (blosc2.uninit((1000, 300), dtype="<i8"), np.zeros((1000, 300), "<i8")),
    ):
        assert_same(_core.array_loads(meta, made.to_cframe()), expected)


def test_absurd_frames_are_refused_before_memory_is_taken() -> None:
    frame = blosc2.zeros((10**9,), dtype="<f8").to_cframe()
    with pytest.raises(CacheSerializationError, match="claims to hold"):
        _core.array_loads({**FOREIGN, "storage_format": "b2nd"}, frame)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numpy_opens_our_files(tmp_path: Path, dtype: Any) -> None:
    for order in ("C", "F"):
        array = np.zeros((3, 4), np.dtype(dtype), order=order)
        if array.dtype.char != np.dtype(array.dtype.str).char and array.dtype.fields is None:
            array = array.astype(array.dtype.str)
        _, path = in_file(tmp_path, array, NPY)
        found = np.load(path)
        assert found.dtype == array.dtype and found.flags.f_contiguous == array.flags.f_contiguous
        assert found.tobytes() == array.tobytes()
        mapped = np.load(path, mmap_mode="r")
        assert mapped.tobytes() == array.tobytes()
        assert path.read_bytes().index(b"\n") % 64 == 63


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_we_read_what_numpy_writes(tmp_path: Path, version: tuple[int, int]) -> None:
    meta = {**FOREIGN, "storage_format": "npy"}
    for array in (
        np.arange(10.0),
        np.ones((2, 3), order="F"),
        np.array(3, ">i2"),
        np.zeros(2, "S3,(2,)i4"),
        np.zeros((0, 2)),
    ):
        path = tmp_path / "foreign.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, array, version=version)
        assert_same(_core.array_load_file(meta, path), array)
        assert_same(_core.array_loads(meta, path.read_bytes()), array)


def test_pickled_npy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CacheUnsupportedError, match="O"):
        _core.array_load_file({**FOREIGN, "storage_format": "npy"}, path)


def test_masked_data_is_what_plain_tools_see(tmp_path: Path) -> None:
    array = np.ma.array(np.linspace(0, 1, 100_000), mask=np.arange(100_000) % 2 == 0)
    _, path = in_file(tmp_path, array, NPY)
    with path.open("rb") as file:
        assert np.array_equal(np.load(file), array.data)
        assert np.array_equal(np.load(file), array.mask)


@pytest.mark.parametrize("mode", ["r", "c"])
def test_mapped_arrays(tmp_path: Path, mode: str) -> None:
    for array in (np.arange(1000.0).reshape(10, 100), np.asfortranarray(np.ones((5, 7), ">i4")), np.zeros(9, "i1,f8")):
        meta, path = in_file(tmp_path, array, NPY)
        before = path.read_bytes()
        found = _core.array_map(meta, path, mode)
        assert type(found) is np.ndarray and not found.flags.owndata
        assert found.dtype == array.dtype and np.array_equal(found, array)
        assert found.flags.f_contiguous == array.flags.f_contiguous and found.flags.aligned == array.flags.aligned
        assert found.flags.writeable == (mode == "c")
        if mode == "c":
            found[...] = found[::-1].copy()
            assert not np.shares_memory(found, _core.array_map(meta, path, mode))
        path.unlink()
        assert path.exists() is False and found.tobytes()
        path.write_bytes(before)
        assert np.array_equal(_core.array_load_file(meta, path), array)
    with pytest.raises(CacheError, match="mmap_mode"):
        _core.array_map(meta, path, "w+")


def test_what_cannot_be_mapped_is_decoded(tmp_path: Path) -> None:
    for array in (np.linspace(0, 1, 100_000), np.zeros((0, 3))):
        meta, path = in_file(tmp_path, array, BLOSC2)
        found = _core.array_map(meta, path, "r")
        assert np.array_equal(found, array) and not found.flags.writeable
        assert _core.array_map(meta, path, "c").flags.writeable


INDICES: list[Any] = [
    ..., 0, -1, (1, 2, 3), (slice(None), 5), (slice(2, 9), slice(None, None, 2), slice(None, None, -1)), (..., 0),
    (0, ...), (slice(8, 2, -3), ..., 4), (slice(5, 5),), (slice(100, 200),), (slice(-3, None),), np.int64(3),
    (slice(None, None, 100), 0, 0), (), (slice(3, 4), slice(3, 4), slice(3, 4)), (-1, -1, -1), (..., slice(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("config", [NPY, BLOSC2], ids=str)
def test_parts(tmp_path: Path, config: dict[str, Any], order: str) -> None:
    array = np.asarray(np.arange(10 * 20 * 3000, dtype="<f4").reshape(10, 20, 3000), order=order)
    meta, path = in_file(tmp_path, array, config)
    for index in INDICES:
        for verify in (False, True):
            found = _core.array_slice(meta, path, index, verify)
            expected = array[index]
            assert type(found) is type(expected), index
            assert np.array_equal(found, expected) and found.dtype == expected.dtype, index
            if isinstance(found, np.ndarray):
                assert found.flags.writeable
    for index, error in (
        (10, IndexError), ((0, 0, 0, 0), IndexError), ((..., ...), IndexError), (-11, IndexError), (10**30, IndexError),
        ([1, 2], TypeError), (np.array([True] * 10), TypeError), (None, TypeError), (True, TypeError), ("a", TypeError),
        (1.0, TypeError), (slice(None, None, 0), ValueError), (slice("a"), TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            _core.array_slice(meta, path, index)


def test_parts_of_masked_arrays(tmp_path: Path) -> None:
    array = np.ma.array(np.arange(100.0).reshape(10, 10), mask=np.eye(10))
    meta, path = in_file(tmp_path, array, {})
    found = _core.array_slice(meta, path, (slice(2, 4), 2))
    assert found.mask.tolist() == [True, False] and found.data.tolist() == [22.0, 32.0]


def test_damage_is_an_error() -> None:
    for config in (NPY, BLOSC2):
        meta, payload = dumps(np.arange(50_000.0), config)
        for damaged in (b"", payload[:50], payload[:-1], payload + b"x", b"x" + payload):
            with pytest.raises(CacheError):
                _core.array_loads(meta, damaged)
        with pytest.raises(CacheError):
            _core.array_loads({**meta, "handler_meta": b'{"later": 1}'}, payload)
        with pytest.raises(CacheError):
            _core.array_loads({**meta, "storage_format": "parquet"}, payload)


def test_threads_encode_and_decode_at_the_same_time() -> None:
    arrays = [np.arange(i, i + 500_000.0) for i in range(8)]
    failures: list[BaseException] = []

    def work(array: np.ndarray) -> None:
        try:
            for _ in range(5):
                round_trip(array, {})
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(array,)) for array in arrays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def run_python(code: str) -> str:
    environment_path = str(Path(__file__).resolve().parents[1])
    program = f"import sys; sys.path.insert(0, {environment_path!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fork_decodes_after_its_parent_did() -> None:
    code = """
import os
import numpy as np
from cacheness import Cache, _core
array = np.linspace(0, 1, 2_000_000)
meta, payload = _core.array_dumps(array)
assert meta["storage_format"] == "b2nd"
_core.array_loads(meta, payload)
child = os.fork()
if child == 0:
    meta, payload = _core.array_dumps(array)
    os._exit(0 if np.array_equal(_core.array_loads(meta, payload), array) else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    assert run_python(code).split() == ["0"]


def test_numpy_is_not_imported_for_other_values() -> None:
    code = """
import sys
from cacheness import Cache, _core
assert "numpy" not in sys.modules
assert _core.array_dumps({"a": 1}) is None
assert _core.array_dumps(3.5) is None
print("numpy" in sys.modules)
"""
    assert run_python(code).split() == ["False"]


def test_the_value_is_not_held_after_encoding() -> None:
    array = np.arange(100_000.0)
    count = sys.getrefcount(array)

    def check() -> object:
        return dumps(array)

    check()
    check()
    assert sys.getrefcount(array) == count
