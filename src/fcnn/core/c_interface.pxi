# The C interface: see include/fcnn.h.

from fcnn cimport (
    FCNN_ABI, FCNN_BACKWARD, FCNN_BAD_ARGUMENT, FCNN_BAD_LABEL, FCNN_CAPSULE, FCNN_DIVERGED,
    FCNN_FORWARD, FCNN_JACOBIAN, FCNN_OK, FCNN_SMALL_WORKSPACE, FCNN_TRAIN, FCNN_UPDATE,
    FCNN_VERSION, FCNN_VJP, FCNN_WRONG_DTYPE, fcnn_api, fcnn_network, fcnn_optimizer,
)

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory


cdef Py_ssize_t lay_out_for(
    const Model* model, Workspace* ws, void* memory, int purpose, Py_ssize_t rows,
) noexcept nogil:
    choose_blocks(model, ws, rows, True)
    ws.inputs = PANELS          # whose memory does not depend on the data
    # Of a gradient alone the caller has the place.
    return lay_out(model, ws, memory, True, False, NULL, 1, is_tiny(model), 0,
                   4 if purpose == FCNN_TRAIN else 0)


cdef bint are_rows(const Model* model, int purpose, Py_ssize_t rows) noexcept nogil:
    """Whether there can be so many: a caller's arrays of them have no more bytes than a half of the
    addresses, and nothing that is computed of their number overflows."""
    cdef Py_ssize_t n_in = model.layers[1].n_in, n_out = model.layers[model.L].n_out
    cdef Py_ssize_t entries = n_in * n_out if purpose == FCNN_JACOBIAN else max(n_in, n_out)
    return 1 <= rows <= (<Py_ssize_t> 1 << 62) // (entries * model.itemsize)


cdef size_t workspace_bytes(
    const fcnn_network* network, int purpose, ptrdiff_t rows,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef Workspace ws
    cdef Prediction parts
    cdef Tangents tangents
    cdef Derivation derivation
    if network == NULL or rows < 1:
        return 0
    if purpose == FCNN_UPDATE:
        return 4 * vector_bytes(model) + 64     # the gradient, and copies of three
    if not are_rows(model, purpose, rows):
        return 0
    if purpose == FCNN_FORWARD:
        if rows <= FEW_ROWS:
            return few_entries(model) * model.itemsize + 64
        return lay_out_prediction(model, prediction_rows(model, rows), NULL, &parts) + 64
    if purpose == FCNN_BACKWARD or purpose == FCNN_TRAIN:
        return lay_out_for(model, &ws, NULL, purpose, rows)
    if purpose == FCNN_JACOBIAN or purpose == FCNN_VJP:
        begin_derivation(&derivation, model, JACOBIAN if purpose == FCNN_JACOBIAN else VJP, rows)
        return lay_out_tangents(model, &derivation, NULL, &tangents) + 64
    return 0


cdef inline int forward(
    const fcnn_network* network, const real* x, Py_ssize_t rows, real* out,
    void* workspace, size_t size,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef Py_ssize_t i
    cdef Call call
    cdef Workspace ws
    if (network == NULL or x == NULL or out == NULL or workspace == NULL
            or not are_rows(model, FCNN_FORWARD, rows)):
        return FCNN_BAD_ARGUMENT
    if model.itemsize != sizeof(real):
        return FCNN_WRONG_DTYPE
    if rows <= FEW_ROWS:
        if size < workspace_bytes(network, FCNN_FORWARD, rows):
            return FCNN_SMALL_WORKSPACE
        for i in range(rows):
            predict_row(model, x + i * model.layers[1].n_in,
                        out + i * model.layers[model.L].n_out, <real*> aligned(workspace), NULL)
        return FCNN_OK
    if size < workspace_bytes(network, FCNN_FORWARD, rows):
        return FCNN_SMALL_WORKSPACE
    begin_prediction(&call, &ws, model, x, rows, out)
    ws.scratch = aligned(workspace)
    run_team(thread_main, &call, 1)
    return FCNN_OK


cdef int forward_f32(
    const fcnn_network* network, const float* x, ptrdiff_t rows, float* out,
    void* workspace, size_t size,
) noexcept nogil:
    return forward(network, x, rows, out, workspace, size)


cdef int forward_f64(
    const fcnn_network* network, const double* x, ptrdiff_t rows, double* out,
    void* workspace, size_t size,
) noexcept nogil:
    return forward(network, x, rows, out, workspace, size)


cdef int run_step(
    const fcnn_network* network, Py_ssize_t itemsize, const void* x, const void* y,
    const int64_t* labels, const void* sample_weight, Py_ssize_t rows, Rule* rule,
    void* gradient, double* loss, void* workspace, size_t size,
) noexcept nogil:
    """Loss and gradient of a batch; of rule and gradient one is NULL."""
    cdef const Model* model = <const Model*> network
    cdef int purpose = FCNN_TRAIN if gradient == NULL else FCNN_BACKWARD
    cdef Py_ssize_t i
    cdef Call call
    cdef Workspace ws
    if (network == NULL or x == NULL or (y == NULL) == (labels == NULL)
            or not are_rows(model, purpose, rows) or loss == NULL or workspace == NULL):
        return FCNN_BAD_ARGUMENT
    if model.itemsize != itemsize:
        return FCNN_WRONG_DTYPE
    if size < workspace_bytes(network, purpose, rows):
        return FCNN_SMALL_WORKSPACE
    if labels != NULL:
        if model.targets != losses.CLASSES:
            return FCNN_BAD_LABEL
        for i in range(rows):
            if labels[i] < 0 or labels[i] >= model.layers[model.L].n_out:
                return FCNN_BAD_LABEL
    memset(&call, 0, sizeof(Call))
    lay_out_for(model, &ws, workspace, purpose, rows)
    clear_empty_lanes(model, &ws, rows, rows)
    if gradient != NULL:
        ws.gradient = gradient
    call.model = model
    call.data.x = x
    call.data.y = y
    call.data.labels = labels
    call.data.weight = sample_weight
    call.data.rows = call.batch_size = rows
    call.workspace = &ws
    call.rule = rule
    call.backward = True
    run_team(thread_main, &call, 1)
    loss[0] = call.loss
    return FCNN_OK if call.outcome == FINE else FCNN_DIVERGED


cdef int backward_f32(
    const fcnn_network* network, const float* x, const float* y, const int64_t* labels,
    const float* sample_weight, ptrdiff_t rows, double* loss, float* gradient,
    void* workspace, size_t size,
) noexcept nogil:
    if gradient == NULL:
        return FCNN_BAD_ARGUMENT
    return run_step(network, sizeof(float), x, y, labels, sample_weight, rows, NULL, gradient, loss,
                    workspace, size)


cdef int backward_f64(
    const fcnn_network* network, const double* x, const double* y, const int64_t* labels,
    const double* sample_weight, ptrdiff_t rows, double* loss, double* gradient,
    void* workspace, size_t size,
) noexcept nogil:
    if gradient == NULL:
        return FCNN_BAD_ARGUMENT
    return run_step(network, sizeof(double), x, y, labels, sample_weight, rows, NULL, gradient,
                    loss, workspace, size)


cdef bint read_optimizer(const fcnn_optimizer* o, Rule* rule) noexcept nogil:
    """Whether fcnn.SGD, Adam and AdamW would take these numbers; its rule, but for the state."""
    memset(rule, 0, sizeof(Rule))
    if o == NULL or not 0 <= o.rule < updates.NUM_RULES:
        return False
    rule.name = <updates.RuleName> o.rule   # FCNN_SGD, ... have its numbers
    rule.lr = o.lr
    rule.weight_decay = o.weight_decay
    rule.momentum = o.momentum
    rule.nesterov = o.nesterov
    rule.beta1 = o.beta1
    rule.beta2 = o.beta2
    rule.epsilon = o.epsilon
    rule.step = o.steps
    return valid_rule(rule)


cdef size_t state_bytes(
    const fcnn_network* network, const fcnn_optimizer* optimizer,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef Rule rule
    if network == NULL or not read_optimizer(optimizer, &rule):
        return 0
    return state_vectors(&rule) * vector_bytes(model)


cdef int read_state(
    const fcnn_network* network, const fcnn_optimizer* optimizer, Rule* rule,
) noexcept nogil:
    """Fill in an optimizer's rule and its state, or say what is wrong with them."""
    cdef const Model* model = <const Model*> network
    cdef size_t state
    if network == NULL or not read_optimizer(optimizer, rule):
        return FCNN_BAD_ARGUMENT
    state = state_bytes(network, optimizer)
    if state > 0 and optimizer.state == NULL:
        return FCNN_BAD_ARGUMENT
    if optimizer.state_bytes < state:
        return FCNN_SMALL_WORKSPACE
    if state_vectors(rule) > 0:
        rule.first = optimizer.state
    if state_vectors(rule) > 1:
        rule.second = <char*> optimizer.state + vector_bytes(model)
    return FCNN_OK


cdef int train_step(
    fcnn_network* network, Py_ssize_t itemsize, const void* x, const void* y,
    const int64_t* labels, const void* sample_weight, Py_ssize_t rows, fcnn_optimizer* optimizer,
    double* loss, void* workspace, size_t size,
) noexcept nogil:
    cdef Rule rule
    cdef int code = read_state(network, optimizer, &rule)
    if code != FCNN_OK:
        return code
    code = run_step(network, itemsize, x, y, labels, sample_weight, rows, &rule, NULL, loss,
                    workspace, size)
    optimizer.steps = rule.step
    return code


cdef int train_step_f32(
    fcnn_network* network, const float* x, const float* y, const int64_t* labels,
    const float* sample_weight, ptrdiff_t rows, fcnn_optimizer* optimizer, double* loss,
    void* workspace, size_t size,
) noexcept nogil:
    return train_step(network, sizeof(float), x, y, labels, sample_weight, rows, optimizer, loss,
                      workspace, size)


cdef int train_step_f64(
    fcnn_network* network, const double* x, const double* y, const int64_t* labels,
    const double* sample_weight, ptrdiff_t rows, fcnn_optimizer* optimizer, double* loss,
    void* workspace, size_t size,
) noexcept nogil:
    return train_step(network, sizeof(double), x, y, labels, sample_weight, rows, optimizer, loss,
                      workspace, size)


cdef inline int update_by(
    fcnn_network* network, const real* gradient, fcnn_optimizer* optimizer,
    double l1, double l2, double clip_norm, void* workspace, size_t size,
) noexcept nogil:
    """One update with a gradient that is given."""
    cdef const Model* model = <const Model*> network
    cdef Rule rule
    cdef Options options
    cdef Outcome outcome
    cdef real* own
    cdef Call call              # which looks for no signals
    cdef Team team
    cdef Worker w
    cdef int code = read_state(network, optimizer, &rule)
    if code != FCNN_OK:
        return code
    if (gradient == NULL or workspace == NULL or not (l1 >= 0 and l2 >= 0 and clip_norm >= 0)
            or not (isfinite(l1) and isfinite(l2) and isfinite(clip_norm))):
        return FCNN_BAD_ARGUMENT
    if model.itemsize != sizeof(real):
        return FCNN_WRONG_DTYPE
    if size < workspace_bytes(network, FCNN_UPDATE, 1):
        return FCNN_SMALL_WORKSPACE
    memset(&options, 0, sizeof(Options))
    options.l1, options.l2, options.clip_norm = l1, l2, clip_norm
    memset(&call, 0, sizeof(Call))
    memset(&team, 0, sizeof(Team))
    begin_worker(&w, &call, &team, 0)
    own = <real*> aligned(workspace)
    outcome = update_given(&w, model, &rule, gradient, &options, own,
                           <char*> own + vector_bytes(model))
    optimizer.steps = rule.step
    return FCNN_OK if outcome == FINE else FCNN_DIVERGED


cdef int update_f32(
    fcnn_network* network, const float* gradient, fcnn_optimizer* optimizer,
    double l1, double l2, double clip_norm, void* workspace, size_t size,
) noexcept nogil:
    return update_by(network, gradient, optimizer, l1, l2, clip_norm, workspace, size)


cdef int update_f64(
    fcnn_network* network, const double* gradient, fcnn_optimizer* optimizer,
    double l1, double l2, double clip_norm, void* workspace, size_t size,
) noexcept nogil:
    return update_by(network, gradient, optimizer, l1, l2, clip_norm, workspace, size)


cdef int derive(
    const fcnn_network* network, Py_ssize_t itemsize, int purpose, const void* x, const void* v,
    Py_ssize_t rows, void* a, void* out, void* workspace, size_t size,
) noexcept nogil:
    """Derivatives of all rows with respect to their inputs."""
    cdef const Model* model = <const Model*> network
    cdef Derivation derivation
    cdef Call call
    cdef Workspace ws
    if (network == NULL or x == NULL or (purpose == FCNN_VJP and v == NULL) or out == NULL
            or workspace == NULL or not are_rows(model, purpose, rows)):
        return FCNN_BAD_ARGUMENT
    if model.itemsize != itemsize:
        return FCNN_WRONG_DTYPE
    if size < workspace_bytes(network, purpose, rows):
        return FCNN_SMALL_WORKSPACE
    begin_derivation(&derivation, model, JACOBIAN if purpose == FCNN_JACOBIAN else VJP, rows)
    derivation.v = v
    derivation.a = a
    memset(&call, 0, sizeof(Call))
    memset(&ws, 0, sizeof(Workspace))
    ws.scratch = aligned(workspace)
    call.model = model
    call.workspace = &ws
    call.derivation = &derivation
    call.data.x = x
    call.data.rows = rows
    call.out = out
    run_team(thread_main, &call, 1)
    return FCNN_OK


cdef int jacobian_f32(
    const fcnn_network* network, const float* x, ptrdiff_t rows, float* jacobian,
    void* workspace, size_t size,
) noexcept nogil:
    return derive(network, sizeof(float), FCNN_JACOBIAN, x, NULL, rows, NULL, jacobian, workspace,
                  size)


cdef int jacobian_f64(
    const fcnn_network* network, const double* x, ptrdiff_t rows, double* jacobian,
    void* workspace, size_t size,
) noexcept nogil:
    return derive(network, sizeof(double), FCNN_JACOBIAN, x, NULL, rows, NULL, jacobian, workspace,
                  size)


cdef int vjp_f32(
    const fcnn_network* network, const float* x, const float* v, ptrdiff_t rows, float* out,
    float* product, void* workspace, size_t size,
) noexcept nogil:
    return derive(network, sizeof(float), FCNN_VJP, x, v, rows, out, product, workspace, size)


cdef int vjp_f64(
    const fcnn_network* network, const double* x, const double* v, ptrdiff_t rows, double* out,
    double* product, void* workspace, size_t size,
) noexcept nogil:
    return derive(network, sizeof(double), FCNN_VJP, x, v, rows, out, product, workspace, size)


cdef int dtype_of(const fcnn_network* network) noexcept nogil:
    return <int> (<const Model*> network).itemsize


cdef ptrdiff_t n_inputs(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).layers[1].n_in


cdef ptrdiff_t n_outputs(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).layers[(<const Model*> network).L].n_out


cdef ptrdiff_t n_targets(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).n_targets


cdef ptrdiff_t n_layers(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).L


cdef ptrdiff_t layer_size(const fcnn_network* network, ptrdiff_t layer) noexcept nogil:
    cdef const Model* model = <const Model*> network
    if layer == 0:
        return model.layers[1].n_in
    return model.layers[layer].n_out if 0 < layer <= model.L else 0


cdef ptrdiff_t n_parameters(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).n_parameters


cdef void* parameters_of(fcnn_network* network) noexcept nogil:
    return (<Model*> network).parameters


cdef const char* error_text(int code) noexcept nogil:
    if code == FCNN_OK:
        return "no error"
    if code == FCNN_BAD_ARGUMENT:
        return "an argument is NULL or out of its range"
    if code == FCNN_WRONG_DTYPE:
        return "the network has the other dtype"
    if code == FCNN_SMALL_WORKSPACE:
        return "the workspace or the optimizer's state is too small"
    if code == FCNN_BAD_LABEL:
        return "a label is out of range, or the loss takes none"
    if code == FCNN_DIVERGED:
        return "the loss, the gradient or a weight would not be finite; no update was made"
    return "no code of this version"


cdef fcnn_network* borrow(object network) except NULL:
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fcnn.Network, got {type(network).__name__}")
    if (<Network> network).model.layers == NULL:
        raise RuntimeError("the network has not been initialized")
    return <fcnn_network*> &(<Network> network).model


cdef object loader = None       # fcnn.load, given to c_api: the core imports no files


cdef fcnn_network* loaded(content, char* message, size_t size) noexcept:
    """The handle of what `loader` makes, the caller's; or NULL and why."""
    cdef fcnn_network* handle
    try:
        network = loader(content)
        handle = borrow(network)
        Py_INCREF(network)
        return handle
    except BaseException as error:
        tell(error, message, size)
        return NULL


cdef int tell(error, char* message, size_t size) except -1:
    if message != NULL and size > 0:
        text = f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:size - 1]
        text = text.decode("utf-8", "ignore").encode()      # whole characters
        memcpy(message, <const char*> text, len(text))
        message[len(text)] = 0
    return 0


cdef fcnn_network* load(const char* path, char* message, size_t size) noexcept with gil:
    try:
        if path == NULL:
            raise TypeError("path: expected a file's name, got NULL")
        name = os.fsdecode(<bytes> path)
    except BaseException as error:
        tell(error, message, size)
        return NULL
    return loaded(name, message, size)


cdef fcnn_network* load_bytes(
    const void* content, size_t count, char* message, size_t size,
) noexcept with gil:
    try:
        if content == NULL:
            raise TypeError("content: expected the bytes of a file, got NULL")
        view = PyMemoryView_FromMemory(<char*> content, count, PyBUF_READ)
    except BaseException as error:
        tell(error, message, size)
        return NULL
    return loaded(view, message, size)


cdef void release(fcnn_network* network) noexcept with gil:
    if network != NULL:
        Py_DECREF(<object> (<Model*> network).owner)


cdef fcnn_api table
table.abi = FCNN_ABI
table.version = FCNN_VERSION
table.borrow = borrow
table.load = load
table.release = release
table.dtype = dtype_of
table.n_inputs = n_inputs
table.n_outputs = n_outputs
table.n_parameters = n_parameters
table.parameters = parameters_of
table.workspace_bytes = workspace_bytes
table.state_bytes = state_bytes
table.forward_f32 = forward_f32
table.forward_f64 = forward_f64
table.backward_f32 = backward_f32
table.backward_f64 = backward_f64
table.train_step_f32 = train_step_f32
table.train_step_f64 = train_step_f64
table.error_text = error_text
table.jacobian_f32 = jacobian_f32
table.jacobian_f64 = jacobian_f64
table.vjp_f32 = vjp_f32
table.vjp_f64 = vjp_f64
table.update_f32 = update_f32
table.update_f64 = update_f64
table.n_targets = n_targets
table.n_layers = n_layers
table.layer_size = layer_size
table.load_bytes = load_bytes


def c_api(load):
    """Return the table of include/fcnn.h in a capsule.

    `load` makes a network of a file's path, or of its bytes.
    """
    global loader
    loader = load
    return PyCapsule_New(&table, FCNN_CAPSULE, NULL)
