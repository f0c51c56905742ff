"""Read a formula of refsim's LaTeX back and compute it.

Nothing but the printed signs is used, so that a lost bracket or minus shows.
"""

import math
import re

_TOKEN = re.compile(
    r"\\left\\lfloor|\\right\\rfloor|\\left\\vert|\\right\\vert|\\left\(|\\right\)|"
    r"\\operatorname\{\w+\}|\\[A-Za-z]+|\\[,;]|\d+\.?\d*(?:e-?\d+)?|[A-Za-z']|\S"
)
_FUNCTIONS = {
    "exp": math.exp,
    "ln": math.log,
    "tanh": math.tanh,
    "sin": math.sin,
    "cos": math.cos,
    "trunc": math.trunc,
    "clip": lambda x, low, high: min(max(x, low), high),
    "exprel": lambda x: math.expm1(x) / x if x else 1.0,
    "round": lambda x: math.floor(x + 0.5),
    "sign": lambda x: float((x > 0) - (x < 0)),
}


def value_of(text: str, symbols: dict[str, float]) -> float:
    """Compute a formula whose names are given as they are printed."""
    text = text.replace(r"\mathrm{e}", repr(math.e))
    for count, printed in enumerate(sorted(symbols, key=len, reverse=True)):
        text = (
            text.replace(printed, f" <{count}> ")
            if len(printed) > 1
            else re.sub(rf"(?<![A-Za-z\\]){printed}(?![A-Za-z])", f" <{count}> ", text)
        )
    values = [symbols[printed] for printed in sorted(symbols, key=len, reverse=True)]
    reader = _Reader(
        [
            token
            for token in re.findall(rf"<\d+>|{_TOKEN.pattern}", text)
            if token not in (r"\,", r"\;")
        ],
        values,
    )
    found = reader.sum()
    assert reader.at == len(reader.tokens), (text, reader.tokens[reader.at :])
    return found


class _Reader:
    def __init__(self, tokens, values):
        self.tokens, self.values, self.at = tokens, values, 0

    def next(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted=None):
        token = self.next()
        assert wanted is None or token == wanted, (wanted, token, self.tokens)
        self.at += 1
        return token

    def sum(self):
        if self.next() == "-":
            self.take()
            total = -self.product()
        else:
            total = self.product()
        while self.next() in ("+", "-"):
            total += self.product() if self.take() == "+" else -self.product()
        return total

    def product(self):
        total = self.power()
        while self.next() not in (
            "",
            "+",
            "-",
            "}",
            ",",
            r"\right)",
            r"\right\rfloor",
            r"\right\vert",
        ):
            if self.next() == r"\cdot":
                self.take()
            total *= self.power()
        return total

    def power(self):
        base = self.atom()
        if self.next() == "^":
            self.take()
            return base ** self.group()
        return base

    def group(self):
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def atom(self):
        token = self.take()
        if token.startswith("<"):
            return self.values[int(token[1:-1])]
        if token[0].isdigit():
            return float(token)
        if token == r"\pi":
            return math.pi
        if token == r"\frac":
            return self.group() / self.group()
        if token == r"\sqrt":
            return math.sqrt(self.group())
        closing = {
            r"\left(": r"\right)",
            r"\left\lfloor": r"\right\rfloor",
            r"\left\vert": r"\right\vert",
        }
        if token in closing:
            value = self.sum()
            self.take(closing[token])
            return {r"\left\lfloor": math.floor, r"\left\vert": abs}.get(token, float)(value)
        name = re.sub(r"\\operatorname\{(\w+)\}", r"\1", token).lstrip("\\")
        assert name in _FUNCTIONS, token
        self.take(r"\left(")
        arguments = [self.sum()]
        while self.next() == ",":
            self.take()
            arguments.append(self.sum())
        self.take(r"\right)")
        return _FUNCTIONS[name](*arguments)
