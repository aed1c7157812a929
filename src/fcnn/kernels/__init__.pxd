"""The kernels: inline functions over arrays of float32 or float64, by concept.

They know nothing of networks, threads' phases or Python; core/ and _core.pyx put them together. A
.pxd holds inline functions alone, so they are compiled into what calls them, once per instruction
set. The C that Cython cannot say is in the .h files beside them.
"""
