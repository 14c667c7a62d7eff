"""Figures name the length of text that no font here draws, and leave all other text as it is."""

import warnings

from matplotlib.figure import Figure

from chinspect.report import drawable, with_known_glyphs


def test_runs_without_glyphs_are_named() -> None:
    assert drawable("STOP 止まれ") == "STOP [3 characters]"
    assert drawable("捷径捷径捷径.jpg und 径") == "[6 characters].jpg und [1 character]"
    assert drawable("Käse, Сыр, τυρί: 20 °C → 4 °C\n") == "Käse, Сыр, τυρί: 20 °C → 4 °C\n"
    assert drawable("") == ""


def test_a_figure_is_drawn_without_warnings(tmp_path) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_title("捷径.jpg")
    axes.set_xlabel("x", parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_known_glyphs(figure).savefig(tmp_path / "figure.png")
    assert axes.get_title() == "[2 characters].jpg"
    assert axes.get_xlabel() == "x"
