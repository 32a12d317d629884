"""Configurations in files, what is wrong with them, and what must not be in them."""

from __future__ import annotations

import contextlib
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

from cacheness import (
    Cache,
    CacheConfig,
    CacheConfigurationError,
    CacheError,
    CacheHandler,
    CacheStorageError,
    CompressionConfig,
    JsonBackend,
)
from cacheness.config import (
    ConfigValidationError,
    SecurityConfig,
    config_schema,
    load_config_from_dict,
    load_config_from_json,
    load_config_from_yaml,
    save_config_to_dict,
    save_config_to_json,
    save_config_to_yaml,
    validate_config,
    validate_config_strict,
)

CONFIGS = {
    "defaults": CacheConfig(),
    "flat": CacheConfig(cache_dir="x", max_entries=5, default_ttl_seconds=60, custom_signed_fields=["description"]),
    "other backends": CacheConfig(
        metadata_backend="postgresql", connection_url="postgresql://h/db", blob_backend="s3", bucket="b", use_ssl=False
    ),
    "texts": CacheConfig(cache_dir="Größe/路径", signing_key_file="a b.bin"),
    "nothing": CacheConfig(max_cache_size_mb=None, default_ttl_seconds=None),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_was_saved_is_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIGS[name]
    save_config_to_json(config, tmp_path / "config.json")
    save_config_to_yaml(config, str(tmp_path / "config.yaml"))
    saved = save_config_to_dict(config)
    assert load_config_from_json(tmp_path / "config.json") == config
    # What is saved is all of it. A dictionary is code, which comes before the environment, and that before a file.
    monkeypatch.setenv("CACHENESS_DIR", "from_env")
    monkeypatch.setenv("CACHENESS_MAX_SIZE_MB", "5")
    assert load_config_from_dict(saved) == config
    assert load_config_from_json(tmp_path / "config.json", environment=False) == config
    assert load_config_from_yaml(tmp_path / "config.yaml", environment=False) == config
    assert load_config_from_json(tmp_path / "config.json").cache_dir == "from_env"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "config.yaml"]


def test_a_file_has_sections_and_single_options(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "cache_dir: data\nmetadata:\n  backend: json\nsecurity:\n  enable_signing: false\n"
    )
    (tmp_path / "c.json").write_text(
        '{"cache_dir": "data", "metadata": {"backend": "json"}, "security": {"enable_signing": false}}'
    )
    (tmp_path / "empty.yaml").write_text("")
    expected = CacheConfig(
        cache_dir="data", metadata_backend="json", security=SecurityConfig(enable_entry_signing=False)
    )
    assert load_config_from_yaml(tmp_path / "c.yaml") == load_config_from_json(tmp_path / "c.json") == expected
    assert load_config_from_yaml(tmp_path / "empty.yaml") == CacheConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "the configuration is a list"),
        ('{"max_entrys": 5}', "unknown option 'max_entrys' of CacheConfig\nhint: did you mean 'max_entries'"),
        ('{"storage": {"backend": "json"}}', "unknown option 'backend' of CacheStorageConfig"),
        ('{"storage": 5}', "storage is 5"),
        ('{"max_entries": 0}', "max_entries is 0"),
        ('{"max_entries": 5, "max_entries": 6}', "'max_entries' is given twice"),
        ('{"max_entries": 5, "storage": {"max_entries": 6}}', "max_entries is 6 in storage, and 5 beside it"),
        ('{"max_cache_size_mb": NaN}', "max_cache_size_mb is nan"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CacheConfigurationError) as caught:
        load_config_from_json(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(CacheStorageError, match=r"cannot read the configuration .*none\.json.*No such file"):
        load_config_from_json(tmp_path / "none.json")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(CacheConfigurationError, match="is not UTF-8 text"):
        load_config_from_yaml(tmp_path / "bytes.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(CacheConfigurationError, match="is not valid YAML"):
        load_config_from_yaml(tmp_path / "bad.yaml")
    with pytest.raises(CacheStorageError, match="cannot write the configuration"):
        save_config_to_json(CacheConfig(), tmp_path / "no" / "config.json")
    (tmp_path / "code.yaml").write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(CacheConfigurationError, match="is not valid YAML"):
        load_config_from_yaml(tmp_path / "code.yaml")


SECRETS: list[dict[str, Any]] = [
    {"metadata_backend": "postgresql", "connection_url": "postgresql://ada:hush-hush@h/db?sslmode=require"},
    {"metadata_backend": "postgresql", "connection_url": "postgresql://ada:hush-hush@pw/@h:5432/db"},
    {"metadata_backend": "postgresql", "connection_url": "postgresql://h/db?user=ada&password=hush-hush&x=1"},
    {"metadata_backend": "postgresql", "connection_url": "host=h user=ada password='hush-hush' dbname=x"},
    {"metadata_backend": "redis", "metadata_backend_options": {"password": "hush-hush", "db": 5}},
    {"metadata_backend": "redis", "backend_options": {"auth_token": "hush-hush"}},
    {"blob_backend": "s3", "bucket": "b", "access_key": "hush-hush", "secret_key": "hush-hush"},
    {"blob_backend": "s3", "blob_backend_options": {"client": {"aws_secret_access_key": "hush-hush"}}},
    {"blob_backend": "azure", "blob_backend_options": {"connection_string": "AccountName=a;AccountKey=hush-hush;"}},
    {"blob_backend": "azure", "blob_backend_options": {"url": "https://h/c?sv=1&sig=hush-hush&se=2"}},
]  # fmt: skip


@pytest.mark.parametrize("options", SECRETS, ids=lambda options: str(options)[:60])
def test_a_secret_is_nowhere(options: dict[str, Any], tmp_path: Path) -> None:
    config = CacheConfig(cache_dir=tmp_path / "cache", **options)
    shown = [repr(config), repr(config.metadata), repr(config.blob), str(validate_config(config))]
    with contextlib.suppress(CacheError):
        validate_config_strict(config)
    for call in (
        lambda: Cache(config),
        lambda: CacheConfig(
            **{**options, "pool_size": 1, "metadata_backend_options": {"pool_size": 2, "password": "hush-hush"}}
        ),
        lambda: CacheConfig(max_entries=options.get("connection_url", "postgresql://a:hush-hush@h")),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the kinds differ, what they say does not
            call()
        shown.append(str(caught.value) + repr(caught.value))
    for save, name in ((save_config_to_json, "config.json"), (save_config_to_yaml, "config.yaml")):
        with pytest.warns(UserWarning, match="saved without the secrets in") as warned:
            save(config, tmp_path / name)
        shown += [str(warning.message) for warning in warned]
    shown += [(tmp_path / name).read_text() for name in ("config.json", "config.yaml")]
    assert not [text for text in shown if "hush" in text]
    # The rest is still there, and the copy that opens another process has it all.
    loaded = load_config_from_json(tmp_path / "config.json")
    assert loaded.metadata.backend == config.metadata.backend
    assert pickle.loads(pickle.dumps(config)) == config


def test_what_has_no_secret_is_shown_and_saved_whole(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = CacheConfig(
            metadata_backend="postgresql", connection_url="postgresql://ada@h:5432/db?x=1", cache_dir="a=b@c"
        )
        save_config_to_json(config, tmp_path / "config.json")
    assert "postgresql://ada@h:5432/db?x=1" in repr(config)
    assert load_config_from_json(tmp_path / "config.json") == config


def test_objects_are_not_saved(tmp_path: Path) -> None:
    class Handler(CacheHandler):
        data_type = "mine"  # type: ignore[assignment]

        def can_handle(self, data: Any) -> bool:
            return False

        def put(self, data: Any, file_path: Path, config: Any) -> dict[str, Any]:
            return {}

        def get(self, file_path: Path, metadata: dict[str, Any]) -> Any:
            return None

    for config, name in (
        (CacheConfig(custom_handlers=[Handler]), "custom_handlers"),
        (CacheConfig(metadata_backend=JsonBackend()), "backend"),
    ):
        with pytest.raises(CacheConfigurationError, match=f"{name} is an object, which cannot be saved to a file"):
            save_config_to_json(config, tmp_path / "config.json")
    assert not (tmp_path / "config.json").exists()


def test_all_that_is_wrong_is_found_at_once() -> None:
    config = CacheConfig()
    assert validate_config(config) == []
    validate_config_strict(config)
    config.max_entries = 0
    config.pickle_compression_level = 99
    config.default_ttl_seconds = -1
    config.allow_pickle = "no"
    config.metadata.memory_cache_type = "last"  # type: ignore[assignment]
    errors = validate_config(config)
    assert {error.field for error in errors} == {
        "storage.max_entries",
        "compression.pickle_compression_level",
        "default_ttl_seconds",
        "security.allow_pickle",
        "metadata.memory_cache_type",
    }
    for error in errors:
        name = error.field.rpartition(".")[2]
        assert isinstance(error, ConfigValidationError)
        assert name in str(error) and name in error.message
        assert error.value == getattr(config, name)
    with pytest.raises(ConfigValidationError) as caught:
        validate_config_strict(config)
    assert isinstance(caught.value, ValueError)
    assert [str(error) for error in caught.value.errors] == [str(error) for error in errors]
    assert all(error.field.rpartition(".")[2] in str(caught.value) for error in errors)
    with pytest.raises(CacheConfigurationError, match="config is a list"):
        validate_config([])  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(errors[0]))
    assert (str(again), again.field) == (str(errors[0]), errors[0].field)


def test_what_contradicts_by_assignment_is_found() -> None:
    config = CacheConfig(default_ttl_seconds=5)
    config.metadata.default_ttl_seconds = 6
    [error] = validate_config(config)
    assert "default_ttl_seconds is 6.0 in metadata, and 5.0 beside it" in str(error)
    config = CacheConfig()
    config.pickle_compression_codec = "lz4"
    config.pickle_compression_level = 20
    [error] = validate_config(config)
    assert "pickle_compression_level is 20, with lz4" in str(error)
    vars(config.storage)["nonsense"] = 1
    assert any("nonsense" in str(error) for error in validate_config(config))


def test_a_dictionary_is_checked_as_a_whole() -> None:
    assert validate_config({}) == []
    wrong = {
        "max_entrys": 5,
        "storage": {"max_cache_size": 5, "eviction_policy": "lur", "read_only": "no"},
        "blob": {
            "backend": "s3",
            "buket": "b",
            "bucket": 5,
            "blob_backend_options": {"regio": "x", "part_size_mb": "8"},
        },
        "metadata": {"backend": "sqlit"},
        "compression": 5,
    }
    errors = {error.field: str(error) for error in validate_config(wrong)}
    for field, message in {
        "max_entrys": "did you mean 'max_entries'?",
        "storage.max_cache_size": "did you mean 'max_cache_size_mb'?",
        "storage.eviction_policy": 'did you mean "lru"?',
        "storage.read_only": "give True or False",
        "blob.buket": "did you mean 'bucket'?",
        "blob.bucket": "bucket is 5",
        "blob.regio": "did you mean 'region'?",
        "blob.part_size_mb": "give a whole number from 5 to 512",
        "metadata.metadata_backend": "did you mean 'sqlite'?",
        "compression": "compression is 5",
    }.items():
        assert message in errors[field], errors
    with pytest.raises(ConfigValidationError) as caught:
        validate_config_strict(wrong)
    assert len(caught.value.errors) == len(errors)


def test_what_is_wrong_does_not_hide_a_contradiction() -> None:
    config = CacheConfig(blob_backend="s3", bucket="b")
    config.max_entries = 0
    errors = validate_config(config)
    assert [error.field for error in errors] == ["storage.max_entries", ""]
    assert "on this machine alone" in str(errors[1])


def test_presets_are_configurations_that_options_change(tmp_path: Path) -> None:
    fast = CacheConfig.create_performance_optimized(tmp_path / "fast", max_entries=7)
    small = CacheConfig.create_size_optimized(cache_dir=tmp_path / "small", pickle_compression_level=22)
    assert (fast.max_entries, fast.pickle_compression_codec, fast.dataframe_format) == (7, "lz4", "arrow")
    assert (small.pickle_compression_codec, small.pickle_compression_level) == ("zstd", 22)
    value = ["the same words, again and again"] * 3000
    sizes = {}
    for config in (fast, small):
        assert validate_config(config) == []
        with Cache(config) as cache:
            key = cache.put(value, x=1)
            assert cache.get(x=1) == value
            entry = cache.get_entry(key)
            assert entry is not None
            sizes[config.cache_dir] = entry["file_size"]
    assert sizes[small.cache_dir] < sizes[fast.cache_dir]
    whole = CacheConfig.create_size_optimized(compression=CompressionConfig(parallel=False))
    assert whole.compression == CompressionConfig(parallel=False)


def test_the_schema_describes_what_is_saved() -> None:
    schema = config_schema()
    json.dumps(schema)
    saved = save_config_to_dict(CacheConfig())
    for name, value in saved.items():
        assert name in schema["properties"]
        if isinstance(value, dict):
            assert value.keys() <= schema["properties"][name]["properties"].keys()
            assert value.keys() <= schema["properties"].keys(), "each option stands by itself as well"
    storage = schema["properties"]["storage"]
    assert storage["additionalProperties"] is False
    assert storage["properties"]["eviction_policy"]["enum"] == ["lru", "lfu", "fifo", "none"]
    assert storage["properties"]["max_entries"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 2**64 - 1}
    assert schema["properties"]["metadata_backend"] == schema["properties"]["backend"]
