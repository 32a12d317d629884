"""The plugin of SQLAlchemy's compliance suite for dialects, set up for `sqlite+cacheness`.

It runs in a process of its own (`test_dialect.py`), because it takes over pytest.
"""

# ruff: noqa: F403 - the plugin is its names

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

import sqlalchemy.dialects.sqlite.provision  # noqa: E402, F401 - temporary tables, upserts
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402
from sqlalchemy.testing.provision import (  # noqa: E402
    generate_driver_url,
    post_configure_engine,
    post_configure_testing_engine,
)

import cacheness._dialect  # noqa: E402, F401 - registers the dialect


@post_configure_engine.for_db("sqlite")
def attach_nothing(url, engine, follower_ident):
    """SQLite's own attaches a second database as a schema, which sessions of a cache cannot."""


@post_configure_testing_engine.for_db("sqlite")
def work_around_nothing(url, engine, options, scope):
    """SQLite's own repairs the savepoints of Python's driver, which work here."""


@generate_driver_url.for_db("sqlite")
def one_driver(url, driver, query_str):
    """The suite runs with the driver of its URL."""
    return url if driver in (None, url.get_driver_name()) else None
