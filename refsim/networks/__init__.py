"""Networks, what drives them, and what was recorded of a run: data without behaviour."""
