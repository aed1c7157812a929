#ifndef FCNN_PAGES_H
#define FCNN_PAGES_H

#include <stdint.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Asks for pages of 2 MB, as NumPy does for its arrays: a large network's weights and batches are
   more small pages than the CPU's address table holds. From 4 MB on; a refusal changes nothing. */
static inline void fcnn_large_pages(void *memory, Py_ssize_t size)
{
#if defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t) 1 << 21;
    uintptr_t begin = ((uintptr_t) memory + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t) memory + (uintptr_t) size) & ~(page - 1);
    if (size >= (Py_ssize_t) 1 << 22 && begin < end)
        (void) madvise((void *) begin, end - begin, MADV_HUGEPAGE);
#else
    (void) memory;
    (void) size;
#endif
}

#endif
