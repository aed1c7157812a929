/* Reads rows of numbers from the standard input and prints a network's predictions; several threads
   share the rows.

       python build.py predict.c -o predict
       ./predict net.safetensors 4 < rows.txt           (float32 networks; POSIX threads)

   In a virtual environment PYTHONPATH has to name its folder of packages: see build.py. */

#include <Python.h>
#include <pthread.h>

#include "fcnn.h"

typedef struct {
    const fcnn_api *fcnn;
    const fcnn_network *net;
    const float *x;
    float *out;
    ptrdiff_t rows;
    int code;
} job;

static void *predict(void *argument)
{
    job *j = argument;
    /* Each thread has a workspace of its own; the network is only read. */
    size_t bytes = j->fcnn->workspace_bytes(j->net, FCNN_FORWARD, j->rows);
    void *workspace = calloc(1, bytes);
    j->code = j->fcnn->forward_f32(j->net, j->x, j->rows, j->out, workspace, bytes);
    free(workspace);
    return NULL;
}

static float *read_numbers(size_t *count)
{
    size_t room = 1024;
    float *numbers = malloc(room * sizeof *numbers);
    *count = 0;
    while (numbers != NULL && scanf("%f", &numbers[*count]) == 1)
        if (++*count == room) numbers = realloc(numbers, (room *= 2) * sizeof *numbers);
    return numbers;
}

int main(int argc, char **argv)
{
    char message[500];
    if (argc != 3) {
        fprintf(stderr, "usage: %s NETWORK THREADS < ROWS\n", argv[0]);
        return 2;
    }

    Py_Initialize();
    const fcnn_api *fcnn = fcnn_import();
    if (fcnn == NULL) {
        PyErr_Print();
        return 1;
    }
    fcnn_network *net = fcnn->load(argv[1], message, sizeof message);
    if (net == NULL) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    /* From here to the end nothing needs the interpreter's lock. */
    PyThreadState *state = PyEval_SaveThread();

    size_t count, n_in = (size_t) fcnn->n_inputs(net), n_out = (size_t) fcnn->n_outputs(net);
    float *x = read_numbers(&count);
    if (x != NULL && (!feof(stdin) || count % n_in != 0)) {
        fprintf(stderr, "expected rows of %zu numbers, got %zu numbers%s\n", n_in, count,
                feof(stdin) ? "" : ", and then something else");
        return 1;
    }
    size_t rows = count / n_in, threads = (size_t) atoi(argv[2]), first = 0;
    float *out = malloc((rows + 1) * n_out * sizeof *out);
    if (threads < 1) threads = 1;
    if (threads > rows) threads = rows;
    pthread_t *thread = calloc(threads + 1, sizeof *thread);
    job *jobs = calloc(threads + 1, sizeof *jobs);
    if (x == NULL || out == NULL || thread == NULL || jobs == NULL) return 1;

    for (size_t t = 0; t < threads; t++) {
        size_t last = rows * (t + 1) / threads;
        jobs[t] = (job){fcnn, net, x + first * n_in, out + first * n_out,
                        (ptrdiff_t) (last - first), FCNN_OK};
        if (pthread_create(&thread[t], NULL, predict, &jobs[t]) != 0) return 1;
        first = last;
    }
    for (size_t t = 0; t < threads; t++) {
        pthread_join(thread[t], NULL);
        if (jobs[t].code != FCNN_OK) {
            fprintf(stderr, "%s\n", fcnn->error_text(jobs[t].code));
            return 1;
        }
    }
    for (size_t i = 0; i < rows * n_out; i++)
        printf("%.9g%c", out[i], (i + 1) % n_out ? ' ' : '\n');

    free(x);
    free(out);
    free(thread);
    free(jobs);
    fcnn->release(net);
    PyEval_RestoreThread(state);
    return Py_FinalizeEx() < 0;
}
