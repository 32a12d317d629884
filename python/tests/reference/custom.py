"""Blocks about typed metadata, of the reference and of the guide, as they stand there.

Names that they take for granted are in `prepared.py`. A block of several that need PostgreSQL is split: what needs no
server runs here, the rest is in `waiting.py`.
"""

import textwrap

BLOCKS = {
    "reference, `query_custom(table_name: str, filters: Optional[Dict] = None) -> List[Any]`": """
        # Simple query - session automatically cleaned up
        results = cache.query_custom("ml_experiments")

        # With filters
        results = cache.query_custom("ml_experiments", {"model_type": "xgboost"})
    """,
    "reference, `query_custom_session(table_name: str) -> ContextManager`": """
        # Advanced filtering with context manager
        with cache.query_custom_session("ml_experiments") as query:
            high_accuracy = query.filter(MLExperimentMetadata.accuracy >= 0.9).all()
            sorted_results = query.order_by(MLExperimentMetadata.accuracy.desc()).limit(10).all()
    """,
    "reference, `@custom_metadata_model` Decorator": '''
        from cacheness.custom_metadata import custom_metadata_model, CustomMetadataBase
        from cacheness.metadata import Base
        from sqlalchemy import Column, String, Float, Integer, DateTime, Boolean

        @custom_metadata_model("experiments")
        class ExperimentMetadata(Base, CustomMetadataBase):
            """Custom metadata for ML experiments."""

            __tablename__ = "custom_ml_experiments"

            # cache_key FK inherited from CustomMetadataBase
            experiment_id = Column(String(100), nullable=False, unique=True, index=True)
            model_type = Column(String(50), nullable=False, index=True)
            accuracy = Column(Float, nullable=False, index=True)
            epochs = Column(Integer, nullable=False, index=True)
            is_production = Column(Boolean, default=False)
            created_at = Column(DateTime)
    ''',
    "reference, `CustomMetadataBase` Mixin": '''
        class CustomMetadataBase:
            """
            Mixin that adds cache_key foreign key to custom metadata tables.

            Automatically adds:
            - cache_key: String(16), ForeignKey("cache_entries.cache_key", ondelete="CASCADE")
            - Indexed for fast lookups
            - Cascade delete ensures metadata is removed when cache entry deleted
            """
    ''',
    "reference, Storing Custom Metadata": """
        # Store with single custom metadata
        experiment = ExperimentMetadata(
            experiment_id="exp_001",
            model_type="xgboost",
            accuracy=0.95,
            epochs=100
        )

        cache.put(
            trained_model,
            experiment="exp_001",
            custom_metadata=experiment
        )

        # Store with multiple custom metadata types
        performance = PerformanceMetadata(
            run_id="run_001",
            training_time_seconds=120.5,
            memory_usage_mb=2048.0
        )

        cache.put(
            trained_model,
            experiment="exp_001",
            custom_metadata=[experiment, performance]  # List of metadata objects
        )
    """,
    "reference, `query_custom_session(schema_name) -> contextmanager`": """
        # Query with filters
        with cache.query_custom_session("experiments") as query:
            high_accuracy = query.filter(
                ExperimentMetadata.accuracy >= 0.95
            ).all()

            for exp in high_accuracy:
                print(f"{exp.experiment_id}: {exp.accuracy}")

        # Query with sorting
        with cache.query_custom_session("experiments") as query:
            best_models = query.filter(
                ExperimentMetadata.is_production == True
            ).order_by(
                ExperimentMetadata.accuracy.desc()
            ).limit(10).all()

        # Query with aggregation
        from sqlalchemy import func

        with cache.query_custom_session("experiments") as query:
            avg_accuracy = query.with_entities(
                func.avg(ExperimentMetadata.accuracy)
            ).scalar()
            print(f"Average accuracy: {avg_accuracy:.3f}")
    """,
    "reference, `get_custom_metadata_for_entry(**kwargs) -> Dict[str, Any]`": """
        # Get all custom metadata for an entry
        metadata = cache.get_custom_metadata_for_entry(experiment="exp_001")

        if "experiments" in metadata:
            exp = metadata["experiments"]
            print(f"Model: {exp.model_type}, Accuracy: {exp.accuracy}")

        if "performance" in metadata:
            perf = metadata["performance"]
            print(f"Training time: {perf.training_time_seconds}s")

        # Returns empty dict if entry doesn't exist
        meta = cache.get_custom_metadata_for_entry(nonexistent="key")
        print(meta)  # {}
    """,
    "reference, Correlating Across Custom Tables": """
        # Find high-accuracy experiments
        with cache.query_custom_session("experiments") as query:
            high_acc_exps = query.filter(
                ExperimentMetadata.accuracy >= 0.95
            ).all()
            cache_keys = {exp.cache_key for exp in high_acc_exps}

        # Get corresponding performance metrics
        with cache.query_custom_session("performance") as query:
            perf_metrics = query.filter(
                PerformanceMetadata.cache_key.in_(cache_keys)
            ).all()

            for perf in perf_metrics:
                print(f"{perf.run_id}: {perf.training_time_seconds}s")
    """,
    "reference, `migrate_custom_metadata_tables(engine=None)`": """
        from cacheness.custom_metadata import migrate_custom_metadata_tables

        # With cache instance
        cache = cacheness(config=config)
        if hasattr(cache.metadata_backend, 'engine'):
            migrate_custom_metadata_tables(engine=cache.metadata_backend.engine)
    """,
    "reference, Cascade Deletion Behavior": """
        # Store with custom metadata
        cache.put(model, experiment="exp_001", custom_metadata=experiment)

        # Delete cache entry
        cache.invalidate(experiment="exp_001")

        # Custom metadata automatically deleted (cascade)
        meta = cache.get_custom_metadata_for_entry(experiment="exp_001")
        print(meta)  # {} (empty)
    """,
    "reference, Table Naming": """
        __tablename__ = "custom_ml_experiments"  # ✅ Good
    """,
    "reference, Add Indexes": """
        accuracy = Column(Float, index=True)  # ✅ Indexed
    """,
    "reference, Use Appropriate Types": """
        accuracy = Column(Float, index=True)        # Not String!
        epochs = Column(Integer, index=True)        # Not String!
        is_production = Column(Boolean)             # Not String!
    """,
    "reference, Separate Concerns": """
        @custom_metadata_model("experiments")
        class ExperimentMetadata(Base, CustomMetadataBase):
            ...

        @custom_metadata_model("performance")
        class PerformanceMetadata(Base, CustomMetadataBase):
            ...
    """,
    "reference, Query Efficiently": """
        with cache.query_custom_session("experiments") as query:
            results = query.filter(
                ExperimentMetadata.accuracy >= 0.9,
                ExperimentMetadata.created_by == "alice"
            ).order_by(ExperimentMetadata.accuracy.desc()).all()
    """,
    "guide, Custom SQLAlchemy Models with PostgreSQL": '''
        from sqlalchemy import Column, Integer, String, Float, DateTime
        from cacheness.custom_metadata import custom_metadata_model, CustomMetadataBase
        from cacheness.metadata import Base

        @custom_metadata_model("experiments")
        class MLExperiment(Base, CustomMetadataBase):
            """Custom metadata table for ML experiments."""
            __tablename__ = "custom_ml_experiments"

            # cache_key FK is inherited from CustomMetadataBase
            experiment_name = Column(String, nullable=False, index=True)
            accuracy = Column(Float, index=True)
            f1_score = Column(Float, index=True)
            model_type = Column(String, index=True)
            created_at = Column(DateTime)

        # The custom model works with both SQLite and PostgreSQL backends
        from cacheness import cacheness, CacheConfig
        from cacheness.config import CacheMetadataConfig

        # Or with SQLite (default)
        sqlite_cache = cacheness()

        # Both work identically with custom metadata models
    ''',
    "guide, Automatic Cascade Deletion": """
        # Store with custom metadata
        experiment = MLExperiment(
            experiment_name="exp_001",
            accuracy=0.95
        )
        cache.put(model, experiment="exp_001", custom_metadata=experiment)

        # Verify metadata exists
        meta = cache.get_custom_metadata_for_entry(experiment="exp_001")
        print(meta)  # {'experiments': <MLExperiment object>}

        # Delete cache entry
        cache.invalidate(experiment="exp_001")

        # Custom metadata automatically deleted
        meta = cache.get_custom_metadata_for_entry(experiment="exp_001")
        print(meta)  # {} (empty - no entry, no metadata)
    """,
    "guide, Table Naming Convention": """
        @custom_metadata_model("experiments")
        class MLExperiment(Base, CustomMetadataBase):
            __tablename__ = "custom_ml_experiments"  # ✅ Good
            # __tablename__ = "ml_experiments"       # ⚠️  Warning from validator
    """,
    "guide, Add Indexes to Frequently Queried Columns": """
        @custom_metadata_model("experiments")
        class MLExperiment(Base, CustomMetadataBase):
            __tablename__ = "custom_ml_experiments"

            experiment_name = Column(String, nullable=False, unique=True, index=True)  # ✅
            accuracy = Column(Float, index=True)        # ✅ Frequently filtered
            model_type = Column(String, index=True)     # ✅ Frequently grouped
            notes = Column(String)                      # No index - rarely queried
    """,
    "guide, Use Appropriate Data Types": """
        from sqlalchemy import Column, String, Integer, Float, Boolean, DateTime, Text

        @custom_metadata_model("experiments")
        class MLExperiment(Base, CustomMetadataBase):
            __tablename__ = "custom_ml_experiments"

            # Use specific types for better query performance
            experiment_id = Column(String(100), nullable=False, unique=True, index=True)
            accuracy = Column(Float, index=True)           # Not String!
            epochs = Column(Integer, index=True)           # Not String!
            is_production = Column(Boolean, default=False) # Not String!
            created_at = Column(DateTime, default=datetime.utcnow)

            # Use Text for long descriptions (no length limit)
            description = Column(Text, nullable=True)
    """,
    "guide, Register Model Name for Easy Querying": """
        # Register with descriptive name
        @custom_metadata_model("ml_experiments")  # ✅ Easy to remember
        class MLExperiment(Base, CustomMetadataBase):
            accuracy = Column(Float, index=True)  # three dots in the guide

        # Query using the registered name
        with cache.query_custom_session("ml_experiments") as query:
            results = query.filter(MLExperiment.accuracy > 0.9).all()
    """,
    "guide, Store Multiple Models for Different Concerns": '''
        @custom_metadata_model("experiments")
        class ExperimentMetadata(Base, CustomMetadataBase):
            """ML experiment configuration and results."""
            __tablename__ = "custom_experiments"
            experiment_id = Column(String(100), index=True)
            accuracy = Column(Float, index=True)
            model_type = Column(String(50), index=True)

        @custom_metadata_model("performance")
        class PerformanceMetadata(Base, CustomMetadataBase):
            """System performance metrics during training."""
            __tablename__ = "custom_performance"
            run_id = Column(String(100), index=True)
            training_time_seconds = Column(Float, index=True)
            memory_usage_mb = Column(Float, index=True)
            gpu_utilization = Column(Float, index=True)

        # Store both with one cache entry
        cache.put(
            model,
            experiment="exp_001",
            custom_metadata=[experiment, performance]  # Both models
        )

        # Query each independently
        with cache.query_custom_session("experiments") as query:
            high_accuracy = query.filter(ExperimentMetadata.accuracy >= 0.9).all()

        with cache.query_custom_session("performance") as query:
            fast_runs = query.filter(PerformanceMetadata.training_time_seconds < 60).all()
    ''',
    "guide, Join Across Custom Tables via cache_key": """
        # Find high-accuracy experiments
        with cache.query_custom_session("experiments") as query:
            high_accuracy = query.filter(
                ExperimentMetadata.accuracy >= 0.92
            ).all()
            cache_keys = {exp.cache_key for exp in high_accuracy}

        # Get corresponding performance metrics
        with cache.query_custom_session("performance") as query:
            perf_metrics = query.filter(
                PerformanceMetadata.cache_key.in_(cache_keys)
            ).all()

            for perf in perf_metrics:
                print(f"Run: {perf.run_id}, Time: {perf.training_time_seconds}s")
    """,
    "guide, Validation Warnings": """
        # This will generate warnings:
        @custom_metadata_model("test")
        class BadExample(Base, CustomMetadataBase):
            __tablename__ = "experiments"  # ⚠️  Should be "custom_experiments"
            accuracy = Column(Float)       # ⚠️  No index on frequently queried column
    """,
}

#: What is stored before each of them.
PRIOR = """
config = CacheConfig()
cache.put(
    model,
    experiment="exp_before",
    custom_metadata=[ExperimentMetadata(experiment_id="exp_before", accuracy=0.97), PerformanceMetadata(run_id="before")],
)
"""

BLOCKS = {name: PRIOR + textwrap.dedent(block) for name, block in BLOCKS.items()}
