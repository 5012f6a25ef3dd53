"""The reference page of the Python API is made from the docstrings."""

import fomoad
from tools import api_reference


def test_the_page_is_up_to_date() -> None:
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.page(), "run python -m tools.api_reference"


def test_every_public_name_has_a_section() -> None:
    assert {*api_reference.ORDER, "__version__"} == set(fomoad.__all__)
