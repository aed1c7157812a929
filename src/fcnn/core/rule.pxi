# An optimizer of Python's as the core's rule, and what a training that cannot go on raises.

cdef object read_rule(Network network, optimizer, Rule* rule):
    """Fill in the optimizer's hyperparameters and state; return what must stay alive with it.

    Read anew for each call: they are plain attributes, which may have changed.
    """
    cdef int vectors
    memset(rule, 0, sizeof(Rule))   # 0 is what a rule does not read
    name = getattr(optimizer, "rule", None)
    if name is None:
        optimizer.state(network)    # which refuses it
    if name not in rule_table:
        raise TypeError(f"optimizer: {optimizer!r} needs all samples at once: it is for fit")
    rule.name = rule_table[name]
    rule.lr = optimizer.lr
    rule.weight_decay = optimizer.weight_decay
    rule.step = optimizer.steps
    if rule.name == updates.SGD:
        rule.momentum = optimizer.momentum
        rule.nesterov = optimizer.nesterov
    elif rule.name == updates.ADAM or rule.name == updates.ADAMW:
        rule.beta1, rule.beta2 = optimizer.betas
        rule.epsilon = optimizer.eps
        rule.epsilon_hat = optimizer._epsilon_hat
    vectors = state_vectors(rule)
    if vectors == 0:
        return None
    state, owner = optimizer._state, optimizer._owner
    if owner is None or owner() is not network or len(state) != vectors:
        state = optimizer.state(network)
    rule.first = data_of(state[0], network.kind, network.model.n_parameters, "state", write=True)
    if vectors > 1:
        rule.second = data_of(
            state[1], network.kind, network.model.n_parameters, "state", write=True)
    return state


cdef object failure_of(Network network, const Call* call, Py_ssize_t steps):
    """Return what a training raises that ended behind so many steps; None if it did not fail."""
    if call.outcome == NO_MEMORY:
        return MemoryError("cannot copy parameters and optimizer state before a risky step")
    if call.outcome == OVERFLOW:
        what = (f"the loss became {call.loss}" if call.loss - call.loss != 0
                else "the gradient, a weight or the optimizer's state became infinite")
        return DivergenceError(
            f"{what} in step {steps + 1}; the weights are those before that step"
            + (nonfinite_parameter(network) or _ADVICE))
    return None
