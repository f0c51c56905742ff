"""Write docs/rounding.md from the rows of the study: ``python tests/bound_page.py``."""

import json
from typing import Any

from bound_study import DATA, EXCEPTIONS, MOST

PAGE = DATA.with_suffix(".md")

TEXT = """# The bound on rounding, held against 50 digits

refsim calls a spike that differs rounding only where the membrane lies within a bound that is
proven (`decisions/0012-a-bound-that-does-not-explode.md`). A bound that is too small blames a trial
for what its dtype did; one that is too large excuses faults. So each card is run as one neuron with
a constant input, another in each sample, drawn between 0 and twice the rheobase, and the same step
is computed in 50 digits along the run's own spikes. In each step and sample

- the error of the run, that of the float64 replay, and the distance of both must not exceed the
  bound (a *violation*), and
- the largest bound must not exceed {most:,} times the largest error of the run (the *ratio*).

**What was run.** {cards} cards, float32 and float64, {setting}: {decisions:,} decisions with a
known bound, **{violations} violations**. The largest ratio apart from the exceptions is {worst:.0f}
({worst_of}); half of the ratios are below {median:.0f}. float64 is the declared step in NumPy,
float32 the step that is written by hand in PyTorch, or the declared step in NumPy where there is
none. {refused} cards compute with whole numbers and are refused in float32. Computed in
{minutes:.0f} minutes of one core.

The bound of float64 is of two runs, as a comparison has two, so that a ratio of 2 is the least to
hope for. A ratio of "exact" is a card whose membrane is not rounded at all, and whose bound is 0.

**To repeat it:** `python tests/bound_study.py --data FILE`, with `--inputs` and `--steps` for less,
and the names of cards for some; rows that are in the file are not run again. `docs/rounding.json`
has the rows, and `python tests/bound_page.py` writes this page from them. `pytest -m slow
tests/test_bound.py` runs a share for all cards. The numbers of 50 digits are gmpy2's; without it
mpmath's, slowly.

## Exceptions

Of these the bound is more than {most:,} times what was seen, or is lost ("unknown": nothing is
proven of so many decisions). None is a violation. A decision whose bound is coarser than a
twentieth of the way from reset to threshold is *not judged*, and a run with more than one percent
of those among the samples that were replayed does not pass. Of runs whose spikes are all the same
only a few samples are replayed (`decisions/0014-every-decision-on-its-own.md`), so that a pass
there rests on what was observed: two such runs are below, of `adex` and of `spikingjelly_eif_soft`.

| card | dtype | dt | unknown | largest error | why | what a report says of this run |
|---|---|---|---|---|---|---|
{exceptions}

## All cards

| card | dtype | dt | decisions | unknown | largest error | largest bound | ratio | violations |
|---|---|---|---|---|---|---|---|---|
{rows}
"""


def ratio(row: dict[str, Any]) -> float:
    """Return by how much the bound exceeds the error; 0 for a card that does not round."""
    if row["bound"] == 0:
        return 0.0
    return row["bound"] / row["error"] if row["error"] else float("inf")


def is_exception(row: dict[str, Any]) -> bool:
    """Whether a bound says too little, or nothing for some decisions."""
    return row["unknown"] > 0 or ratio(row) > MOST


def page(rows: list[dict[str, Any]]) -> str:
    """Return the text of the page."""
    run = [row for row in rows if not row["refused"]]
    plain = [row for row in run if not is_exception(row)]
    worst = max(plain, key=ratio)
    settings = sorted({(row["inputs"], row["steps"]) for row in run})
    return TEXT.format(
        most=MOST,
        cards=len({row["card"] for row in run}),
        setting=" and ".join(f"{inputs} inputs of {steps:,} steps" for inputs, steps in settings),
        decisions=sum(row["decisions"] for row in run),
        violations=sum(row["violations"] for row in run),
        worst=ratio(worst),
        worst_of=f"`{worst['card']}`, {worst['dtype']}",
        median=sorted(ratio(row) for row in plain)[len(plain) // 2],
        refused=len(rows) - len(run),
        minutes=sum(row["seconds"] for row in run) / 60,
        exceptions="\n".join(_exception(row) for row in run if is_exception(row)),
        rows="\n".join(_line(row) for row in run),
    )


def _exception(row: dict[str, Any]) -> str:
    why, says = EXCEPTIONS[row["card"], row["dtype"]]
    share = f"{row['unknown'] / (row['unknown'] + row['decisions']):.1%}"
    return (
        f"| `{row['card']}` | {row['dtype']} | {row['dt']} | {share} | {row['error']:.1e} | "
        f"{why} | {says} |"
    )


def _line(row: dict[str, Any]) -> str:
    lost = is_exception(row) and row["unknown"]
    bound = "lost" if lost else f"{row['bound']:.1e}"
    found = "" if lost else "exact" if row["bound"] == 0 else f"{ratio(row):,.0f}"
    return (
        f"| `{row['card']}` | {row['dtype']} | {row['dt']} | {row['decisions']:,} | "
        f"{row['unknown']:,} "
        f"| {row['error']:.1e} | {bound} | {found} | {row['violations']} |"
    )


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(DATA.read_text("utf-8"))), "utf-8")
