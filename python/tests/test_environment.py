"""Options from the environment and from files, and where each comes from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cacheness import Cache, CacheBlobConfig, CacheConfig, CacheConfigurationError, CacheMetadataConfig, _core
from cacheness.config import (
    load_config_from_file,
    load_config_from_json,
    load_config_from_toml,
    load_config_from_yaml,
    save_config_to_json,
    save_config_to_toml,
    save_config_to_yaml,
)

ROWS: list[dict[str, Any]] = json.loads(_core.config_options())
#: For each option the text of its variable, and the value that this is.
TEXTS: dict[str, tuple[str, Any]] = {
    "cache_dir": ("elsewhere", "elsewhere"),
    "backend": ("memory", "memory"),
    "database_url": ("x.db", "x.db"),
    "eviction_policy": ("lfu", "lfu"),
    "durability": ("full", "full"),
    "memory_cache_type": ("rr", "rr"),
    "metadata_backend_options": ('{"pool_size": 3}', {"pool_size": 3}),
    "blob_backend_options": ('{"bucket": "b"}', {"bucket": "b"}),
    "blob_backend": ("memory", "memory"),
    "object_metadata": ('{"team": "a"}', {"team": "a"}),
    "addressing_style": ("path", "path"),
    "server_side_encryption": ("AES256", "AES256"),
    "pickle_compression_codec": ("gzip", "gzip"),
    "blosc2_array_codec": ("zlib", "zlib"),
    "array_format": ("npy", "npy"),
    "parquet_compression": ("zstd", "zstd"),
    "dataframe_format": ("arrow", "arrow"),
    "handler_priority": ("object_pickle, numpy_arrays", ["object_pickle", "numpy_arrays"]),
    "custom_signed_fields": ("description,metadata", ["description", "metadata"]),
    "shard_chars": ("3", 3),
    "part_size_mb": ("9", 9),
}  # fmt: skip


def text_of(row: dict[str, Any]) -> tuple[str, Any]:
    """A text for the variable of an option that is not its default, and the value that it is."""
    name, default = row["name"], row["default"]
    if name in TEXTS:
        return TEXTS[name]
    if "true or false" in row["wanted"]:
        value = not default
        return str(value).lower(), value
    if "number" in row["wanted"]:
        return ("7", 7) if "whole" in row["wanted"] else ("7.5", 7.5)
    return "text", "text"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_every_option_has_a_variable(row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = text_of(row)
    monkeypatch.setenv(row["variable"], text)
    config = CacheConfig()
    assert getattr(config, row["name"]) == value
    section = getattr(config, row["section"]) if row["section"] else config
    assert getattr(section, row["name"]) == value
    label = f"{row['section']}.{row['name']}" if row["section"] else row["name"]
    shown, source = config.origins()[label]
    assert source == row["variable"]
    assert shown in (value, "***")
    # Code comes before the environment.
    other = {"given": 1} if isinstance(value, dict) else row["default"]
    if not row["of_backend"] and row["name"] not in ("backend", "metadata_backend_options", "blob_backend_options"):
        said = CacheConfig(**{row["name"]: other})
        assert getattr(said, row["name"]) == other
        assert said.origins()[label].source in ("argument", "default")
    assert CacheConfig(max_entries=3).origins()["storage.max_entries"] == (3, "argument")


def test_the_list_of_options_is_that_of_the_classes() -> None:
    config = CacheConfig()
    listed = {(row["section"], row["name"]) for row in ROWS}
    sections = {name: value for name, value in vars(config).items() if hasattr(value, "__dataclass_fields__")}
    own = {("", name) for name in vars(config) if name not in sections}
    fields = own | {(section, name) for section, value in sections.items() for name in vars(value)}
    of_backends = {("metadata", name) for name in CacheMetadataConfig._of_backends}
    of_backends |= {("blob", name) for name in CacheBlobConfig._of_backends}
    # The default time to live is listed once; handlers are objects, which no text is.
    assert (fields | of_backends) - listed == {("metadata", "default_ttl_seconds"), ("handlers", "custom_handlers")}
    assert listed <= fields | of_backends
    for row in ROWS:
        if not row["of_backend"]:
            value = getattr(getattr(config, row["section"]) if row["section"] else config, row["name"])
            assert value == row["default"], row["name"]
            assert (value is None) <= row["nullable"]
        if row["alias"]:
            assert row["alias"] in (type(sections[row["section"]])._aliases), row["name"]


def test_variables_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHENESS_DIR", str(tmp_path / "from_env"))
    monkeypatch.setenv("CACHENESS_MAX_SIZE_MB", "2.5")
    monkeypatch.setenv("CACHENESS_DEFAULT_TTL_SECONDS", "604800")
    monkeypatch.setenv("CACHENESS_COMPRESSION_CODEC", "gzip")
    monkeypatch.setenv("CACHENESS_COMPRESSION_LEVEL", "3")
    with Cache() as cache:
        assert Path(cache.cache_dir) == tmp_path / "from_env"
        cache.put("x" * 100_000, x=1)
        entry = cache.get_entry(cache.cache_key(x=1))
        assert entry is not None
        assert entry["compression_codec"] == "gzip"
        assert entry["expires_at"] is not None
    config = CacheConfig()
    assert config.storage.max_cache_size_mb == 2.5
    assert config.default_ttl_seconds == 604_800
    assert config.compression.pickle_compression_level == 3
    with Cache(tmp_path / "said", pickle_compression_codec="none", default_ttl_seconds=None) as cache:
        cache.put("x" * 100_000, x=1)
        entry = cache.get_entry(cache.cache_key(x=1))
        assert entry is not None
        assert (entry["compression_codec"], entry["expires_at"]) == ("none", None)


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHENESS_MAX_SIZE_MB", "")
    monkeypatch.setenv("CACHENESS_COMPRESSION_CODEC", "")
    assert CacheConfig().storage.max_cache_size_mb == 10_000
    assert CacheConfig().compression.pickle_compression_codec == "zstd"
    monkeypatch.setenv("CACHENESS_MAX_SIZE_MB", "none")
    assert CacheConfig().storage.max_cache_size_mb is None


def test_a_backend_of_the_environment_is_that_of_a_new_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cache(tmp_path / "old") as cache:
        cache.put(1, x=1)
    monkeypatch.setenv("CACHENESS_BACKEND", "json")
    assert CacheConfig().origins()["metadata.backend"] == ("json", "CACHENESS_BACKEND")
    with Cache(tmp_path / "old") as old, Cache(tmp_path / "new") as new:
        assert old.get_stats()["backend_type"] == "sqlite"
        assert new.get_stats()["backend_type"] == "json"
    monkeypatch.setenv("CACHENESS_BACKEND", "memory")
    with Cache(tmp_path / "none") as cache:
        assert cache.get_stats()["backend_type"] == "memory"


def test_options_of_a_backend_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHENESS_POOL_SIZE", "7")
    monkeypatch.setenv("CACHENESS_SECRET_KEY", "hush")
    config = CacheConfig(
        metadata_backend="postgresql", connection_url="postgresql://ada:hush@h/db", blob_backend="s3", bucket="b"
    )
    assert config.metadata.metadata_backend_options == {"connection_url": "postgresql://ada:hush@h/db", "pool_size": 7}
    assert config.blob.blob_backend_options == {"bucket": "b", "secret_key": "hush"}
    assert CacheConfig(pool_size=5).pool_size == 5
    both = CacheConfig(metadata=CacheMetadataConfig(backend="postgresql", schema="s"), pool_size=5, max_overflow=1)
    assert both.metadata.metadata_backend_options == {"schema": "s", "pool_size": 5, "max_overflow": 1}
    with pytest.raises(CacheConfigurationError, match="metadata_backend_options is a dict in metadata, and a dict"):
        CacheConfig(metadata=CacheMetadataConfig(backend="postgresql", schema="s"), schema="t")
    origins = config.origins()
    assert origins["metadata.pool_size"] == (7, "CACHENESS_POOL_SIZE")
    assert origins["metadata.connection_url"] == ("postgresql://ada:***@h/db", "argument")
    assert origins["blob.secret_key"] == ("***", "CACHENESS_SECRET_KEY")
    assert "blob.region" not in origins
    assert "hush" not in str(origins)


def test_the_origin_follows_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHENESS_MAX_ENTRIES", "7")
    config = CacheConfig()
    config.storage.durability = "full"
    config.max_entries = 9
    origins = config.origins()
    assert origins["storage.durability"] == ("full", "argument")
    assert origins["storage.max_entries"] == (9, "argument")
    assert origins["storage.read_only"] == (False, "default")
    with Cache(":memory:") as cache:
        assert cache.config.origins()["storage.max_entries"] == (7, "CACHENESS_MAX_ENTRIES")
        assert cache.config.origins()["storage.cache_dir"] == (":memory:", "argument")
    assert len(origins) >= sum(not row["of_backend"] for row in ROWS)


FILES = {
    "c.toml": 'max_entries = 5\n# a comment\n[metadata]\nbackend = "json"\n[compression]\narray_format = "npy"\n',
    "c.yaml": "max_entries: 5\n# a comment\nmetadata:\n  backend: json\ncompression:\n  array_format: npy\n",
    "c.json": '{\n"max_entries": 5,\n"metadata": {\n"backend": "json"}, "compression":\n\n{"array_format": "npy"}}',
}


@pytest.mark.parametrize("name", FILES)
def test_code_before_environment_before_file_before_defaults(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(FILES[name])
    config = load_config_from_file(name)
    assert config == CacheConfig(max_entries=5, metadata_backend="json", array_format="npy")
    origins = config.origins()
    lines = [origins[option].source for option in ("metadata.backend", "compression.array_format")]
    assert lines == [f"{name}:4", f"{name}:6"]
    assert origins["storage.durability"].source == "default"
    monkeypatch.setenv("CACHENESS_MAX_ENTRIES", "7")
    monkeypatch.setenv("CACHENESS_DURABILITY", "full")
    config = load_config_from_file(tmp_path / name)
    assert (config.max_entries, config.durability, config.array_format) == (7, "full", "npy")
    assert config.origins()["storage.max_entries"].source == "CACHENESS_MAX_ENTRIES"
    config.max_entries = 9
    assert config.origins()["storage.max_entries"].source == "argument"
    assert load_config_from_file(name, environment=False).max_entries == 5
    assert load_config_from_file(name, environment=False).durability == "normal"
    # The file of the environment, for every configuration.
    monkeypatch.setenv("CACHENESS_CONFIG", name)
    assert (CacheConfig().max_entries, CacheConfig().array_format) == (7, "npy")
    assert CacheConfig(array_format="auto").array_format == "auto"
    assert CacheConfig().origins()["compression.array_format"].source == f"{name}:6"
    with Cache("new") as cache:
        assert cache.get_stats()["backend_type"] == "json"
    # A file that the program names stands in its place.
    (tmp_path / "own.json").write_text('{"shard_chars": 1}')
    assert load_config_from_json("own.json").array_format == "auto"


def test_a_file_of_the_environment_is_read_again_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "team.toml"
    monkeypatch.setenv("CACHENESS_CONFIG", str(path))
    with pytest.raises(Exception, match=r"CACHENESS_CONFIG: cannot read the configuration .*team\.toml"):
        CacheConfig()
    for text, expected in (("max_entries = 5", 5), ('max_entries = "none"\n', None)):
        path.write_text(text)
        assert CacheConfig().max_entries == expected
    for text, message in (
        ("max_entrys = 5", "unknown option 'max_entrys'"),
        ("max_entries = 0", "max_entries is 0"),
        ("= 5", "is not valid TOML"),
        ('max_entries = "five"', "max_entries is 'five'"),
    ):
        path.write_text(text)
        with pytest.raises(CacheConfigurationError, match=rf"CACHENESS_CONFIG: .*team\.toml.*{message}"):
            CacheConfig()
    monkeypatch.setenv("CACHENESS_CONFIG", "team.ini")
    with pytest.raises(CacheConfigurationError, match=r"team\.ini has no format that is known"):
        CacheConfig()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_every_option_is_saved_and_loaded(row: dict[str, Any], tmp_path: Path) -> None:
    _, value = text_of(row)
    if row["name"] in ("access_key", "secret_key", "session_token"):
        value = None  # is not saved
    options: dict[str, Any] = {row["name"]: value}
    if row["section"] == "metadata" and (row["of_backend"] or row["name"] == "metadata_backend_options"):
        options["backend"] = "postgresql"
    if row["section"] == "blob" and (row["of_backend"] or row["name"] == "blob_backend_options"):
        options["blob_backend"] = "s3"
    if row["name"] == "pickle_compression_codec":
        options["pickle_compression_level"] = 9
    config = CacheConfig(**options)
    for save, load, name in (
        (save_config_to_json, load_config_from_json, "c.json"),
        (save_config_to_yaml, load_config_from_yaml, "c.yaml"),
        (save_config_to_toml, load_config_from_toml, "c.toml"),
    ):
        save(config, tmp_path / name)
        again = load(tmp_path / name)
        if value is not None:
            assert getattr(again, row["name"]) == value
            assert again == config
        else:
            assert getattr(again, row["name"]) is None
    # Rust reads the same files.
    for name in ("c.json", "c.toml"):
        done = subprocess.run(
            [Path(sys.executable).parent / "cacheness", "config", "--show-origin", "--json"],
            env={"CACHENESS_CONFIG": name, "PATH": ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        label = f"{row['section']}.{row['name']}" if row["section"] else row["name"]
        label = "cache_dir" if label == "storage.cache_dir" else label
        if label.endswith("_backend_options"):
            # Shown one by one.
            shown |= {label: {**shown[label], "value": {k: shown[f"{row['section']}.{k}"]["value"] for k in value}}}
        if value is not None:
            assert name in shown[label]["source"]
            if label != "cache_dir":
                assert shown[label]["value"] == value


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CACHENESS_MAX_SIZE_MB", "lots"),
        ("CACHENESS_DEFAULT_TTL_SECONDS", "1h"),
        ("CACHENESS_COMPRESSION_CODEC", "rar"),
        ("CACHENESS_COMPRESSION_LEVEL", "2.5"),
        ("CACHENESS_COMPRESSION_LEVEL", "3.0"),
        ("CACHENESS_COMPRESSION_LEVEL", "1e400"),
        ("CACHENESS_MAX_SIZE_MB", "nan"),
        ("CACHENESS_MAX_SIZE_MB", "inf"),
        ("CACHENESS_MAX_SIZE_MB", " 5"),
        ("CACHENESS_MAX_SIZE_MB", "1_000"),
        ("CACHENESS_MAX_SIZE_MB", "٣"),
        ("CACHENESS_READ_ONLY", "yes"),
        ("CACHENESS_SHARD_CHARS", "5"),
        ("CACHENESS_CUSTOM_SIGNED_FIELDS", "colour"),
        ("CACHENESS_BLOB_BACKEND_OPTIONS", "bucket"),
    ],
)
def test_a_value_that_makes_no_sense_names_the_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(CacheConfigurationError) as caught:
        CacheConfig()
    assert variable in str(caught.value)
    assert value in str(caught.value)
    assert str(caught.value).count("hint:") == 1


def test_importing_reads_no_environment() -> None:
    script = "import cacheness; cacheness.cached; print(cacheness.validate_config({'pickle_compression_level': 22}))"
    for variables in (
        {"CACHENESS_MAX_ENTRIES": "many"},
        {"CACHENESS_CONFIG": "none.toml"},
        {"CACHENESS_STORE": "x://"},
    ):
        done = subprocess.run(
            [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_importing_loads_nothing_that_takes_long() -> None:
    script = "import sys; import cacheness; print(' '.join(sorted(m for m in sys.modules if '.' not in m)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    slow = {
        "numpy",
        "pandas",
        "polars",
        "pyarrow",
        "dill",
        "sqlalchemy",
        "asyncio",
        "ssl",
        "uuid",
        "difflib",
        "hashlib",
        "logging",
        "pathlib",
        "tomllib",
    }
    assert not loaded & slow
