"""Where a file of C has the parameters: in its text, in a file beside it, or at its caller."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from fcnn.convert.c_layers import slack
from fcnn.convert.c_words import Words
from fcnn.network import Network

KINDS = ("auto", "text", "file", "extern")

# Of more numbers the text would be large (20 bytes each) and the compiler slow (a second for a
# million of them).
MOST_IN_TEXT = 2**18

_FILE_DECLARED = """\

/* The parameters are in @FILE: MACRO_PARAMETERS of REAL,
   lowest byte first. The assembler puts them into the program where it can, from the folder where
   the compiler runs or one of its -I; or from MACRO_WEIGHTS, "a path". With MACRO_LOAD defined, and
   elsewhere, NAME_load reads them: 0, -1 if it cannot read the file, -2 if this has another length,
   -3 if it has other numbers than were written. Before that all answers are NaN. */
#if !defined(__ELF__) && !defined(MACRO_LOAD)
#define MACRO_LOAD
#endif
#ifdef MACRO_LOAD
int NAME_load(const char *path);
#endif
"""

_FILE = """\
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "NAME: the file of the parameters has the lowest byte of each first"
#endif
#ifdef MACRO_LOAD
#include <stdio.h>

{kind}REAL NAME_parameters[MACRO_PARAMETERS + {slack}];
static int NAME_is_loaded;

int NAME_load(const char *path)
{{
    FILE *file = fopen(path, "rb");
    const unsigned char *bytes = (const unsigned char *)NAME_parameters;
    unsigned long low = 1, high = 0;
    size_t count, i;
    int more;
    NAME_is_loaded = 0;
    if (file == NULL)
        return -1;
    count = fread(NAME_parameters, sizeof(REAL), MACRO_PARAMETERS, file);
    more = fgetc(file);
    if (ferror(file)) {{
        fclose(file);
        return -1;
    }}
    fclose(file);
    if (count != MACRO_PARAMETERS || more != EOF)
        return -2;
    for (i = 0; i < MACRO_PARAMETERS * sizeof(REAL); i++) {{ /* Adler-32 */
        low = (low + bytes[i]) % 65521;
        high = (high + low) % 65521;
    }}
    NAME_is_loaded = (high << 16 | low) == {checksum}ul;
    return NAME_is_loaded ? 0 : -3;
}}
#else
#ifndef MACRO_WEIGHTS
#define MACRO_WEIGHTS @FILE
#endif
/* Their length is checked here; whether they are the right ones, only NAME_load looks. Clang's
   assembler knows it too late for .if, but refuses a negative number of zeros. */
#ifdef __clang__
#define MACRO_CHECK ".zero . - NAME_parameters - {bytes}\\n.zero {bytes} + NAME_parameters - .\\n"
#else
#define MACRO_CHECK \\
    ".if . - NAME_parameters - {bytes}\\n" \\
    ".error \\"" MACRO_WEIGHTS ": expected {bytes} bytes\\"\\n" \\
    ".endif\\n"
#endif
__asm__(".pushsection {section}\\n"
        ".balign 64\\n"
        ".globl NAME_parameters\\n"
        ".hidden NAME_parameters\\n"
        ".type NAME_parameters, %object\\n"
        "NAME_parameters:\\n"
        ".incbin \\"" MACRO_WEIGHTS "\\"\\n"
        MACRO_CHECK
        ".zero {zeros}\\n"
        ".size NAME_parameters, . - NAME_parameters\\n"
        ".popsection\\n");
#ifdef __cplusplus
extern "C" {{
#endif
extern {const}REAL NAME_parameters[MACRO_PARAMETERS + {slack}]
    __attribute__((visibility("hidden")));
#ifdef __cplusplus
}}
#endif
enum {{ NAME_is_loaded = 1 }};
#endif
"""


_NOT_LOADED = """\
    if (!NAME_is_loaded) {{
        for (k = 0; k < {n}; k++)
            {array}[k] = NAN;
        return{value};
    }}
"""


class Weights(NamedTuple):
    """What a file of C has of the parameters."""

    kind: str  # one of KINDS, not "auto"
    source: str  # the array
    given: str  # how it stands before other arguments, where it is one
    declared: str  # templates, in which @FILE is the name of the file beside it
    defined: str
    blob: bytes | None = None  # the file beside it

    @property
    def passed(self) -> str:
        """How it stands before other arguments of a call."""
        return "parameters, " if self.given else ""

    def guard(self, array: str, n: int | str, value: str = "") -> str:
        """Return the statements that answer NaN before the parameters are there."""
        if self.kind != "file":
            return ""
        return _NOT_LOADED.format(array=array, n=n, value=value and f" {value}")


def write_weights(
    net: Network, words: Words, kind: str, *, has_path: bool, is_trained: bool
) -> Weights:
    """Return the templates of the parameters; `has_path` says whether a file can be beside them."""
    if kind == "auto":
        kind = "file" if has_path and net.num_parameters > MOST_IN_TEXT else "text"
    if kind == "extern":
        return Weights(kind, "parameters", "const REAL *parameters, ", "", "")
    more = slack(net)
    if kind == "text":
        values = np.concatenate([net.parameters, np.zeros(more, net.dtype)])
        # Those that are trained are for others to read, to keep and to write.
        declared = f"\nextern REAL NAME_parameters[MACRO_PARAMETERS + {more}];\n"
        said = "for each layer W (n_in, n_out), then b (n_out)"
        written = words.array("parameters", values, "" if is_trained else "static const").lstrip()
        return Weights(
            kind, "NAME_parameters", "", declared if is_trained else "", f"/* {said} */\n{written}"
        )
    blob = net.parameters.astype(net.dtype.newbyteorder("<")).tobytes()
    defined = _FILE.format(
        slack=more, zeros=more * words.itemsize, bytes=len(blob),
        section=".data" if is_trained else ".rodata", kind="" if is_trained else "static ",
        const="" if is_trained else "const ", checksum=zlib.adler32(blob),
    )  # fmt: skip
    declared = _FILE_DECLARED
    if is_trained:
        declared += f"extern REAL NAME_parameters[MACRO_PARAMETERS + {more}];\n"
    return Weights(kind, "NAME_parameters", "", declared, defined, blob)
