"""The values of an entry by name, for predicates."""

from __future__ import annotations

from typing import Any


def by_name(entry: dict[str, Any]) -> dict[str, Any]:
    """The value of each name that ``delete_matching`` looks up: from the metadata, else the parameters, else the
    arguments of a function, else the fields of the entry.
    """
    named = dict(entry)
    parameters = entry["cache_key_params"]
    if isinstance(parameters, dict):
        if "__function__" in parameters and isinstance(parameters.get("arguments"), dict):
            named.update(parameters["arguments"])
        named.update(parameters)
    named.update(entry["metadata"])
    return named
