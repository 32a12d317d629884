"""The JSON Schema of configuration files agrees with the validator, and with what Rust reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cacheness import CacheConfigurationError, CacheError, _core
from cacheness.config import config_schema, load_config_from_dict, validate_config

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
ROWS: list[dict[str, Any]] = json.loads(_core.config_options())
SCHEMA = config_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
#: Backends that are there, each with what it cannot do without.
BACKENDS: list[dict[str, Any]] = [
    {},
    {"backend": "json"},
    {"backend": "postgresql", "connection_url": "postgresql://h/db"},
    {"blob_backend": "s3", "bucket": "b", "allow_local_index": True},
]
#: Texts that no type says everything of: a name of a backend, a URL, a key. The backend checks these further.
TEXTS = {
    "database_url": ["x.db"],
    "connection_url": ["postgresql://h/db"],
    "backend": ["sqlite", "json", "memory"],
    "blob_backend": ["filesystem"],
    "schema": ["s"],
    "table_prefix": ["t_"],
    "table_name": ["t_entries"],
    "bucket": ["b"],
    "prefix": ["p/"],
    "endpoint_url": ["http://localhost:9000"],
    "cache_dir": ["x", ":memory:"],
}
#: Options that other options must agree with.
RELATED = {"access_key", "secret_key", "kms_key_id", "use_ssl", "server_side_encryption", "encryption", "backend"}
#: Values of all types, good for some options and bad for others.
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -1, -1.0, 3.0, 3.5, 1e17, 1e19, 4000, 2**64, 2**64 - 1]),
    st.sampled_from(["", "none", "x", "true", "5", "description", "\0", "lru", "zstd", "auto"]),
    st.lists(st.sampled_from(["description", "metadata", "cache_key", "x", 5]), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b-c"]), st.sampled_from(["x", 5, None]), max_size=2),
)  # fmt: skip


def names(schema: Any) -> list[Any]:
    """All values that a schema lists."""
    found = list(schema.get("enum", []))
    for part in schema.get("anyOf", []):
        found += names(part)
    return found


def values(row: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are right or wrong for an option."""
    schema = SCHEMA["properties"][row["section"]]["properties"] if row["section"] else SCHEMA["properties"]
    right = [*names(schema[row["name"]]), row["default"], *TEXTS.get(row["name"], [])]
    # Of texts, only those that the backend takes, and what is no text at all.
    others = ANY.filter(lambda value: not isinstance(value, str) or not value) if row["name"] in TEXTS else ANY
    return st.one_of(st.sampled_from(right), others)


def is_tried(row: dict[str, Any], backend: dict[str, Any]) -> bool:
    section = row["section"]
    if row["name"] in RELATED or row["name"] in backend or row["name"].endswith("_backend_options"):
        return False
    if row["name"] in ("database_url", "blob_backend", "pickle_compression_codec"):
        return not backend
    return not row["of_backend"] or ("connection_url" in backend if section == "metadata" else "bucket" in backend)


@st.composite
def configurations(draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, Any]:
    """A configuration with each option once, in its section or beside it, under one of its names."""
    made: dict[str, Any] = dict(draw(st.sampled_from(BACKENDS)))
    tried = [row for row in ROWS if is_tried(row, made)]
    for row in draw(st.lists(st.sampled_from(tried), max_size=6, unique_by=lambda row: row["name"])):
        name = row["alias"] if row["alias"] and row["section"] != "blob" and draw(st.booleans()) else row["name"]
        value = draw(values(row))
        if row["section"] and draw(st.booleans()):
            made.setdefault(row["section"], {})[name] = value
        else:
            made[name] = value
    if draw(st.integers(0, 9)) == 0:
        made[draw(st.sampled_from(["max_entrys", "Storage", "x"]))] = draw(ANY)
    if draw(st.integers(0, 9)) == 0:
        made.setdefault("security", {})[draw(st.sampled_from(["max_entries", "y"]))] = draw(ANY)
    return made


@settings(max_examples=800)
@given(configurations())
def test_schema_and_validator_agree(config: dict[str, Any]) -> None:
    expected = [error.message for error in VALIDATOR.iter_errors(config)]
    errors = validate_config(config)
    assert bool(errors) == bool(expected), (config, expected, errors)
    # Loading raises what the validator returns.
    try:
        load_config_from_dict(config)
    except CacheConfigurationError:
        assert errors
    if expected:
        assert all(error.hint or error.message for error in errors)


@settings(max_examples=40)
@given(configurations())
def test_what_rust_reads_is_what_the_schema_says(config: dict[str, Any]) -> None:
    path = Path("config.json")
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [Path(sys.executable).parent / "cacheness", "config", "--show-origin", "--json"],
        env={"CACHENESS_CONFIG": str(path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == VALIDATOR.is_valid(config), (config, done)


def test_an_option_says_its_default_and_its_meaning() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for row in ROWS:
        section = SCHEMA["properties"][row["section"]] if row["section"] else SCHEMA
        schema = section["properties"][row["name"]]
        assert schema["description"] == row["about"]
        assert SCHEMA["properties"][row["name"]] == schema
        if not row["of_backend"]:
            assert schema["default"] == row["default"]
            assert Draft202012Validator(schema).is_valid(row["default"])


@pytest.mark.parametrize(("codec", "level", "valid"), [("zstd", 22, True), ("lz4", 10, False), ("none", 22, True)])
def test_a_level_is_one_of_its_codec(codec: str, level: int, valid: bool) -> None:
    both = {"pickle_compression_codec": codec, "pickle_compression_level": level}
    for config in (both, {"compression": both}):
        assert VALIDATOR.is_valid(config) == valid == (not validate_config(config))


def test_the_published_schema_is_this_one() -> None:
    published = (ROOT / "docs/formats/config.schema.json").read_text(encoding="utf-8")
    command = [Path(sys.executable).parent / "cacheness", "config", "--schema"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == SCHEMA
    assert published == printed, "cacheness config --schema > docs/formats/config.schema.json"


def test_a_configuration_that_the_schema_refuses_opens_nothing(tmp_path: Path) -> None:
    from cacheness import Cache

    for config in ({"max_entries": 0}, {"storage": {"eviction_policy": "lur"}}, {"x": 1}):
        assert not VALIDATOR.is_valid(config)
        with pytest.raises(CacheError):
            Cache(load_config_from_dict({"cache_dir": str(tmp_path / "x"), **config}))
    assert not (tmp_path / "x").exists()
