"""docs/coverage.md is what the rules' examples measure today."""

from __future__ import annotations

from scripts.coverage_page import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m scripts.coverage_page"
