"""Handlers of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacheness import (
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheHandler,
    CacheSerializationError,
    CacheUnsupportedError,
    HandlerConfig,
    list_handlers,
    register_handler,
    unregister_handler,
)
from cacheness.interfaces import StorageHandler


class Temperature:
    def __init__(self, kelvin: float) -> None:
        self.kelvin = kelvin


class TemperatureHandler(CacheHandler):
    @property
    def data_type(self) -> str:
        return "temperature"

    def can_handle(self, data: Any) -> bool:
        return isinstance(data, Temperature)

    def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
        assert config.pickle_compression_codec == "zstd"
        path = file_path.with_suffix(".json")
        path.write_text(json.dumps({"kelvin": data.kelvin}))
        return {"storage_format": "json", "file_path": str(path), "unit": "K"}

    def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
        assert metadata["unit"] == "K"
        return Temperature(json.loads(file_path.read_text())["kelvin"])


def test_a_handler_of_one_cache(cache: Cache, tmp_path: Path) -> None:
    cache.handler_registry.register_handler(TemperatureHandler())
    cache.put(Temperature(300.0), x=1)
    assert cache.get(x=1).kelvin == 300.0
    entry = cache.get_metadata(x=1)
    assert entry is not None
    assert (entry["data_type"], entry["storage_format"], entry["handler_used"]) == (
        "temperature",
        "json",
        "temperature",
    )
    assert entry["actual_path"].endswith(".json")
    assert cache.put([1], x=2)
    assert cache.get(x=2) == [1]
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []
    names = [h["name"] for h in cache.handler_registry.list_handlers()]
    assert names[-2:] == ["temperature", "object_pickle"]
    assert cache.handler_registry.unregister_handler("temperature")
    assert not cache.handler_registry.unregister_handler("temperature")
    with pytest.raises(CacheUnsupportedError, match="'temperature', which is not registered"):
        cache.get(x=1)


@pytest.mark.parametrize("place", [":memory:", "directory"])
@pytest.mark.parametrize("suffix", ["", ".txt", ".csv.gz"])
def test_a_handler_reads_a_file_of_the_suffix_it_wrote(place: str, suffix: str, tmp_path: Path) -> None:
    class Suffixed(TemperatureHandler):
        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            path = file_path.with_suffix(suffix)
            path.write_text(str(data.kelvin))
            return {"file_path": str(path)}

        def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
            assert "".join(file_path.suffixes) == (suffix or ".bin")
            return Temperature(float(file_path.read_text()))

    with Cache(place if place == ":memory:" else tmp_path / place) as cache:
        cache.handler_registry.register_handler(Suffixed())
        cache.put(Temperature(300.0), x=1)
        assert cache.get(x=1).kelvin == 300.0


def test_the_file_of_a_handler_is_verified(cache: Cache, tmp_path: Path) -> None:
    cache.handler_registry.register_handler(TemperatureHandler())
    cache.put(Temperature(300.0), x=1)
    [blob] = (tmp_path / "cache" / "blobs").rglob("*.json")
    blob.write_text('{"kelvin": 301.0}')
    assert cache.get(x=1) is None


def test_handlers_of_all_caches(cache: Cache) -> None:
    register_handler(TemperatureHandler(), priority=0, name="kelvin")
    try:
        assert list_handlers()[0] == {
            "name": "kelvin",
            "priority": 0,
            "class": "TemperatureHandler",
            "is_builtin": False,
        }
        cache.put(Temperature(1.0), x=1)
        assert cache.get(x=1).kelvin == 1.0
    finally:
        assert unregister_handler("kelvin")
    assert all(h["is_builtin"] for h in list_handlers())


def test_the_older_interface(cache: Cache) -> None:
    class Old(StorageHandler):
        def can_handle(self, data: Any) -> bool:
            return isinstance(data, Temperature)

        def save(self, data: Any, file_path: Path, config: Any) -> None:
            file_path.write_text(str(data.kelvin))

        def load(self, file_path: Path, config: Any) -> Any:
            return Temperature(float(file_path.read_text()))

        def get_file_extension(self) -> str:
            return ".custom"

    register_handler("old_temperature", Old())
    try:
        cache.put(Temperature(5.0), x=1)
        assert cache.get(x=1).kelvin == 5.0
    finally:
        unregister_handler("old_temperature")


def test_order_and_switches(tmp_path: Path) -> None:
    class Arrays(TemperatureHandler):
        data_type = "my_arrays"  # type: ignore[assignment]

        def can_handle(self, data: Any) -> bool:
            return isinstance(data, np.ndarray)

        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            np.save(file_path, data)
            return {"file_path": str(file_path) + ".npy"}

        def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
            return np.load(file_path)

    handlers = HandlerConfig(custom_handlers=[Arrays], handler_priority=["my_arrays"])
    config = CacheConfig(handlers=handlers)
    config.storage.cache_dir = tmp_path / "a"
    with Cache(config) as cache:
        cache.put(np.arange(3), x=1)
        assert cache.get(x=1).tolist() == [0, 1, 2]
        entry = cache.get_metadata(x=1)
        assert entry is not None
        assert entry["handler_used"] == "my_arrays"
    with Cache(tmp_path / "b", enable_numpy_arrays=False) as cache:
        cache.put(np.arange(3), x=1)
        entry = cache.get_metadata(x=1)
        assert entry is not None
        assert entry["handler_used"] == "object_pickle"
        assert cache.get(x=1).tolist() == [0, 1, 2]
    with (
        Cache(tmp_path / "c", enable_object_pickle=False) as cache,
        pytest.raises(CacheSerializationError, match="no handler stores"),
    ):
        cache.put(Temperature(1), x=1)


def test_bad_handlers_are_named(cache: Cache, tmp_path: Path) -> None:
    registry = cache.handler_registry

    class NeedsMore(TemperatureHandler):
        def __init__(self, unit: str) -> None:
            self.unit = unit

    for handler, match in [
        (object(), "lacks can_handle"),
        (NeedsMore, "NeedsMore cannot be created without arguments"),
    ]:
        with pytest.raises(CacheConfigurationError, match=match):
            registry.register_handler(handler)  # type: ignore[arg-type]
    with pytest.raises(CacheConfigurationError, match="cannot be named"):
        registry.register_handler(TemperatureHandler(), name="numpy_arrays")

    class Nothing(TemperatureHandler):
        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            return {}

    class Outside(TemperatureHandler):
        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            (tmp_path / "outside").write_text("x")
            return {"file_path": str(tmp_path / "outside")}

    class Fails(TemperatureHandler):
        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            file_path.write_text("half")
            raise RuntimeError("disk on fire")

    cache.put("former", x=1)
    for bad, error in [
        (Nothing(), CacheSerializationError),
        (Outside(), CacheSerializationError),
        (Fails(), CacheSerializationError),
    ]:
        registry.register_handler(bad, name="bad")
        with pytest.raises(error):
            cache.put(Temperature(1), x=1)
        assert cache.get(x=1) == "former"
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


def test_what_is_replaced_while_a_handler_reads_it_is_read(tmp_path: Path) -> None:
    class Late(TemperatureHandler):
        replaced = False

        def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
            if not self.replaced:
                Late.replaced = True
                cache.put(Temperature(2.0), cache_key="t")
                assert not file_path.exists()
            return super().get(file_path, metadata)

    with Cache(tmp_path, custom_handlers=[Late()], inline_threshold_bytes=0) as cache:
        cache.put(Temperature(1.0), cache_key="t")
        assert cache.get(cache_key="t").kelvin == 1.0
        assert cache.get(cache_key="t").kelvin == 2.0
        cache.invalidate(cache_key="t")
        assert cache.get(cache_key="t") is None
