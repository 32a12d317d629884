"""The package's logger, also used for the engine's messages."""

from __future__ import annotations

import logging

logger = logging.getLogger("cacheness")


def miss(message: str) -> None:
    """Logs why an existing entry counts as a miss."""
    logger.warning("%s; counts as a miss", message)
