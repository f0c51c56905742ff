"""The keys of a card: which ones each table knows, and which ones it must have.

This is the one schema of a card. `read` and `equations` check tables with it, `from_python` and
`spelling` take the names of the tables from it.
"""

from ..core.tables import Keys

# The top level of a card. A sentence that lists keys lists them as they stand here.
CARD = Keys(
    known=(
        "continuous",
        "derived",
        "discrete",
        "family",
        "input",
        "kernel",
        "name",
        "parameters",
        "references",
        "state",
        "title",
        "traits",
    ),
    needed=("name", "title", "family", "references", "input", "state", "discrete"),
)
# What only the card of a framework's layer has; see frameworks.py and traits.py.
OF_FRAMEWORKS = ("framework", "convention", "variant", "refuse")
# What is there for people and for the readers of modules, and changes no spike.
PROSE = ("title", "family", "references", "framework", "variant", "refuse")

INPUT = Keys(known=("kind", "target", "unit"), needed=("kind", "target"))
STATE = Keys(known=("meaning", "only", "start", "unit"), needed=("unit", "start", "meaning"))
DERIVED = Keys(known=("meaning", "text", "unit"), needed=("text", "unit", "meaning"))
KERNEL = ("text", "cut", "of", "meaning")
BOUNDS = ("minimum", "maximum", "above", "below")
PARAMETER = Keys(
    known=("above", "below", "maximum", "meaning", "minimum", "unit", "value", "whole"),
    needed=("value", "unit", "meaning"),
)
CONTINUOUS = Keys(
    known=("equations", "threshold", "reset", "refractory", "method"),
    needed=("equations", "method"),
)
# The parts of [discrete] that are statements, in the order in which they run; the rest are options.
STEPS = ("integrate", "modulate", "fire", "reset")
STEP_OPTIONS = ("solution", "readout", "payload", "streams", "over_steps")

# Tables whose entries are names that the card declares, and tables whose entries are texts.
NAMED = ("state", "parameters", "derived", "kernel")
TEXTS = ("derived", "kernel", "continuous", "discrete")
EXPRESSIONS = ("text", "cut", "threshold", "refractory")
STATEMENTS = ("reset", "integrate", "modulate", "fire")
