"""Build the C parts of these tests, with the interpreter's own compiler.

Whatever is missing (compiler, header, library) skips the tests that need it,
and says so.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import unittest

from .compat import import_module

HERE = os.path.dirname(os.path.abspath(__file__))


def words(*names):
    """The words of these configuration variables, in order."""
    return [word for name in names
            for word in shlex.split(sysconfig.get_config_var(name) or '')]


def compiler():
    command = words('CC')
    if os.name != 'posix' or not command or shutil.which(command[0]) is None:
        raise unittest.SkipTest('no C compiler: ' + (' '.join(command) or 'unknown'))
    return command


def include_flags():
    header = os.path.join(sysconfig.get_path('include'), 'Python.h')
    if not os.path.exists(header):
        raise unittest.SkipTest(f'no header {header}')
    # In a build tree pyconfig.h lies elsewhere than Python.h.
    folders = {os.path.dirname(header): None,
               os.path.dirname(sysconfig.get_config_h_filename()): None}
    return [f'-I{folder}' for folder in folders] + [f'-I{HERE}']


def run_compiler(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='replace')
    if done.returncode != 0:
        raise AssertionError(f'{shlex.join(command)}\n{done.stdout}')


def build_extension(folder):
    """Compile _testobmalloc.c into the folder."""
    target = os.path.join(folder, '_testobmalloc' + sysconfig.get_config_var('EXT_SUFFIX'))
    run_compiler([*compiler(), '-shared', *words('CFLAGS', 'CCSHARED'), '-Werror', '-O1',
                  *include_flags(), os.path.join(HERE, '_testobmalloc.c'), '-o', target])


def python_library():
    name = sysconfig.get_config_var('LDLIBRARY')
    if sysconfig.is_python_build():
        folders = [sysconfig.get_config_var('abs_builddir')]
    else:
        folders = [sysconfig.get_config_var('LIBDIR'), sysconfig.get_config_var('LIBPL')]
    for folder in folders:
        path = os.path.join(folder or '', name or '')
        if os.path.isfile(path):
            return path
    raise unittest.SkipTest(f'no library {name} in {folders}')


def whole(library):
    """Link all of a static library: extension modules may need any of it."""
    if not library.endswith('.a'):
        return [library]
    if sys.platform == 'darwin':
        return [f'-Wl,-force_load,{library}']
    return ['-Wl,--whole-archive', library, '-Wl,--no-whole-archive']


def build_embedding(folder):
    """Compile and link embedding.c; return the path of the program."""
    target = os.path.join(folder, 'embedding')
    library = python_library()
    run_compiler([*compiler(), *words('CFLAGS'), '-Werror', '-O1', *include_flags(),
                  os.path.join(HERE, 'embedding.c'), '-o', target, *whole(library),
                  *words('LIBS', 'MODLIBS', 'SYSLIBS', 'LINKFORSHARED'),
                  f'-Wl,-rpath,{os.path.dirname(library)}'])
    return target


class BuildFolder:
    """Mixin: a folder for what a test class builds, gone after it."""

    @classmethod
    def make_folder(cls):
        folder = tempfile.mkdtemp(prefix='test_obmalloc-')
        cls.addClassCleanup(shutil.rmtree, folder)
        return folder


class ExtensionTest(BuildFolder):
    """Mixin: child processes can import _testobmalloc.

    The extension is not loaded into the process of the test itself, which
    would keep it for ever.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.make_folder()
        build_extension(cls.folder)
        import_module('_obmalloc')

    def environment(self):
        return {'PYTHONPATH': self.folder}
