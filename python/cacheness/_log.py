"""The package's logger, also for what the engine has to say."""

from __future__ import annotations

import logging

logger = logging.getLogger("cacheness")


def miss(message: str) -> None:
    """Says why an entry that is there counts as a miss."""
    logger.warning("%s; counts as a miss", message)
