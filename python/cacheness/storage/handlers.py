"""The documented import path of handlers; see :mod:`cacheness.handlers`."""

from __future__ import annotations

from ..handlers import (
    ArrayHandler,
    ArrowTableHandler,
    HandlerRegistry,
    ObjectHandler,
    PandasDataFrameHandler,
    PandasSeriesHandler,
    PolarsDataFrameHandler,
    PolarsSeriesHandler,
    list_handlers,
    register_handler,
    unregister_handler,
)
from ..interfaces import CacheHandler

__all__ = [
    "ArrayHandler",
    "ArrowTableHandler",
    "CacheHandler",
    "HandlerRegistry",
    "ObjectHandler",
    "PandasDataFrameHandler",
    "PandasSeriesHandler",
    "PolarsDataFrameHandler",
    "PolarsSeriesHandler",
    "list_handlers",
    "register_handler",
    "unregister_handler",
]
