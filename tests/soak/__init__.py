"""Long tests of what docs/reliability.md promises. A part is a module with `run(size, seed)`, which
returns what it saw in a line, or raises.
"""
