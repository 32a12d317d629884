"""The blocks that cannot run yet, each with what it waits for. The list may only become shorter.

Each block ends with `CacheUnsupportedError` in the call that needs what is not there; the error names it.
"""

from typing import NamedTuple


class Waiting(NamedTuple):
    """A block that is refused."""

    #: What it waits for.
    capability: str
    #: What the error has to name.
    named: str
    block: str


WAITING = {
    # ----- The reference of the interface.
    "migrate_cache": Waiting("copying a cache into another one", "migrate_cache", """
        from cacheness.utils import migrate_cache

        migrate_cache(old_cache_dir="./old", new_cache_dir="./new", old_config=CacheConfig(), new_config=CacheConfig())
    """),
    # ----- The guide to metadata.
    # ----- The plans.
    "SqlCache": Waiting("tables that are filled from their source", "SqlCache", """
        from cacheness.sql_cache import SqlCache

        SqlCache(db_url="postgresql://localhost/db", table_name="t", data_fetcher=len, model_type=String(50))
    """),
}  # fmt: skip
