"""The examples of the plans that are for users and run, by name."""

BLOCKS = {
    "the store and the cache": """
        from cacheness.storage import BlobStore

        store = BlobStore(backend="sqlite", compression="lz4")
        blob_id = store.put(data, metadata={"type": "model", "version": "1.0"})
        assert (store.get(blob_id) == data).all()
        cache = cacheness()
        cache.put(data, model="xgboost", version="1.0")
    """,
    "registration by name and class": """
        from cacheness import BlobBackend, register_blob_backend, register_handler

        class MyCustomHandler(CacheHandler):
            data_type = "mine"
            def can_handle(self, data): return isinstance(data, range)
            def put(self, data, file_path, config):
                file_path.write_text(repr(data))
                return {}
            def get(self, file_path, metadata): return eval(file_path.read_text())

        class MyS3Backend(BlobBackend):
            def write_blob(self, blob_id, data): return blob_id
            def read_blob(self, blob_path): return b""
            def delete_blob(self, blob_path): return False

        register_handler("parquet", MyCustomHandler)
        register_blob_backend("s3", MyS3Backend)
        cache.put(range(5), x=1)
        assert cache.get(x=1) == range(5)
        assert unregister_handler("parquet") and unregister_blob_backend("s3")
    """,
    "handlers of one cache": """
        from cacheness import CacheConfig, HandlerConfig
        from cacheness.interfaces import CacheHandler
        from cacheness.storage import HandlerRegistry

        class MyDataTypeHandler(CacheHandler):
            def can_handle(self, data: Any) -> bool: return isinstance(data, complex)
            def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
                path = file_path.with_suffix(".custom")
                path.write_text(str(data))
                return {"storage_format": "custom", "file_path": str(path)}
            def get(self, file_path: Path, metadata: dict[str, Any]) -> Any: return complex(file_path.read_text())
            def get_file_extension(self, config: Any) -> str: return ".custom"
            @property
            def data_type(self) -> str: return "my_type"

        cache = cacheness("one")
        cache.handler_registry.register_handler(MyDataTypeHandler(), priority=0)
        config = CacheConfig(
            handlers=HandlerConfig(
                custom_handlers=[MyDataTypeHandler],
                handler_priority=["my_type", "pandas_dataframes", "numpy_arrays", "object_pickle"],
            )
        )
        for cache in (cache, cacheness(config, cache_dir="two")):
            cache.put(1j, x=1)
            assert cache.get(x=1) == 1j and cache.get_metadata(x=1)["data_type"] == "my_type"
    """,
    "a class of a metadata backend": """
        from cacheness.storage.backends import register_backend
        from cacheness.storage.backends.base import MetadataBackend

        class PostgresBackend(MetadataBackend):
            def __init__(self, connection_url: str):
                self.url, self.entries = connection_url, {}
            def load_metadata(self): return {}
            def save_metadata(self, metadata): pass
            def get_entry(self, cache_key): return self.entries.get(cache_key)
            def put_entry(self, cache_key, entry_data): self.entries[cache_key] = entry_data
            def remove_entry(self, cache_key): return self.entries.pop(cache_key, None) is not None
            def list_entries(self): return list(self.entries.values())

        register_backend("postgresql", PostgresBackend)
        cache = cacheness(config=CacheConfig(
            metadata_backend="postgresql",
            backend_options={"connection_url": "postgresql://user:pass@host/db"}
        ))
        cache.put(data, x=1)
        assert (cache.get(x=1) == data).all() and cache.metadata_backend.url == "postgresql://user:pass@host/db"
        cache.close()
        postgres_backend = PostgresBackend("postgresql://...")
        cache = cacheness("other", metadata_backend=postgres_backend)
        cache.put(data, x=1)
        assert cache.metadata_backend is postgres_backend and postgres_backend.entries
        config = CacheConfig(
            metadata_backend="postgresql", backend_options={"connection_url": "postgresql://user:pass@host/db"}
        )
        assert config.metadata.backend == "postgresql"
        assert config.metadata.connection_url == "postgresql://user:pass@host/db"
        assert PostgresBackend("postgresql://h").load_metadata() == {}
        assert unregister_metadata_backend("postgresql") is True
    """,
    "a wrapper around blobs": """
        class CachedBlobBackend(BlobBackend):
            def __init__(self, upstream: BlobBackend, cache_backend: BlobBackend, max_cache_size_mb=1000, ttl_seconds=3600):
                self.upstream, self.cache, self.known, self.hits = upstream, cache_backend, {}, 0

            def read_blob_to_file(self, blob_path: str, file_path: Path):
                if blob_path not in self.known:
                    self.upstream.read_blob_to_file(blob_path, file_path)
                    self.known[blob_path] = self.cache.write_blob_from_file("cached", file_path)
                    return
                self.hits += 1
                self.cache.read_blob_to_file(self.known[blob_path], file_path)

            def write_blob_from_file(self, blob_id: str, file_path: Path) -> str:
                return self.upstream.write_blob_from_file(blob_id, file_path)

            def delete_blob(self, blob_path: str) -> bool:
                return self.upstream.delete_blob(blob_path)

        local_cache = FilesystemBlobBackend(base_dir="s3_cache")
        cached_s3 = CachedBlobBackend(
            upstream=FilesystemBlobBackend("upstream"),
            cache_backend=local_cache,
            max_cache_size_mb=1000,
            ttl_seconds=3600
        )
        store = BlobStore(blob_backend=cached_s3)
        noise = np.random.default_rng(0).random(100_000)
        key = store.put(noise)
        assert all((store.get(key) == noise).all() for _ in range(3)) and cached_s3.hits == 2
        store.close()
        cache = cacheness(config=CacheConfig(
            blob_backend=cached_s3,
            metadata_backend="sqlite"
        ))
        cache.put(noise, x=1)
        assert (cache.get(x=1) == noise).all()
    """,
    "combinations of backends": """
        config = CacheConfig(cache_dir="./cache", metadata_backend="sqlite")
        assert cacheness(config).get_stats()["backend_type"] == "sqlite"
        config = CacheConfig(
            metadata_backend="postgresql",
            metadata_backend_options={"connection_url": "postgresql://db.example.com/cache"},
            blob_backend="s3",
            blob_backend_options={"bucket": "team-cache-blobs", "region": "us-west-2"},
        )
        assert (config.blob.backend, config.blob.bucket, config.blob.region) == ("s3", "team-cache-blobs", "us-west-2")
        config = CacheConfig(cache_dir="/tmp/metadata", metadata_backend="sqlite", blob_backend="s3")
        assert config.cache_dir == "/tmp/metadata"
    """,
    "the interface of blob backends": """
        from cacheness import BlobBackend, FilesystemBlobBackend
        import io

        blobs = FilesystemBlobBackend("blobs_of_mine")
        where = blobs.write_blob("abc123", b"bytes")
        assert blobs.exists(where) and blobs.read_blob(where) == b"bytes"
        assert blobs.read_blob_stream(where).read() == b"bytes"
        assert blobs.delete_blob(where) and not blobs.exists(where) and not blobs.delete_blob(where)
        where = blobs.write_blob_stream("abc123", io.BytesIO(b"more"))
        blobs.read_blob_to_file(where, Path("copy"))
        assert Path("copy").read_bytes() == b"more"
        assert blobs.read_blob(blobs.write_blob_from_file("x/Y", Path("copy"))) == b"more"
    """,
    "validate_config": """
        from cacheness.config import validate_config

        assert validate_config(CacheConfig(cache_dir="./cache", metadata_backend="sqlite")) == []
        config = CacheConfig(
            cache_dir="./cache",
            metadata_backend="postgresql",
            backend_options={"connection_url": "postgresql://h", "pool_size": 10},
            blob_backend="s3",
            blob_backend_options={"bucket": "my-cache", "region": "us-west-2"},
        )
        assert validate_config(config) == []
    """,
    "pipelines and checkpoints": """
        store = BlobStore(cache_dir="./pipeline_artifacts")
        store.put([1, 2], key="raw_1")
        store.put([2, 4], key="processed_1", metadata={"depends_on": "raw_1"})
        for epoch in range(0, 30, 10):
            store.put(model, key=f"checkpoint_epoch_{epoch}", metadata={"epoch": epoch, "loss": 0.5})
        assert len(store.list(prefix="checkpoint_")) == 3
    """,
    "versions of models": """
        store = BlobStore(cache_dir="./models", content_addressable=True)
        key = store.put(model, key="fraud_v1", metadata={"accuracy": 0.95, "hyperparameters": {"depth": 3}})
        assert store.put(model) == store.put(model)
    """,
    "configuration of S3": """
        from cacheness.config import CacheBlobConfig, CacheMetadataConfig

        config = CacheConfig(
            metadata=CacheMetadataConfig(backend="postgresql", connection_url="postgresql://user:pass@db/cache"),
            blob=CacheBlobConfig(
                backend="s3",
                bucket="my-cache-bucket",
                prefix="cache/v1/",
                region="us-east-1",
                shard_chars=2,
                endpoint_url="http://minio.internal:9000",
                use_ssl=False,
                access_key="minioadmin",
                secret_key="very-secret",
            ),
        )
        assert (config.blob.prefix, config.blob.use_ssl) == ("cache/v1/", False)
        assert "very-secret" not in repr(config) and ":pass" not in repr(config)
    """,
    "touch": """
        cache.put(1, experiment="exp_001")
        assert cache.touch(experiment="exp_001")
        assert cache.touch(experiment="exp_001", ttl_seconds=hours(48))
    """,
    "get_metadata": """
        cache.put(data, experiment="exp_001")
        meta = cache.get_metadata(experiment="exp_001")
        assert meta["cache_key"] and meta["file_size"] > 0 and meta["created_at"]
    """,
    "replace and update": """
        assert not cache.replace(new_data, experiment="exp_001")
        cache.put(1, experiment="exp_001")
        assert cache.replace(new_data, experiment="exp_001")
        assert cache.update({"rows": 4}, experiment="exp_001", if_exists=True)
        assert cache.get(experiment="exp_001") == {"rows": 4}
    """,
    "bulk deletion": """
        cache.put(1, project="ml_models_1")
        cache.put(2, project="other", metadata={"version": "v1.2"})
        assert cache.delete_by_prefix(project="ml_models") == 1
        assert cache.delete_matching(lambda meta: (meta.get("version") or "").startswith("v1.")) == 1
        assert len(cache) == 1
    """,
    "signatures that are wrong": """
        result = cache.get(project="fraud", model_type="xgboost", version="v2.1", strict_verification=False)
        assert result == model
    """,
    "CachenessConfig": """
        from cacheness import CachenessConfig

        config = CachenessConfig(metadata_backend="sqlite", store_full_metadata=False)
        assert isinstance(config, CacheConfig) and config.metadata.store_full_metadata is False
    """,
    "arbitrary metadata": """
        with cacheness(CacheConfig(cache_dir="full", metadata_backend="sqlite", store_full_metadata=True)) as full:
            key = full.put(1, x=1, metadata={"custom_field": "value"})
            full.put(2, x=2)
            entries = full.query_meta(
                "SELECT cache_key, full_metadata FROM cache_entries "
                "WHERE json_extract(full_metadata, '$.custom_field') = 'value'"
            )
        assert [entry["cache_key"] for entry in entries] == [key]
    """,
    "the default cache anew": """
        reset_cache(CacheConfig(cache_dir="another"))
        assert get_cache().cache_dir == "another"
        reset_cache()
        assert get_cache().cache_dir == "./cache"
    """,
    "signed fields": """
        from cacheness import SecurityConfig

        names = [
            "cache_key", "file_hash", "data_type", "file_size", "created_at", "prefix", "description", "actual_path",
            "object_type", "storage_format", "serializer", "compression_codec",
        ]
        cache = cacheness("signed", custom_signed_fields=names)
        cache.put(1, x=1)
        assert cache.get(x=1) == 1
        try:
            SecurityConfig(custom_signed_fields=["cache_kye"])
        except ValueError as error:
            assert "cache_kye" in str(error)
        else:
            raise AssertionError("an unknown field was taken")
    """,
    "errors": """
        from cacheness.error_handling import CacheError, CacheSerializationError, CacheStorageError

        assert issubclass(CacheStorageError, CacheError) and issubclass(CacheSerializationError, CacheError)
    """,
}
