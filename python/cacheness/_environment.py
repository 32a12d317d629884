"""Defaults from environment variables. Options that a program sets override them."""

from __future__ import annotations

import math
import os

from .errors import CacheConfigurationError


def text(variable: str, default: str) -> str:
    """The variable's value; ``default`` if it is not set or empty."""
    return os.environ.get(variable) or default


def choice(variable: str, default: str, choices: tuple[str, ...]) -> str:
    """The variable's value, which must be one of ``choices``."""
    value = text(variable, default)
    if value not in choices:
        raise _wrong(variable, f"give one of {', '.join(choices)}")
    return value


def number(variable: str, default: float | None) -> float | None:
    """The variable's value as a number, in the syntax that Rust reads too."""
    value = os.environ.get(variable)
    if not value:
        return default
    try:
        number = float(value) if _is_plain(value) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(variable, "give a number")
    return number


def integer(variable: str, default: int) -> int:
    """The variable's value as a whole number."""
    value = os.environ.get(variable)
    if not value:
        return default
    try:
        if _is_plain(value):
            return int(value)
    except ValueError:
        pass
    raise _wrong(variable, "give a whole number")


def _is_plain(value: str) -> bool:
    # Python accepts blanks, underscores and digits of other scripts in a number, Rust does not.
    return value.isascii() and not any(character.isspace() or character == "_" for character in value)


def _wrong(variable: str, hint: str) -> CacheConfigurationError:
    return CacheConfigurationError(f"the environment variable {variable} is {os.environ.get(variable)!r}", hint=hint)
