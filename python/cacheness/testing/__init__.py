"""Suites for backends and handlers that a program brings along: the contracts that a store relies on, as tests.

A suite is a class whose methods ``test_…`` run under pytest and by :meth:`Suite.run`. Derive from it and say how a
backend is made::

    from cacheness.testing import MetadataBackendSuite

    class TestMine(MetadataBackendSuite):
        def make(self):
            return Mine("mine://localhost/test")

Each test calls ``make`` for a backend without data, and closes it afterwards.
"""

from ._blobs import BlobBackendSuite
from ._handlers import HandlerSuite
from ._metadata import MetadataBackendSuite
from ._suite import Suite

__all__ = ["BlobBackendSuite", "HandlerSuite", "MetadataBackendSuite", "Suite"]
