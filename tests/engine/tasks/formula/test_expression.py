"""What a formula means, and what is said of one that means nothing."""

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.support.settings import SettingError
from l2o_engine.tasks.formula.expression import MOST_DIMS, MOST_LEVELS, MOST_STEPS, MOST_WORK, Source, expression_of
from l2o_engine.tasks.formula.generate import numpy_functions
from l2o_engine.tasks.formula.grammar import DEEPEST, MOST_CHARACTERS, FormulaError

X = (0.5, -2.0, 3.0)


def value(text: str, dims: int = 3, **parameters: float | list[float]) -> float:
    """Return a formula's loss at x = (0.5, -2, 3), of which it need not use all."""
    unused = f"({text}) + 0*sum(i_, x[i_])"
    lengths = tuple((name, len(one) if isinstance(one, list) else 0) for name, one in parameters.items())
    flat = [np.float64(number) for one in parameters.values() for number in (one if isinstance(one, list) else [one])]
    return float(numpy_functions(Source(unused, dims, lengths)).loss(flat, np.array(X[:dims])))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x[0]", 0.5),
        ("-x[1]**2", -4.0),
        ("(-x[1])**2", 4.0),
        ("2**-1*x[2]", 1.5),
        ("2**3**2", 512.0),
        ("1 - 2 - 3", -4.0),
        ("12/3/2*2", 4.0),
        ("1 + 2*x[2] - 4/x[1]", 9.0),
        ("--x[1]", -2.0),
        ("2*-x[1]", 4.0),
        ("x [ 0 ]\n\t* 2", 1.0),
        (".5 + 1. + 1e1 + 1.5E-1 + 2e+0", 13.65),
        ("pi + e", math.pi + math.e),
        ("dims", 3.0),
        ("x[dims - 1]", 3.0),
        ("x[2*1 - 2 + 1]", -2.0),
        ("x[-(1 - 2)]", -2.0),
        ("sum(i, x[i])", 1.5),
        ("sum(i, i)", 3.0),
        ("sum(i, 1, 2, x[i]*i)", 4.0),
        ("sum(i, 0, dims - 2, x[i + 1] - x[i])", 2.5),
        ("sum(i, 1, 0, x[i])", 0.0),
        ("sum(i, 1, 4, i**2)", 30.0),
        ("sum(i, sum(j, i, 2, x[j]))", 1.5 + 1.0 + 3.0),
        ("sum(i, x[i]) + sum(i, x[i])", 3.0),
        ("x[0]**0", 1.0),
        ("x[1]**-2", 0.25),
        ("4**0.5 + 4**1.5 + 4**-0.5", 10.5),
        ("abs(x[1]) + sqrt(4) + exp(0) + expm1(0) + log(1) + log1p(0)", 5.0),
        ("cos(0) + sin(0) + tan(0) + tanh(0)", 1.0),
    ],
)
def test_a_formula_means_what_it_says(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, abs=1e-15)


def test_parameters_are_numbers_or_lists_of_them() -> None:
    assert value("b*x[1] + w[0] - w[i0 + 1]".replace("i0", "0"), b=2.0, w=[10.0, 5.0]) == 1.0
    assert value("sum(k, 0, 1, w[k])**b", w=[1.0, 2.0], b=3.0) == 27.0


WRONG = [  # formula, where it is wrong, what is said
    ("", 0, "the formula is empty"),
    ("x[0] +", 6, "the end is out of place"),
    ("(x[0]", 5, '"(" at character 1 is never closed'),
    ("x[0", 3, '"[" at character 2 is never closed'),
    ("exp(x[0]]", 8, '"(" at character 4 is not closed by ")" here'),
    ("x[0])", 4, "it closes nothing"),
    ("x[0], x[1]", 4, "commas stand in sum(…) alone"),
    ("2x[0]", 1, "a sign is missing before it"),
    ("x[0] x[1]", 5, "a sign is missing before it"),
    ("+x[0]", 0, '"+" is out of place'),
    ("x[0]//2", 5, '"/" is out of place'),
    ("x[0]^2", 4, "a power is written **"),
    ("x[0] < 1", 5, "nothing is compared or assigned"),
    ("y = x[0]", 2, "nothing is compared or assigned"),
    ("x[0].real", 4, "nothing has attributes here"),
    ("x[0] % 2", 5, "there are + - * / **"),
    ("'x'", 0, "a formula has no strings"),
    ('__import__("os")', 0, 'there is no function "__import__"'),
    ("lambda: x[0]", 6, "an index is one number"),
    ("x[0] if x[1] else 0", 5, "a sign is missing before it"),
    ("{x[0]}", 0, "parentheses are round"),
    ("x[0] + ²", 7, '"²" has no meaning here'),
    ("x[0] + \u202e1", 7, r'"\u202e" has no meaning here'),
    ("x[0]\x00", 4, r'"\x00" has no meaning here'),
    ("x[0] + y", 7, 'there is nothing called "y"; the parameters are "alpha", "w"'),
    ("x[0] + alpa", 7, 'did you mean "alpha"?'),
    ("x0 + x[1]", 0, "a coordinate is x[0]"),
    ("sqr(x[0])", 0, 'did you mean "sqrt"?'),
    ("sin + x[0]", 0, "the function sin needs parentheses"),
    ("x + 1", 0, "write one of them, such as x[0]"),
    ("w + x[0]", 0, "w has 2 numbers: write one of them"),
    ("alpha[0]", 0, "alpha is one number, without an index"),
    ("pi[0]", 0, "pi is one number, without an index"),
    ("x[2]", 0, "x[2] is outside: there are x[0] to x[1]"),
    ("x[-1]", 0, "x[-1] is outside"),
    ("w[2]", 0, "w[2] is outside: there are w[0] to w[1]"),
    ("sum(i, x[i + 1])", 7, "x[2] is outside"),
    ("x[0.5]", 2, "an index is made of whole numbers"),
    ("x[1/1]", 3, "an index is made of whole numbers"),
    ("x[x[0]]", 2, "an index is made of whole numbers"),
    ("x[alpha]", 2, "an index is made of whole numbers"),
    ("x[j]", 2, 'there is nothing called "j"'),
    ("x[99999999]", 2, "an index is made of whole numbers"),
    ("x[999999*999999]", 8, "this index is too large"),
    ("sum(i)", 0, "a sum is sum(i, term) or sum(i, first, last, term)"),
    ("sum(i, 0, x[i])", 0, "a sum is"),
    ("sum(2, x[0])", 0, "a sum is"),
    ("sum(x, x[0])", 0, "x is taken"),
    ("sum(w, x[0])", 0, "w is taken"),
    ("sum(i, sum(i, x[i]))", 7, "i is taken"),
    ("sum(i, x[i]) + i", 15, 'there is nothing called "i"'),
    ("x[0]/0", 4, "this divides by 0"),
    ("log(0)", 0, "this is no finite number"),
    ("(-1)**0.3", 4, "this is no finite number"),
    ("exp(1000)*x[0]", 0, "this is no finite number"),
    ("1e999*x[0]", 0, "this number is beyond float64"),
    ("9**9**9**9", 4, "an exponent is between -100 and 100"),
    ("x[0]**101", 4, "an exponent is between -100 and 100"),
    ("2**x[0]", 1, "an exponent must not depend on x"),
]


@pytest.mark.parametrize(("text", "at", "said"), WRONG)
def test_what_is_wrong_is_one_message_with_the_place_marked(text: str, at: int, said: str) -> None:
    with pytest.raises(FormulaError) as error:
        expression_of(Source(text, 2, (("alpha", 0), ("w", 2))))
    message, line, mark = str(error.value).split("\n")
    assert said in message
    assert f"(character {at + 1})" in message
    assert line.isprintable()
    assert mark == "    " + " " * at + "^"
    assert line[4 : 4 + at] == text[:at]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("b*c[0]", "loss: does not depend on x"),
        ("b*c[0] + x[0]**0*x[1]**0", "loss: does not depend on x"),
        ("b*c[0]*x[0]", "loss: x[1] is nowhere in it, and dims is 2"),
        ("b*x[0] + x[1]", "parameters: c is nowhere in the loss"),
    ],
)
def test_what_is_missing_in_the_whole_formula_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingError) as error:
        expression_of(Source(text, 2, (("b", 0), ("c", 3))))
    assert str(error.value) == said


def test_of_several_signs_the_wrong_one_is_marked() -> None:
    with pytest.raises(FormulaError, match=r"this divides by 0 \(character 9\)"):
        expression_of(Source("x[0]/2*3/0", 1))


def test_of_a_long_text_the_part_around_the_place_is_shown() -> None:
    text = " + ".join(["x[0]"] * 60 + ["y"] + ["x[0]"] * 60)
    with pytest.raises(FormulaError) as error:
        expression_of(Source(text, 1))
    _, line, mark = str(error.value).split("\n")
    assert len(line) < 90
    assert line[len(mark) - 1] == "y"
    assert line.startswith("    … ")
    assert line.endswith(" …")


def test_line_breaks_of_a_text_are_shown_as_spaces_and_the_mark_stands_where_it_should() -> None:
    with pytest.raises(FormulaError) as error:
        expression_of(Source("x[0] +\n\ty", 1))
    assert str(error.value).split("\n")[1:] == ["    x[0] +  y", "            ^"]


# Bounds: of what cannot be used, all is said at once.


def nested(text: str, levels: int) -> str:
    return "(" * levels + text + ")" * levels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x[0]" + " " * MOST_CHARACTERS, f"at most {MOST_CHARACTERS:,} characters"),
        (nested("x[0]", DEEPEST + 1), f"more than {DEEPEST} levels deep"),
        (nested("x[0]", 900), f"more than {DEEPEST} levels deep"),
        ("-" * 1900 + "x[0]", f"more than {DEEPEST} levels deep"),
        ("x[0]" + "**1" * 600, f"more than {DEEPEST} levels deep"),
        ("x[" * 600, f"more than {DEEPEST} levels deep"),
        ("sin(" * 400, f"more than {DEEPEST} levels deep"),
        ("sum(i, 0, 999999, x[0])", f"more than {MOST_STEPS:,} numbers and operations"),
        ("sum(i, 0, 999999, sum(j, 1, 0, x[0]))", f"more than {MOST_STEPS:,} numbers and operations"),
        (
            "".join(f"sum({c}, " for c in "abcdfghijkl") + "x[0]" + ")" * 11,
            f"more than {MOST_STEPS:,} numbers and operations",
        ),
        ("*".join(f"sum(i, {k}*x[i])" for k in range(2, 11)), f"and {MOST_WORK:,} are the most"),
        ("*".join(["x[0]"] * (MOST_LEVELS + 2)), f"more than {MOST_LEVELS} operations are within one another here"),
    ],
)
def test_what_is_too_much_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        expression_of(Source(text, MOST_DIMS))


def test_the_largest_that_is_taken_is_taken() -> None:
    expression_of(Source(nested("x[0]", DEEPEST - 1), 1))
    expression_of(Source("+".join(["x[0]"] * 400), 1))
    expression_of(Source("sum(i, 1, 600, x[0])", 1))


@given(text=st.text(alphabet="x[0]()+-*/ **sumin,.eE19ab\n", max_size=60) | st.text(max_size=30))
def test_any_text_is_taken_or_refused_with_a_message(text: str) -> None:
    with suppress(SettingError):
        expression_of(Source(text, 2, (("b", 0),)))
