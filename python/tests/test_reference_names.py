"""The names, signatures, fields and keys of the interface are those of its documentation."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from reference import signatures

import cacheness as package
from cacheness import BlobStore, CacheConfig, cacheness, list_blob_backends, list_handlers, list_metadata_backends


def found(module: str, path: str) -> Any:
    """What the attribute path leads to."""
    return reduce(getattr, path.split("."), importlib.import_module(module))


@pytest.mark.parametrize(("module", "path", "names"), signatures.CALLS, ids=lambda value: value or "-")
def test_a_call_takes_what_it_is_shown_with(module: str, path: str, names: str) -> None:
    call = found(module, path)
    signature = inspect.signature(call)
    # A function of a class has the object first.
    owner = found(module, path.rpartition(".")[0]) if "." in path else None
    first = [object()] if isinstance(owner, type) and not inspect.ismethod(call) else []
    given = dict.fromkeys(names.split(), "given")
    by_position = signature.bind(*first, *given.values())
    assert list(by_position.arguments.values())[len(first) :] == list(given.values())
    kinds = {parameter.kind for name, parameter in signature.parameters.items() if name in given}
    if inspect.Parameter.POSITIONAL_ONLY not in kinds:
        assert signature.bind(*first, **given).arguments == by_position.arguments
    if path in signatures.OPEN:
        signature.bind(*first, *given.values(), any_other_name=1)


@pytest.mark.parametrize("name", signatures.FIELDS)
def test_a_configuration_has_its_fields(name: str) -> None:
    kind = getattr(package, name)
    fields = [field.name for field in dataclasses.fields(kind)]
    expected = signatures.FIELDS[name]
    assert fields[: len(expected)] == list(expected)
    made = kind()
    for field, default in expected.items():
        default = signatures.OTHER_DEFAULTS.get(f"{name}.{field}", default)
        value = getattr(made, field)
        assert (
            type(value).__name__
            if field in ("storage", "metadata", "compression", "serialization", "handlers")
            else value
        ) == default
    # And by keyword, each of them; the configuration has them without their sections as well.
    for field in expected:
        assert getattr(kind(**{field: getattr(made, field)}), field) == getattr(made, field)
        assert getattr(CacheConfig(**{field: getattr(made, field)}), field) == getattr(made, field)


@pytest.mark.parametrize("module", signatures.NAMES)
def test_a_module_has_its_names(module: str) -> None:
    here = importlib.import_module(module)
    for name in signatures.NAMES[module].split():
        assert getattr(here, name) is not None
        # One thing has one home: modules that have a name have the same thing.
        if hasattr(package, name) and name != "cacheness":
            assert getattr(here, name) is getattr(package, name)


def test_all_that_the_package_lists_is_there() -> None:
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_dictionaries_have_their_keys(tmp_path: Path) -> None:
    with cacheness(tmp_path / "cache") as cache:
        cache.put([1], experiment="exp_001", metadata={"accuracy": 0.95})
        assert set(signatures.STATS.split()) <= cache.get_stats().keys()
        for entry in (cache.list_entries()[0], cache.list_entries(include_metadata=True)[0]):
            assert set(signatures.ENTRY.split()) - entry.keys() <= ({"metadata"} if "metadata" not in entry else set())
            assert entry["cache_key_params"] == {"experiment": "exp_001"}
            assert entry["description"] == ""
        metadata = cache.get_metadata(experiment="exp_001")
        assert metadata is not None
        assert set(signatures.METADATA.split()) <= metadata.keys()
        detailed = cache.get_entry(cache.cache_key(experiment="exp_001"))
        assert detailed is not None
        for name in signatures.TECHNICAL.split():
            assert detailed["metadata"].get(name)
    with BlobStore(tmp_path / "store") as store:
        store.put([1], key="one")
        assert set(signatures.INTEGRITY.split()) <= store.verify_integrity("one").keys()
    assert all(set(signatures.HANDLER.split()) == handler.keys() for handler in list_handlers())
    for backend in list_metadata_backends() + list_blob_backends():
        assert set(signatures.BACKEND.split()) == backend.keys()


@pytest.mark.parametrize("variable", signatures.VARIABLES)
def test_a_variable_is_a_default(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    option, value = signatures.VARIABLES[variable]
    monkeypatch.setenv(variable, value)
    assert str(getattr(CacheConfig(), option)).removesuffix(".0") == value
