"""One suite for every backend and every transport."""

import pytest

pytest.register_assert_rewrite("tests.conformance.builders", "tests.conformance.suite", "tests.support.api")
