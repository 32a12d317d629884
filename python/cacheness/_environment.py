"""Defaults from environment variables. What a program says itself goes before them."""

from __future__ import annotations

import os

from .errors import CacheConfigurationError


def text(variable: str, default: str) -> str:
    """The variable's value; ``default`` if it is not set or empty."""
    return os.environ.get(variable) or default


def choice(variable: str, default: str, choices: tuple[str, ...]) -> str:
    """The variable's value, which is one of ``choices``."""
    value = text(variable, default)
    if value not in choices:
        raise CacheConfigurationError(
            f"the environment variable {variable} is {value!r}", hint=f"give one of {', '.join(choices)}"
        )
    return value


def number(variable: str, default: float | None) -> float | None:
    """The variable's value as a number."""
    value = os.environ.get(variable)
    if not value:
        return default
    try:
        return float(value)
    except ValueError:
        raise CacheConfigurationError(
            f"the environment variable {variable} is {value!r}", hint="give a number"
        ) from None


def integer(variable: str, default: int) -> int:
    """The variable's value as a whole number."""
    value = number(variable, default)
    if value is None or not float(value).is_integer():
        raise CacheConfigurationError(
            f"the environment variable {variable} is {os.environ.get(variable)!r}", hint="give a whole number"
        )
    return int(value)
