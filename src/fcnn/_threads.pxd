"""Threads that live for one call, and meet between its phases.

They are made by the interpreter's own portable function and end with the call: nothing runs between
calls, nothing survives a fork, no runtime library is needed. Making one takes about 20 us.
"""

cdef extern from * nogil:
    """
    #include "pythread.h"
    #if defined(_WIN32)
      #include <windows.h>
      #define fcnn_give_way() SwitchToThread()
    #else
      #include <sched.h>
      #define fcnn_give_way() sched_yield()
    #endif
    #if defined(__x86_64__)
      #define fcnn_pause() __builtin_ia32_pause()
    #elif defined(__aarch64__)
      #define fcnn_pause() __asm__ volatile("isb")
    #else
      #define fcnn_pause() ((void) 0)
    #endif
    /* About 20 us: longer than two threads with equal shares differ. After that the processor is
       offered to others, who may be the ones waited for. */
    #define FCNN_SPINS 500

    typedef struct fcnn_team {
        int size;               /* the caller included; 0 until all have been made */
        int arrived;            /* at the next meeting */
        int meetings;
        int left;               /* made threads that still run */
        int hurry;              /* the call is to end: what is computed now will not be used */
        int stop[2];            /* the caller's answers at the last two meetings */
        Py_ssize_t taken;       /* items of work since the last meeting */
        void (*work)(void* task, struct fcnn_team* team, int index);
        void* task;
        int made;
    } fcnn_team;

    static void fcnn_wait(int* word, int value) {
        int spins = 0;
        while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
            if (++spins < FCNN_SPINS) fcnn_pause();
            else fcnn_give_way();
        }
    }

    /* All wait for the last. Returns what the caller of the call brings as `stop`: two slots, since
       the caller may arrive at the next meeting before a slow thread has read the last answer. */
    static int fcnn_meet(fcnn_team* team, int index, int* meetings, int stop) {
        int before = *meetings, size = team->size;
        if (index == 0) team->stop[before & 1] = stop;
        if (size == 1) team->taken = 0;
        else if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == size) {
            team->arrived = 0;
            team->taken = 0;
            __atomic_store_n(&team->meetings, before + 1, __ATOMIC_RELEASE);
        }
        else fcnn_wait(&team->meetings, before);
        *meetings = before + 1;
        return team->stop[before & 1];
    }

    /* The next item of work that nobody has. */
    static inline Py_ssize_t fcnn_take(fcnn_team* team) {
        if (team->size == 1) return team->taken++;
        return __atomic_fetch_add(&team->taken, 1, __ATOMIC_RELAXED);
    }

    static inline int fcnn_in_hurry(fcnn_team* team) {
        return __atomic_load_n(&team->hurry, __ATOMIC_RELAXED);
    }

    static inline void fcnn_hurry(fcnn_team* team) {
        __atomic_store_n(&team->hurry, 1, __ATOMIC_RELAXED);
    }

    static void fcnn_thread(void* argument) {
        fcnn_team* team = (fcnn_team*) argument;
        int index = __atomic_add_fetch(&team->made, 1, __ATOMIC_RELAXED);
        fcnn_wait(&team->size, 0);
        team->work(team->task, team, index);
        /* The last thing it does with the team, which then may be gone. */
        __atomic_sub_fetch(&team->left, 1, __ATOMIC_RELEASE);
    }

    /* Runs work(task, team, index) on up to `size` threads, on fewer if no more can be had. */
    static void fcnn_run(
        void (*work)(void*, fcnn_team*, int), void* task, int size)
    {
        fcnn_team team = {0};
        int i, left;
        team.work = work;
        team.task = task;
        for (i = 1; i < size; i++) {
            __atomic_add_fetch(&team.left, 1, __ATOMIC_RELAXED);
            if (PyThread_start_new_thread(fcnn_thread, &team) == (unsigned long) -1) {
                __atomic_sub_fetch(&team.left, 1, __ATOMIC_RELAXED);
                break;
            }
        }
        __atomic_store_n(&team.size, i, __ATOMIC_RELEASE);
        work(task, &team, 0);
        while ((left = __atomic_load_n(&team.left, __ATOMIC_ACQUIRE)) > 0)
            fcnn_wait(&team.left, left);
    }
    """
    ctypedef struct Team "fcnn_team":
        int size
    int meet "fcnn_meet"(Team* team, int index, int* meetings, int stop)
    Py_ssize_t take "fcnn_take"(Team* team)
    bint in_hurry "fcnn_in_hurry"(Team* team)
    void hurry "fcnn_hurry"(Team* team)
    void run_team "fcnn_run"(void (*work)(void*, Team*, int) noexcept nogil, void* task, int size)
