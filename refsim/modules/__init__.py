"""Live PyTorch modules: found, run, measured, read, and put on trial as their owners run them."""
