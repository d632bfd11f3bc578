"""The skip rules of the test suite itself."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
    import pytest
    def test_photographs(test_data): assert test_data.is_dir()
    def test_own_skip(): pytest.skip("FACENET_WEIGHTS is not set")
    def test_other_skip(): pytest.skip("no browser here")
    def test_store():
        import os
        assert "mlflow.db" in os.environ["MLFLOW_TRACKING_URI"]
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    for name in ("SIM_TEST_DATA", "FACENET_WEIGHTS", "CI_REQUIRE_DATA"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text())
    pytester.makepyfile(SUITE)
    return pytester


def test_without_photographs_and_weights_2_tests_skip_and_say_why(suite):
    result = suite.runpytest("-rs")
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(["*SIM_TEST_DATA is not set*"])


def test_where_data_is_required_those_2_skips_are_failures_and_the_third_stays_a_skip(suite, monkeypatch):
    monkeypatch.setenv("CI_REQUIRE_DATA", "1")
    result = suite.runpytest()
    result.assert_outcomes(passed=1, skipped=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*CI_REQUIRE_DATA=1, yet skipped*"])


def test_a_folder_that_exists_is_handed_to_the_test(suite, monkeypatch, tmp_path):
    monkeypatch.setenv("SIM_TEST_DATA", str(tmp_path))
    suite.runpytest().assert_outcomes(passed=2, skipped=2)


def test_a_module_that_skips_as_a_whole_fails_where_data_is_required(suite, monkeypatch):
    monkeypatch.setenv("CI_REQUIRE_DATA", "1")
    suite.makepyfile(test_whole='import pytest\npytest.skip("SIM_TEST_DATA is not set", allow_module_level=True)')
    suite.runpytest("test_whole.py").assert_outcomes(errors=1)
