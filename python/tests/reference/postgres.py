"""The blocks that need PostgreSQL. Where a block has an address, the test has that of its server, in a schema of its own."""

BLOCKS = {
    "reference, PostgreSQL": """
        config = CacheConfig(
            metadata=CacheMetadataConfig(
                metadata_backend="postgresql", metadata_backend_options={"connection_url": "postgresql://u:p@h/db"}
            )
        )
        cache = cacheness(config=config)
        cache.put({"a": 1}, project="x")
        assert cache.get(project="x") == {"a": 1}
    """,
    "reference, custom metadata in PostgreSQL": """
        from sqlalchemy import Column, Float, String
        from cacheness.custom_metadata import custom_metadata_model, CustomMetadataBase
        from cacheness.metadata import Base

        @custom_metadata_model("pg_reference")
        class PgReference(Base, CustomMetadataBase):
            __tablename__ = "custom_pg_reference"
            name = Column(String, nullable=False, index=True)
            accuracy = Column(Float, index=True)

        pg_config = CacheConfig(
            metadata=CacheMetadataConfig(
                backend="postgresql",
                connection_url="postgresql://user:password@localhost:5432/cacheness_db"
            )
        )
        pg_cache = cacheness(config=pg_config)

        pg_cache.put([1], experiment="exp_001", custom_metadata=PgReference(name="exp_001", accuracy=0.95))
        with pg_cache.query_custom_session("pg_reference") as query:
            assert [one.name for one in query.filter(PgReference.accuracy >= 0.9)] == ["exp_001"]
        pg_cache.invalidate(experiment="exp_001")
        assert pg_cache.query_custom("pg_reference") == []
    """,
    "guide, metadata in PostgreSQL": """
        config = CacheConfig(
            metadata=CacheMetadataConfig(
                backend="postgresql", connection_url="postgresql://user:password@localhost/db", pool_size=10, max_overflow=20
            )
        )
        cache = cacheness(config=config)
        cache.put(1, a=1)
        assert cache.get_stats()["backend_type"] == "postgresql"
    """,
    "plans, a store in PostgreSQL": """
        store = BlobStore(
            cache_dir="./models", backend="postgresql", content_addressable=True,
            backend_options={"connection_url": "postgresql://u:p@h/db"},
        )
        assert store.put(model) == store.put(model)
    """,
}
