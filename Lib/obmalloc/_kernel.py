"""What Linux says about the memory of a process."""

import os
import struct

_PRESENT = 1 << 63      # of an entry of /proc/PID/pagemap


class KernelError(OSError):
    """The kernel gives no answer; the message is one line for people."""


def read_file(pid, name):
    """The text of a file of /proc/PID, which may name files: decoded as their names are."""
    path = f'/proc/{pid}/{name}'
    try:
        with open(path, 'rb') as file:
            return os.fsdecode(file.read())
    except ProcessLookupError:
        raise KernelError(f'process {pid} is gone') from None
    except FileNotFoundError:
        if not os.path.exists('/proc/self'):
            raise KernelError('this system has no /proc: what memory a process has '
                              'cannot be read') from None
        raise KernelError(f'no process {pid}') from None
    except OSError as error:
        raise KernelError(f'{path}: {error.strerror}') from None


def process_bytes(pid='self'):
    """The resident set of a process in bytes, from /proc/PID/statm."""
    return int(read_file(pid, 'statm').split()[1]) * os.sysconf('SC_PAGE_SIZE')


def residence(pid='self'):
    """A function of (address, number of pages) to one byte a page: 1 where the
    kernel backs it with memory."""
    page_size = os.sysconf('SC_PAGE_SIZE')

    def resident(address, count):
        try:
            with open(f'/proc/{pid}/pagemap', 'rb', buffering=0) as file:
                file.seek(address // page_size * 8)
                entries = file.read(count * 8)
        except ProcessLookupError:
            raise KernelError(f'process {pid} is gone') from None
        except OSError as error:
            raise KernelError(f'/proc/{pid}/pagemap: {error.strerror}') from None
        entries += bytes(count * 8 - len(entries))
        return bytes(entry & _PRESENT != 0 for entry, in struct.iter_unpack('=Q', entries))
    return resident
