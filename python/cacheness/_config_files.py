"""Configurations as dictionaries, JSON and YAML files, and the schema of such files."""

from __future__ import annotations

import os
import warnings
from typing import Any

from ._options import SECTIONS, Options, directory, shown
from ._secrets import without_secrets
from .config import CacheConfig
from .errors import CacheConfigurationError, CacheStorageError, CacheUnsupportedError

__all__ = [
    "config_schema",
    "create_cache_config",
    "load_config_from_dict",
    "load_config_from_json",
    "load_config_from_yaml",
    "save_config_to_dict",
    "save_config_to_json",
    "save_config_to_yaml",
]


def create_cache_config(cache_dir: str | os.PathLike[str] | None = None, **options: Any) -> CacheConfig:
    """Creates a configuration from options of any section; the same as ``CacheConfig(cache_dir=…, …)``.

    Args:
        cache_dir: the directory.
        options: all others.

    Raises:
        CacheConfigurationError: as for :class:`CacheConfig`.
    """
    if cache_dir is not None:
        options["cache_dir"] = cache_dir
    return CacheConfig(**options)


def load_config_from_dict(options: dict[str, Any]) -> CacheConfig:
    """Creates a configuration from a dictionary.

    Args:
        options: sections as dictionaries, and single options beside them; omitted options have their defaults.

    Raises:
        CacheConfigurationError: an option does not exist, has an invalid value, or is given twice.
    """
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise CacheConfigurationError(f"the configuration is {shown(options)}", hint="give a dictionary of options")
    given = dict(options)
    for name in SECTIONS.keys() & given.keys():
        section = given[name]
        if isinstance(section, dict):
            if not all(isinstance(option, str) for option in section):
                raise CacheConfigurationError(f"{name} has option names that are not text")
            given[name] = SECTIONS[name](**section)
    return CacheConfig(**given)


def load_config_from_json(path: str | os.PathLike[str]) -> CacheConfig:
    """Reads a configuration from a JSON file, as :func:`load_config_from_dict` does.

    Args:
        path: the file.

    Raises:
        CacheStorageError: the file cannot be read.
        CacheConfigurationError: the file is not JSON, or as for a dictionary.
    """
    import json

    try:
        options = json.loads(_read(path), object_pairs_hook=_once)
    except ValueError as error:
        raise CacheConfigurationError(f"{_named(path)} is not valid JSON: {error}") from None
    return _loaded(path, options)


def load_config_from_yaml(path: str | os.PathLike[str]) -> CacheConfig:
    """Reads a configuration from a YAML file, as :func:`load_config_from_dict` does. Needs the package PyYAML.

    Args:
        path: the file.

    Raises:
        CacheStorageError: the file cannot be read.
        CacheConfigurationError: the file is not YAML, or as for a dictionary.
        CacheUnsupportedError: PyYAML is not installed.
    """
    yaml = _yaml()
    try:
        options = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise CacheConfigurationError(f"{_named(path)} is not valid YAML: {error}") from None
    # An empty file sets no options.
    return _loaded(path, {} if options is None else options)


def save_config_to_dict(config: CacheConfig) -> dict[str, Any]:
    """Returns all options of a configuration as plain data, for :func:`load_config_from_dict`; sections are
    dictionaries.

    Secrets (passwords in URLs, access keys, tokens) are omitted, with a warning that names them.

    Raises:
        CacheConfigurationError: an option has an invalid value, or is an object that cannot be saved to a file.
    """
    if not isinstance(config, CacheConfig):
        raise CacheConfigurationError(f"config is {shown(config)}", hint="give a CacheConfig")
    config._check_made()
    saved: dict[str, Any] = {}
    lacking: list[str] = []
    for name, value in vars(config._checked()).items():
        if not isinstance(value, Options):
            saved[name] = value
            continue
        saved[name] = {}
        for option, inner in vars(value).items():
            if hasattr(inner, "_is_backend") or (option == "custom_handlers" and inner):
                raise CacheConfigurationError(
                    f"{option} is an object, which cannot be saved to a file",
                    hint="register handlers with register_handler; give a backend by its name",
                )
            if option != "custom_handlers":
                saved[name][option], names = without_secrets(option, inner)
                lacking += names
    if lacking:
        warnings.warn(
            f"saved without the secrets in {', '.join(sorted(set(lacking)))}: give them after loading",
            stacklevel=2,
        )
    return saved


def save_config_to_json(config: CacheConfig, path: str | os.PathLike[str]) -> None:
    """Writes the result of :func:`save_config_to_dict` to a JSON file, replacing an existing file.

    Args:
        config: the configuration.
        path: the file.

    Raises:
        CacheStorageError: the file cannot be written.
        CacheConfigurationError: as for a dictionary.
    """
    import json

    _write(path, json.dumps(save_config_to_dict(config), indent=2, ensure_ascii=False) + "\n")


def save_config_to_yaml(config: CacheConfig, path: str | os.PathLike[str]) -> None:
    """Writes the result of :func:`save_config_to_dict` to a YAML file, replacing an existing file. Needs the package
    PyYAML.

    Args:
        config: the configuration.
        path: the file.

    Raises:
        CacheStorageError: the file cannot be written.
        CacheConfigurationError: as for a dictionary.
        CacheUnsupportedError: PyYAML is not installed.
    """
    yaml = _yaml()
    _write(path, yaml.safe_dump(save_config_to_dict(config), sort_keys=False, allow_unicode=True))


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the files that :func:`load_config_from_json` reads, for editors and validators."""
    sections = {name: _schema_of(section) for name, section in SECTIONS.items()}
    whole = _schema_of(CacheConfig)
    flat: dict[str, Any] = {}
    for section in sections.values():
        # An option given without its section belongs to the first section that has it.
        flat = {**section["properties"], **flat}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a cache",
        **whole,
        "properties": {**flat, **whole["properties"], **sections},
    }


def _schema_of(section: type[Options]) -> dict[str, Any]:
    properties = {
        name: _kind(str(field.type)) for name, field in section.__dataclass_fields__.items() if name not in SECTIONS
    }
    properties.pop("custom_handlers", None)
    for alias, own in section._aliases.items():
        properties[alias] = properties[own]
    for name in getattr(section, "_of_backends", ()):
        properties[name] = {}
    return {"type": "object", "properties": properties, "additionalProperties": False}


_KINDS: list[tuple[str, dict[str, Any]]] = [
    ("bool", {"type": "boolean"}),
    ("int", {"type": "integer"}),
    ("float", {"type": "number"}),
    ("list[str]", {"type": "array", "items": {"type": "string"}}),
    ("dict", {"type": "object"}),
    ("str", {"type": "string"}),
]


def _kind(annotation: str) -> dict[str, Any]:
    kind, optional = annotation.removesuffix(" | None"), annotation.endswith(" | None")
    if kind.startswith("Literal[") and kind.endswith("]"):
        schema: dict[str, Any] = {"enum": [name.strip("'\" ") for name in kind[8:-1].split(",")]}
        return {"enum": [*schema["enum"], None]} if optional else schema
    found = next((schema for start, schema in _KINDS if kind.startswith(start)), {"type": "string"})
    return {**found, "type": [found["type"], "null"]} if optional else found


def _loaded(path: Any, options: Any) -> CacheConfig:
    try:
        return load_config_from_dict(options)
    except CacheConfigurationError as error:
        message = f"{_named(path)}: {Exception.__str__(error)}"
        raise CacheConfigurationError(message, hint=error.hint) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate names."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return made


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise CacheUnsupportedError("YAML needs the package PyYAML", hint="pip install pyyaml, or use JSON") from None
    return yaml


def _named(path: Any) -> str:
    return directory("path", path)


def _read(path: Any) -> str:
    name = _named(path)
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to import
            return file.read()
    except OSError as error:
        raise CacheStorageError(f"cannot read the configuration {name!r}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CacheConfigurationError(f"{name} is not UTF-8 text") from None


def _write(path: Any, text: str) -> None:
    """Replaces the file atomically: a reader sees the previous file or the new one."""
    import tempfile

    name = os.path.realpath(_named(path))
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            dir=os.path.dirname(name),  # noqa: PTH120
            prefix=".cacheness-",
            delete=False,
        ) as file:
            try:
                file.write(text)
                file.flush()
                os.replace(file.name, name)  # noqa: PTH105
            except BaseException:
                os.unlink(file.name)  # noqa: PTH108
                raise
    except OSError as error:
        raise CacheStorageError(f"cannot write the configuration {name!r}: {error.strerror}") from error
