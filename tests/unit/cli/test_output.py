"""How findings are laid out."""

import pytest

from gpupass.cli.output import show_finding


@pytest.mark.parametrize(
    ("remedy", "text"),
    [
        ("gpupass slots", "warning: it is full\n         gpupass slots\n"),
        ("", "warning: it is full\n"),
        (None, "warning: it is full\n"),
    ],
)
def test_a_remedy_stands_below_what_it_is_for(capsys, remedy, text):
    show_finding("warning: ", "it is full", remedy)
    assert capsys.readouterr().err == text
