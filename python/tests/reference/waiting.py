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


OWN = "backends that a program brings along"

WAITING = {
    # ----- The reference of the interface.
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
    "a store with blobs of one's own": Waiting(OWN, "blob_backend is a S3", """
        class S3(BlobBackend): pass
        BlobStore(blob_backend=S3(), metadata_backend="postgresql", backend_options={"connection_url": "postgresql://h"})
    """),
    "SqlCache": Waiting("tables that are filled from their source", "SqlCache", """
        from cacheness.sql_cache import SqlCache

        SqlCache(db_url="postgresql://localhost/db", table_name="t", data_fetcher=len, model_type=String(50))
    """),
}  # fmt: skip
