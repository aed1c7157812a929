/* Threads that live for one call, and wait for each other at a barrier between its phases.

   They are made by the interpreter's own portable function and end with the call: nothing runs
   between calls, nothing survives a fork, no runtime library is needed. Making one takes about
   20 us.

   On Linux the threads that were made, and they alone, are kept off the CPU of the thread that made
   them. A new thread begins there, and some virtual machines' schedulers leave it there: two
   threads, one CPU, less than the speed of one. */
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
#if defined(__linux__)
#define FCNN_SLEEPS 1
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#else /* waits by offering the processor alone */
#define FCNN_SLEEPS 0
#endif
#if defined(__linux__) && !defined(__ANDROID__)
#define FCNN_PINS 1
#include <pthread.h>
#else /* macOS has no such masks; no complaint is known of Windows's scheduler */
#define FCNN_PINS 0
#endif
/* About 20 us: longer than two threads with equal shares differ. After that the processor is
   offered to others, who may be the ones waited for. */
#define FCNN_SPINS 500
/* Nanoseconds. An offer that nobody takes is back after 1000; after so many others have run. */
#define FCNN_LONG_OFFER 200000
/* And how long it is offered over and over. */
#define FCNN_PATIENCE 2000000

typedef struct fcnn_team {
    int size;         /* the caller included; 0 until all have been made */
    int arrived;      /* at the next barrier */
    int barriers;     /* passed so far */
    int left;         /* made threads that still run */
    int stop_asked;   /* the call is to end: what is computed now will not be used */
    int crowded;      /* the processors have others to run, who take what is offered */
    int sleepers;     /* who wait, and are to be woken */
    int stop[2];      /* the caller's answers at the last two barriers */
    int cpu;          /* where the caller was at the last look, -1 if nobody is pinned, */
    int former;       /* and at the look before */
    Py_ssize_t items; /* of work, taken since the last barrier */
    void (*thread_main)(void *call, struct fcnn_team *team, int index);
    void *call;
    int made;
} fcnn_team;

/* --- Which CPU: nothing here touches the calling thread's own mask ---------------------------- */

#if FCNN_PINS
typedef cpu_set_t fcnn_cpus;

/* The CPUs of the calling thread's mask but the one it is on; returns how many, 0 if nobody is to
   be pinned. */
static int fcnn_other_cpus(fcnn_cpus *others, int *cpu)
{
    *cpu = sched_getcpu();
    /* It fails where there are more than 1,024 CPUs, or in a sandbox. */
    if (*cpu < 0 || *cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof *others, others) != 0)
        return 0;
    if (!CPU_ISSET(*cpu, others)) return 0;
    CPU_CLR(*cpu, others);
    return CPU_COUNT(others);
}

/* Keeps one of as many or fewer threads than there are other CPUs to these. To one of them if each
   gets one; else to all, since the kernel knows which ones are idle, slow or half of a core. */
static void fcnn_pin(unsigned long thread, const fcnn_cpus *others, int count, int threads, int i)
{
    fcnn_cpus mine = *others;
    int cpu, seen = 0;
    if (threads == count)
        for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, others) && seen++ != i) CPU_CLR(cpu, &mine);
    (void) pthread_setaffinity_np((pthread_t) thread, sizeof mine, &mine);
}

/* The caller may be moved during the call. A thread that is kept to its new CPU then may use the
   one that it left instead. */
static void fcnn_give_room(int cpu, int former)
{
    fcnn_cpus mine;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0 || !CPU_ISSET(cpu, &mine)) return;
    CPU_CLR(cpu, &mine);
    CPU_SET(former, &mine);
    (void) sched_setaffinity(0, sizeof mine, &mine);
}

static int fcnn_cpu(void)
{
    return sched_getcpu();
}

static int fcnn_may_use(int cpu)
{
    fcnn_cpus mine;
    return sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_ISSET(cpu, &mine);
}
#else
typedef int fcnn_cpus;
#define fcnn_other_cpus(others, cpu) (*(others) = 0, *(cpu) = -1, 0)
#define fcnn_pin(thread, others, count, threads, i) ((void) (others))
#define fcnn_give_room(cpu, former) ((void) 0)
#define fcnn_cpu() (-1)
#define fcnn_may_use(cpu) ((void) (cpu), 0)
#endif
/* Barriers from one look to the next. It costs 5 ns or, where asking for the CPU is a system call,
   as much as a barrier; more than one, so that what the caller saw can be read without a lock. */
#define FCNN_BARRIERS_PER_LOOK 8

/* --- Waiting ---------------------------------------------------------------------------------- */

#if FCNN_SLEEPS
static long long fcnn_clock(void)
{
    struct timespec now = {0, 0};
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Until the word is woken, or has another value already; at most some milliseconds, so that nothing
   depends on being woken. */
static void fcnn_sleep(fcnn_team *team, int *word, int value)
{
    static const struct timespec most = {0, 5000000};
    __atomic_add_fetch(&team->sleepers, 1, __ATOMIC_SEQ_CST);
    (void) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &most, NULL, 0);
    __atomic_sub_fetch(&team->sleepers, 1, __ATOMIC_SEQ_CST);
}

static void fcnn_wake(const int *word)
{
    (void) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1024, NULL, NULL, 0);
}
#else
#define fcnn_clock() 0LL
#define fcnn_sleep(team, word, value) fcnn_give_way()
#define fcnn_wake(word) ((void) (word))
#endif

/* On a machine that has nothing else to do the other thread is soon there, and to be woken from
   sleep would take longer. On one that has, whoever offers his processor over and over is served
   last, and takes the time of the thread that he waits for: there they sleep (two threads of
   30-40-5, load 10 to 18 on two CPUs, Linux 6.18: 1.5 to 2.6 s instead of 11 to 16). */
static void fcnn_wait(fcnn_team *team, int *word, int value)
{
    int spins = 0;
    long long first = 0, begin;
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
        if (++spins < FCNN_SPINS) {
            fcnn_pause();
            continue;
        }
        begin = fcnn_clock();
        if (first == 0) first = begin;
        if (__atomic_load_n(&team->crowded, __ATOMIC_RELAXED) || begin - first > FCNN_PATIENCE) {
            fcnn_sleep(team, word, value);
            continue;
        }
        fcnn_give_way();
        if (fcnn_clock() - begin > FCNN_LONG_OFFER)
            __atomic_store_n(&team->crowded, 1, __ATOMIC_RELAXED);
    }
}

static void fcnn_tell(fcnn_team *team, int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&team->sleepers, __ATOMIC_SEQ_CST) > 0) fcnn_wake(word);
}

/* All wait for the last. Returns what the caller of the call brings as `stop`: two slots, since the
   caller may arrive at the next barrier before a slow thread has read the last answer. */
static int fcnn_barrier(fcnn_team *team, int index, int *barriers, int stop)
{
    int before = *barriers, size = team->size;
    int look = size > 1 && before % FCNN_BARRIERS_PER_LOOK == 0;
    if (index == 0) {
        team->stop[before & 1] = stop;
        if (look && team->cpu >= 0) {
            team->former = team->cpu;
            team->cpu = fcnn_cpu();
        }
    }
    if (size == 1)
        team->items = 0;
    else if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == size) {
        team->arrived = 0;
        team->items = 0;
        fcnn_tell(team, &team->barriers, before + 1);
    } else
        fcnn_wait(team, &team->barriers, before);
    if (look && index > 0 && team->cpu != team->former) fcnn_give_room(team->cpu, team->former);
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

/* Whether threads that were made still run, after some milliseconds of waiting for them at most. */
static int fcnn_others_run(fcnn_team *team)
{
    int turns, left;
    for (turns = 0; turns < (FCNN_SLEEPS ? FCNN_SPINS + 1 : 4 * FCNN_SPINS); turns++) {
        left = __atomic_load_n(&team->left, __ATOMIC_ACQUIRE);
        if (left == 0) return 0;
        if (turns < FCNN_SPINS)
            fcnn_pause();
        else
            fcnn_sleep(team, &team->left, left);
    }
    return 1;
}

static void fcnn_thread(void *argument)
{
    fcnn_team *team = (fcnn_team *) argument;
    int index = __atomic_add_fetch(&team->made, 1, __ATOMIC_RELAXED);
    int *left = &team->left;
    fcnn_wait(team, &team->size, 0);
    team->thread_main(team->call, team, index);
    /* The last thing it does with the team, which then may be gone. */
    __atomic_sub_fetch(left, 1, __ATOMIC_RELEASE);
    fcnn_wake(left); /* which reads nothing there */
}

/* Runs thread_main(call, team, index) on up to `size` threads, on fewer if no more can be had. */
static void fcnn_run_team(void (*thread_main)(void *, fcnn_team *, int), void *call, int size)
{
    fcnn_team team = {0};
    fcnn_cpus others;
    int i, left, cpu = -1, count = size > 1 ? fcnn_other_cpus(&others, &cpu) : 0;
    team.thread_main = thread_main;
    team.call = call;
    /* Who asks for more threads than CPUs shares these anyway. */
    team.cpu = team.former = count >= size - 1 ? cpu : -1;
    for (i = 1; i < size; i++) {
        unsigned long thread;
        __atomic_add_fetch(&team.left, 1, __ATOMIC_RELAXED);
        thread = PyThread_start_new_thread(fcnn_thread, &team);
        if (thread == (unsigned long) -1) {
            __atomic_sub_fetch(&team.left, 1, __ATOMIC_RELAXED);
            break;
        }
        /* From here, while it waits for the team's size: it may not have run yet, and would not for
           as long as this thread keeps the CPU. */
        if (team.cpu >= 0) fcnn_pin(thread, &others, count, size - 1, i - 1);
    }
    fcnn_tell(&team, &team.size, i);
    thread_main(call, &team, 0);
    while ((left = __atomic_load_n(&team.left, __ATOMIC_ACQUIRE)) > 0)
        fcnn_wait(&team, &team.left, left);
}

#endif
