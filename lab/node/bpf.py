"""Programs that let a control group open only certain connections, and how the kernel gets them.

A program is asked at each connect(2) and each datagram, whatever the language or library; it answers with EPERM. It needs root
and a kernel with cgroup BPF. Connections that stood before it stay. Raw sockets cannot be made at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from pathlib import Path

from lab.node.egress import EVERYWHERE, Allow

_SYSCALL = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH = 5, 8, 9
_TYPE_SOCK, _TYPE_SOCK_ADDR = 9, 18
SOCK_CREATE, CONNECT4, CONNECT6, SENDMSG4, SENDMSG6 = 2, 10, 11, 14, 15
"""Attach types (linux/bpf.h)."""
HOOKS = (SOCK_CREATE, CONNECT4, CONNECT6, SENDMSG4, SENDMSG6)
_OVERRIDABLE = 1
# offsets in `struct bpf_sock_addr` and `struct bpf_sock`
_IP4, _IP6, _PORT, _PROTOCOL, _SOCK_TYPE = 4, 8, 24, 36, 8
_SOCK_RAW = 3
# opcodes: loads and moves, 32-bit comparisons with a constant
_LOAD, _MOVE, _AND, _BIG_ENDIAN, _SET, _EXIT = 0x61, 0xBC, 0x54, 0xDC, 0xB7, 0x95
_UNEQUAL, _BELOW, _ABOVE = 0x56, 0xA6, 0x26
_RESULT, _CONTEXT, _ADDRESS, _PORT_OF, _PROTOCOL_OF, _MASKED = range(6)

_libc = ctypes.CDLL(None, use_errno=True)


def assembled(hook: int, rules: Sequence[Allow]) -> bytes:
    """The program of one hook. Pure."""
    if hook == SOCK_CREATE:
        return b"".join([_op(_LOAD, _ADDRESS, _CONTEXT, _SOCK_TYPE), _op(_UNEQUAL, _ADDRESS, off=2, imm=_SOCK_RAW),
                         *_answer(0), *_answer(1)])  # fmt: skip
    body = b"".join(_rule(rule) for rule in rules) + b"".join(_answer(0))
    head = b"".join(
        [
            _op(_LOAD, _PORT_OF, _CONTEXT, _PORT),
            _op(_BIG_ENDIAN, _PORT_OF, imm=16),
            _op(_LOAD, _PROTOCOL_OF, _CONTEXT, _PROTOCOL),
        ]
    )
    if hook in (CONNECT6, SENDMSG6):
        return _mapped(open_to_all=any(_is_open(rule) for rule in rules)) + head + body
    return _op(_LOAD, _ADDRESS, _CONTEXT, _IP4) + head + body


def _is_open(rule: Allow) -> bool:
    return rule == Allow(EVERYWHERE)


def _mapped(*, open_to_all: bool) -> bytes:
    """IPv4 in IPv6's clothes (::ffff:a.b.c.d) goes on as IPv4; of anything else nothing is allowed, unless everything is."""
    checks = ((0, 0), (4, 0), (8, struct.unpack("=i", bytes([0, 0, 0xFF, 0xFF]))[0]))
    end = _answer(1 if open_to_all else 0)
    parts: list[bytes] = []
    for place, (offset, wanted) in enumerate(checks):
        left = 2 * (len(checks) - 1 - place)
        parts += [_op(_LOAD, _ADDRESS, _CONTEXT, _IP6 + offset), _op(_UNEQUAL, _ADDRESS, off=left + 2, imm=wanted)]
    skip = _op(0x05, 0, off=len(end))  # past the answer for what is no IPv4
    return b"".join([*parts, _op(_LOAD, _ADDRESS, _CONTEXT, _IP6 + 12), skip, *end])


def _rule(rule: Allow) -> bytes:
    """Falls through to the next rule unless all of it matches."""
    mask, network = (
        struct.unpack("=i", part.packed)[0] for part in (rule.network.netmask, rule.network.network_address)
    )
    tests: list[tuple[int, int, int]] = [(_UNEQUAL, _MASKED, network)]
    if (rule.low, rule.high) != (0, 65535):
        tests += [(_BELOW, _PORT_OF, rule.low), (_ABOVE, _PORT_OF, rule.high)]
    if rule.protocol:
        tests.append((_UNEQUAL, _PROTOCOL_OF, rule.protocol))
    yes = _answer(1)
    jumps = [
        _op(code, register, off=len(tests) - 1 - place + len(yes), imm=value)
        for place, (code, register, value) in enumerate(tests)
    ]
    return b"".join([_op(_MOVE, _MASKED, _ADDRESS), _op(_AND, _MASKED, imm=mask), *jumps, *yes])


def _answer(value: int) -> list[bytes]:
    return [_op(_SET, _RESULT, imm=value), _op(_EXIT)]


def _op(code: int, to: int = 0, source: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | to, off, imm)


# --- the kernel


def restrict(group: Path, rules: Sequence[Allow] | None) -> None:
    """Every process in the control group, present and future, opens these connections only; None: any. Raises OSError."""
    target = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for hook in HOOKS:
            _attach(target, hook, assembled(hook, rules)) if rules is not None else _detach(target, hook)
    finally:
        os.close(target)


def _attach(target: int, hook: int, program: bytes) -> None:
    loaded = _load(hook, program)
    try:
        _bpf(_PROG_ATTACH, struct.pack("=IIII", target, loaded, hook, _OVERRIDABLE))
    finally:
        os.close(loaded)


def _detach(target: int, hook: int) -> None:
    with contextlib.suppress(FileNotFoundError):  # there was none
        _bpf(_PROG_DETACH, struct.pack("=IIII", target, 0, hook, 0))


def _load(hook: int, program: bytes) -> int:
    kind = _TYPE_SOCK if hook == SOCK_CREATE else _TYPE_SOCK_ADDR
    code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"GPL")
    where = (ctypes.addressof(code), ctypes.addressof(licence))
    attributes = struct.pack("=IIQQIIQII16sII", kind, len(program) // 8, *where, 0, 0, 0, 0, 0, b"lab_egress", 0, hook)
    return _bpf(_PROG_LOAD, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(f"no bpf(2) is known for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, 128)
    result: int = _libc.syscall(number, command, buffer, 128)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"bpf({command}): {os.strerror(code)}")
    return result
