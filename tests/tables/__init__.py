"""Tables: read, told apart, prepared.

A package, so that its files may have the names of others in tests/.
"""
