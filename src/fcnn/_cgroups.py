"""What the control groups that this process is in allow it: CPUs and memory of a container."""

from collections.abc import Callable

MEMBERSHIP, ROOT = "/proc/self/cgroup", "/sys/fs/cgroup"


def least(
    controller: str,
    limit_of: Callable[[str], int | None],
    membership: str = MEMBERSHIP,
    root: str = ROOT,
) -> int | None:
    """Return the least limit of the cgroups that a process is in; None without one.

    Parameters
    ----------
    controller : str
        cpu or memory.
    limit_of : callable
        What is allowed in the folder of one cgroup; None if it says nothing.
    membership : str
        The file that lists the process's cgroups, one line for each hierarchy: its number, its
        controllers (none for cgroup v2) and the path of the group.
    root : str
        Where cgroup v2 is mounted, and in its folder ``cpu``, ``cpu,cpuacct`` or ``memory`` that
        hierarchy of cgroup v1.
    """
    limits = []
    for line in (read(membership) or f"0::/\n0:{controller}:/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":
            mounts = {root}
        elif controller in controllers.split(","):
            mounts = {f"{root}/{controller}", f"{root}/{controllers}"}
        else:
            continue
        # Every parent's limit binds too. In a container the path may be the one outside, of which
        # nothing is to be seen here; then the mount itself, the last, is the container's group.
        names = [name for name in group.split("/") if name not in ("", "..")]
        for mount in mounts:
            for depth in range(len(names), -1, -1):
                limits.append(limit_of("/".join([mount, *names[:depth]])))
    return min((limit for limit in limits if limit is not None), default=None)


def memory_of(folder: str) -> int | None:
    """Return the bytes that one cgroup may have; None if it says nothing, or no limit."""
    text = read(f"{folder}/memory.max")
    if text is None:
        text = read(f"{folder}/memory.limit_in_bytes")  # of v1, where 2^63 less a page is no limit
    try:
        limit = int(text or "")
    except ValueError:  # "max"
        return None
    return limit if 0 < limit < 2**62 else None


def read(path: str) -> str | None:
    """Return a file's text; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (OSError, ValueError):
        return None
