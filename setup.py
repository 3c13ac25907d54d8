"""What pyproject.toml cannot say: one library, for every version of Python."""

import os
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:     # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("obmalloc: a free-threaded Python needs its own allocator, and keeps it: "
             "there is nothing to build")
if not sys.platform.startswith("linux"):
    sys.exit(f"obmalloc: the loadable library is for Linux, not for {sys.platform}: "
             "build a patched interpreter instead")


class Wheel(bdist_wheel):
    """Any Python 3, this platform: the library asks for the version at run time."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class Build(build_ext):
    """No version of Python in the file's name; nor .abi3, since the library also calls
    functions that are no part of the stable ABI, if Python has them."""

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")) + ".so"


setup(
    cmdclass={"bdist_wheel": Wheel, "build_ext": Build},
    ext_modules=[Extension(
        "obmalloc._obmalloc",
        ["Objects/obmalloc/adapters/loadable.c", "Modules/_obmalloc.c"],
        include_dirs=["Include/internal"],
        define_macros=[("OBM_LOADABLE", "1")],
        extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", "-fno-plt"],
        extra_link_args=["-Wl,-z,relro", "-Wl,-z,now"],
    )],
)
