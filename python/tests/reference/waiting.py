"""The blocks that cannot run yet, each with what it waits for. The list may only become shorter.

Each block ends with `CacheUnsupportedError` in the call that needs what is not there; the error names it.
"""

from typing import NamedTuple


class Waiting(NamedTuple):
    """A block that is refused."""

    #: What it waits for.
    capability: str
    #: What the error has to name.
    named: str
    block: str


TYPED = "typed metadata (SQLAlchemy models)"
SQL = "SQL queries of metadata"
POSTGRESQL = "the PostgreSQL metadata backend"
OWN = "backends that a program brings along"
S3 = "the S3 blob backend"

WAITING = {
    # ----- The reference of the interface.
    "query_custom": Waiting(TYPED, "query_custom", """
        cache.query_custom("ml_experiments", {"model_type": "xgboost"})
    """),
    "query_custom without filters": Waiting(TYPED, "query_custom", """
        cache.query_custom("ml_experiments")
    """),
    "query_custom_session": Waiting(TYPED, "query_custom_session", """
        with cache.query_custom_session("ml_experiments") as query:
            query.filter(Model.accuracy >= 0.9).all()
    """),
    "a model": Waiting(TYPED, "custom_metadata_model", """
        @custom_metadata_model("experiments")
        class ExperimentMetadata(Base, CustomMetadataBase):
            __tablename__ = "custom_ml_experiments"
            experiment_id = Column(String(100), nullable=False, unique=True, index=True)
    """),
    "two models": Waiting(TYPED, "custom_metadata_model", """
        @custom_metadata_model("performance")
        class PerformanceMetadata(Base, CustomMetadataBase): ...
    """),
    "put with a row": Waiting(TYPED, "custom_metadata", """
        cache.put(trained_model, experiment="exp_001", custom_metadata=experiment)
    """),
    "put with rows": Waiting(TYPED, "custom_metadata", """
        cache.put(trained_model, experiment="exp_001", custom_metadata=[experiment, performance])
    """),
    "put with a row alone": Waiting(TYPED, "custom_metadata", """
        cache.put(trained_model, custom_metadata=experiment)
    """),
    "rows of an entry": Waiting(TYPED, "get_custom_metadata_for_entry", """
        cache.get_custom_metadata_for_entry(experiment="exp_001")
    """),
    "tables of an engine": Waiting(TYPED, "migrate_custom_metadata_tables", """
        from cacheness.custom_metadata import migrate_custom_metadata_tables

        if hasattr(cache.metadata_backend, "engine"):
            migrate_custom_metadata_tables(engine=cache.metadata_backend.engine)
        migrate_custom_metadata_tables(engine=object())
    """),
    "PostgreSQL": Waiting(POSTGRESQL, "postgresql", """
        config = CacheConfig(
            metadata=CacheMetadataConfig(
                metadata_backend="postgresql", metadata_backend_options={"connection_url": "postgresql://u:p@h/db"}
            )
        )
        cacheness(config=config)
    """),
    "registered backends by name": Waiting(OWN, "redis", """
        from cacheness import CacheBlobConfig

        config = CacheConfig(
            metadata=CacheMetadataConfig(backend="redis", connection_url="redis://localhost:6379/0"),
            blob=CacheBlobConfig(backend="s3", bucket="my-cache-bucket"),
        )
        cacheness(config=config)
    """),
    "migrate_cache": Waiting("copying a cache into another one", "migrate_cache", """
        from cacheness.utils import migrate_cache

        migrate_cache(old_cache_dir="./old", new_cache_dir="./new", old_config=CacheConfig(), new_config=CacheConfig())
    """),
    # ----- The guide to metadata.
    "metadata in PostgreSQL": Waiting(POSTGRESQL, "postgresql", """
        config = CacheConfig(
            metadata=CacheMetadataConfig(
                backend="postgresql", connection_url="postgresql://user:password@localhost/db", pool_size=10, max_overflow=20
            )
        )
        cacheness(config=config)
    """),
    "sessions of the guide": Waiting(TYPED, "query_custom_session", """
        with cache.query_custom_session("experiments") as query:
            cache_keys = {row.cache_key for row in query.all()}
    """),
    # ----- The plans.
    "a backend of one's own, by name": Waiting(OWN, "metadata_backend is 'mine'", """
        class Mine(MetadataBackend): pass
        register_metadata_backend("mine", Mine)
        cacheness(config=CacheConfig(metadata_backend="mine"))
    """),
    "a backend of one's own": Waiting(OWN, "metadata_backend is a Mine", """
        class Mine(MetadataBackend): pass
        cacheness(metadata_backend=Mine())
    """),
    "blobs of one's own": Waiting(OWN, "blob_backend is a Cached", """
        class Cached(BlobBackend): pass
        cacheness(config=CacheConfig(blob_backend=Cached(), metadata_backend="sqlite"))
    """),
    "a store with blobs of one's own": Waiting(OWN, "postgresql", """
        class S3(BlobBackend): pass
        BlobStore(blob_backend=S3(), metadata_backend="postgresql", backend_options={"connection_url": "postgresql://h"})
    """),
    "a store in PostgreSQL": Waiting(POSTGRESQL, "postgresql", """
        BlobStore(cache_dir="./models", backend="postgresql", content_addressable=True)
    """),
    "blobs in S3": Waiting(S3, "s3", """
        cacheness(CacheConfig(cache_dir="x", metadata_backend="sqlite", blob_backend="s3", blob_backend_options={"bucket": "b"}))
    """),
    "blobs in S3 beside memory": Waiting(S3, "s3", """
        cacheness(CacheConfig(metadata_backend="memory", blob_backend="s3", blob_backend_options={"bucket": "b"}))
    """),
    "operators in filters": Waiting("operators in filters", "$gte", """
        BlobStore(cache_dir="./models").list(metadata_filter={"accuracy": {"$gte": 0.9}})
    """),
    "query_meta": Waiting(SQL, "query_meta", """
        cache.query_meta("SELECT cache_key FROM cache_entries WHERE json_extract(full_metadata, '$.a') = 'value'")
    """),
    "SqlCache": Waiting("tables that are filled from their source", "SqlCache", """
        from cacheness.sql_cache import SqlCache

        SqlCache(db_url="postgresql://localhost/db", table_name="t", data_fetcher=len, model_type=String(50))
    """),
}  # fmt: skip
