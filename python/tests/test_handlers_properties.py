"""Handlers of one's own: whatever they write and return comes back to them, whatever the order they are asked in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheness import Cache, CacheHandler, CacheSerializationError

BUILTIN_POSITIONS = 9


class Blob:
    def __init__(self, data: bytes, extra: dict[str, Any], suffix: str) -> None:
        self.data = data
        self.extra = extra
        self.suffix = suffix


class BlobHandler(CacheHandler):
    """Writes the data, and hands everything else over beside it."""

    def __init__(self, name: str = "blob") -> None:
        self.name = name

    @property
    def data_type(self) -> str:
        return self.name

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, Blob)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        path = Path(f"{file_path}{data.suffix}")
        path.write_bytes(data.data)
        return {"file_path": str(path), "suffix": data.suffix, "extra": data.extra, "by": self.name}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        assert metadata["by"] == self.name
        return Blob(file_path.read_bytes(), metadata["extra"], metadata["suffix"])


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=6,
)
payloads = st.one_of(st.binary(max_size=50), st.binary(min_size=1, max_size=3).map(lambda part: part * 30_000))
suffixes = st.sampled_from(["", ".bin", ".tar.gz", ".x-y_z", ".ü"])
blobs = st.builds(Blob, payloads, st.dictionaries(st.text(max_size=4), plain, max_size=3), suffixes)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Cache(tmp_path_factory.mktemp("handlers"), enable_memory_cache=False) as cache:
        yield cache


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@given(
    blob=blobs,
    priority=st.none() | st.integers(0, BUILTIN_POSITIONS + 3),
    name=st.sampled_from(["blob", "größe", "a b"]),
)
def test_what_a_handler_writes_comes_back(shared: Cache, blob: Blob, priority: int | None, name: str) -> None:
    registry = shared.handler_registry
    registry.register_handler(BlobHandler(name), priority)
    try:
        names = [handler["name"] for handler in registry.list_handlers()]
        assert names.index(name) == (min(priority, len(names) - 1) if priority is not None else len(names) - 2)
        if names.index(name) > names.index("object_pickle"):
            return  # pickle takes everything
        shared.put(blob, x=1)
        entry = shared.get_metadata(x=1)
        assert entry is not None and entry["handler_used"] == entry["data_type"] == name
        back = shared.get(x=1)
        assert (back.data, back.suffix) == (blob.data, blob.suffix)
        assert same(back.extra, blob.extra)
        # Other values go the way that they always went.
        for value in ([1, "a"], 2.5, {"k": b"v"}):
            shared.put(value, x=2)
            assert same(shared.get(x=2), value)
    finally:
        assert registry.unregister_handler(name)


@given(data=st.lists(blobs, min_size=1, max_size=4))
def test_the_last_put_counts_and_nothing_is_left_behind(shared: Cache, data: list[Blob]) -> None:
    shared.handler_registry.register_handler(BlobHandler())
    try:
        for blob in data:
            shared.put(blob, x=3)
        assert shared.get(x=3).data == data[-1].data
        assert shared.delete(x=3) if hasattr(shared, "delete") else shared.invalidate(x=3)
        assert shared.get(x=3) is None
    finally:
        shared.handler_registry.unregister_handler("blob")


class Broken(BlobHandler):
    """Fails in one of the ways in which handlers do."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def put(self, data: Any, file_path: Path, config: Any) -> Any:
        if self.way == "raises after writing":
            file_path.write_bytes(data.data)
            raise CacheSerializationError("half of it is there")
        result = super().put(data, file_path, config)
        if self.way == "elsewhere":
            return result | {"file_path": str(file_path.parent.parent / "value")}
        if self.way == "no file":
            Path(result["file_path"]).unlink()
        return None if self.way == "no dict" else result


@given(blob=blobs, way=st.sampled_from(["raises after writing", "no dict", "no file", "elsewhere"]))
def test_a_handler_that_fails_leaves_the_former_value(shared: Cache, blob: Blob, way: str) -> None:
    registry = shared.handler_registry
    shared.put("former", x=4)
    registry.register_handler(Broken(way))
    try:
        with pytest.raises(CacheSerializationError):
            shared.put(blob, x=4)
    finally:
        registry.unregister_handler("blob")
    assert shared.get(x=4) == "former"
