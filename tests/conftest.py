"""No test reads or writes the user's cache."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _a_cache_of_the_tests_own(tmp_path_factory):
    os.environ["GENKIT_CACHE"] = str(tmp_path_factory.mktemp("genkit-cache"))
