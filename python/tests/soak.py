"""How long tests that draw their cases go on: `make soak` asks for more of them."""

from __future__ import annotations

import os


def times(few: int) -> int:
    """``few``, or as many times that as ``CACHENESS_SOAK`` says."""
    return few * int(os.environ.get("CACHENESS_SOAK", "1"))
