"""Secrets in options: finding and hiding them.

A secret is the password of a URL or of a connection string, or the value of an option whose name marks it as secret. It
appears in no ``repr``, no error and no saved file.
"""

from __future__ import annotations

from typing import Any

__all__ = ["STARS", "is_secret", "masked", "masked_text", "without_secrets"]

#: The replacement of a secret.
STARS = "***"

_PARTS = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "accesskey",
    "accountkey",
    "apikey",
    "privatekey",
    "connectionstring",
    "signature",
)


def is_secret(name: str) -> bool:
    """Whether an option of this name holds a secret."""
    flat = name.lower().replace("_", "").replace("-", "")
    return flat == "sig" or any(part in flat for part in _PARTS)


def masked(name: str, value: Any) -> Any:
    """A value with stars in place of every secret."""
    if isinstance(value, dict):
        return {key: masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked(name, inner) for inner in value)
    if isinstance(value, str | bytes | int) and not isinstance(value, bool) and is_secret(name):
        return STARS
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text: str, stars: str = STARS) -> str:
    """The text with stars in place of the password of a URL and of secrets in a query or a connection string."""
    scheme, url, rest = text.partition("://")
    if url:
        # From the last `@`: a password may contain unescaped characters.
        user, at, host = rest.rpartition("@")
        name, colon, _ = user.partition(":")
        if colon:
            text = f"{scheme}://{name}{f':{stars}' if stars else ''}{at}{host}"
    return _masked_pairs(text, stars) if "=" in text else text


def without_secrets(name: str, value: Any) -> tuple[Any, list[str]]:
    """A value without its secrets, and the names of the options that were removed completely or in part."""
    if isinstance(value, dict):
        kept, lacking = {}, []
        for key, inner in value.items():
            if is_secret(str(key)) and inner is not None:
                lacking.append(str(key))
                continue
            kept[key], names = without_secrets(str(key), inner)
            lacking += names
        return kept, lacking
    if isinstance(value, str):
        text = masked_text(value, "")
        return text, [name] if text != value else []
    return value, []


def _masked_pairs(text: str, stars: str) -> str:
    """The text with stars in place of the value of each ``name=value`` whose name marks a secret."""
    import re

    def replaced(pair: re.Match[str]) -> str:
        return f"{pair[1]}={stars}" if is_secret(pair[1]) else pair[0]

    return re.sub(r"([A-Za-z_-]+)=('(?:[^'\\]|\\.)*'|[^&;\s]*)", replaced, text)
