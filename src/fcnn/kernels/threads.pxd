"""Threads that live for one call, and the barrier between its phases: threads.h."""

cdef extern from "threads.h" nogil:
    ctypedef struct Team "fcnn_team":
        int size
    # Waits for all threads of the call; returns what its calling thread brings as `stop`.
    int barrier "fcnn_barrier"(Team* team, int index, int* barriers, int stop)
    # The next item of work that no thread has taken since the last barrier: 0, 1, 2, ...
    Py_ssize_t next_item "fcnn_next_item"(Team* team)
    bint stop_requested "fcnn_stop_requested"(Team* team)
    void request_stop "fcnn_request_stop"(Team* team)
    # Whether other threads of the call still run, after a millisecond of waiting for them.
    bint others_run "fcnn_others_run"(Team* team)
    # Runs thread_main(call, team, index) on up to `size` threads, the calling one included.
    void run_team "fcnn_run_team"(
        void (*thread_main)(void*, Team*, int) noexcept nogil, void* call, int size)
    # The CPU of the calling thread, and whether it may use another; -1 and 0 where that is unknown.
    int current_cpu "fcnn_cpu"()
    bint may_use_cpu "fcnn_may_use"(int cpu)
    enum:
        BARRIERS_PER_LOOK "FCNN_BARRIERS_PER_LOOK"
