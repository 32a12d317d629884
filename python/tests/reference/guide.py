"""The blocks of the guide to metadata that run, by name; functions that it shows are called."""

BLOCKS = {
    "put with metadata": """
        cache.put(
            data=trained_model,
            project="fraud_detection",
            model_type="xgboost",
            version="v2.1",
            metadata={
                "accuracy": 0.94,
                "features": ["amount", "time"],
                "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1},
                "author": "data_team",
            },
        )
        value, metadata = cache.get_with_metadata(project="fraud_detection", model_type="xgboost", version="v2.1")
        assert value == trained_model
        assert f"{metadata['accuracy']} {metadata['author']}" == "0.94 data_team"
        assert metadata["hyperparameters"] == {"n_estimators": 100, "learning_rate": 0.1}
    """,
    "get_with_metadata": """
        result = cache.get_with_metadata(project="fraud", model_type="xgboost", version="v2.1")
        if result:
            data, metadata = result
        assert f"{metadata['accuracy']} {metadata['training_time_minutes']} {metadata['author']}" == "0.94 45 ada"
    """,
    "experiments": """
        import sys

        def train_and_cache_model(experiment_config):
            cache.put(
                model,
                experiment_id=experiment_config["experiment_id"],
                model_type=experiment_config["model_type"],
                metadata={
                    "config": experiment_config,
                    "dataset_info": {"train_size": len(frame), "features": list(frame.columns)},
                    "python_version": sys.version,
                    "hardware": {"cpu_count": os.cpu_count()},
                    "created_at": datetime.now().isoformat(),
                    "created_by": os.getenv("USER", "unknown"),
                },
            )

        config = {"experiment_id": "exp_001", "model_type": "random_forest", "n_estimators": 100, "random_state": 42}
        train_and_cache_model(config)
        metadata = cache.get_with_metadata(experiment_id="exp_001", model_type="random_forest")[1]
        assert metadata["config"] == config
        assert metadata["dataset_info"] == {"train_size": 3, "features": ["amount", "shop"]}
    """,
    "lineage": """
        def cache_processed_data(raw_data_path, processing_version):
            processed_data = frame
            cache.put(
                processed_data,
                data_path=raw_data_path,
                processing_version=processing_version,
                metadata={
                    "source_size_mb": os.path.getsize(raw_data_path) / (1024**2),
                    "source_modified": datetime.fromtimestamp(os.path.getmtime(raw_data_path)).isoformat(),
                    "processing_steps": ["remove_duplicates", "normalize_categories"],
                    "row_count": len(processed_data),
                    "data_types": processed_data.dtypes.to_dict(),
                    "column_stats": {
                        col: {
                            "unique_values": processed_data[col].nunique(),
                            "null_count": processed_data[col].isnull().sum(),
                            "mean": processed_data[col].mean() if processed_data[col].dtype in ["int64", "float64"] else None,
                        }
                        for col in processed_data.columns
                    },
                },
            )

        Path("raw.csv").write_text("a,b")
        cache_processed_data("raw.csv", "v1")
        metadata = cache.get_with_metadata(data_path="raw.csv", processing_version="v1")[1]
        assert metadata["row_count"] == 3
        assert metadata["column_stats"]["amount"]["unique_values"] == 2
    """,
    "responses": """
        def cache_api_response(url, params):
            start_time = time.time()
            response = requests.get(url, params=params)
            response_time = time.time() - start_time
            cache.put(
                response.json(),
                api_endpoint=url,
                metadata={
                    "params": params,
                    "request_headers": dict(response.request.headers),
                    "response_time_seconds": response_time,
                    "status_code": response.status_code,
                    "response_headers": dict(response.headers),
                    "content_length": len(response.content),
                    "rate_limit_reset": response.headers.get("x-ratelimit-reset"),
                    "expires_at": (datetime.now() + timedelta(hours=1)).isoformat(),
                },
            )

        cache_api_response("/api", {"page": 1})
        assert cache.get_with_metadata(api_endpoint="/api")[1]["rate_limit_reset"] is None
        assert cache.get_metadata(api_endpoint="/api")["expires_at"] is None
    """,
    "find by metadata": """
        def find_high_accuracy_models(entries, min_accuracy=0.9):
            found = []
            for entry in entries:
                metadata = entry.get("metadata", {})
                accuracy = metadata.get("accuracy")
                if accuracy and accuracy >= min_accuracy:
                    found.append({
                        "cache_key": entry["cache_key"],
                        "accuracy": accuracy,
                        "model_type": metadata.get("config", {}).get("model_type"),
                        "created_at": entry["created_at"],
                    })
            return sorted(found, key=lambda x: x["accuracy"], reverse=True)

        best = find_high_accuracy_models(cache.list_entries(include_metadata=True), min_accuracy=0.92)
        assert [(one["model_type"], one["accuracy"]) for one in best] == [("xgboost", 0.94)]
    """,
    "clean up by metadata": """
        def cleanup_by_metadata(cache, criteria):
            to_remove = []
            for entry in cache.list_entries(include_metadata=True):
                metadata = entry.get("metadata", {})
                if metadata.get("accuracy", 1.0) < criteria.get("min_accuracy", 0.0):
                    to_remove.append(entry["cache_key"])
                if metadata.get("created_by") == criteria.get("author") and entry["created_at"] < criteria.get("before_date"):
                    to_remove.append(entry["cache_key"])
                if not metadata.get("validation_passed", True) and entry["size_mb"] > criteria.get("max_size_mb", float("inf")):
                    to_remove.append(entry["cache_key"])
            for cache_key in to_remove:
                cache.invalidate_by_cache_key(cache_key)
            return len(to_remove)

        criteria = {"min_accuracy": 0.95, "author": "test_user", "before_date": "2024-01-01", "max_size_mb": 100}
        assert cleanup_by_metadata(cache, criteria) == 1
        assert len(cache) == 0
    """,
    "health": """
        def check_cache_health(cache):
            entries = cache.list_entries(include_metadata=True)
            failed = [e for e in entries if not e.get("metadata", {}).get("validation_passed", True)]
            low = [e for e in entries if e.get("metadata", {}).get("missing_value_percentage", 0) > 50]
            week_ago = datetime.now() - timedelta(days=7)
            old = [
                e for e in entries
                if (datetime.fromisoformat(e["created_at"]) < week_ago
                    and e.get("metadata", {}).get("environment") == "development")
            ]
            return len(failed), len(low), len(old)

        assert check_cache_health(cache) == (1, 1, 0)
    """,
    "report": """
        def generate_cache_report(cache):
            entries = cache.list_entries(include_metadata=True)
            report = {
                "total_entries": len(entries),
                "total_size_mb": sum(e["size_mb"] for e in entries),
                "oldest": min(e["created_at"] for e in entries),
                "newest": max(e["created_at"] for e in entries),
                "by_author": {},
            }
            for entry in entries:
                author = entry.get("metadata", {}).get("author", "unknown")
                report["by_author"].setdefault(author, []).append(entry["size_mb"])
            return report

        report = generate_cache_report(cache)
        assert report["total_entries"] == 1 and report["oldest"] <= report["newest"]
        assert list(report["by_author"]) == ["ada"] and f"{report['total_size_mb']:.2f}"
    """,
    "schemas, versions, tags and sizes of metadata": """
        def optimize(metadata):
            return {k: v[:1000] + "..." if isinstance(v, str) and len(v) > 1000 else v for k, v in metadata.items()}

        metadata = {
            "schema_version": "1.2",
            "metadata_created_at": datetime.now().isoformat(),
            "tags": ["model:xgboost", "env:production"],
            "searchable_text": "best model",
            "notes": "x" * 2000,
            "values": list(range(200)),
        }
        cache.put(data, key="example", metadata=optimize(metadata))
        entries = cache.list_entries(include_metadata=True)
        found = [e for e in entries if "env:production" in e.get("metadata", {}).get("tags", [])]
        assert len(found) == 1 and len(found[0]["metadata"]["notes"]) == 1003
        assert isinstance(found[0]["metadata"]["values"], list) and isinstance(found[0]["metadata"]["tags"], list)
    """,
    "configuration of metadata": """
        from cacheness import CacheConfig
        from cacheness.config import CacheMetadataConfig

        config = CacheConfig(
            metadata=CacheMetadataConfig(backend="sqlite", store_cache_key_params=True, verify_cache_integrity=True)
        )
        assert cacheness(config).get_stats()["backend_type"] == "sqlite"
    """,
    "configuration of PostgreSQL": """
        from cacheness.config import CacheMetadataConfig

        config = CacheConfig(
            metadata=CacheMetadataConfig(
                backend="postgresql",
                connection_url="postgresql://user:password@localhost:5432/db",
                pool_size=10,
                max_overflow=20,
            )
        )
        assert (config.metadata.pool_size, config.metadata.max_overflow) == (10, 20)
        assert ":password" not in repr(config)
    """,
}
