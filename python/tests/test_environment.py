"""Defaults from environment variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cacheness import Cache, CacheConfig, CacheConfigurationError


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
    }
    assert not loaded & slow
