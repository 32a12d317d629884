"""The oldest supported releases of the optional libraries: values and keys are the same as with the newest."""

from __future__ import annotations

import sys

from cacheness.errors import CacheUnsupportedError

__all__ = ["OLDEST", "check"]

#: As in the extras of pyproject.toml. Earlier releases of Polars export series that Arrow cannot read, or abort the
#: process on nested enums; earlier releases of PyArrow do not accept columns of other libraries.
OLDEST = {"numpy": (1, 26, 4), "pandas": (2, 2), "polars": (1, 34), "pyarrow": (16,)}

_checked: set[str] = set()


def check(package: str) -> None:
    """Refuses an imported package that is too old.

    Raises:
        CacheUnsupportedError: the package is too old.
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
    """The leading numbers of a version: `(2, 2, 0)` of `2.2.0rc1`."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
