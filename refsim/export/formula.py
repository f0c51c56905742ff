"""The words of a card in mathematics: symbols, units, quantities and formulas.

First come names and units as symbols, and texts with all markup written out; then quantities,
``281*pF`` for Brian2 and ``281`` and ``pF`` for a table; then expressions as formulas, in the order
in which the card writes them.
"""

import ast
import math
import re
from collections.abc import Callable

from ..cards.language import comparisons
from ..core.units import PREFIXES, SYMBOLS

_GREEK = frozenset(
    [
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Pi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "pi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "chi",
        "psi",
        "omega",
    ]
)
_SPOKEN = {"eps": r"\varepsilon", "inf": r"\infty"}
# The declared step, and the one in which an ODE is integrated.
_TIMES = {"step": r"\Delta t", "dt": r"\mathrm{d}t"}
_UNITS = {"u": r"$\mu$", "ohm": r"$\Omega$"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def symbol(name: str, primes: int = 0) -> str:
    """Return a name as a symbol: ``tau_m`` is Greek with a subscript, ``count`` is upright.

    Primes count how often a state was already set within a step.
    """
    if name in _TIMES:
        return _TIMES[name]
    # Names of drawn numbers have a letter of their own.
    if name.partition("_")[0] == "uniform":  # chance
        name, letter = name.replace("uniform", "U"), r"\mathcal{U}"
    else:
        letter = ""
    # What stands behind an underscore, or as digits at the end, is a subscript.
    base, *below = [part for part in name.split("_") if part]
    if match := re.fullmatch(r"([A-Za-z]+?)(\d+)", base):
        base, below = match[1], [match[2], *below]
    index = "_{" + ",".join(_letter(part) for part in below) + "}" if below else ""
    return (letter or _letter(base)) + "'" * primes + index


def _letter(word: str) -> str:
    if word in _GREEK:
        return f"\\{word}"
    if word in _SPOKEN:
        return _SPOKEN[word]
    return word if len(word) == 1 or word.isdigit() else rf"\mathrm{{{word}}}"


def latex_unit(unit: str) -> str:
    """Return the symbol of a unit as LaTeX text: ``uS`` has a Greek letter, ``Mohm`` too."""
    if unit.endswith("ohm"):
        return unit.removesuffix("ohm") + _UNITS["ohm"]
    return _UNITS["u"] + unit[1:] if unit.startswith("u") else unit


def markdown_unit(unit: str) -> str:
    """Return the symbol of a unit in plain letters."""
    return (
        unit.replace("ohm", "Ω")
        if unit.endswith("ohm")
        else "µ" + unit[1:]
        if unit.startswith("u")
        else unit
    )


def latex_text(text: str) -> str:
    """Return words with all that LaTeX would take for a command written out."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def markdown_text(text: str) -> str:
    """Return words with all that Markdown would take for markup written out.

    An underscore within a word is no markup.
    """
    flat = " ".join(text.split())
    flat = re.sub(r"([\\`*\[\]<>|$#])", r"\\\1", flat)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", flat)


def decimal(text: str) -> str:
    """Return a written number as mathematics: ``1e-9`` is a power of ten."""
    digits, exponent, power = text.partition("e")
    if not exponent:
        return digits
    return f"10^{{{int(power)}}}" if float(digits) == 1 else rf"{digits} \cdot 10^{{{int(power)}}}"


# Prefixes that a script is written with; larger and smaller numbers stand as they are.
_PREFIXES = {PREFIXES[prefix]: prefix for prefix in ("p", "n", "u", "m", "", "k", "M")}
# Brian2 has a short name for these; every other unit is written in full.
BRIAN2_UNITS = frozenset(
    [
        "ms",
        "us",
        "Hz",
        "kHz",
        "MHz",
        "mV",
        "mA",
        "uA",
        "nA",
        "pA",
        "mS",
        "uS",
        "nS",
        "uF",
        "nF",
        "pF",
        "kohm",
        "Mohm",
        "Gohm",
        "mm",
        "um",
    ]
)


def with_prefix(value: float, unit: str) -> tuple[str, str]:
    """Return a number and a symbol, such as ``("281", "pF")``, that give a value to the last bit.

    A plain number has no symbol.
    """
    if unit not in SYMBOLS or not math.isfinite(value):
        return number(value), "" if unit == "1" else unit
    # The prefix that leaves one to three digits before the point.
    power = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-9) if value else 0
    power = min(max(power, -12 if unit != "hertz" else 0), 6)  # nobody writes mHz
    return _digits(value, 10.0**power), _PREFIXES[power] + SYMBOLS[unit]


def number(value: float) -> str:
    """Write a plain number, whole ones without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else repr(float(value))


def brian2_quantity(value: float, unit: str) -> str:
    """Write a quantity as Brian2's user does; read back, it is the same number."""
    if unit == "1":
        return repr(float(value))
    digits, symbol = with_prefix(value, unit)
    return (
        f"{digits}*{symbol}"
        if symbol in BRIAN2_UNITS and float(digits) * _factor(symbol, unit) == value
        else f"{repr(float(value)) if value else 0}*{unit}"
    )


def _digits(value: float, factor: float) -> str:
    """Return the shortest number that times the factor is the value."""
    for digits in range(1, 18):
        short = float(f"{value / factor:.{digits}g}")
        if short * factor == value:
            return number(short)
    return number(value / factor)


def _factor(symbol: str, unit: str) -> float:
    return 10.0 ** next(
        power for power, prefix in _PREFIXES.items() if prefix + SYMBOLS[unit] == symbol
    )


Name = Callable[[str], str]
_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how tightly a formula holds together
_NAMED = {"tanh": r"\tanh", "sin": r"\sin", "cos": r"\cos", "log": r"\ln", "exp": r"\exp"}
_RELATION = {">": ">", ">=": r"\geq", "<": "<", "<=": r"\leq"}
# What a reader may not know, said beneath the equations where it is used: formula, words behind it.
NOTES = {
    "clip": (
        r"\operatorname{clip}\left(x, a, b\right) = \min\left(\max\left(x, a\right), b\right)",
        "",
    ),
    "exprel": (
        r"\operatorname{exprel}\left(x\right) = \frac{\exp\left(x\right) - 1}{x}",
        ", and 1 at 0",
    ),
    "round": (
        r"\operatorname{round}\left(x\right) = \left\lfloor x + \frac{1}{2} \right\rfloor",
        "",
    ),
    "trunc": (r"\operatorname{trunc}\left(x\right)", " cuts towards zero"),
}


def formula(tree: ast.expr, name: Name = symbol) -> str:
    """Return an expression as LaTeX.

    Parameters
    ----------
    tree : expression
        Checked, as the card's loader leaves it.
    name : function
        Gives the symbol of a name.
    """
    # Comparisons are joined by a word.
    if tests := comparisons(tree):
        return r" \;\mathrm{and}\; ".join(
            rf"{formula(left, name)} {_RELATION[sign]} {formula(right, name)}"
            for left, sign, right in tests
        )
    return _write(tree, name)[0]


def terms(tree: ast.expr, name: Name = symbol) -> list[str]:
    """Return the terms of a sum, so that a long one can be broken between them.

    Each term has its sign, but for a leading plus.
    """
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub):
        right = _bracketed(tree.right, name, _PRODUCT)
        return [*terms(tree.left, name), f"{'+' if isinstance(tree.op, ast.Add) else '-'} {right}"]
    return [formula(tree, name)]


def _write(tree: ast.expr, name: Name) -> tuple[str, int]:
    """Return a formula and how tightly it holds together."""
    if isinstance(tree, ast.Constant):
        return _number(float(tree.value)), _ATOM  # type: ignore[arg-type]
    if isinstance(tree, ast.Name):
        return name(tree.id), _ATOM
    # A sign binds as loosely as a sum.
    if isinstance(tree, ast.UnaryOp):
        sign = "-" if isinstance(tree.op, ast.USub) else ""
        return sign + _bracketed(tree.operand, name, _PRODUCT), _SUM
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name)
        return _call(tree.func.id, tree.args, name)
    assert isinstance(tree, ast.BinOp)
    return _operation(tree, name)


def _operation(tree: ast.BinOp, name: Name) -> tuple[str, int]:
    if isinstance(tree.op, ast.Add | ast.Sub):
        return " ".join(terms(tree, name)), _SUM
    # A minus of the first factor stands before the whole product.
    if (bare := _without_sign(tree)) is not None:
        return f"-{_bracketed(bare, name, _PRODUCT)}", _SUM
    if isinstance(tree.op, ast.Div):
        return rf"\frac{{{formula(tree.left, name)}}}{{{formula(tree.right, name)}}}", _PRODUCT
    if isinstance(tree.op, ast.Pow):
        return f"{_bracketed(tree.left, name, _ATOM)}^{{{formula(tree.right, name)}}}", _POWER
    left, right = _bracketed(tree.left, name, _PRODUCT), _bracketed(tree.right, name, _PRODUCT)
    # Two numbers need a dot between them.
    between = r" \cdot " if right[0].isdigit() else r"\,"
    return f"{left}{between}{right}", _PRODUCT


def _without_sign(tree: ast.expr) -> ast.expr | None:
    """Return a product or quotient without the minus of its first factor, or None without one.

    The sign is written before all of it.
    """
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return tree.operand
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult | ast.Div):
        bare = _without_sign(tree.left)
        return None if bare is None else ast.BinOp(bare, tree.op, tree.right)
    return None


def _bracketed(tree: ast.expr, name: Name, least: int) -> str:
    text, holds = _write(tree, name)
    return text if holds >= least else rf"\left({text}\right)"


def _call(function: str, arguments: list[ast.expr], name: Name) -> tuple[str, int]:
    first = formula(arguments[0], name)
    if function == "sqrt":
        return rf"\sqrt{{{first}}}", _ATOM
    if function == "abs":
        return rf"\left\vert {first} \right\vert", _ATOM
    if function == "floor":
        return rf"\left\lfloor {first} \right\rfloor", _ATOM
    if function == "shr":
        bits = formula(arguments[1], name)
        return rf"\operatorname{{trunc}}\left(\frac{{{first}}}{{2^{{{bits}}}}}\right)", _PRODUCT
    written = _NAMED.get(function, rf"\operatorname{{{function}}}")
    return (
        rf"{written}\left({', '.join(formula(argument, name) for argument in arguments)}\right)",
        _PRODUCT,
    )


def _number(value: float) -> str:
    # Numbers that have a name are written with it.
    for factor, text in ((2 * math.pi, r"2 \pi"), (math.pi, r"\pi"), (math.e, r"\mathrm{e}")):
        if value == factor:
            return text
    return decimal(
        f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
        if abs(value) >= 1e6 and value == float(f"{value:.0e}")
        else number(value)
    )


def functions_in(*trees: ast.expr) -> set[str]:
    """Return the functions that expressions call; shr is written as trunc."""
    calls = {
        node.func.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return calls | ({"trunc"} if "shr" in calls else set())
