"""The oldest releases of the optional libraries that bring values back, and keys out, as the newest do."""

from __future__ import annotations

import sys

from cacheness.errors import CacheUnsupportedError

__all__ = ["OLDEST", "check"]

#: As in the extras of pyproject.toml. Before these, Polars handed series over that Arrow cannot read, or ended the
#: process at nested enums, and PyArrow took no columns of others.
OLDEST = {"numpy": (1, 26, 4), "pandas": (2, 2), "polars": (1, 34), "pyarrow": (16,)}

_checked: set[str] = set()


def check(package: str) -> None:
    """Refuse a package that is imported and too old.

    Raises:
        CacheUnsupportedError: if it is.
    """
    if package in _checked:
        return
    oldest = OLDEST.get(package)
    version = getattr(sys.modules.get(package), "__version__", None)
    if oldest is not None and version is not None and _numbers(version) < oldest:
        wanted = ".".join(map(str, oldest))
        raise CacheUnsupportedError(
            f"{package} {version} is too old: cacheness works with {wanted} and newer",
            f"pip install --upgrade '{package}>={wanted}'",
        )
    _checked.add(package)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: `(2, 2, 0)` of `2.2.0rc1`."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
