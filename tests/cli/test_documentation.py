"""The manual's table of settings says what the code says."""

from tests.cli.settings_table import PAGE, with_table


def test_the_table_of_settings_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == with_table(page), "run: python -m tests.cli.settings_table"
