"""The questions: is the code right, is the step right; and the cases in validation/ that ask them."""
