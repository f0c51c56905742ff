"""Cards as LaTeX and Markdown.

Every formula is read back and computed, parsed by a renderer, and held in a document that closes
what it opens.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser
from reading_latex import value_of

import refsim
from refsim.__main__ import main
from refsim.cards.language import (
    SCALAR_FUNCTIONS,
    comparisons,
    evaluate,
    names_in,
    parse_expression,
    parse_statements,
)
from refsim.cards.questions import equation_lines
from refsim.cards.read import load_all
from refsim.export import formula as formulas
from refsim.export.documents import broken, width
from refsim.export.formula import formula, latex_text, markdown_text, symbol, terms
from refsim.export.system import Equation, system

MODELS = [
    *load_all(),
    *(refsim.load(path) for path in sorted((Path(__file__).parent / "cards").glob("*.toml"))),
]
# Forms that a printer gets wrong when it forgets a bracket.
TRICKY = (
    "a - (b - c)",
    "a - (b + c)*-d",
    "-(a + b)*c",
    "-a**2",
    "(-a)**2",
    "a/b/c",
    "a/(b/c)",
    "a/b*c",
    "a*(b*c)",
    "(a*b)**c",
    "a**b**c",
    "a**(-b)",
    "2*3*a",
    "a*2",
    "-a*b/c",
    "abs(a - b)*c",
    "shr(1e4*a - b, 3)",
    "floor(a + 0.5) - c",
    "round(10*a)*b",
    "1e-9*a + 1e9*b",
    "a*-b",
    "sqrt(a)*b**0.5",
    "clip(-a, -80, b)",
    "1/exprel(-(a + 40)/10)",
    "exp(-a*b)*c",
    "a - -b",
    "sign(-a)*b",
    "trunc(-a*7)",
    "6.283185307179586/(a*b)",
)


def expressions(model):
    """Return every expression of a card that is written as it is."""
    found = [parse_expression(each.text, name) for name, each in model.derived.items()]
    if part := model.continuous:
        found += [parse_expression(right, left) for left, right, _ in equation_lines(model)]
        found += [
            each.tree for each in (parse_statements(part.reset, "reset") if part.reset else ())
        ]
    found += [parse_expression(kernel.text, name) for name, kernel in model.kernels.items()]
    trees = [*found, *(each.tree for each in model.discrete.ordered)]
    return [
        side
        for tree in trees
        for side in ([part for test in comparisons(tree) for part in test[::2]] or [tree])
    ]


def misread(tree, written):
    """Whether a formula, read back, is another number than its expression."""
    rng, computed = np.random.default_rng(3), 0
    for low in (0.2, 0.2, 1.2, 1.2):  # some logarithms want more than 1, some less
        values = {name: float(rng.uniform(low, low + 0.7)) for name in sorted(names_in(tree))}
        try:
            wanted = evaluate(tree, values, SCALAR_FUNCTIONS)
        except ValueError:
            continue
        computed += 1
        if not np.isclose(
            value_of(written, {symbol(name): value for name, value in values.items()}),
            wanted,
            rtol=1e-12,
            atol=0,
        ):
            return True
    assert computed, ast.unparse(tree)
    return False


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_formula_says_what_the_card_says(model):
    trees = expressions(model)
    assert trees
    for tree in trees:
        assert not misread(tree, formula(tree)), ast.unparse(tree)
        assert not misread(tree, " ".join(terms(tree))), ast.unparse(tree)


@pytest.mark.parametrize("text", TRICKY)
def test_brackets_and_signs(text):
    assert not misread(parse_expression(text, "test"), formula(parse_expression(text, "test")))


def test_a_lost_bracket_is_caught(monkeypatch):
    tree = parse_expression("a - (b - c)", "test")
    monkeypatch.setattr(
        formulas, "_bracketed", lambda tree, name, least: formulas._write(tree, name)[0]
    )
    assert misread(tree, formula(tree))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (r"-a\,b", r"a\,b"),
        (r"\frac{a}{b}", r"\frac{b}{a}"),
        ("a^{b}", "b^{a}"),
        (r"2 \cdot a", "2 + a"),
    ],
)
def test_another_formula_is_caught(right, wrong):
    tree = {r"-a\,b": "-a*b", r"\frac{a}{b}": "a/b", "a^{b}": "a**b", r"2 \cdot a": "2*a"}[right]
    assert not misread(parse_expression(tree, "test"), right)
    assert misread(parse_expression(tree, "test"), wrong)


def mathematics(text):
    """Return every piece of mathematics of a page.

    Between dollars, and the rows of aligned equations without their marks.
    """
    rows = [
        row
        for block in re.findall(r"\\begin\{align(?:\*|ed)\}\n(.*?)\\end\{align", text, re.S)
        for row in block.split("\\\\\n")
    ]
    inline = re.findall(
        r"(?<![\\$])\$([^$]+)\$(?!\$)", re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)
    )
    return [row.replace("&", "").strip() for row in rows] + inline


def refused(text):
    """Return the pieces of mathematics that matplotlib's renderer cannot read."""
    found = []
    for piece in mathematics(text):
        try:
            MathTextParser("agg").parse(f"${piece}$")
        except ValueError:
            found.append(piece)
    return found


def unsound(text):
    """Return what would stop LaTeX.

    Braces, environments or brackets left open, rows without one mark, signs that are commands.
    """
    found = [] if _balanced(text) else ["braces"]
    begun, ended = re.findall(r"\\begin\{([^}]*)\}", text), re.findall(r"\\end\{([^}]*)\}", text)
    found += [] if sorted(begun) == sorted(ended) else ["environments"]
    found += (
        []
        if text.count(r"\left") - text.count(r"\leftarrow") == text.count(r"\right")
        else ["left and right"]
    )
    for block in re.findall(r"\\begin\{align\*\}\n(.*?)\\end\{align\*\}", text, re.S):
        found += [
            f"marks: {row}"
            for row in block.split("\\\\\n")
            if row.count("&") != 1 or not row.strip()
        ]
    for row in re.findall(r"^\$.*\\\\$", text, re.M):
        found += [] if len(re.findall(r"(?<!\\)&", row)) == 3 else [f"cells: {row}"]
    words = re.sub(
        r"\\begin\{align\*\}.*?\\end\{align\*\}|(?<!\\)\$[^$]*\$|"
        r"^%[^\n]*$|\\begin\{tabular\}[^\n]*$",
        "",
        text,
        flags=re.S | re.M,
    )
    found += [
        f"sign: {sign}"
        for sign in re.findall(r"(?<!\\)[_#%^~$<>|]", words.replace(r"\textasciicircum", ""))
    ]
    return found


def _balanced(text):
    depth = 0
    for sign in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    return depth == 0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_latex_is_sound_and_says_it_all(model):
    text = refsim.to_latex(model)
    assert unsound(text) == []
    assert refused(text) == []
    assert len(mathematics(text)) > len(model.parameters) + len(model.state)
    for name, parameter in model.parameters.items():
        assert f"${symbol(name)}$ & " in text
        assert latex_text(parameter.meaning) in text
    assert all(latex_text(reference) in text for reference in model.references)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_markdown_is_sound_and_says_it_all(model):
    text = refsim.to_markdown(model)
    assert refused(text) == []
    assert _balanced(text)
    assert text.count("$$") % 2 == 0
    for row in (line for line in text.splitlines() if line.startswith("|")):
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row
    assert all(
        f"| ${symbol(name)}$ | " in text
        for name in (*model.parameters, *model.state, *model.derived)
    )
    assert all(markdown_text(reference) in text for reference in model.references)


@pytest.mark.parametrize(
    ("old", "new", "judge"),
    [
        (r"\frac{\mathrm{d}v}", r"\frac{\mathrm{d}v", unsound),
        (r"\end{align*}", "", unsound),
        (r"&=", "=", unsound),
        (r"e\_l", "e_l", unsound),
        (r" & pF & ", r" & ", unsound),
        (r"\right)", ")", unsound),
        (r"\geq", r"\greaterequal", refused),
        (r"\operatorname{clip}\left", r"\operatorname{clip\left", refused),
    ],
)
def test_a_broken_page_is_caught(old, new, judge):
    text = refsim.to_latex(refsim.load("adex"))
    assert old in text
    assert judge(text.replace(old, new, 1))


def steps_of(name):
    (block,) = [block for block in system(refsim.load(name)) if block.heading == "One step"]
    return [line.text for line in block.lines]


def test_one_step_is_counted():
    assert steps_of("lif") == [
        r"v'[n] = \mathrm{keep}\,v[n-1] + \frac{I[n]}{\tau}",
        r"z[n] = \mathbf{1}\left(v'[n] \geq v_{\mathrm{th}}\right)",
        r"v[n] = v'[n]\,\left(1 - z[n]\right) + v_{\mathrm{reset}}\,z[n]",
    ]
    # v_old is the membrane of the last step, which w reads after v has gone on.
    assert steps_of("adlif")[:2] == [
        r"v'[n] = \alpha\,v[n-1] + \left(1 - \alpha\right)\,\left(I[n] - w[n-1]\right)",
        r"w'[n] = \beta\,w[n-1] + \left(1 - \beta\right)\,a\,v[n-1]",
    ]
    assert steps_of("cuba_lif")[0] == r"i'_{\mathrm{syn}}[n] = i_{\mathrm{syn}}[n-1] + I[n]"
    # N is a gate.
    assert steps_of("hh")[-1] == (
        r"z[k] = \mathbf{1}\left(v[k] \geq v_{\mathrm{th}} \;\mathrm{and}\; v[k-1] < "
        r"v_{\mathrm{th}}\right)"
    )
    assert steps_of("li") == [r"v[n] = \mathrm{decay}\,v[n-1] + I[n]"]


def test_a_step_of_a_method_is_told_from_one_typed():
    assert any(r"\mathbf{k}_{4}" in line for line in steps_of("morris_lecar"))
    assert any("A_{i}" in line for line in steps_of("coba_lif"))
    assert not any(r"\mathbf{y}" in line for line in steps_of("adlif"))


def test_names_become_symbols():
    names = {
        "tau_m": r"\tau_{m}",
        "v1": "v_{1}",
        "count": r"\mathrm{count}",
        "th_step": r"\mathrm{th}_{\mathrm{step}}",
        "step": r"\Delta t",
        "m_inf": r"m_{\infty}",
    }
    assert {name: symbol(name) for name in names} == names
    assert symbol("th_1", primes=2) == r"\mathrm{th}''_{1}"


def test_long_equations_are_broken_between_terms():
    rows = broken(Equation("v", "=", tuple(f"+ {letter * 30}" for letter in "abcd")))
    assert len(rows) == 2
    assert all(row.count("&") == 1 for row in rows)
    assert width(r"\frac{\mathrm{d}v}{\mathrm{d}t}") == 5


def test_show_writes_each_form(capsys, tmp_path):
    for form, sign in (
        ("--latex", r"\begin{align*}"),
        ("--markdown", "$$"),
        ("--brian2", "from brian2 import *"),
    ):
        assert main(["show", "lif", form]) == 0
        printed = capsys.readouterr().out
        assert sign in printed
        assert main(["show", "lif", form, "--out", str(tmp_path / "out")]) == 0
        assert (tmp_path / "out").read_text("utf-8") == printed
        assert capsys.readouterr().out.startswith("wrote ")
    assert (
        main(
            [
                "show",
                "lif",
                "--brian2",
                "--set",
                "tau=5",
                "--constant",
                "0.8",
                "--duration",
                "30 ms",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert all(
        line in printed for line in ("tau = 5.0  #", "neurons.I = 0.8  #", "duration = 30*step")
    )
    with pytest.raises(SystemExit, match="2"):
        main(["show", "lif", "--latex", "--brian2"])
    assert main(["show", "lif", "--latex", "--constant", "1"]) == 2
    assert main(["show", "lif", "--brian2", "--refine", "0"]) == 2
    assert main(["show", "lif", "--brian2", "--out", str(tmp_path / "none" / "out")]) == 2


def test_two_names_are_not_printed_alike(tmp_path, capsys):
    text = (
        refsim.load("if")
        .text.replace('"if"', '"own"')
        .replace("v_th", "v1")
        .replace("v_reset", "v_1")
    )
    (tmp_path / "own.toml").write_text(text)
    assert main(["show", str(tmp_path / "own.toml"), "--latex"]) == 2
    assert "card 'own': 'v1' and 'v_1' would both be printed as $v_{1}$" in capsys.readouterr().err
