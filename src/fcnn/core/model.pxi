# What a network and a call of it are: tables of names, what is chosen by size, structs.

# --- Names -----------------------------------------------------------------------------------
#
# THE tables of activations, losses and rules. Python's checks, the converters and the tests read
# them from here; docs/extending.md says what else a new one needs.

# Name: code, where it may stand, and whether sigma'(z) cannot be had from a alone (z is then kept).
# Those of ACTIVATION_CONSTANTS may have a number of their own behind the name: leaky_relu(0.2).
cdef dict activation_table = {
    "identity": (activations.IDENTITY, "anywhere", False),
    "sigmoid": (activations.SIGMOID, "anywhere", False),
    "tanh": (activations.TANH, "anywhere", False),
    "relu": (activations.RELU, "anywhere", False),
    "leaky_relu": (activations.LEAKY_RELU, "anywhere", False),
    "elu": (activations.ELU, "anywhere", False),
    "gelu": (activations.GELU, "anywhere", True),
    "silu": (activations.SILU, "anywhere", True),
    "softplus": (activations.SOFTPLUS, "anywhere", False),
    "softmax": (activations.SOFTMAX, "output", False),
    "exp": (activations.EXP, "output", False),
    # All lowest quantiles, then what each next one is above: of the loss quantile alone.
    "ascending": (activations.ASCENDING, "output", True),
}
ACTIVATIONS = tuple(activation_table)
# What that number is, and what it is where none is given. At least 0: see kernels/activations.pxd.
ACTIVATION_CONSTANTS = {"leaky_relu": ("slope", 0.01), "elu": ("alpha", 1.0)}
OUTPUT_ONLY = tuple(name for name in activation_table if activation_table[name][1] == "output")

cdef tuple of_numbers = tuple(name for name in ACTIVATIONS if name != "ascending")

# Name: code; the output activations that it is defined for, its natural one first (the Poisson loss
# takes the logarithm of a, the entropies take a for a probability); its targets; and how many
# outputs each of them has: all first ones, then all second ones.
cdef dict loss_table = {
    "squared_error": (losses.SQUARED_ERROR, of_numbers, losses.NUMBERS, 1),
    "absolute_error": (losses.ABSOLUTE_ERROR, of_numbers, losses.NUMBERS, 1),
    "huber": (losses.HUBER, of_numbers, losses.NUMBERS, 1),
    "poisson": (losses.POISSON, ("exp", "softplus"), losses.COUNTS, 1),
    "binary_cross_entropy": (
        losses.BINARY_CROSS_ENTROPY, ("sigmoid",), losses.PROBABILITIES, 1),
    "cross_entropy": (losses.CROSS_ENTROPY, ("softmax",), losses.CLASSES, 1),
    # The mean, and the logarithm of the variance.
    "gaussian_nll": (losses.GAUSSIAN_NLL, ("identity",), losses.NUMBERS, 2),
    "quantile": (losses.QUANTILE, ("ascending",), losses.NUMBERS, 3),
}
# Numbers behind a name, quantile(0.1, 0.9), and what they are where none are given; then the loss
# has as many outputs for each target.
LOSS_LEVELS = {"quantile": (0.05, 0.5, 0.95)}
OUTPUT_ACTIVATIONS = {name: loss_table[name][1] for name in loss_table}
cdef dict target_names = {
    losses.NUMBERS: "numbers", losses.COUNTS: "counts", losses.PROBABILITIES: "probabilities",
    losses.CLASSES: "classes",
}


class _OfLosses(dict):
    """Of each loss by its name, with numbers behind it or without."""

    def __missing__(self, loss):
        name, levels = split_loss(loss)
        if name == loss:
            raise KeyError(loss)
        return self[name]


TARGETS = _OfLosses({name: target_names[loss_table[name][2]] for name in loss_table})

cdef dict rule_table = {
    "sgd": updates.SGD,
    "adam": updates.ADAM,
    "adamw": updates.ADAMW,
}
RULES = tuple(rule_table)

if (len(activation_table), len(loss_table), len(rule_table)) != (
        activations.NUM_ACTIVATIONS, losses.NUM_LOSSES, updates.NUM_RULES):
    raise ImportError("core/model.pxi: an activation, loss or rule has no name")


def split_loss(loss):
    """Return a loss without its numbers, and these: "quantile(0.1, 0.9)" has (0.1, 0.9).

    Those of a name alone are the default; a loss that has none has (). Names are not checked.
    """
    name, bracket, numbers = loss.partition("(")
    if bracket:
        return name, tuple(float(number) for number in numbers.removesuffix(")").split(","))
    return name, LOSS_LEVELS.get(name, ())


def outputs_per_target(loss):
    """Return how many outputs of a network belong to each column of y."""
    name, levels = split_loss(loss)
    return len(levels) or loss_table[name][3]


def output_activations(loss):
    """Return the output activations that a loss is defined for, its natural one first."""
    name, levels = split_loss(loss)
    return ("identity",) if len(levels) == 1 else OUTPUT_ACTIVATIONS[name]


def split_activation(name):
    """Return an activation without its number, and the number: "leaky_relu(0.2)" has 0.2.

    That of a name alone is the default, None of one that has no number. Names are not checked.
    """
    base, bracket, number = name.partition("(")
    if bracket:
        return base, float(number.removesuffix(")"))
    return base, ACTIVATION_CONSTANTS.get(base, (None, None))[1]


# --- What is chosen by size, and why. Times are of Zen 3, AVX2 -------------------------------

cdef enum:
    # A batch goes through the network in blocks of at most this many rows, their gradients added
    # up: the workspace stays bounded when a batch is a whole data set ...
    MOST_ROWS = 256
    # ... and smaller where layers are wide (bytes).
    WORKSPACE_BYTES = 33554432
    # Blocks whose gradients are added up one after the other: their sum is then added to those of
    # others, for the reason that BLOCK_TERMS has.
    BLOCKS_SUMMED = 32
    # Up to this many samples are computed row by row, with the lanes over nodes: of a panel most
    # lanes would be empty.
    FEW_ROWS = 3
    # The gradient updates the weights as it appears, unless that takes more multiplications than
    # these for each lane of a register (50 ms): it cannot be interrupted. The update is a small
    # part of such a step, but needs a place for the whole gradient.
    MOST_FUSED_WORK = 268435456
    # Nodes of layer l - 1 in an item of the second phase: their a, over all samples, stay in the
    # cache while the nodes of l go by.
    NODES_PER_ITEM = 96
    # Predictions read their inputs in place (core/in_place.pxi) of so many rows and inputs at least
    # (1.04 to 1.17 times as fast from 256 on; 64 inputs: 0.91) and nodes of layer 1 at most: what
    # is saved is a smaller part of more of them, and a copy of W of several MB is not ...
    MANY_ROWS = 64
    WIDE_INPUTS = 256
    MOST_NODES_IN_PLACE = 512
    # ... and by blocks of so many rows. Fewer read a large W more often.
    IN_PLACE_ROWS = 96
    # By lists: so many that a sample has some entries in an item, but that their sums fit in the
    # cache.
    ENTRIES_PER_ITEM = 8
    MOST_NODES_PER_ITEM = 2048
    # Panels of samples, times bytes of a number, from which on that pays where W is in panels, too.
    WORTH_STRIPS = 64
    # Bytes of W^l from which on it is not in the second-level cache when a pass begins.
    LARGE_BYTES = 2097152
    # Nodes of layer l - 1 whose rows of W stay in the cache in the delta recursion while panels of
    # samples go by.
    NODES_OF_DELTA = 24
    # Steps of a call that make up for moving its weights into panels and back ...
    WORTH_PANELS = 8
    # ... which are memory for parameters and state once more: not above so many bytes each.
    MOST_PANEL_BYTES = 268435456
    # What fits here is on the stack: one row then needs no allocation.
    STACK_ENTRIES = 2048
    # Workspaces that a network keeps between calls, as many as calls at the same time had, and how
    # large each may be: larger ones belong to steps that take far longer than to allocate them.
    MOST_KEPT = 4
    MOST_KEPT_BYTES = 33554432
    # Inputs of other types are converted so many bytes at a time: their workspace is kept, too.
    MOST_CONVERTED_BYTES = 16777216
    # Multiplications of a call that make up for releasing the lock (about 100 ns) ...
    WORTH_RELEASING = 100000
    # ... for making a second thread (20 to 50 us), and, in a block of a step, for each thread that
    # waits for the others, and for what they have changed: 64-100-10 with 128 rows, half of this,
    # is 0.82 to 1.7 times as fast on two threads, as the host places the two.
    WORTH_THREADS = 20000000
    WORTH_WAITING = 500000
    # Samples for each thread in panels, where layer 1 is shared by its nodes, however wide a
    # register is: with AVX-512 and 32 samples 784-128-10, 784-256-256-10, 3000-100-10 and
    # 784-1024-1024-10 are 1.2 to 1.4 times as fast on two.
    WORTH_SHARING = 16
    # Each step a core reads the weights that others have changed. So many stay in its own cache
    # (784-128-10 is 1.5 to 1.8 times as fast on two threads with 32 samples) ...
    EXCHANGED_AT_LEISURE = 131072
    # ... of more, a thread needs so many samples to gain: 784-1024-1024-10 is 0.85 to 0.99 times as
    # fast on two threads with 32 of them, 1.2 to 1.3 times with 64, 1.6 with 256.
    WORTH_EXCHANGING = 32
    # Entries before a gradient that is summed over processes, whole cache lines; the last of them
    # that are summed, too; and levels of a tree of shards.
    EXCHANGE_HEAD = 64
    SCALARS = 3
    MOST_LEVELS = 12
    # What core/tiny.pxi takes: layers, nodes of each, inputs, bytes of parameters. Twice as many
    # leave the first cache too often (256-64-10 gains 20 % with 32 samples and nothing with 128).
    TINY_LAYERS = 4
    TINY_NODES = 128
    TINY_INPUTS = 256
    TINY_BYTES = 65536
    # Numbers that are moved for each sample of the call, at most: a move takes 0.7 ns, there and
    # back, and 64-100-10 gains 0.1 us with a sample (a single step with Adam of 32: 63 us so, 32 by
    # panels; of 160: as fast).
    WORTH_MOVING = 150
    # Networks of at most so many parameters are trained several at once, one in each lane
    # (core/lockstep.pxi; of 1,400 it gains nothing), where they fill so many lanes of a hundred.
    TOGETHER_PARAMETERS = 1024
    WORTH_LANES = 70
    # Multiplications of a step from which on several threads take it by panels, if a call has them:
    # by calculation (one thread is twice as fast as a tiny network), not measured.
    WORTH_LEAVING_TINY = 1000000
    # Bytes of inputs that a core's own cache does not keep from one epoch to the next: their rows
    # are asked for a step ahead.
    WORTH_PREFETCHING = 262144
    # Multiplications between two looks for Ctrl-C: 2 ms at 20 GFLOP/s.
    WORK_PER_LOOK = 20000000
    # What an activation counts for beside them, and a step of a tiny network.
    WORK_PER_ACTIVATION = 20
    WORK_PER_TINY_STEP = 3000
    # Entries of vectors from memory between two looks, 3 ms, and what each counts for.
    ENTRIES_PER_LOOK = 2500000
    WORK_PER_ENTRY = 8

# --- Structs ---------------------------------------------------------------------------------

cdef struct Layer:
    Py_ssize_t n_in             # n_(l-1)
    Py_ssize_t n_out            # n_l
    Py_ssize_t W                # where W^l begins in the vector of parameters
    Py_ssize_t b                # where b^l begins, behind it
    # W_kj stands k // NR * panel_stride + j * row_stride + k % NR behind: see core/weights.pxi.
    Py_ssize_t row_stride
    Py_ssize_t panel_stride
    Activation activation
    double alpha                # its constant, if it has one; of ascending outputs the targets
    bint derivative_reads_z

cdef struct Model:
    Py_ssize_t L
    # layers[1..L]; layers[0] is not used, as in the formulas. Behind them all once more, as they
    # stand in panels.
    Layer* layers
    bint in_panels              # the weights of this call: see core/weights.pxi
    Loss loss
    losses.Targets targets
    Py_ssize_t n_targets        # columns of y: n_L, but of a loss of several outputs for each
    const double* levels        # (n_L / n_targets,) of quantiles, or NULL
    Py_ssize_t n_parameters
    Py_ssize_t n_in_panels      # entries of a vector in panels
    Py_ssize_t widest           # the largest of n_1..n_L
    Py_ssize_t lanes            # samples of a panel
    Py_ssize_t itemsize
    void* parameters
    PyObject* owner             # the Network that holds all this

cdef inline Py_ssize_t columns_of_y(const Model* model) noexcept nogil:
    """Entries of a row of y: targets, or the derivatives that stand in their place."""
    return model.layers[model.L].n_out if is_given(model.loss) else model.n_targets


cdef cnp.ndarray describe_loss(Model* model, loss, Py_ssize_t n_L):
    """Fill in what a loss is; return the array that model.levels points into."""
    name, levels = split_loss(loss)
    cdef cnp.ndarray array = np.array(levels, np.float64)
    cdef Py_ssize_t several
    model.loss, _, model.targets, several = loss_table[name]
    several = len(levels) or several
    if n_L % several:
        raise ValueError(f"sizes: {n_L} outputs are no multiple of those of a target of {loss}")
    model.n_targets = n_L // several
    model.levels = <const double*> cnp.PyArray_DATA(array)
    return array


cdef struct Samples:            # rows order[0..rows-1] of the data, or rows 0, 1, ...
    const void* x               # (., n_0); or, of CSR, the entries that are stored:
    const int64_t* begins       # those of row i are begins[i] to begins[i + 1] - 1,
    const int32_t* nodes        # of these columns, ascending in a row; or NULL
    const void* y               # (., columns_of_y), or NULL where labels are given
    const int64_t* labels       # (.,), or NULL
    const void* weight          # (.,), or NULL for 1
    const int64_t* order        # or NULL
    Py_ssize_t rows

cdef struct Options:            # of a training call; see _train_epoch
    const double* lr_curve      # (batches,), or NULL
    double* batch_losses        # (batches, 2), or NULL
    double* totals              # costs, weights, penalties, batches before and after, or NULL
    double l1
    double l2
    bint penalty_per_sample
    double clip_norm            # 0: any length
    double label_smoothing
    bint summed                 # costs are added up instead of averaged
    const double* dropout       # (L,) of layers 0..L-1, or NULL
    uint64_t seed
    const double* rates         # (2 L,) of W^1, b^1, W^2, ..., or NULL: see core/trainable.pxi;
    double highest              # the largest of them,
    Py_ssize_t lowest           # and the lowest layer of which something moves

cdef struct Tiny:               # what a tiny network's steps write: see core/tiny.pxi
    Py_ssize_t width[TINY_LAYERS + 1]       # entries of a row of layer l, padded
    Py_ssize_t W[TINY_LAYERS + 1]           # where, in a vector, W^1 begins (n_0, width); others,
    Py_ssize_t b[TINY_LAYERS + 1]           # and W^L, are transposed (n_l, width of l - 1); and b^l
    Py_ssize_t weights          # entries of all W,
    Py_ssize_t entries          # of a vector,
    Py_ssize_t size             # and with what is read and written behind it
    void* vectors[3]            # parameters, and the optimizer's state
    void* gradient
    void* bias_sums             # (width,) of layer 1
    bint listed                 # whether zeros of the inputs are left out: then
    void* columns               # inputs of some samples, (n_0, samples),
    int32_t* numbers            # and which of a row or column are not zero,
    void* values                # and what they are
    void* forward_W[TINY_LAYERS + 1]        # of 1 < l < L: (width of l - 1, width)
    void* z[TINY_LAYERS + 1]    # (rows, width); a[l] itself where z is not needed later
    void* a[TINY_LAYERS + 1]
    void* delta[TINY_LAYERS + 1]
    void* panel[4]              # z, a, delta and y of the output, of one panel of samples,
    void* emitting              # and a^(L-1)
    void* normalizer            # of its softmax
    void* a_squares             # a register full of sums, and likewise
    void* delta_squares
    bint loaded                 # whether the vectors hold what the flat ones do,
    bint changed                # or something newer
    Rule rule                   # with its state in the vectors

cdef enum Inputs:               # how layer 1 of a block reads them
    PANELS                      # a[0], by panels of samples
    LISTS                       # the nonzero entries of each sample, in a[0] and `nodes`; or
    STORED                      # where they are stored, of CSR: core/sparse.pxi

cdef struct Workspace:          # what one block of samples writes, by panels; rows: core/rows.pxi
    Py_ssize_t rows             # of a block, at most,
    Py_ssize_t blocks           # and blocks of a batch
    Inputs inputs
    double share                # of the inputs that are not zero, where they are STORED
    List* lists                 # (rows,) unless inputs are PANELS
    int32_t* nodes              # (rows, n_0) where they are LISTS
    Py_ssize_t nodes_per_item   # of layer 0, in an item of the gradient by lists
    void** z                    # z[1..L]; a[l] itself where z is not needed later
    void** a                    # a[0..L]
    void** delta                # delta[1..L]
    void** delta_rows           # delta[1..L] again, by panels of nodes: (rows, lanes) for each
    void** mask                 # mask[0..L-1] of the layers with dropout
    void* normalizer            # (rows,) of the softmax
    double* costs               # for each panel of samples: sum of the weighted costs,
    double* squares             # and of the squares of all a, and of all delta
    void* gradient              # (n_parameters,)
    void* earlier               # as long: of earlier BLOCKS_SUMMED blocks, or NULL
    void* copies                # three times as long, or NULL
    void* scratch               # of the threads
    Py_ssize_t scratch_bytes    # of each
    Tiny* tiny                  # NULL where the network is not tiny
    # Parameters and state in panels; of a prediction that reads inputs in place, weights; or NULL.
    void* weights
    void* memory                # the one allocation behind all of them: see Kept

cdef struct Scratch:            # of one thread
    void* packed                # weights of PACKED_NODES nodes, in strips
    void* y                     # (n_L + 1, lanes)
    void* row[2]                # a layer of one sample; the second is followed by two more,
    void* before                # of which one takes sums of earlier blocks of terms
    void* ahead[2]              # z^1 of the next sample, and its sums of earlier blocks
    # Some z^1 of samples, as rows: (rows, LIST_VECTORS registers full), or of STORED (lanes, n_1).
    void* list_z
    void* list_sums             # of the gradient: (nodes_per_item, LIST_VECTORS registers full)
    int64_t* begun              # (rows,) of each sample's list, where the next item begins
    int64_t* ends               # (nodes_per_item,) where the next entry of each node goes
    List* columns               # (nodes_per_item,) the nonzero entries of each node of an item,
    int32_t* column_nodes       # and where they are: the samples,
    void* column_values         # and their x
    int32_t* nodes              # where the next list is put
    void* values

cdef struct Prediction:         # what one thread writes to predict a block of rows
    void* x                     # panels (rows, n_0)
    void* a[2]                  # panels (rows, widest) of two layers in turn
    void* packed
    void* list_z                # z^1 of a panel's samples, as rows (lanes, n_1)

cdef enum Derivative:           # with respect to the inputs: core/derivatives.pxi
    JACOBIAN
    VJP
    JVP
    HVP
    HESSIAN
    SOBOLEV                     # of a Jacobian's distance, by the parameters: core/sobolev.pxi

cdef struct Derivation:
    Derivative what
    bint forward                # which way a Jacobian goes
    Py_ssize_t samples          # of a block, at most,
    Py_ssize_t each             # and tangents of each of them
    const void* v               # (rows, n_L)
    const void* u               # (rows, n_0)
    Py_ssize_t output           # whose Hessian it is
    void* a                     # (rows, n_L) or NULL: a^L
    const void* targets         # (rows, n_L, n_0) of Jacobians,
    double scale                # and what the squared distance of one with weight 1 counts, twice

cdef enum Outcome:
    FINE
    OVERFLOW                    # of the loss, the gradient or the update: the step was not made
    NO_MEMORY

cdef struct Equations:          # of a call's samples: see core/normal_equations.pxi
    const void* residual        # (rows,)
    double* sums                # (n_parameters + 1, n_parameters + 1), added to: i <= j alone
    void* by_samples            # J: panels of samples (n_parameters + 1, lanes),
    void* by_parameters         # and panels of parameters (JACOBIAN_ROWS, lanes)

cdef struct Exchange:           # steps whose gradient is summed over processes: core/exchange.pxi
    PyObject* own               # who sums: its start(first, end) and finish()
    Py_ssize_t steps
    Py_ssize_t shards           # of this process, in each batch
    const int64_t* rows         # (steps, shards): how many of its samples each has,
    const int64_t* places       # (steps,) which of the whole batch the first of them is,
    const double* weights       # (steps,) and what the whole batch weighs
    double* costs               # OUT (steps, shards): weighted sums,
    double* penalties           # OUT (steps,)
    Py_ssize_t first_step       # of the epoch
    const int64_t* buckets      # (number_of_buckets,) the lowest layer of each, descending
    Py_ssize_t number_of_buckets
    bint in_panels              # where weights stand: alike in all processes
    void* sum                   # (n_parameters + SCALARS,) what is summed
    void* levels[MOST_LEVELS]   # likewise: whole parts of the tree of shards
    # Of processes that have one vector of weights, in memory that they share; or NULL.
    void* shared_weights        # parameters and state, in panels, or NULL
    void** sums                 # (processes,) `sum` of each
    Py_ssize_t processes
    Py_ssize_t rank             # of this one
    int64_t* outcome            # of an update that the first of them makes alone
    Py_ssize_t made             # OUT steps that have been made
    bint asked                  # whether `own` has asked for the end,
    bint stopped                # OUT or another process

cdef struct Call:               # one call, for all its threads
    const Model* model
    Samples data
    Py_ssize_t batch_size
    Workspace* workspace
    Rule* rule                  # NULL to compute without updating
    Options options
    bint backward
    Equations* equations        # NULL, or what is added to in place of the gradient
    Exchange* exchange          # NULL unless gradients are summed over processes
    void* out                   # (rows, n_L) or NULL: a^L of all rows
    bint out_is_z               # it is z^L instead
    PyObject* own               # Asked for dC/da^L or dC/dz^L of the batch, or NULL: core/own.pxi
    void* asked_at              # (rows, n_L) where it finds the outputs
    const Derivation* derivation    # NULL unless `out` is to be derivatives
    void** trace[3]             # NULL or z, a, delta of all rows, as (rows, n_l) for each l
    bint watched                # whether the calling thread looks for Ctrl-C
    Team* among                 # threads that have calls of their own, this one's too, or NULL
    double loss
    Outcome outcome
    PyObject* error             # what Ctrl-C raised, or the caller's own loss

cdef struct Worker:             # a thread's view of the call
    Call* call
    Team* team
    int index                   # 0 is the thread that made the call
    int barriers
    bint stop
    Py_ssize_t work             # since the last look for Ctrl-C
    Py_ssize_t batch            # which one it is,
    Py_ssize_t begun            # and how many of its samples were in earlier blocks
    # In a batch of several processes, the place of its first sample, and the parts of the gradient
    # that the others have been given.
    Py_ssize_t place
    Py_ssize_t handed


# `tag`, here and below, is never read: its type says which of float32 and float64 is meant, where
# everything else comes as void* out of a struct.
