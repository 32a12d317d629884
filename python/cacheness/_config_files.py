"""Configurations as dictionaries, as files in TOML, YAML and JSON, and the schema of such files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

from . import _core, _sources
from ._options import SECTIONS, Options, directory, home_of, shown
from ._secrets import without_secrets
from .config import CacheConfig
from .errors import CacheConfigurationError, CacheError, CacheStorageError, CacheUnsupportedError

__all__ = [
    "config_schema",
    "create_cache_config",
    "load_config_from_dict",
    "load_config_from_file",
    "load_config_from_json",
    "load_config_from_toml",
    "load_config_from_yaml",
    "options_of_file",
    "or_null",
    "save_config_to_dict",
    "save_config_to_json",
    "save_config_to_toml",
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
    given = {name: or_null(home_of(name) or "", name, value) for name, value in options.items()}
    for name in SECTIONS.keys() & given.keys():
        section = given[name]
        if isinstance(section, dict):
            if not all(isinstance(option, str) for option in section):
                raise CacheConfigurationError(f"{name} has option names that are not text")
            given[name] = SECTIONS[name](**{option: or_null(name, option, inner) for option, inner in section.items()})
    return CacheConfig(**given)


def load_config_from_file(path: str | os.PathLike[str], *, environment: bool = True) -> CacheConfig:
    """Reads a configuration from a file whose name says the format: ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Args:
        path: the file: sections, single options beside them, or both. The text ``"none"`` stands for ``null`` where
            that is a value of an option and text is not.
        environment: whether environment variables override the options of the file. Options that the program sets
            afterwards override both.

    Raises:
        CacheStorageError: the file cannot be read.
        CacheConfigurationError: the file is malformed, or its name ends in something else; or as for a dictionary.
        CacheUnsupportedError: YAML needs the package PyYAML.
    """
    name = _named(path)
    parse = _PARSERS.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 - pathlib takes long to import
    if parse is None:
        raise CacheConfigurationError(f"{name} has no format that is known", hint="name it .toml, .yaml or .json")
    return _loaded(path, parse, environment)


def load_config_from_json(path: str | os.PathLike[str], *, environment: bool = True) -> CacheConfig:
    """Reads a configuration from a JSON file, as :func:`load_config_from_file` does.

    Args:
        path: the file.
        environment: whether environment variables override it.

    Raises:
        CacheStorageError: the file cannot be read.
        CacheConfigurationError: the file is not JSON, or as for a dictionary.
    """
    return _loaded(path, _parsed_json, environment)


def load_config_from_toml(path: str | os.PathLike[str], *, environment: bool = True) -> CacheConfig:
    """Reads a configuration from a TOML file, as :func:`load_config_from_file` does.

    Args:
        path: the file.
        environment: whether environment variables override it.

    Raises:
        CacheStorageError: the file cannot be read.
        CacheConfigurationError: the file is not TOML, or as for a dictionary.
    """
    return _loaded(path, _parsed_toml, environment)


def load_config_from_yaml(path: str | os.PathLike[str], *, environment: bool = True) -> CacheConfig:
    """Reads a configuration from a YAML file, as :func:`load_config_from_file` does. Needs the package PyYAML.

    Args:
        path: the file.
        environment: whether environment variables override it.

    Raises:
        CacheStorageError: the file cannot be read.
        CacheConfigurationError: the file is not YAML, or as for a dictionary.
        CacheUnsupportedError: PyYAML is not installed.
    """
    return _loaded(path, _parsed_yaml, environment)


def options_of_file(path: str) -> _sources.Found:
    """The options that a file sets, for :mod:`cacheness._sources`."""
    try:
        config = load_config_from_file(path, environment=False)
    except CacheError as error:
        error.args = (f"CACHENESS_CONFIG: {Exception.__str__(error)}",)
        raise
    found: _sources.Found = {}
    for section in ("", *SECTIONS):
        for name, known in getattr(getattr(config, section) if section else config, "_sources", {}).items():
            found.setdefault(section, {})[name] = known
    return found


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


def save_config_to_toml(config: CacheConfig, path: str | os.PathLike[str]) -> None:
    """Writes the result of :func:`save_config_to_dict` to a TOML file, replacing an existing file. TOML has no null: no
    limit is ``"none"``.

    Args:
        config: the configuration.
        path: the file.

    Raises:
        CacheStorageError: the file cannot be written.
        CacheConfigurationError: as for a dictionary.
    """
    _write(path, _toml(save_config_to_dict(config)))


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
    """The JSON Schema (2020-12) of configuration files, for editors and validators.

    It says of each option what its values are. Loading a file also refuses options that contradict each other.
    """
    import json

    schema: dict[str, Any] = json.loads(_core.config_schema())
    return schema


def or_null(section: str, name: str, value: Any) -> Any:
    """``None`` for the text ``"none"``, which stands for it in files."""
    if value != "none" or not isinstance(value, str):
        return value
    for row in _sources.rows():
        is_it = name in (row["name"], row["alias"]) and (row["section"] == section or name == "default_ttl_seconds")
        if is_it and row["none_is_null"]:
            return None
    return value


def _loaded(path: Any, parse: Callable[[str, str], Any], environment: bool) -> CacheConfig:
    name, text = _named(path), _read(path)
    options = parse(name, text)
    try:
        with _sources.ignored("file" if environment else "all"):
            config = load_config_from_dict(options)
            _mark(config, name, text)
            if environment:
                _override(config)
    except CacheConfigurationError as error:
        message = f"{name}: {Exception.__str__(error)}"
        raise CacheConfigurationError(message, hint=error.hint) from None
    return config


def _mark(config: CacheConfig, path: str, text: str) -> None:
    """Records that the options that were given come from a file."""
    lines = {row["name"]: _core.option_line(row["name"], text) for row in _sources.rows()}

    def source(name: str) -> str:
        line = lines.get(name)
        return path if line is None else f"{path}:{line}"

    for section in (config, *(getattr(config, name) for name in SECTIONS)):
        known = dict(getattr(section, "_sources", {}))
        for name in getattr(section, "_given", frozenset()) - SECTIONS.keys():
            value = section.__dict__[name]
            known[name] = (value, source(name))
            if isinstance(value, dict):
                known |= {option: (inner, source(option)) for option, inner in value.items()}
        object.__setattr__(section, "_sources", known)
        object.__setattr__(section, "_given", frozenset())


def _override(config: CacheConfig) -> None:
    """Sets the options that environment variables set, which come before a file."""
    for name in ("", *SECTIONS):
        section = getattr(config, name) if name else config
        _sources.apply(section, name, frozenset(), before=True)
    config._complete()
    config._check_made()


def _parsed_json(name: str, text: str) -> Any:
    import json

    try:
        return json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise CacheConfigurationError(f"{name} is not valid JSON: {error}") from None


def _parsed_toml(name: str, text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CacheConfigurationError(f"{name} is not valid TOML: {error}") from None


def _parsed_yaml(name: str, text: str) -> Any:
    yaml = _yaml()
    try:
        options = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CacheConfigurationError(f"{name} is not valid YAML: {error}") from None
    # An empty file sets no options.
    return {} if options is None else options


_PARSERS: dict[str, Callable[[str, str], Any]] = {
    ".json": _parsed_json,
    ".toml": _parsed_toml,
    ".yaml": _parsed_yaml,
    ".yml": _parsed_yaml,
}


def _toml(options: dict[str, Any]) -> str:
    """Saved options as TOML, which has no null: what is none by default is left out, and other nulls are ``"none"``."""
    import json

    absent = {(row["section"], row["name"]) for row in _sources.rows() if row["default"] is None}

    def literal(value: Any) -> str:
        if value is None:
            return '"none"'
        if isinstance(value, dict):
            pairs = (f"{json.dumps(key)} = {literal(inner)}" for key, inner in value.items() if inner is not None)
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        if isinstance(value, list):
            return f"[{', '.join(map(literal, value))}]"
        if isinstance(value, str):
            # A string of JSON is one of TOML, except that DEL is escaped there.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        return json.dumps(value)

    def lines(section: str, inside: dict[str, Any]) -> list[str]:
        shown = {name: value for name, value in inside.items() if value is not None or (section, name) not in absent}
        return [f"{name} = {literal(value)}" for name, value in shown.items()]

    written = lines("", {name: value for name, value in options.items() if name not in SECTIONS})
    for name in SECTIONS:
        written += ["", f"[{name}]", *lines(name, options[name])]
    return "\n".join(written).lstrip() + "\n"


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
