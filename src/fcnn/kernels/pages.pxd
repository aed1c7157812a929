"""Large pages for large workspaces: pages.h."""

cdef extern from "pages.h" nogil:
    void large_pages "fcnn_large_pages"(void* memory, Py_ssize_t size)
