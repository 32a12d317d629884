"""What can be called, with the names and the order of its parameters, and what has which fields."""

#: Where a name comes from: module, attribute path, the parameters that may be given by position, in order.
CALLS = [
    ("cacheness.storage", "BlobStore", "cache_dir backend compression compression_level content_addressable"),
    ("cacheness.storage", "BlobStore.put", "data key metadata"),
    ("cacheness.storage", "BlobStore.get", "key"),
    ("cacheness.storage", "BlobStore.get_metadata", "key"),
    ("cacheness.storage", "BlobStore.update_metadata", "key metadata"),
    ("cacheness.storage", "BlobStore.delete", "key"),
    ("cacheness.storage", "BlobStore.exists", "key"),
    ("cacheness.storage", "BlobStore.list", "prefix metadata_filter"),
    ("cacheness.storage", "BlobStore.verify_integrity", "key"),
    ("cacheness.storage", "BlobStore.clear", ""),
    ("cacheness.storage", "BlobStore.close", ""),
    ("cacheness", "cacheness", "config"),
    ("cacheness", "cacheness.for_api", "cache_dir ttl_seconds"),
    ("cacheness", "cacheness.put", "data"),
    ("cacheness", "cacheness.get", ""),
    ("cacheness", "cacheness.get_with_metadata", ""),
    ("cacheness", "cacheness.exists", ""),
    ("cacheness", "cacheness.invalidate", ""),
    ("cacheness", "cacheness.invalidate_by_cache_key", "cache_key"),
    ("cacheness", "cacheness.list_entries", "include_metadata"),
    ("cacheness", "cacheness.get_entry", "cache_key"),
    ("cacheness", "cacheness.get_stats", ""),
    ("cacheness", "cacheness.query_custom", "table_name filters"),
    ("cacheness", "cacheness.query_custom_session", "table_name"),
    ("cacheness", "cacheness.get_custom_metadata_for_entry", ""),
    ("cacheness", "cacheness.cleanup_expired", ""),
    ("cacheness", "cacheness.clear", ""),
    ("cacheness", "cacheness.close", ""),
    ("cacheness", "cacheness.get_metadata", "cache_key check_expiration"),
    ("cacheness", "cacheness.update_data", "data cache_key"),
    ("cacheness", "cacheness.touch", "cache_key"),
    ("cacheness", "cacheness.delete_where", "filter_fn"),
    ("cacheness", "cacheness.delete_matching", ""),
    ("cacheness", "cacheness.get_batch", "kwargs_list"),
    ("cacheness", "cacheness.delete_batch", "kwargs_list"),
    ("cacheness", "cacheness.touch_batch", ""),
    ("cacheness.custom_metadata", "custom_metadata_model", "schema_name"),
    ("cacheness.custom_metadata", "migrate_custom_metadata_tables", "engine"),
    ("cacheness", "cached", "cache_instance ttl_seconds cache_key_prefix include_defaults metadata"),
    ("cacheness", "cached.for_api", "ttl_seconds ignore_errors"),
    ("cacheness", "cache_if", "condition cache_instance ttl_seconds"),
    ("cacheness", "cache_async", "cache_instance ttl_seconds"),
    ("cacheness", "set_default_cache", "cache"),
    ("cacheness", "hash_content", "content"),
    ("cacheness", "hash_file_path", "file_path"),
    ("cacheness", "get_size_mb", "file_path"),
    ("cacheness.utils", "migrate_cache", "old_cache_dir new_cache_dir old_config new_config"),
    ("cacheness", "register_handler", "handler priority name"),
    ("cacheness", "unregister_handler", "handler_name"),
    ("cacheness", "list_handlers", ""),
    ("cacheness", "register_metadata_backend", "name backend_class description required_packages"),
    ("cacheness", "unregister_metadata_backend", "name"),
    ("cacheness", "get_metadata_backend", "name"),
    ("cacheness", "list_metadata_backends", ""),
    ("cacheness", "register_blob_backend", "name backend_class description required_packages"),
    ("cacheness", "unregister_blob_backend", "name"),
    ("cacheness", "get_blob_backend", "name"),
    ("cacheness", "list_blob_backends", ""),
    ("cacheness.interfaces", "StorageHandler.can_handle", "data"),
    ("cacheness.interfaces", "StorageHandler.save", "data file_path config"),
    ("cacheness.interfaces", "StorageHandler.load", "file_path config"),
    ("cacheness.interfaces", "StorageHandler.get_file_extension", ""),
    ("cacheness.interfaces", "CacheHandler.can_handle", "data"),
    ("cacheness.interfaces", "CacheHandler.put", "data file_path config"),
    ("cacheness.interfaces", "CacheHandler.get", "file_path metadata"),
    ("cacheness.interfaces", "CacheHandler.get_file_extension", "config"),
    ("cacheness.config", "validate_config", "config"),
    ("cacheness.config", "validate_config_strict", "config"),
    ("cacheness", "reset_cache", "config"),
    ("cacheness.storage", "HandlerRegistry.register_handler", "handler priority"),
    ("cacheness.storage", "HandlerRegistry.unregister_handler", "handler_name"),
    ("cacheness.storage", "HandlerRegistry.list_handlers", ""),
    ("cacheness.storage.backends", "BlobBackend.write_blob", "blob_id data"),
    ("cacheness.storage.backends", "BlobBackend.read_blob", "blob_path"),
    ("cacheness.storage.backends", "BlobBackend.delete_blob", "blob_path"),
    ("cacheness.storage.backends", "BlobBackend.exists", "blob_path"),
    ("cacheness.storage.backends", "BlobBackend.write_blob_stream", "blob_id stream"),
    ("cacheness.storage.backends", "BlobBackend.read_blob_stream", "blob_path"),
    ("cacheness.storage.backends", "BlobBackend.write_blob_from_file", "blob_id file_path"),
    ("cacheness.storage.backends", "BlobBackend.read_blob_to_file", "blob_path file_path"),
]

#: Calls that take any other keyword as well.
OPEN = (
    "cacheness.for_api",
    "cacheness.put",
    "cacheness.get",
    "cacheness.get_with_metadata",
    "cacheness.exists",
    "cacheness.invalidate",
    "cacheness.get_metadata",
    "cacheness.update_data",
    "cacheness.touch",
    "cacheness.delete_matching",
    "cacheness.touch_batch",
    "cacheness.get_custom_metadata_for_entry",
    "get_metadata_backend",
    "get_blob_backend",
)

#: Fields of configuration classes, in order, with their defaults.
FIELDS = {
    "CacheStorageConfig": {"cache_dir": "./cache", "max_cache_size_mb": 10000, "cleanup_on_init": False},
    "CacheMetadataConfig": {
        "backend": "sqlite",
        "database_url": None,
        "store_cache_key_params": True,
        "verify_cache_integrity": True,
        "enable_memory_cache": False,
        "memory_cache_type": "lru",
        "memory_cache_maxsize": 1000,
        "memory_cache_ttl_seconds": 300.0,
        "memory_cache_stats": False,
    },
    "CompressionConfig": {
        "pickle_compression_codec": "zstd",
        "pickle_compression_level": 5,
        "use_blosc2_arrays": True,
        "blosc2_array_codec": "lz4",
        "blosc2_array_compression_level": 5,
        "parquet_compression": "lz4",
    },
    "SerializationConfig": {
        "enable_collections": True,
        "enable_object_introspection": True,
        "max_tuple_recursive_length": 10,
        "max_collection_depth": 10,
    },
    "HandlerConfig": {
        "handler_priority": [
            "numpy_arrays",
            "pandas_dataframes",
            "polars_dataframes",
            "pandas_series",
            "object_pickle",
        ],
        "enable_pandas_dataframes": True,
        "enable_polars_dataframes": True,
        "enable_numpy_arrays": True,
        "enable_pandas_series": True,
    },
    "CacheConfig": {
        "storage": "CacheStorageConfig",
        "metadata": "CacheMetadataConfig",
        "compression": "CompressionConfig",
        "serialization": "SerializationConfig",
        "handlers": "HandlerConfig",
        "default_ttl_seconds": None,
    },
}

#: Defaults that are others here, on purpose: see docs/migrating.md.
OTHER_DEFAULTS = {
    "CacheMetadataConfig.backend": None,
    "CacheMetadataConfig.enable_memory_cache": True,
    "CacheMetadataConfig.memory_cache_maxsize": 10_000,
    "HandlerConfig.handler_priority": [],
}

#: Names that modules have.
NAMES = {
    "cacheness": """
        BlobBackend BlobStore CacheBlobConfig CacheConfig CacheHandler CacheMetadataConfig CacheStorageConfig
        CachenessConfig CompressionConfig FilesystemBlobBackend HandlerConfig InMemoryBlobBackend JsonBackend ArrayHandler
        ObjectHandler MetadataBackend SecurityConfig SerializationConfig SqliteBackend UnifiedCache cache_async cache_if
        cached cacheness create_cache_config create_metadata_backend get_size_mb hash_content hash_file_path
        list_handlers register_handler set_default_cache unregister_handler
    """,
    "cacheness.core": "CacheConfig UnifiedCache cacheness",
    "cacheness.config": """
        CacheBlobConfig CacheConfig CacheMetadataConfig CachenessConfig ConfigValidationError config_schema
        create_cache_config load_config_from_dict load_config_from_json load_config_from_yaml save_config_to_dict
        save_config_to_json save_config_to_yaml validate_config validate_config_strict
    """,
    "cacheness.storage": "BlobStore HandlerRegistry",
    "cacheness.storage.backends": """
        BlobBackend FilesystemBlobBackend InMemoryBlobBackend JsonBackend MetadataBackend SqliteBackend register_backend
    """,
    "cacheness.storage.backends.base": "BlobBackend MetadataBackend",
    "cacheness.storage.handlers": "ArrayHandler ObjectHandler CacheHandler HandlerRegistry",
    "cacheness.handlers": "ArrayHandler ObjectHandler HandlerRegistry register_handler",
    "cacheness.metadata": "Base JsonBackend MetadataBackend SqliteBackend create_metadata_backend",
    "cacheness.interfaces": "CacheHandler StorageHandler",
    "cacheness.error_handling": """
        CacheCompressionError CacheError CacheMetadataError CacheSerializationError CacheStorageError
    """,
    "cacheness.file_hashing": "hash_directory_parallel",
    "cacheness.serialization": "create_unified_cache_key serialize_for_cache_key",
    "cacheness.custom_metadata": "CustomMetadataBase custom_metadata_model migrate_custom_metadata_tables",
    "cacheness.utils": "get_size_mb hash_content hash_file_path migrate_cache",
}

#: Keys of dictionaries.
STATS = "total_entries total_size_mb hit_rate backend_type avg_entry_size_mb oldest_entry_date newest_entry_date"
ENTRY = """
    cache_key created_at accessed_at expires_at size_mb handler_used compression_info cache_key_params data_type description
    metadata created last_accessed
"""
#: Technical fields that an entry's metadata have as well.
TECHNICAL = "file_hash entry_signature"
METADATA = "cache_key data_type file_size created_at"
INTEGRITY = "valid expected_hash actual_hash"
HANDLER = "name priority class is_builtin"
BACKEND = "name description required_packages is_builtin"

#: Environment variables, and the option whose default each is.
VARIABLES = {
    "CACHENESS_DIR": ("cache_dir", "elsewhere"),
    "CACHENESS_MAX_SIZE_MB": ("max_cache_size_mb", "20000"),
    "CACHENESS_DEFAULT_TTL_SECONDS": ("default_ttl_seconds", "604800"),
    "CACHENESS_COMPRESSION_CODEC": ("pickle_compression_codec", "gzip"),
    "CACHENESS_COMPRESSION_LEVEL": ("pickle_compression_level", "3"),
}
