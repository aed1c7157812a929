/* Threads that live for one call, and wait for each other at a barrier between its phases.

   They are made by the interpreter's own portable function and end with the call: nothing runs
   between calls, nothing survives a fork, no runtime library is needed. Making one takes about
   20 us. */
#ifndef FCNN_THREADS_H
#define FCNN_THREADS_H

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
    int size;         /* the caller included; 0 until all have been made */
    int arrived;      /* at the next barrier */
    int barriers;     /* passed so far */
    int left;         /* made threads that still run */
    int stop_asked;   /* the call is to end: what is computed now will not be used */
    int stop[2];      /* the caller's answers at the last two barriers */
    Py_ssize_t items; /* of work, taken since the last barrier */
    void (*thread_main)(void *call, struct fcnn_team *team, int index);
    void *call;
    int made;
} fcnn_team;

static void fcnn_wait(int *word, int value)
{
    int spins = 0;
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
        if (++spins < FCNN_SPINS)
            fcnn_pause();
        else
            fcnn_give_way();
    }
}

/* All wait for the last. Returns what the caller of the call brings as `stop`: two slots, since the
   caller may arrive at the next barrier before a slow thread has read the last answer. */
static int fcnn_barrier(fcnn_team *team, int index, int *barriers, int stop)
{
    int before = *barriers, size = team->size;
    if (index == 0) team->stop[before & 1] = stop;
    if (size == 1)
        team->items = 0;
    else if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == size) {
        team->arrived = 0;
        team->items = 0;
        __atomic_store_n(&team->barriers, before + 1, __ATOMIC_RELEASE);
    } else
        fcnn_wait(&team->barriers, before);
    *barriers = before + 1;
    return team->stop[before & 1];
}

/* The next item of work that nobody has. */
static inline Py_ssize_t fcnn_next_item(fcnn_team *team)
{
    if (team->size == 1) return team->items++;
    return __atomic_fetch_add(&team->items, 1, __ATOMIC_RELAXED);
}

static inline int fcnn_stop_requested(fcnn_team *team)
{
    return __atomic_load_n(&team->stop_asked, __ATOMIC_RELAXED);
}

static inline void fcnn_request_stop(fcnn_team *team)
{
    __atomic_store_n(&team->stop_asked, 1, __ATOMIC_RELAXED);
}

static void fcnn_thread(void *argument)
{
    fcnn_team *team = (fcnn_team *) argument;
    int index = __atomic_add_fetch(&team->made, 1, __ATOMIC_RELAXED);
    fcnn_wait(&team->size, 0);
    team->thread_main(team->call, team, index);
    /* The last thing it does with the team, which then may be gone. */
    __atomic_sub_fetch(&team->left, 1, __ATOMIC_RELEASE);
}

/* Runs thread_main(call, team, index) on up to `size` threads, on fewer if no more can be had. */
static void fcnn_run_team(void (*thread_main)(void *, fcnn_team *, int), void *call, int size)
{
    fcnn_team team = {0};
    int i, left;
    team.thread_main = thread_main;
    team.call = call;
    for (i = 1; i < size; i++) {
        __atomic_add_fetch(&team.left, 1, __ATOMIC_RELAXED);
        if (PyThread_start_new_thread(fcnn_thread, &team) == (unsigned long) -1) {
            __atomic_sub_fetch(&team.left, 1, __ATOMIC_RELAXED);
            break;
        }
    }
    __atomic_store_n(&team.size, i, __ATOMIC_RELEASE);
    thread_main(call, &team, 0);
    while ((left = __atomic_load_n(&team.left, __ATOMIC_ACQUIRE)) > 0) fcnn_wait(&team.left, left);
}

#endif
