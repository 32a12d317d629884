"""Validation of a configuration: all errors at once."""

from __future__ import annotations

from typing import Any

from . import _core
from ._backend_choice import choose
from ._options import SECTIONS, Options, shown
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


def validate_config(config: CacheConfig) -> list[ConfigValidationError]:
    """Returns all errors of a configuration; opening a cache with it raises the first of them.

    Args:
        config: the configuration.

    Returns:
        Errors that name the option; none if the configuration is valid. Whether a directory has another backend, or
        cannot be written, is checked when it is opened.

    Raises:
        CacheConfigurationError: ``config`` is not a :class:`CacheConfig`.
    """
    if not isinstance(config, CacheConfig):
        raise CacheConfigurationError(f"config is {shown(config)}", hint="give a CacheConfig")
    errors: list[ConfigValidationError] = []
    sound = CacheConfig()
    for name in config.__dataclass_fields__:
        value = getattr(config, name)
        if name not in SECTIONS:
            errors += _wrong(sound, sound, name, value, name)
        elif isinstance(value, SECTIONS[name]):
            section = getattr(sound, name)
            for option, inner in vars(value).items():
                errors += _wrong(sound, section, option, inner, f"{name}.{option}")
        else:
            errors.append(ConfigValidationError(name, f"{name} is {shown(value)}"))
    if errors:
        return errors
    try:
        ready = config._checked()
        _core.check_config(ready._to_json())
    except CacheError as error:
        return [_as_one("", error, None)]
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


def validate_config_strict(config: CacheConfig) -> None:
    """Refuses a configuration that a cache cannot be opened with.

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
