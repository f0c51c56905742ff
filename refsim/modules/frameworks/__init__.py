"""How each framework runs its layers of neurons, one file a framework."""
