"""Programs as people know them from the documentation of the interface run as they stand.

Each block runs in a fresh directory, in a process's worth of fresh names, with a cache at hand that holds what the block
speaks of.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import cacheness as package
from cacheness import cacheness, reset_cache

PREPARED = """
import numpy as np
from cacheness import *
from cacheness import cacheness, CacheConfig, CacheStorageConfig
from cacheness.storage import BlobStore
data = np.arange(10)
model = {"weights": [1.0, 2.0]}
new_df = {"rows": 3}
def process_chunk(i): pass
def expensive_computation(): return 42
cache = cacheness("prepared")
"""

BLOCKS = {
    "cached": """
        def fetch_weather_api(city, units): return {"city": city, "units": units}

        @cached(ttl_seconds=86400, cache_key_prefix="weather")  # 24 hours
        def get_weather(city: str, units: str = "metric"):
            return fetch_weather_api(city, units)

        # Function calls are automatically cached
        weather = get_weather("London")  # Cache miss - calls API
        weather = get_weather("London")  # Cache hit - returns cached result
        assert get_weather.cache_info()[:2] == (1, 1)
    """,
    "decorators of APIs": """
        class requests:
            def get(url): return requests
            def json(): return {"status": "success"}

        @cached.for_api(ttl_seconds=21600, ignore_errors=True)  # 6 hours
        def fetch_user_data(user_id):
            response = requests.get(f"/api/users/{user_id}")
            return response.json()

        @cache_if(lambda result: result['status'] == 'success', ttl_seconds=3600)  # 1 hour
        def api_call(endpoint):
            response = requests.get(endpoint)
            return response.json()

        for function in (fetch_user_data, api_call):
            assert function("1") == function("1") == {"status": "success"}
            assert function.cache_info()[:2] == (1, 1)
    """,
    "cache_async": """
        import asyncio
        from contextlib import asynccontextmanager

        class aiohttp:
            @asynccontextmanager
            async def ClientSession(): yield aiohttp
            @asynccontextmanager
            async def get(url): yield aiohttp
            async def json(): return {"fetched": True}

        @cache_async(ttl_seconds=7200)  # 2 hours
        async def fetch_data(url: str):
            async with aiohttp.ClientSession() as session:
                async with session.get(url) as response:
                    return await response.json()

        assert asyncio.run(fetch_data("https://example.org")) == {"fetched": True}
        assert asyncio.run(fetch_data("https://example.org")) == {"fetched": True}
        assert fetch_data.cache_info()[:2] == (1, 1)
    """,
    "blob store": """
        store = BlobStore(cache_dir="./models")
        key = store.put(model, key="xgboost_v1", metadata={"accuracy": 0.95})
        assert key == "xgboost_v1"
    """,
    "blob store list": """
        store = BlobStore(cache_dir="./models")
        store.put(model, key="model_1", metadata={"version": "1.0"})
        # List all blobs
        all_keys = store.list()

        # Filter by prefix
        model_keys = store.list(prefix="model_")

        # Filter by metadata
        v1_models = store.list(metadata_filter={"version": "1.0"})
        assert all_keys == model_keys == v1_models == ["model_1"]
    """,
    "blob store context": """
        # Context manager usage (recommended)
        with BlobStore(cache_dir="./artifacts") as store:
            store.put(data, key="artifact_1")
            result = store.get("artifact_1")
        assert (result == data).all()
    """,
    "put": """
        cache = cacheness()
        key = cache.put(
            {"results": [1, 2, 3]},
            experiment="exp_001",
            model="xgboost",
            metadata={"accuracy": 0.95}
        )
        result = cache.get(experiment="exp_001", model="xgboost")
        if result is not None:
            print("Cache hit!")
        assert result == {"results": [1, 2, 3]}
        result = cache.get_with_metadata(experiment="exp_001", model="xgboost")
        if result:
            data, metadata = result
            print(f"Accuracy: {metadata.get('accuracy')}")
        assert metadata == {"accuracy": 0.95}
    """,
    "list": """
        cache.put(data, x=1)
        entries = cache.list_entries(include_metadata=True)
        for entry in entries:
            print(f"Key: {entry['cache_key']}, Size: {entry['size_mb']:.2f} MB")
    """,
    "close": """
        # Manual close
        cache = cacheness()
        try:
            cache.put(data, key="example")
        finally:
            cache.close()

        # Or use context manager (recommended)
        with cacheness() as cache:
            cache.put(data, key="example")
    """,
    "for_api": """
        api_cache = cacheness.for_api(cache_dir="./api_cache", ttl_seconds=14400)  # 4 hours
        api_cache.put({"users": ["..."]}, endpoint="users", version="v1")
        assert api_cache.get_metadata(endpoint="users", version="v1")["expires_at"]
    """,
    "get_metadata": """
        cache.put(data, experiment="exp_001")
        # Check metadata before loading large file
        meta = cache.get_metadata(experiment="exp_001")
        if meta and meta.get("file_size", 0) > 1e9:
            print("Large file — loading may take time")
            data = cache.get(experiment="exp_001")
        assert meta["data_type"] == "array" and meta["created_at"]
    """,
    "update_data": """
        # Update cached DataFrame with new data
        success = cache.update_data(
            new_df,
            experiment="exp_001",
            run_id=42
        )

        if not success:
            print("Entry not found — use put() to create new entry")
        assert success is False
    """,
    "touch": """
        cache.put(data, experiment="exp_001")
        # Reset TTL to default
        assert cache.touch(experiment="exp_001")

        # Keep long-running computation alive
        for i in range(100):
            process_chunk(i)
            if i % 10 == 0:
                cache.touch(job_id="long_job")  # Prevent expiration
    """,
    "delete_where": """
        from datetime import datetime, timezone, timedelta

        cache.put(data, x=1)
        # Delete all entries older than 7 days
        cutoff = (datetime.now(timezone.utc) - timedelta(days=7)).isoformat()
        deleted = cache.delete_where(
            lambda e: (e.get("created") or "") < cutoff
        )
        assert deleted == 0
        # Delete all DataFrames
        deleted = cache.delete_where(
            lambda e: e.get("data_type") == "dataframe"
        )
    """,
    "delete_matching": """
        cache.put(1, x=1, metadata={"project": "ml_models"})
        cache.put(2, experiment="exp_001", model_type="xgboost")
        # Delete all entries for a specific project
        deleted = cache.delete_matching(project="ml_models")
        assert deleted == 1
        # Delete entries matching multiple criteria
        deleted = cache.delete_matching(
            experiment="exp_001",
            model_type="xgboost"
        )
        assert deleted == 1
    """,
    "batches": """
        cache.put(1, experiment="exp_001")
        results = cache.get_batch([
            {"experiment": "exp_001"},
            {"experiment": "exp_002"},
            {"experiment": "exp_003"},
        ])
        for key, data in results.items():
            if data is not None:
                print(f"{key}: loaded")
        deleted = cache.delete_batch([
            {"experiment": "exp_001"},
            {"experiment": "exp_002"},
        ])
        print(f"Removed {deleted} entries")
        assert deleted == 1
        # Extend TTL for all entries in a project
        touched = cache.touch_batch(project="ml_models")
    """,
    "default cache": """
        from cacheness import set_default_cache, CacheConfig

        # Configure default cache for all @cached decorators
        config = CacheConfig(
            storage=CacheStorageConfig(cache_dir="./project_cache"),
            default_ttl_seconds=86400  # 24 hours
        )

        set_default_cache(cacheness(config))

        # Now all @cached decorators use this configuration
        @cached(ttl_seconds=7200)  # 2 hours
        def my_function():
            return expensive_computation()
        assert my_function() == my_function() == 42
        from pathlib import Path
        assert Path("project_cache").is_dir()
    """,
    "threads": """
        import threading
        from cacheness import cacheness

        cache = cacheness()

        def worker(worker_id):
            for i in range(100):
                # Thread-safe operations
                cache.put(f"data_{i}", worker_id=worker_id, iteration=i)
                result = cache.get(worker_id=worker_id, iteration=i)

        # Multiple threads can safely use the same cache instance
        threads = [threading.Thread(target=worker, args=(i,)) for i in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(cache) == 1000
    """,
    "stats": """
        # Get detailed statistics
        stats = cache.get_stats()
        print(f\"\"\"
        Cache Statistics:
        - Total entries: {stats['total_entries']}
        - Total size: {stats['total_size_mb']:.2f} MB
        - Hit rate: {stats.get('hit_rate', 0):.1%}
        - Backend: {stats['backend_type']}
        - Average entry size: {stats['avg_entry_size_mb']:.3f} MB
        - Oldest entry: {stats.get('oldest_entry_date', 'N/A')}
        - Newest entry: {stats.get('newest_entry_date', 'N/A')}
        \"\"\")
    """,
    "entries": """
        cache.put(data, cache_key="my_cache_key")
        # Query entry metadata
        entry = cache.get_entry("my_cache_key")
        metadata = entry.get("metadata", {})

        # Check if using S3 backend
        if "s3_etag" in metadata:
            print(f"S3 ETag: {metadata['s3_etag']}")
            print(f"Content Hash: {metadata.get('file_hash', 'N/A')}")

        # List all S3-backed entries
        s3_entries = [
            e for e in cache.list_entries()
            if e.get("metadata", {}).get("s3_etag")
        ]
        assert s3_entries == []
    """,
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "block.py"
    names: dict[str, object] = {"__name__": "block"}
    source = PREPARED + textwrap.dedent(BLOCKS[name])
    script.write_text(source, encoding="utf-8")
    try:
        exec(compile(source, str(script), "exec"), names)
    finally:
        reset_cache()
        for value in names.values():
            if isinstance(value, cacheness):
                value.close()


def test_the_names_of_the_interface_are_there() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
