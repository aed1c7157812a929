/* Times forward for one row; benchmarks/c_interface.py builds and runs this.

       c_interface NETWORK ROWS             prints the best and the median lap, ns per row */

#include <Python.h>
#include <stdlib.h>
#include <time.h>

#include "fcnn.h"

enum { LAPS = 2001, LAP_NS = 100000 };     /* short: many laps then are undisturbed */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double) t.tv_sec + (double) t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    const fcnn_api *fcnn;
    fcnn_network *net;
    char message[500] = "";
    double laps[LAPS];
    long calls = 1;

    if (argc != 3) return 2;
    Py_Initialize();
    fcnn = fcnn_import();
    if (fcnn == NULL) {
        PyErr_Print();
        return 1;
    }
    net = fcnn->load(argv[1], message, sizeof message);
    if (net == NULL) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    ptrdiff_t rows = atol(argv[2]), inputs = rows * fcnn->n_inputs(net);
    size_t item = (size_t) fcnn->dtype(net);
    size_t bytes = fcnn->workspace_bytes(net, FCNN_FORWARD, rows);
    void *workspace = calloc(1, bytes);
    void *x = malloc((size_t) inputs * item);
    void *out = malloc((size_t) (rows * fcnn->n_outputs(net)) * item);
    for (ptrdiff_t i = 0; i < inputs; i++) {
        double value = (double) (i * 7919 % 1000) / 500 - 1;
        if (item == FCNN_FLOAT32) ((float *) x)[i] = (float) value;
        else ((double *) x)[i] = value;
    }
    for (int lap = -3; lap < LAPS; lap++) {     /* the first ones find how many calls make a lap */
        double begin = now(), took;
        int code = FCNN_OK;
        for (long i = 0; i < calls; i++)
            code |= item == FCNN_FLOAT32
                        ? fcnn->forward_f32(net, x, rows, out, workspace, bytes)
                        : fcnn->forward_f64(net, x, rows, out, workspace, bytes);
        took = now() - begin;
        if (code != FCNN_OK) {
            fprintf(stderr, "%s\n", fcnn->error_text(code));
            return 1;
        }
        if (lap >= 0) laps[lap] = took / (double) calls / (double) rows;
        else calls = 1 + (long) ((double) LAP_NS / (took / (double) calls + 1));
    }
    qsort(laps, LAPS, sizeof laps[0], ascending);
    printf("%.1f %.1f\n", laps[0], laps[LAPS / 2]);
    fcnn->release(net);
    free(workspace);
    free(x);
    free(out);
    return Py_FinalizeEx() < 0;
}
