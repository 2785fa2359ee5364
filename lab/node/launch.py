"""Starts one container: a mount and a process namespace of its own, its volumes in place, then the command.

Run as a script by its path, with the standard library alone, because it starts once for every container. It stays as the
container's parent: it passes SIGTERM on and leaves with the container's exit code (128 + n for signal n). The kernel
kills it with the agent, and the container, all of its process namespace, with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import NoReturn

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
PR_SET_PDEATHSIG = 1
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 0x1
CANNOT_START = 128  # what a container runtime reports when the command itself could not be started

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """mount(2). Raises OSError that names both ends."""
    filesystem = kind.encode() if kind else None
    _check(_libc.mount(source.encode(), target.encode(), filesystem, flags, None), f"mount {source} on {target}")


def die_with_parent(parent: int) -> None:
    """Asks the kernel for SIGKILL when the parent ends; leaves at once if that has happened already."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(137)


def enter_group(group: str) -> None:
    """The pod's control group, before anything of the pod runs; what it starts is in it too."""
    if group:
        with open(f"{group}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))


def enter_namespaces() -> None:
    """Private mounts and processes; without root, inside a user namespace in which we are root."""
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWPID | (CLONE_NEWUSER if uid else 0)), "unshare")
    if uid:
        for name, line in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def make_place(source: str, target: str) -> None:
    """Something that `source` can be mounted on, if there is nothing yet."""
    if os.path.exists(target):
        return
    if os.path.isdir(source):
        os.makedirs(target)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "a"):
        pass


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Makes `source` (a file or directory with all that is mounted in it) appear at `target`, which is created."""
    make_place(source, target)
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        kept = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME)
        mount("none", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def graft(host: str, inside: str, targets: list[str]) -> None:
    """Rebuilds directory `host` at `inside`, entry by entry, leaving room for what will be mounted at `targets`.

    The machine's own directories stay untouched: a mount point that it lacks exists in the container only.
    """
    for entry in os.scandir(host):
        path, copy = entry.path, os.path.join(inside, entry.name)
        if path in targets:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(path), copy)
        elif any(target.startswith(path + "/") for target in targets) and entry.is_dir():
            os.mkdir(copy)
            graft(path, copy, targets)
        elif entry.is_dir() or entry.is_file():
            bind(path, copy)


def mark_read_only(path: str, read_only: bool) -> None:
    """Everything that is mounted at `path` and below it."""
    added, taken = (MOUNT_ATTR_RDONLY, 0) if read_only else (0, MOUNT_ATTR_RDONLY)
    attributes = (ctypes.c_uint64 * 4)(added, taken, 0, 0)
    where = ctypes.c_char_p(path.encode())
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    done = _libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, where, AT_RECURSIVE, attributes, size)
    _check(done, f"mount_setattr {path}")


def build_root(root: str, volumes: list[dict[str, str]], kept: list[str], read_only: bool) -> None:
    """The container's file system: the machine's, plus `volumes` ({source, target, read_only}). `read_only`: nothing but the
    volumes and /dev can be written. `kept`: what the images' commands are made of, in sight also below a volume."""
    mount("tmpfs", root, "tmpfs", 0)
    places = sorted((os.path.realpath(volume["target"]), volume) for volume in volumes)
    graft("/", root, [target for target, _ in places])
    if read_only:
        for target, volume in places:
            make_place(volume["source"], root + target)
        mark_read_only(root, True)
        mark_read_only(f"{root}/dev", False)
    for target, volume in places:
        bind(volume["source"], root + target, read_only=bool(volume["read_only"]))
        for path in kept:
            if path.startswith(f"{target}/"):
                bind(path, root + path, read_only=True)


def mount_proc(root: str) -> None:
    """A /proc of the new process namespace, where the kernel lets us; else the machine's stays in sight."""
    try:
        mount("proc", f"{root}/proc", "proc", 0)
    except PermissionError as error:
        print(f"note: {error}; the container sees the machine's processes", file=sys.stderr)


def run_command(spec: dict[str, object]) -> NoReturn:
    """The first process of the container. Its parent is outside the namespace, hence seen as 0."""
    argv, env, root = spec["argv"], spec["env"], str(spec["root"])
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    try:
        _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        mount_proc(root)
        os.chroot(root)
        os.chdir(str(spec["cwd"]))
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.environ["PATH"] = env.get("PATH", os.defpath)
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        print(f"cannot start {argv[0]!r}: {error}", file=sys.stderr, flush=True)
    os._exit(CANNOT_START)


def decides(pid: int, number: int) -> bool:
    """Whether the process handles or ignores the signal by its own choice."""
    try:
        with open(f"/proc/{pid}/status") as file:
            masks = dict(line.split(":", 1) for line in file)
    except OSError:
        return False
    return bool((int(masks["SigCgt"], 16) | int(masks["SigIgn"], 16)) >> (number - 1) & 1)


def supervise(pid: int) -> int:
    """Waits for the container's first process and returns its exit code, passing SIGTERM on meanwhile."""
    terminated = False

    def forward(_number: int, _frame: object) -> None:
        # The kernel ignores a signal without a handler for the first process of a namespace; elsewhere it kills.
        nonlocal terminated
        terminated = not decides(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGKILL if terminated else signal.SIGTERM)

    signal.signal(signal.SIGTERM, forward)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if terminated:
        return 128 + signal.SIGTERM
    return status if status >= 0 else 128 - status


def main(path: str) -> int:
    """`path`: a JSON file with argv, env, cwd, root (an empty directory), volumes, kept, read_only, group (a control group or
    ""), parent (pid), pid_file."""
    with open(path) as file:
        spec = json.load(file)
    die_with_parent(int(spec["parent"]))
    os.setsid()
    try:
        enter_group(str(spec.get("group", "")))
        enter_namespaces()
        build_root(spec["root"], spec["volumes"], spec["kept"], bool(spec.get("read_only")))
    except OSError as error:
        print(f"cannot prepare the container: {error}", file=sys.stderr)
        return CANNOT_START
    pid = os.fork()
    if pid == 0:
        run_command(spec)
    with open(spec["pid_file"] + ".new", "w") as file:
        file.write(str(pid))
    os.rename(spec["pid_file"] + ".new", spec["pid_file"])
    return supervise(pid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
