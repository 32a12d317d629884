"""SQLAlchemy's compliance suite for dialects, without what `NOT_FOR_US` names."""

# ruff: noqa: F403 - the suite is its names

from sqlalchemy.testing.suite import *
