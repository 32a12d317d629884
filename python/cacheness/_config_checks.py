"""Validation of a configuration: all errors at once."""

from __future__ import annotations

from typing import Any

from . import _core, _sources
from ._backend_choice import choose, is_plugged, takes_options
from ._config_files import load_config_from_dict, or_null
from ._options import SECTIONS, Options, home_of, shown, unknown_option
from ._secrets import masked
from .config import CacheConfig
from .errors import CacheConfigurationError, CacheError

__all__ = ["ConfigValidationError", "validate_config", "validate_config_strict"]


class ConfigValidationError(CacheConfigurationError):
    """An error in a configuration.

    Attributes:
        field: the option, ``section.option``; empty if several options are involved.
        message: the error.
        value: the option's value, with secrets hidden.
        errors: all errors, if :func:`validate_config_strict` raises this one.
    """

    def __init__(
        self,
        field: str = "",
        message: str = "",
        value: Any = None,
        hint: str | None = None,
        errors: list[ConfigValidationError] | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.field = field
        self.message = message
        self.value = value
        self.errors = [self] if errors is None else errors

    def __repr__(self) -> str:
        return f"ConfigValidationError({self.field!r}, {str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        errors = None if self.errors == [self] else self.errors
        return (type(self), (self.field, self.message, self.value, self.hint, errors))


def validate_config(config: CacheConfig | dict[str, Any]) -> list[ConfigValidationError]:
    """Returns all errors of a configuration at once; opening a cache with it raises the first of them.

    Args:
        config: the configuration, or a dictionary as for :func:`~cacheness.config.load_config_from_dict`, such as the
            content of a file.

    Returns:
        Errors that name the option, and the nearest option or value for a misspelt one; none if the configuration is
        valid. Whether a directory has another backend, or cannot be written, is checked when it is opened.

    Raises:
        CacheConfigurationError: ``config`` is neither.
    """
    # What is valid does not depend on the environment of the process.
    with _sources.ignored("all"):
        if isinstance(config, dict):
            return _errors_of_dict(config)
        if isinstance(config, CacheConfig):
            return _errors_of(config)
    raise CacheConfigurationError(f"config is {shown(config)}", hint="give a CacheConfig or a dictionary")


def _errors_of(config: CacheConfig) -> list[ConfigValidationError]:
    errors: list[ConfigValidationError] = []
    # A copy without what is wrong, whose options may still contradict each other.
    sound, rest = CacheConfig(), config._copy()
    for name in config.__dataclass_fields__:
        value = getattr(config, name)
        if name not in SECTIONS:
            found = _wrong(sound, sound, name, value, name)
            if found:
                rest.__dict__[name] = sound.__dict__[name]
            errors += found
        elif isinstance(value, SECTIONS[name]):
            section, kept = getattr(sound, name), value._copy()
            for option, inner in vars(value).items():
                found = _wrong(sound, section, option, inner, f"{name}.{option}")
                if not found and option == getattr(value, "_backend_options", None):
                    found = _wrong_inside(name, value, inner)
                if found and option in section.__dict__:
                    kept.__dict__[option] = section.__dict__[option]
                elif found:
                    del kept.__dict__[option]
                errors += found
            rest.__dict__[name] = kept
        else:
            errors.append(ConfigValidationError(name, f"{name} is {shown(value)}"))
            rest.__dict__[name] = getattr(sound, name)
    return errors + _contradictions(rest)


def _contradictions(config: CacheConfig) -> list[ConfigValidationError]:
    """The errors of several options together."""
    try:
        ready = config._checked()
        _core.check_config(ready._to_json())
    except CacheError as error:
        return [_as_one("", error, None)]
    sound, errors = CacheConfig(), []
    for section, arguments in (("metadata", (ready.metadata, sound.blob)), ("blob", (sound.metadata, ready.blob))):
        try:
            choose(*arguments, str(ready.storage.cache_dir) if section == "metadata" else ":memory:")
        except CacheError as error:
            errors.append(_as_one(f"{section}.{section}_backend", error, None))
    if not errors:
        try:
            _core.check_blob_options(config._to_open()._to_json())
        except CacheError as error:
            errors.append(_as_one("", error, None))
    return errors


def _errors_of_dict(options: dict[str, Any]) -> list[ConfigValidationError]:
    """The errors of options by their names, in sections and beside them."""
    errors: list[ConfigValidationError] = []
    kept: dict[str, Any] = {}
    for name, value in options.items():
        if name in SECTIONS and isinstance(value, dict):
            inside = {}
            for option, inner in value.items():
                found = _wrong_given(name, option, inner)
                errors += found
                if not found:
                    inside[option] = inner
            kept[name] = inside
        else:
            found = _wrong_given("", name, value)
            errors += found
            if not found:
                kept[name] = value
    try:
        config = load_config_from_dict(kept)
    except CacheError as error:
        return [*errors, _as_one("", error, None)]
    return errors + _errors_of(config)


def _wrong_given(section: str, name: Any, value: Any) -> list[ConfigValidationError]:
    """The error of one option of a dictionary, if any."""
    if not isinstance(name, str):
        return [ConfigValidationError(section, f"the name of an option is {shown(name)}", hint="give text")]
    label = f"{section}.{name}" if section else name
    kind = SECTIONS[section] if section else CacheConfig
    home = section or home_of(name) or ""
    is_own = not section and name in CacheConfig.__dataclass_fields__
    if not is_own and not (SECTIONS[home]._has(name) if home else False):
        error = unknown_option(name, kind._known(), f" of {kind.__name__}", home_of(name) if section else None)
        return [_as_one(label, error, None)]
    owner = CacheConfig if is_own else SECTIONS[home]
    own = owner._aliases.get(name, name)
    if own not in owner.__dataclass_fields__:
        return _wrong_of_backend(label, name, value)
    sound = CacheConfig()
    part = sound if is_own else getattr(sound, home)
    return _wrong(sound, part, own, or_null("" if is_own else home, name, value), label)


def _wrong_inside(section: str, whole: Options, options: Any) -> list[ConfigValidationError]:
    """The errors of the options of a backend that are given together."""
    kind = "blob" if section == "blob" else "metadata"
    backend = whole.__dict__[whole._backend]
    if not isinstance(options, dict) or not takes_options(kind, backend) or is_plugged(kind, backend):
        return []
    known = whole._of_backends
    errors = []
    for name, value in options.items():
        if name in known:
            errors += _wrong_of_backend(f"{section}.{name}", name, value)
        else:
            errors.append(_as_one(f"{section}.{name}", unknown_option(name, list(known), f" of {backend!r}"), None))
    return errors


def _wrong_of_backend(label: str, name: str, value: Any) -> list[ConfigValidationError]:
    """The error of an option of a backend of this release, if any; it may be any JSON."""
    import json

    try:
        accepted = _core.option_accepts(name, json.dumps(value))
    except (TypeError, ValueError):
        accepted = False
    if accepted:
        return []
    wanted = next(row["wanted"] for row in _sources.rows() if row["name"] == name)
    value = masked(name, value)
    return [ConfigValidationError(label, f"{name} is {shown(value)}", value, wanted)]


def validate_config_strict(config: CacheConfig | dict[str, Any]) -> None:
    """Refuses a configuration that a cache cannot be opened with.

    Args:
        config: as for :func:`validate_config`.

    Raises:
        ConfigValidationError: the configuration is invalid; all errors are in its message and in ``errors``.
    """
    errors = validate_config(config)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigValidationError("", "\n".join(str(error) for error in errors), errors=errors)


def _wrong(sound: CacheConfig, section: Options, option: str, value: Any, name: str) -> list[ConfigValidationError]:
    """The error of one option, if any; the other options of ``sound`` have their defaults."""
    former = section.__dict__.get(option)
    if value == former and type(value) is type(former):
        return []
    section.__dict__[option] = value
    try:
        _core.check_config(sound._checked()._to_json())
    except CacheConfigurationError as error:
        return [_as_one(name, error, masked(option, value))]
    finally:
        if option in section.__dataclass_fields__:
            section.__dict__[option] = former
        else:
            del section.__dict__[option]
    return []


def _as_one(name: str, error: CacheError, value: Any) -> ConfigValidationError:
    # Without the hint, which `str` adds.
    return ConfigValidationError(name, Exception.__str__(error), value, error.hint)
