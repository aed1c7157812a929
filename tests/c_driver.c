/* What a test of the C interface needs C for; tests/test_embedding.py and .ci/check_races.py build
   and run it.

       c_driver allocations NETWORK     counts what forward, backward, train_step and update
                                        allocate
       c_driver predict NETWORK         counts what predict, the method, allocates in calls after the
                                        first: of inputs of all kinds, with a place for the answer
       c_driver threads NETWORK N       N threads at once on one network: the same bits as alone
       c_driver race NETWORK N          the same while another trains it, which is forbidden:
                                        a race detector must see it

   COUNT_ALLOCATIONS puts a counter before the allocator (glibc; not with a sanitizer), which counts
   what is given back, too, and memory from the kernel. */

#include <Python.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#ifdef COUNT_ALLOCATIONS
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "fcnn.h"

static volatile int counting;     /* volatile: compilers know that malloc reads no variable */
static volatile long allocations;

#ifdef COUNT_ALLOCATIONS
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

void *malloc(size_t n) { allocations += counting; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { allocations += counting; return __libc_calloc(n, m); }
void free(void *p) { allocations += counting; __libc_free(p); }
void *realloc(void *p, size_t n) { allocations += counting; return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { allocations += counting; return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { return (*p = memalign(a, n)) == NULL; }
void *mmap(void *p, size_t n, int prot, int flags, int file, off_t at)
{
    allocations += counting;
    return (void *) syscall(SYS_mmap, p, n, prot, flags, file, at);
}
#endif

enum { MOST_ROWS = 600, TURNS = 30 };

static const fcnn_api *fcnn;
static fcnn_network *net;
static ptrdiff_t n_in, n_out;
static int is_float;
static const ptrdiff_t row_counts[] = {1, 2, 3, 4, 7, 33, 250, 600};
enum { COUNTS = sizeof row_counts / sizeof row_counts[0] };

typedef struct {
    void *x, *out, *y, *gradient, *workspace[6];
    size_t bytes[6];
    fcnn_optimizer optimizer;
    double loss;
} buffers;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void check(int code)
{
    if (code != FCNN_OK) fail(fcnn->error_text(code));
}

static void *zeros(size_t n)
{
    void *memory = calloc(n + 1, 1);
    if (memory == NULL) fail("no memory");
    return memory;
}

static void prepare(buffers *b, int rule)
{
    size_t item = (size_t) fcnn->dtype(net);
    memset(b, 0, sizeof *b);
    b->x = zeros((size_t) (MOST_ROWS * n_in) * item);
    b->out = zeros((size_t) (MOST_ROWS * n_out) * item);
    b->y = zeros((size_t) (MOST_ROWS * n_out) * item);
    b->gradient = zeros((size_t) fcnn->n_parameters(net) * item);
    for (ptrdiff_t i = 0; i < MOST_ROWS * n_in; i++) {
        double value = (double) (i * 7919 % 1000) / 500 - 1;
        if (is_float) ((float *) b->x)[i] = (float) value;
        else ((double *) b->x)[i] = value;
    }
    for (int purpose = 0; purpose < 6; purpose++) {
        b->bytes[purpose] = fcnn->workspace_bytes(net, purpose, MOST_ROWS);
        b->workspace[purpose] = zeros(b->bytes[purpose]);
    }
    b->optimizer.rule = rule;
    b->optimizer.lr = 1e-3;
    b->optimizer.momentum = 0.9;
    b->optimizer.beta1 = 0.9;
    b->optimizer.beta2 = 0.999;
    b->optimizer.epsilon = 1e-8;
    b->optimizer.state_bytes = fcnn->state_bytes(net, &b->optimizer);
    b->optimizer.state = zeros(b->optimizer.state_bytes);
}

static void forward(buffers *b, ptrdiff_t rows)
{
    if (is_float)
        check(fcnn->forward_f32(net, b->x, rows, b->out, b->workspace[FCNN_FORWARD],
                                b->bytes[FCNN_FORWARD]));
    else
        check(fcnn->forward_f64(net, b->x, rows, b->out, b->workspace[FCNN_FORWARD],
                                b->bytes[FCNN_FORWARD]));
}

static void backward(buffers *b, ptrdiff_t rows)
{
    if (is_float)
        check(fcnn->backward_f32(net, b->x, b->y, NULL, NULL, rows, &b->loss, b->gradient,
                                 b->workspace[FCNN_BACKWARD], b->bytes[FCNN_BACKWARD]));
    else
        check(fcnn->backward_f64(net, b->x, b->y, NULL, NULL, rows, &b->loss, b->gradient,
                                 b->workspace[FCNN_BACKWARD], b->bytes[FCNN_BACKWARD]));
}

static int train(buffers *b, ptrdiff_t rows)
{
    if (is_float)
        return fcnn->train_step_f32(net, b->x, b->y, NULL, NULL, rows, &b->optimizer, &b->loss,
                                    b->workspace[FCNN_TRAIN], b->bytes[FCNN_TRAIN]);
    return fcnn->train_step_f64(net, b->x, b->y, NULL, NULL, rows, &b->optimizer, &b->loss,
                                b->workspace[FCNN_TRAIN], b->bytes[FCNN_TRAIN]);
}

static int update(buffers *b)
{
    if (is_float)
        return fcnn->update_f32(net, b->gradient, &b->optimizer, 1e-5, 1e-4, 1.0,
                                b->workspace[FCNN_UPDATE], b->bytes[FCNN_UPDATE]);
    return fcnn->update_f64(net, b->gradient, &b->optimizer, 1e-5, 1e-4, 1.0,
                            b->workspace[FCNN_UPDATE], b->bytes[FCNN_UPDATE]);
}

/* --- allocations ------------------------------------------------------------------------------ */

static void see_the_counter_count(void)
{
    long seen;
    void *volatile kept;                /* or the compiler leaves such pairs out */
    counting = 1;
    free(kept = malloc(1));
    free(kept = calloc(1, 1));
    munmap(mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1);
    counting = 0;
    seen = allocations;
    allocations = 0;
    if (seen != 5) fail("the counter does not count: it must say 5");
}

static void count_allocations(void)
{
    size_t bytes = (size_t) (fcnn->n_parameters(net) * fcnn->dtype(net));
    void *parameters = fcnn->parameters(net);
    void *before = memcpy(zeros(bytes), parameters, bytes);
    long calls = 0;
    see_the_counter_count();
    for (int rule = FCNN_SGD; rule <= FCNN_ADAMW; rule++) {
        buffers b;
        prepare(&b, rule);
        for (int i = 0; i < COUNTS; i++) {
            counting = 1;
            forward(&b, row_counts[i]);
            backward(&b, row_counts[i]);
            check(train(&b, row_counts[i]));
            check(update(&b));
            counting = 0;
            calls += 4;
        }
        /* The path that keeps copies; in float32 it also takes the step back. */
        b.optimizer.lr = 1e200;
        counting = 1;
        if (train(&b, 33) != (is_float ? FCNN_DIVERGED : FCNN_OK)) fail("not that code");
        memcpy(parameters, before, bytes);
        if (update(&b) != (is_float ? FCNN_DIVERGED : FCNN_OK)) fail("not that code");
        counting = 0;
        calls += 2;
        memcpy(parameters, before, bytes);
    }
    printf("%ld calls, %ld allocations\n", calls, allocations);
    if (allocations != 0) exit(1);
}

/* --- predict ---------------------------------------------------------------------------------- */

/* What the counted calls are given: (X, out, n_threads). */
static const char *const given =
    "import sys, numpy as np, fcnn\n"
    "net = fcnn.load(sys.argv[1])\n"
    "n_in, n_out, dtype = net.sizes[0], net.sizes[-1], net.dtype\n"
    "other = np.float64 if dtype == np.float32 else np.float32\n"
    "calls = []\n"
    "for rows in (1, 2, 3, 4, 8, 33, 250, 600, 3000):\n"
    "    X = np.random.default_rng(0).normal(size=(rows, n_in)).astype(dtype)\n"
    "    out = np.empty((rows, n_out), dtype)\n"
    "    both = np.zeros((rows, 2 * n_in), dtype)\n"
    "    memory = np.zeros(rows * max(n_in, n_out), dtype)\n"
    "    within = memory[: rows * n_in].reshape(rows, n_in)\n"
    "    over = memory[: rows * n_out].reshape(rows, n_out)\n"
    "    for x in (X, X.astype(other), both[:, ::2], (9 * X).astype(np.int64), X > 0, X.tolist()):\n"
    "        calls.append((x, out, 1))\n"
    "    calls.append((within, over, 1))\n"
    "    if rows == 1:\n"
    "        calls += [(x[0], out[0], None) for x in (X, X.astype(other), X.tolist())]\n";

static void count_of_predict(char *path)
{
    long counted = 0;
    wchar_t *name = Py_DecodeLocale(path, NULL);
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *arguments = Py_BuildValue("[s, u]", "c_driver", name);
    PyObject *predict, *calls;
    PySys_SetObject("argv", arguments);
    if (PyRun_SimpleString(given) != 0) fail("cannot make the calls");
    predict = PyObject_GetAttrString(PyDict_GetItemString(globals, "net"), "predict");
    calls = PyDict_GetItemString(globals, "calls");
    for (Py_ssize_t i = 0; i < PyList_Size(calls); i++) {
        PyObject *call = PyList_GetItem(calls, i);
        PyObject *const arguments_of[] = {PyTuple_GetItem(call, 0), PyTuple_GetItem(call, 1),
                                          PyTuple_GetItem(call, 2)};
        for (int turn = 0; turn < 4; turn++) {
            PyObject *answer;
            counting = turn > 0;
            answer = PyObject_Vectorcall(predict, arguments_of, 3, NULL);
            Py_XDECREF(answer);
            counting = 0;
            counted += turn > 0;
            if (answer == NULL) {
                PyErr_Print();
                exit(1);
            }
            if (allocations != 0) {
                fprintf(stderr, "call %zd of the list allocates\n", i);
                exit(1);
            }
        }
    }
    printf("%ld calls, %ld allocations\n", counted, allocations);
}

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct {
    size_t out_bytes, gradient_bytes;
    char *out[COUNTS], *gradient[COUNTS];
    double loss[COUNTS];
} answers;

static answers expected;
static int started, waiting_for, different;

static void *predict(void *unused)
{
    buffers b;
    (void) unused;
    prepare(&b, FCNN_SGD);
    __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < waiting_for) { }
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < COUNTS; i++) {
            size_t item = (size_t) fcnn->dtype(net);
            forward(&b, row_counts[i]);
            backward(&b, row_counts[i]);
            if (memcmp(b.out, expected.out[i], (size_t) (row_counts[i] * n_out) * item) != 0
                || memcmp(b.gradient, expected.gradient[i], expected.gradient_bytes) != 0
                || b.loss != expected.loss[i])
                __atomic_add_fetch(&different, 1, __ATOMIC_RELAXED);
        }
    return NULL;
}

static void run_threads(int count, int race)
{
    pthread_t thread[64];
    buffers b;
    if (count < 1 || count > 64) fail("1 to 64 threads");
    prepare(&b, FCNN_SGD);
    expected.out_bytes = (size_t) (MOST_ROWS * n_out * fcnn->dtype(net));
    expected.gradient_bytes = (size_t) (fcnn->n_parameters(net) * fcnn->dtype(net));
    for (int i = 0; i < COUNTS; i++) {
        forward(&b, row_counts[i]);
        backward(&b, row_counts[i]);
        expected.out[i] = memcpy(zeros(expected.out_bytes), b.out, expected.out_bytes);
        expected.gradient[i] =
            memcpy(zeros(expected.gradient_bytes), b.gradient, expected.gradient_bytes);
        expected.loss[i] = b.loss;
    }
    waiting_for = count;
    for (int t = 0; t < count; t++)
        if (pthread_create(&thread[t], NULL, predict, NULL) != 0) fail("no thread");
    if (race)
        for (int turn = 0; turn < TURNS; turn++) check(train(&b, 4));
    for (int t = 0; t < count; t++) pthread_join(thread[t], NULL);
    printf("%d threads, %d calls, %d different\n", count, 2 * count * TURNS * COUNTS, different);
    if (different && !race) exit(1);
}

int main(int argc, char **argv)
{
    char message[500];
    if (argc < 3) fail("see the head of c_driver.c");
#ifndef Py_GIL_DISABLED                         /* it has mimalloc alone, and refuses the choice */
    setenv("PYTHONMALLOC", "malloc", 1);        /* what Python's own allocator takes is seen, too */
#endif
    Py_Initialize();
    fcnn = fcnn_import();
    if (fcnn == NULL) {
        PyErr_Print();
        return 1;
    }
    net = fcnn->load(argv[2], message, sizeof message);
    if (net == NULL) fail(message);
    n_in = fcnn->n_inputs(net);
    n_out = fcnn->n_outputs(net);
    is_float = fcnn->dtype(net) == FCNN_FLOAT32;
    if (strcmp(argv[1], "predict") == 0) {
        see_the_counter_count();
        count_of_predict(argv[2]);
        return 0;
    }
    /* Nothing below has the interpreter's lock. */
    PyThreadState *state = PyEval_SaveThread();
    if (strcmp(argv[1], "allocations") == 0) count_allocations();
    else run_threads(argc > 3 ? atoi(argv[3]) : 8, strcmp(argv[1], "race") == 0);
    PyEval_RestoreThread(state);
    return 0;
}
