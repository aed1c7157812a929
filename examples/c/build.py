#!/usr/bin/env python3
"""Builds a C program that embeds this Python and calls fcnn.

    python build.py predict.c -o predict [flags for the compiler]

prints the command and runs it. A program of your own needs these flags, and at run time a Python
that finds fcnn: in a virtual environment PYTHONPATH must name its site-packages folder.
"""

import shlex
import subprocess
import sys
import sysconfig

import fcnn


def flags():
    """Return what follows the sources on the compiler's command line."""
    get = sysconfig.get_config_var
    return [
        f"-I{fcnn.get_include()}",
        f"-I{sysconfig.get_path('include')}",
        f"-L{get('LIBDIR')}",
        f"-L{get('LIBPL')}",
        f"-Wl,-rpath,{get('LIBDIR')}",
        f"-lpython{get('LDVERSION')}",
        # A static library's functions are for the extension modules, too: LINKFORSHARED.
        *shlex.split(" ".join(get(name) or "" for name in ("LIBS", "SYSLIBS", "LINKFORSHARED"))),
        "-lpthread",
    ]


if __name__ == "__main__":
    command = ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", *sys.argv[1:], *flags()]
    print(shlex.join(command))
    sys.exit(subprocess.run(command).returncode)
