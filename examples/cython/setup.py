"""Builds the example: python setup.py build_ext --inplace."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import fcnn

setup(
    name="rollout",
    ext_modules=cythonize(
        [Extension("rollout", ["rollout.pyx"], include_dirs=[fcnn.get_include()])]
    ),
)
