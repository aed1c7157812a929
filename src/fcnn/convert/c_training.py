"""The functions of a file of C that train: a gradient, and a step of SGD or Adam.

In static memory, sample after sample. The sums of a batch are added up in another order than in
the core, so that its numbers differ by rounding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from fcnn._dispatch import core
from fcnn.convert.c_derivatives import copied, slopes
from fcnn.convert.c_layers import Place, activate, layer_name, places
from fcnn.convert.c_weights import Weights
from fcnn.convert.c_words import Words
from fcnn.convert.steps import Layer, refuse
from fcnn.network import Network

# The cost of a sample, and d[k] = factor dC/da_k, or factor dC/dz_k of the losses in WITH_SLOPE;
# n outputs, m targets, z as it was before the activation. As in kernels/losses.pxd.
LOSSES: dict[str, str | None] = {
    "squared_error": """\
    for (k = 0; k < n; k++) {
        const REAL error = a[k] - y[k];
        cost += {0.5} * error * error;
        d[k] = factor * error;
    }
""",
    "absolute_error": """\
    for (k = 0; k < n; k++) {
        const REAL error = a[k] - y[k];
        cost += error < 0 ? -error : error;
        d[k] = factor * (error > 0 ? 1 : error < 0 ? -1 : error);
    }
""",
    "huber": """\
    for (k = 0; k < n; k++) {
        const REAL error = a[k] - y[k], size = error < 0 ? -error : error;
        cost += size > 1 ? size - {0.5} : {0.5} * error * error;
        d[k] = factor * (error > 1 ? 1 : error < -1 ? -1 : error);
    }
""",
    "poisson": """\
    for (k = 0; k < n; k++) {
        const REAL rise = NAME_choose(a[k] > 20, 1, -NAME_expm1(-a[k]));
        cost += a[k] - y[k] * (a[k] == 0 ? z[k] : NAME_log(a[k]));
        d[k] = factor * (rise - y[k] * (a[k] > 0 ? rise / a[k] : 1));
    }
""",
    "poisson, exp": """\
    for (k = 0; k < n; k++) {
        cost += a[k] - y[k] * z[k];
        d[k] = factor * (a[k] - y[k]);
    }
""",
    "binary_cross_entropy": """\
    for (k = 0; k < n; k++) {
        cost += (z[k] < 0 ? 0 : z[k]) - y[k] * z[k]
            + NAME_log1p_of_unit(NAME_exp(z[k] < 0 ? z[k] : -z[k]));
        d[k] = factor * (a[k] - y[k]);
    }
""",
    "cross_entropy": """\
    {
        REAL largest = z[0], total = 0;
        for (k = 1; k < n; k++)
            if (z[k] > largest)
                largest = z[k];
        for (k = 0; k < n; k++)
            total += NAME_exp(z[k] - largest);
        total = largest + NAME_log(total);
        for (k = 0; k < n; k++) {
            cost += y[k] != 0 ? y[k] * (total - z[k]) : 0;
            d[k] = factor * (a[k] - y[k]);
        }
    }
""",
    "gaussian_nll": """\
    for (k = 0; k < m; k++) {
        const REAL error = a[k] - y[k], precision = NAME_exp(-a[m + k]);
        const REAL deviation = error * precision * error;
        cost += {0.5} * (a[m + k] + deviation);
        d[k] = factor * (error * precision);
        d[m + k] = factor * ({0.5} * (1 - deviation));
    }
""",
    "quantile": """\
    for (k = 0; k < n; k++) {
        const REAL error = a[k] - y[k % m], level = NAME_levels[k / m];
        const REAL above = 1 - level;
        cost += error * (error < 0 ? -level : above);
        d[k] = factor * (error > 0 ? above : error < 0 ? -level : error + (above - level) / 2);
    }
""",
}
WITH_SLOPE = ("poisson", "binary_cross_entropy", "cross_entropy")

_SOFTMAX = """\
    {
        REAL mean = 0;
        for (k = 0; k < n; k++)
            mean += d[k] * a[k];
        for (k = 0; k < n; k++)
            d[k] = a[k] * (d[k] - mean);
    }
"""

_ASCENDING = """\
    for (k = n - m - 1; k >= 0; k--)
        d[k] += d[k + m];
"""

# W of a layer, dC/dW_kj = delta_k a_j of the layer before, and dC/db_k = delta_k.
_ADD = """\
/* adds the gradient of a layer, of which x are the inputs and d is dC/dz */
static void NAME_add(const REAL *x, const REAL *d, REAL *g, int n_in, int n_out)
{
    int j, k;
    for (j = 0; j < n_in; j++, g += n_out)
        for (k = 0; k < n_out; k++)
            g[k] += x[j] * d[k];
    for (k = 0; k < n_out; k++)
        g[k] += d[k];
}
"""

_GRADIENT = """\
#include <stddef.h>

REAL NAME_gradient(GIVENconst REAL *x, const REAL *y, int rows, REAL *gradient)
{
    double total = 0;
    int k;
GUARD    if (rows < 1)
        return NAN;
    for (k = 0; k < MACRO_PARAMETERS; k++)
        gradient[k] = 0;
    for (k = 0; k < rows; k++)
        total += NAME_learn(SOURCE, x + (size_t)k * MACRO_INPUTS,
            y + (size_t)k * MACRO_TARGETS, 1 / (REAL)rows, gradient);
    return (REAL)(total / rows);
}
"""

_STEPS = """\
static REAL NAME_g[MACRO_PARAMETERS], NAME_first[MACRO_PARAMETERS], NAME_second[MACRO_PARAMETERS];
static double NAME_power1 = 1, NAME_power2 = 1; /* beta1 and beta2 to the number of steps */

void NAME_reset(void)
{
    int i;
    for (i = 0; i < MACRO_PARAMETERS; i++)
        NAME_first[i] = NAME_second[i] = 0;
    NAME_power1 = NAME_power2 = 1;
}

/* the loss, and whether it and its gradient are finite */
static int NAME_is_sound(REAL loss)
{
    REAL odd = loss - loss;
    int i;
    for (i = 0; i < MACRO_PARAMETERS; i++)
        odd += NAME_g[i] - NAME_g[i];
    return odd == 0;
}

REAL NAME_sgd(WRITTENconst REAL *x, const REAL *y, int rows, double lr, double momentum,
    double weight_decay)
{
    REAL *p = TARGET;
    const REAL loss = NAME_gradient(PASSEDx, y, rows, NAME_g);
    const REAL rate = (REAL)lr, keep = (REAL)momentum, decay = (REAL)weight_decay;
    const REAL rule = rate + keep + decay;
    REAL odd = rule - rule;
    int i, writes;
    if (odd == 0 && !NAME_is_sound(loss))
        return loss;
    for (writes = 0; writes < 2; writes++) { /* not before all numbers are known to be finite */
        for (i = 0; i < MACRO_PARAMETERS; i++) {
            const REAL first = keep * NAME_first[i] + (NAME_g[i] + decay * p[i]);
            const REAL moved = p[i] - rate * first;
            odd += moved - moved;
            if (writes) {
                NAME_first[i] = first;
                p[i] = moved;
            }
        }
        if (odd != 0)
            return NAN;
    }
    return loss;
}

REAL NAME_adam(WRITTENconst REAL *x, const REAL *y, int rows, double lr, double beta1,
    double beta2, double epsilon, double weight_decay)
{
    REAL *p = TARGET;
    const REAL loss = NAME_gradient(PASSEDx, y, rows, NAME_g);
    const REAL keep1 = (REAL)beta1, keep2 = (REAL)beta2, decay = (REAL)weight_decay;
    const REAL new1 = (REAL)(1 - beta1), new2 = (REAL)(1 - beta2), least = (REAL)epsilon;
    const double power1 = NAME_power1 * beta1, power2 = NAME_power2 * beta2;
    const REAL step = (REAL)(lr / (1 - power1)), factor = (REAL)(1 / sqrt(1 - power2));
    const REAL rule = step + factor + keep1 + keep2 + decay + least;
    REAL odd = rule - rule;
    int i, writes;
    if (odd == 0 && !NAME_is_sound(loss))
        return loss;
    for (writes = 0; writes < 2; writes++) { /* not before all numbers are known to be finite */
        for (i = 0; i < MACRO_PARAMETERS; i++) {
            const REAL g = NAME_g[i] + decay * p[i];
            const REAL first = keep1 * NAME_first[i] + new1 * g;
            const REAL second = keep2 * NAME_second[i] + new2 * g * g;
            const REAL moved = p[i] - step * first / (sqrtF(second) * factor + least);
            odd += (moved - moved) + (second - second);
            if (writes) {
                NAME_first[i] = first;
                NAME_second[i] = second;
                p[i] = moved;
            }
        }
        if (odd != 0)
            return NAN;
    }
    NAME_power1 = power1;
    NAME_power2 = power2;
    return loss;
}
"""

_DECLARED = """\

/* Training, in static memory, of which there is one: not by several threads at once. Of `rows`
   samples, one or more, each MACRO_INPUTS numbers x and MACRO_TARGETS numbers y (of classes a
   probability for each: 1 for the right one, 0 for the others).

   NAME_gradient returns the loss, and writes its gradient: MACRO_PARAMETERS numbers in the order
   of the parameters, which are for each layer W (n_in, n_out), then b (n_out).

   NAME_sgd and NAME_adam update PARAMETERS
   and return the loss before that; where it or its gradient is not finite, they update nothing.
   Nor do they, and all three return NAN, with fewer rows than 1, a rule that is not finite or a
   step that would not be.
   NAME_reset makes the next step the first one: do so before the other rule. */
#define MACRO_TARGETS {targets}
REAL NAME_gradient(GIVENconst REAL *x, const REAL *y, int rows, REAL *gradient);
REAL NAME_sgd(WRITTENconst REAL *x, const REAL *y, int rows, double lr, double momentum,
    double weight_decay);
REAL NAME_adam(WRITTENconst REAL *x, const REAL *y, int rows, double lr, double beta1,
    double beta2, double epsilon, double weight_decay);
void NAME_reset(void);
"""


def _with(text: str, is_extern: bool) -> str:
    """Return a template with the arguments of parameters that the caller has, or without."""
    values = {
        "GIVEN": "const REAL *parameters, " if is_extern else "",
        "WRITTEN": "REAL *parameters, " if is_extern else "",
        "PASSED": "parameters, " if is_extern else "",
        "SOURCE": "parameters" if is_extern else "NAME_parameters",
        "TARGET": "parameters" if is_extern else "NAME_parameters",
        "PARAMETERS": "the parameters" if is_extern else "NAME_parameters",
    }
    return re.sub(
        r"(GIVEN|WRITTEN|PASSED)(?=const|REAL|x)|\b(SOURCE|TARGET|PARAMETERS)\b",
        lambda m: values[m[0]],
        text,
    )


def declare_training(net: Network, weights: Weights) -> str:
    """Return the template of the declarations."""
    targets = net.sizes[-1] // core.outputs_per_target(net.loss)
    return _with(_DECLARED.replace("{targets}", str(targets)), bool(weights.given))


def write_training(
    net: Network, layers: Sequence[Layer], words: Words, weights: Weights
) -> list[str]:
    """Return the templates of NAME_gradient, NAME_sgd and NAME_adam."""
    guard = weights.guard("gradient", "MACRO_PARAMETERS", "NAN")
    name, levels = core.split_loss(net.loss)
    output = layers[-1].activation
    loss = LOSSES.get(f"{name}, {output}", LOSSES.get(name))
    if loss is None:
        refuse("net", f"C has no loss {name}")
    found = places(net)
    last = found[-1]
    widest = max(place.width for place in found)
    arrays = [f"z[{widest}]", f"d[{widest}]", f"e[{widest}]"]
    arrays += [f"a{p.l}[{p.width}]" for p in found]
    arrays += [f"s{p.l}[{p.width}]" for p in found]
    lines = []
    for place, layer in zip(found, layers, strict=True):
        l, emitting = place.l, "x" if place.l == 1 else f"a{place.l - 1}"
        at = f"p + {place.at}" if place.at else "p"
        lines.append(f"    {layer_name(place, place is last)}({at}, {emitting}, z);")
        lines += copied(f"a{l}", "z", place.width)
        lines += activate(layer.activation, place, f"a{l}", words, net)
        if place is not last or name not in WITH_SLOPE:
            lines += slopes(layer.activation, place, ("z", f"a{l}", f"s{l}"), words, net)
    text = loss
    if name not in WITH_SLOPE:
        if output == "softmax":
            text += _SOFTMAX
        else:
            text += _ASCENDING if output == "ascending" else ""
            text += "    for (k = 0; k < n; k++)\n        d[k] *= sL[k];\n"
    values = {
        "a": f"a{last.l}", "sL": f"s{last.l}", "n": str(last.n_out), "m": str(net.num_targets),
    }  # fmt: skip
    text = re.sub(r"\b(a|sL|n|m)\b", lambda m: values[m[1]], text)
    lines += text.splitlines()
    lines += _backward(found)
    lines.append("    return cost;")
    used = "\n".join(lines)
    arrays = [one for one in arrays if re.search(rf"\b{one.partition('[')[0]}\b", used)]
    body = f"    static REAL {', '.join(arrays)};\n    REAL cost = 0;\n    int k;\n{used}\n"
    parts = []
    if name == "quantile":
        parts.append(words.array("levels", np.asarray(levels, net.dtype)))
    parts += [
        _ADD,
        "/* the cost of a sample; adds factor times its gradient to g */\n"
        "static REAL NAME_learn(const REAL *p, const REAL *x, const REAL *y, REAL factor, REAL *g)"
        f"\n{{\n{body}}}\n",
        _with(_GRADIENT.replace("GUARD", guard), bool(weights.given)),
        _with(_STEPS, bool(weights.given)),
    ]
    return parts


def _backward(found: Sequence[Place]) -> list[str]:
    """Return the lines of the delta recursion, from d on."""
    lines, delta, other = [], "d", "e"
    for place in reversed(found):
        l, emitting = place.l, "x" if place.l == 1 else f"a{place.l - 1}"
        lines.append(
            f"    NAME_add({emitting}, {delta}, g + {place.at}, {place.n_in}, {place.n_out});"
        )
        if l > 1:
            lines.append(
                f"    NAME_back(p + {place.at}, {delta}, {other}, {place.n_in}, {place.n_out});"
            )
            lines.append(f"    for (k = 0; k < {place.n_in}; k++)")
            lines.append(f"        {other}[k] *= s{l - 1}[k];")
            delta, other = other, delta
    return lines
