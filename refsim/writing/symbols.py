"""Names and units of a card as mathematical symbols, and its words as LaTeX or Markdown text."""

import re

_GREEK = frozenset(
    ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"]
)  # fmt: skip
_SPOKEN = {"eps": r"\varepsilon", "inf": r"\infty"}
_TIMES = {"step": r"\Delta t", "dt": r"\mathrm{d}t"}  # the declared step, and the one in which an ODE is integrated
_UNITS = {"u": r"$\mu$", "ohm": r"$\Omega$"}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


def symbol(name: str, primes: int = 0) -> str:
    """Return a name as a symbol: ``tau_m`` is a Greek letter with a subscript, ``count`` an upright word.

    Primes count how often a state was already set within a step.
    """
    if name in _TIMES:
        return _TIMES[name]
    if name.partition("_")[0] == "uniform":  # chance
        name, letter = name.replace("uniform", "U"), r"\mathcal{U}"
    else:
        letter = ""
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
    return unit.replace("ohm", "Ω") if unit.endswith("ohm") else "µ" + unit[1:] if unit.startswith("u") else unit


def latex_text(text: str) -> str:
    """Return words with all that LaTeX would take for a command written out."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def markdown_text(text: str) -> str:
    """Return words with all that Markdown would take for markup written out; an underscore within a word is none."""
    flat = " ".join(text.split())
    flat = re.sub(r"([\\`*\[\]<>|$#])", r"\\\1", flat)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", flat)


def decimal(text: str) -> str:
    """Return a written number as mathematics: ``1e-9`` is a power of ten."""
    digits, exponent, power = text.partition("e")
    if not exponent:
        return digits
    return f"10^{{{int(power)}}}" if float(digits) == 1 else rf"{digits} \cdot 10^{{{int(power)}}}"
