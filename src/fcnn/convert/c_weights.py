"""Where a file of C has the parameters: in its text, in a file beside it, or at its caller."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcnn.convert.c_layers import slack
from fcnn.convert.c_words import Words, text_literal
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

{sums}{kind}REAL NAME_parameters[MACRO_PARAMETERS + {slack}];
static int NAME_is_loaded;

int NAME_load(const char *path)
{{
    FILE *file = fopen(path, "rb");
    size_t count;
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
    NAME_is_loaded = NAME_checksum(NAME_parameters) == {checksum}ul;
    return NAME_is_loaded ? 0 : -3;
}}
#else
#ifndef MACRO_WEIGHTS
#define MACRO_WEIGHTS @PATH
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
        {zeros}".size NAME_parameters, . - NAME_parameters\\n"
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


# Of the numbers, so that it is the same whatever order their bytes have.
_CHECKSUM = """\
#include <stdint.h>
#include <string.h>

/* Adler-32 of the parameters, the lowest byte of each first */
static unsigned long NAME_checksum(const REAL *p)
{
    unsigned long low = 1, high = 0;
    WORD u;
    int i, k;
    for (i = 0; i < MACRO_PARAMETERS; i++) {
        memcpy(&u, p + i, sizeof u);
        for (k = 0; k < 8 * (int)sizeof u; k += 8) {
            low = (low + (unsigned long)(u >> k & 255)) % 65521;
            high = (high + low) % 65521;
        }
    }
    return high << 16 | low;
}
"""


class Weights(NamedTuple):
    """What a file of C has of the parameters."""

    kind: str  # one of KINDS, not "auto"
    source: str  # the array
    given: str  # how it stands before other arguments, where it is one
    declared: str  # templates, for `filled`
    defined: str
    checksum: int | None  # None of those that never change
    file: str = ""  # the name of the file beside it
    blob: bytes | None = None  # and what is in it

    def filled(self, template: str, words: Words) -> str:
        """Return a template with the words, and then the file's name, which may look like one."""
        # The assembler reads it between quotes, too: of the octal numbers it gets the backslashes.
        name = text_literal(self.file)
        names = {"@FILE": name, "@PATH": name.replace("\\", "\\\\")}
        return re.sub("@FILE|@PATH", lambda m: names[m[0]], words.filled(template))

    @property
    def passed(self) -> str:
        """How it stands before other arguments of a call."""
        return "parameters, " if self.given else ""

    def guard(self, array: str, n: int | str, value: str = "") -> str:
        """Return the statements that answer NaN before the parameters are there."""
        if self.kind != "file":
            return ""
        return _NOT_LOADED.format(array=array, n=n, value=value and f" {value}")


def file_beside(net: Network, kind: str, path: Path | None) -> Path | None:
    """Return the file of the weights of a text that is written to a path, None if it has none."""
    is_large = kind == "auto" and net.num_parameters > MOST_IN_TEXT
    return path.with_suffix(".bin") if path and (kind == "file" or is_large) else None


def write_weights(
    net: Network, words: Words, kind: str, file: Path | None, *, is_trained: bool, is_tested: bool
) -> Weights:
    """Return the templates of the parameters, `file` being what `file_beside` returns."""
    blob = net.parameters.astype(net.dtype.newbyteorder("<")).tobytes()
    checksum, sums = zlib.adler32(blob), _CHECKSUM if is_tested else ""
    if kind == "extern":
        given = "const REAL *parameters, "
        return Weights(kind, "parameters", given, "", sums, checksum)
    more = slack(net)
    if file is None:
        values = np.concatenate([net.parameters, np.zeros(more, net.dtype)])
        # Those that are trained are for others to read, to keep and to write.
        declared = f"\nextern REAL NAME_parameters[MACRO_PARAMETERS + {more}];\n"
        said = "for each layer W (n_in, n_out), then b (n_out)"
        written = words.array("parameters", values, "" if is_trained else "static const").lstrip()
        defined = f"/* {said} */\n{written}"
        if not is_trained:
            return Weights("text", "NAME_parameters", "", "", defined, None)
        return Weights("text", "NAME_parameters", "", declared, f"{defined}{sums}", checksum)
    zeros = f'".zero {more * words.itemsize}\\n"\n        ' if more else ""
    defined = sums + _FILE.format(
        sums="" if is_tested else f"{_CHECKSUM}\n",
        slack=more, zeros=zeros, bytes=len(blob), checksum=checksum,
        section=".data" if is_trained else ".rodata", kind="" if is_trained else "static ",
        const="" if is_trained else "const ",
    )  # fmt: skip
    declared = _FILE_DECLARED
    if is_trained:
        declared += f"extern REAL NAME_parameters[MACRO_PARAMETERS + {more}];\n"
    return Weights("file", "NAME_parameters", "", declared, defined, checksum, file.name, blob)
