"""A pytest plugin: a skipped test is a failed test.

A test that is skipped because something is missing does not show whether the code works. Only a test that makes no
sense on the operating system may be skipped, with a reason that starts with ``platform:``.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

ALLOWED = "platform:"


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"skipped, and a skip counts as a failure here: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into its failure."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module (``importorskip``) into an error of its collection."""
    report = yield
    _refuse_skip(report)
    return report
