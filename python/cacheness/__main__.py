"""The ``cacheness`` command."""

from __future__ import annotations

import signal
import sys

from . import _core


def main() -> int:
    """Runs the command with the arguments of this process and returns its exit code."""
    # Ctrl-C ends the command at once, like any other command.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.cli(["cacheness", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
