"""The blocks of the reference of the interface that run, by name."""

BLOCKS = {
    "BlobStore.put": """
        store = BlobStore(cache_dir="./models")
        key = store.put(model, key="xgboost_v1", metadata={"accuracy": 0.95})
        assert key == "xgboost_v1"
    """,
    "BlobStore.list": """
        store = BlobStore(cache_dir="./models")
        store.put(model, key="model_1", metadata={"version": "1.0"})
        store.put(model, key="other")
        assert store.list() == ["model_1", "other"]
        assert store.list(prefix="model_") == store.list(metadata_filter={"version": "1.0"}) == ["model_1"]
    """,
    "operators in filters": """
        store = BlobStore(cache_dir="./models")
        store.put(model, key="good", metadata={"accuracy": 0.95})
        store.put(model, key="bad", metadata={"accuracy": 0.5})
        assert store.list(metadata_filter={"accuracy": {"$gte": 0.9}}) == ["good"]
    """,
    "BlobStore as a context": """
        with BlobStore(cache_dir="./artifacts") as store:
            store.put(data, key="artifact_1")
            result = store.get("artifact_1")
        assert (result == data).all()
    """,
    "put": """
        cache = cacheness()
        key = cache.put({"results": [1, 2, 3]}, experiment="exp_001", model="xgboost", metadata={"accuracy": 0.95})
        assert cache.get(cache_key=key) == {"results": [1, 2, 3]}
    """,
    "get": """
        cache.put({"results": [1]}, experiment="exp_001", model="xgboost")
        result = cache.get(experiment="exp_001", model="xgboost")
        assert result == {"results": [1]}
        assert cache.get(experiment="exp_002", model="xgboost") is None
    """,
    "get_with_metadata": """
        cache.put(1, experiment="exp_001", metadata={"accuracy": 0.95})
        value, metadata = cache.get_with_metadata(experiment="exp_001")
        assert metadata.get("accuracy") == 0.95
        assert cache.get_with_metadata(experiment="exp_002") is None
    """,
    "list_entries": """
        for entry in cache.list_entries(include_metadata=True):
            assert f"Key: {entry['cache_key']}, Size: {entry['size_mb']:.2f} MB"
    """,
    "close": """
        cache = cacheness()
        try:
            cache.put(data, key="example")
        finally:
            cache.close()

        with cacheness() as cache:
            cache.put(data, key="example")
    """,
    "for_api": """
        api_cache = cacheness.for_api(cache_dir="./api_cache", ttl_seconds=14400)
        api_cache.put({"users": ["ada"]}, endpoint="users", version="v1")
        assert api_cache.get_metadata(endpoint="users", version="v1")["expires_at"]
        assert api_cache.config.compression.pickle_compression_codec == "lz4"
    """,
    "get_metadata": """
        cache.put(data, experiment="exp_001")
        meta = cache.get_metadata(experiment="exp_001")
        assert meta.get("file_size", 0) < 1e9
        assert meta["data_type"] == "array" and meta["created_at"] and meta["cache_key"]
    """,
    "update_data": """
        success = cache.update_data(new_df, experiment="exp_001", run_id=42)
        assert success is False
        cache.put(1, experiment="exp_001", run_id=42)
        assert cache.update_data(new_df, experiment="exp_001", run_id=42) is True
    """,
    "touch": """
        cache.put(data, experiment="exp_001")
        assert cache.touch(experiment="exp_001")
        for i in range(100):
            process_chunk(i)
            if i % 10 == 0:
                cache.touch(job_id="long_job")
    """,
    "delete_where": """
        cache.put(data, x=1)
        cutoff = (datetime.now(timezone.utc) - timedelta(days=7)).isoformat()
        assert cache.delete_where(lambda e: (e.get("created") or "") < cutoff) == 0
        cache.put(frame, x=2)
        assert cache.delete_where(lambda e: e.get("data_type") == "dataframe") == 1
    """,
    "delete_matching": """
        cache.put(1, x=1, metadata={"project": "ml_models"})
        cache.put(2, experiment="exp_001", model_type="xgboost")
        assert cache.delete_matching(project="ml_models") == 1
        assert cache.delete_matching(experiment="exp_001", model_type="xgboost") == 1
    """,
    "get_batch": """
        cache.put(1, experiment="exp_001")
        results = cache.get_batch([{"experiment": "exp_001"}, {"experiment": "exp_002"}, {"experiment": "exp_003"}])
        assert sorted(results.values(), key=str) == [1, None, None]
        assert results[cache.cache_key(experiment="exp_001")] == 1
    """,
    "delete_batch": """
        cache.put(1, experiment="exp_001")
        assert cache.delete_batch([{"experiment": "exp_001"}, {"experiment": "exp_002"}]) == 1
    """,
    "touch_batch": """
        cache.put(1, x=1, metadata={"project": "ml_models"})
        assert cache.touch_batch(project="ml_models") == 1
    """,
    "cached": """
        def fetch_weather_api(city, units): return {"city": city, "units": units}

        @cached(ttl_seconds=86400, cache_key_prefix="weather")
        def get_weather(city: str, units: str = "metric"):
            return fetch_weather_api(city, units)

        assert get_weather("London") == get_weather("London")
        assert get_weather.cache_info()[:2] == (1, 1)
    """,
    "cached.for_api": """
        @cached.for_api(ttl_seconds=21600, ignore_errors=True)
        def fetch_user_data(user_id):
            return requests.get(f"/api/users/{user_id}").json()

        assert fetch_user_data("1") == fetch_user_data("1") == {"status": "success"}
        assert fetch_user_data.cache_info()[:2] == (1, 1)
    """,
    "cache_if": """
        @cache_if(lambda result: result["status"] == "success", ttl_seconds=3600)
        def api_call(endpoint):
            return requests.get(endpoint).json()

        assert api_call("/up") == api_call("/up")
        assert api_call.cache_info()[:2] == (1, 1)
    """,
    "cache_async": """
        import asyncio

        @cache_async(ttl_seconds=7200)
        async def fetch_data(url: str):
            await asyncio.sleep(0)
            return {"fetched": url}

        assert asyncio.run(fetch_data("u")) == asyncio.run(fetch_data("u")) == {"fetched": "u"}
        assert fetch_data.cache_info()[:2] == (1, 1)
    """,
    "set_default_cache": """
        from cacheness import CacheConfig, set_default_cache

        config = CacheConfig(storage=CacheStorageConfig(cache_dir="./project_cache"), default_ttl_seconds=86400)
        set_default_cache(cacheness(config))

        @cached(ttl_seconds=7200)
        def my_function():
            return expensive_computation()

        assert my_function() == my_function() == 42
        assert Path("project_cache").is_dir()
    """,
    "imports of handlers": """
        from cacheness import CacheHandler, list_handlers, register_handler, unregister_handler
    """,
    "register_handler": """
        from cacheness import CacheHandler, register_handler

        class ParquetHandler(CacheHandler):
            @property
            def data_type(self):
                return "parquet"

            def can_handle(self, data):
                return isinstance(data, pd.DataFrame)

            def put(self, data, file_path, config):
                output = file_path.with_suffix(".parquet")
                data.to_parquet(output)
                return {"storage_format": "parquet", "file_path": str(output)}

            def get(self, file_path, metadata):
                return pd.read_parquet(file_path)

        register_handler(ParquetHandler(), priority=0)
        cache.put(frame, x=1)
        assert cache.get_metadata(x=1)["data_type"] == "parquet"
        pd.testing.assert_frame_equal(cache.get(x=1), frame)
        assert unregister_handler("parquet") is True
        assert unregister_handler("parquet") is False
    """,
    "list_handlers": """
        for h in list_handlers():
            assert f"{h['name']}: priority={h['priority']}, builtin={h['is_builtin']}, {h['class']}"
    """,
    "imports of metadata backends": """
        from cacheness import (
            MetadataBackend,
            get_metadata_backend,
            list_metadata_backends,
            register_metadata_backend,
            unregister_metadata_backend,
        )

        listed = {backend["name"]: backend for backend in list_metadata_backends()}
        assert {"json", "sqlite", "sqlite_memory", "postgresql"} <= listed.keys()
        assert all(set(b) == {"name", "description", "required_packages", "is_builtin"} for b in listed.values())
        assert isinstance(get_metadata_backend("sqlite"), MetadataBackend)
    """,
    "register_metadata_backend": """
        from cacheness import MetadataBackend, register_metadata_backend

        class RedisBackend(MetadataBackend):
            def __init__(self, connection_url: str, **kwargs):
                self.url, self.entries = connection_url, {}
            def get_entry(self, cache_key): return self.entries.get(cache_key)
            def put_entry(self, cache_key, entry_data): self.entries[cache_key] = entry_data
            def remove_entry(self, cache_key): return self.entries.pop(cache_key, None) is not None
            def list_entries(self): return list(self.entries.values())

        register_metadata_backend(
            name="redis", backend_class=RedisBackend, description="in Redis", required_packages=["json"]
        )
        assert get_metadata_backend("redis", connection_url="redis://h").url == "redis://h"
        assert [b for b in list_metadata_backends() if b["name"] == "redis"] == [
            {"name": "redis", "description": "in Redis", "required_packages": ["json"], "is_builtin": False}
        ]
        assert unregister_metadata_backend("redis") is True
        assert unregister_metadata_backend("redis") is False
    """,
    "imports of blob backends": """
        from cacheness import (
            BlobBackend,
            FilesystemBlobBackend,
            InMemoryBlobBackend,
            get_blob_backend,
            list_blob_backends,
            register_blob_backend,
            unregister_blob_backend,
        )

        assert {"filesystem", "memory"} <= {backend["name"] for backend in list_blob_backends()}
        assert issubclass(FilesystemBlobBackend, BlobBackend) and issubclass(InMemoryBlobBackend, BlobBackend)
    """,
    "register_blob_backend": """
        from cacheness import BlobBackend, register_blob_backend

        class S3BlobBackend(BlobBackend):
            def __init__(self, bucket: str, prefix: str = "", **kwargs):
                self.bucket, self.prefix, self.kept = bucket, prefix, {}
            def write_blob(self, blob_id, data):
                self.kept[path := f"{self.bucket}/{self.prefix}{blob_id}"] = data
                return path
            def read_blob(self, blob_path): return self.kept[blob_path]
            def delete_blob(self, blob_path): return self.kept.pop(blob_path, None) is not None

        register_blob_backend(name="s3", backend_class=S3BlobBackend, description="S3", required_packages=["json"])
        assert get_blob_backend("s3", bucket="b").bucket == "b"
        assert unregister_blob_backend("s3") is True
    """,
    "registered backends by name": """
        from cacheness import cacheness, CacheConfig, CacheMetadataConfig, CacheBlobConfig

        class RedisBackend(MetadataBackend):
            def __init__(self, connection_url: str, **kwargs):
                self.url, self.entries = connection_url, {}
            def get_entry(self, cache_key): return self.entries.get(cache_key)
            def put_entry(self, cache_key, entry_data): self.entries[cache_key] = entry_data
            def remove_entry(self, cache_key): return self.entries.pop(cache_key, None) is not None
            def list_entries(self): return list(self.entries.values())

        class S3BlobBackend(BlobBackend):
            def __init__(self, bucket: str, prefix: str = "", **kwargs):
                self.bucket, self.kept = bucket, {}
            def write_blob(self, blob_id, data):
                self.kept[blob_id] = data
                return blob_id
            def read_blob(self, blob_path): return self.kept[blob_path]
            def delete_blob(self, blob_path): return self.kept.pop(blob_path, None) is not None

        register_metadata_backend("redis", RedisBackend)
        register_blob_backend("s3", S3BlobBackend)
        config = CacheConfig(
            metadata=CacheMetadataConfig(
                backend="redis",
                connection_url="redis://localhost:6379/0",
            ),
            blob=CacheBlobConfig(
                backend="s3",
                bucket="my-cache-bucket",
            )
        )

        cache = cacheness(config=config)
        cache.put(np.arange(100_000), x=1)
        assert (cache.get(x=1) == np.arange(100_000)).all()
        assert cache.metadata_backend.url == "redis://localhost:6379/0"
        assert len(cache.metadata_backend.list_entries()) > 0
        assert unregister_metadata_backend("redis") and unregister_blob_backend("s3")
    """,
    "StorageHandler": """
        from cacheness.handlers import register_handler
        from cacheness.interfaces import StorageHandler

        class MyCustomType:
            pass

        class CustomHandler(StorageHandler):
            def can_handle(self, data: Any) -> bool:
                return isinstance(data, MyCustomType)

            def save(self, data: Any, file_path: Path, config: CompressionConfig) -> None:
                file_path.write_text("custom")

            def load(self, file_path: Path, config: CompressionConfig) -> Any:
                assert file_path.read_text() == "custom"
                return MyCustomType()

            def get_file_extension(self) -> str:
                return ".custom"

        register_handler("custom_type", CustomHandler())
        cache.put(MyCustomType(), x=1)
        assert isinstance(cache.get(x=1), MyCustomType)
        assert unregister_handler("custom_type")
    """,
    "threads": """
        import threading

        cache = cacheness()

        def worker(worker_id):
            for i in range(100):
                cache.put(f"data_{i}", worker_id=worker_id, iteration=i)
                assert cache.get(worker_id=worker_id, iteration=i) == f"data_{i}"

        threads = [threading.Thread(target=worker, args=(i,)) for i in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(cache) == 1000
    """,
    "get_stats": """
        stats = cache.get_stats()
        assert stats["total_entries"] == 1
        assert f"{stats['total_size_mb']:.2f} {stats.get('hit_rate', 0):.1%} {stats['backend_type']}"
        assert f"{stats['avg_entry_size_mb']:.3f}"
        assert stats.get("oldest_entry_date", "N/A") != "N/A" and stats.get("newest_entry_date", "N/A") != "N/A"
    """,
    "get_entry": """
        cache.put(data, cache_key="my_cache_key")
        entry = cache.get_entry("my_cache_key")
        metadata = entry.get("metadata", {})
        assert "s3_etag" not in metadata
        assert [e for e in cache.list_entries() if e.get("metadata", {}).get("s3_etag")] == []
    """,
    "hasattr of the backend's engine": """
        assert hasattr(cache.metadata_backend, "engine")
    """,
    "columns": """
        __tablename__ = "custom_ml_experiments"
        accuracy = Column(Float, index=True)
        epochs = Column(Integer, index=True)
        is_production = Column(Boolean)
    """,
}
