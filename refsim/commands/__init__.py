"""The commands of the terminal, one file each. Each is imported only when it is called."""
