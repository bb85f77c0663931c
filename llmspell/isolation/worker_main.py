"""What runs in the processes that hold Lua states. It is started as a script.

The first process, the template, reads from standard input by how many bytes a worker may grow, in
eight bytes, and then the bytecode that every state is made of. From then on it forks a worker
whenever the host asks for one; a worker confines itself and runs one spell. The two tell each other
pairs of four bytes each. The host: 0, 0 and with it a descriptor, fork a worker that talks through
that one; a process id and a signal, send that worker that signal. The template: the process id and
wait status of a worker that ended.

Host and worker send each other frames: a length in four bytes, and so many bytes. The worker's
first says its process id and the names of the measures that confine it. Then the host sends what
the state is to be like, and from then on messages, each of which is answered by one.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

sys.path += sys.argv[2:]  # where llmspell and lupa are

from llmspell.isolation import confinement
from llmspell.limits import Limits
from llmspell.lua.image import Image
from llmspell.lua.messages import Kill, killed
from llmspell.lua.vm import Vm

_LENGTH = struct.Struct("<I")
_PAIR = struct.Struct("<ii")
_MEMORY = struct.Struct("<Q")
SPARE_CPU = 2  # seconds beyond the time limit until the kernel ends a worker


def send_frame(pipe: socket.socket, data: bytes) -> None:
    pipe.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(pipe: socket.socket) -> bytes:
    """The next frame. Raises EOFError when there is none."""
    length = _LENGTH.unpack(_receive(pipe, _LENGTH.size))[0]
    return _receive(pipe, length)


def _receive(pipe: socket.socket, size: int) -> bytes:
    data = pipe.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError
    return data


class Template:
    """Forks workers, sends them signals and reaps them."""

    def __init__(self, control: socket.socket, setup: bytes) -> None:
        self._control = control
        self._workers: set[int] = set()
        self._memory = _MEMORY.unpack_from(setup)[0]
        self._image = Image(setup[_MEMORY.size :])
        confinement.prepare()

    def run(self) -> None:
        """Serve until the host is gone; no worker survives it."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        sources: list[Any] = [self._control, woken]
        try:
            while True:
                readable = select.select(sources, [], [])[0]
                if woken in readable:
                    os.read(woken, 1 << 16)
                    self._reap()
                if self._control in readable and not self._obey():
                    return
        finally:
            for worker in self._workers:
                os.killpg(worker, signal.SIGKILL)

    def _reap(self) -> None:
        for pid, status in _ended():
            self._workers.discard(pid)
            self._control.sendall(_PAIR.pack(pid, status))

    def _obey(self) -> bool:
        """Do what the host asks; False when it is gone."""
        data, descriptors, _, _ = socket.recv_fds(self._control, _PAIR.size, 1)
        if not data:
            return False
        worker, number = _PAIR.unpack(data)
        if worker in self._workers:
            os.killpg(worker, number)
        for descriptor in descriptors:
            self._fork(descriptor)
        return True

    def _fork(self, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            os.close(descriptor)  # by which the host learns of it
            return
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            self._work(descriptor)
        os.setpgid(pid, pid)
        self._workers.add(pid)
        os.close(descriptor)

    def _work(self, descriptor: int) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            work(socket.socket(fileno=descriptor), self._image, self._memory)
            code = 0
        finally:
            os._exit(code)


def work(pipe: socket.socket, image: Image, memory: int) -> None:
    """Be a worker, until the host hangs up."""
    measures = confinement.confine(memory)
    send_frame(pipe, json.dumps([os.getpid(), measures]).encode())
    try:
        limits, seed, tools = json.loads(receive_frame(pipe))
        vm = Vm(Limits(**limits), seed=seed, image=image, tools=tools, cpu_clock=True)
        allowed = 0
        while True:
            message = receive_frame(pipe)
            deadline = int(time.process_time() + limits["time"]) + SPARE_CPU
            if deadline > allowed:
                confinement.limit_cpu(deadline)
                allowed = deadline
            send_frame(pipe, _resume(vm, message))
    except EOFError:
        return


def _resume(vm: Vm, message: bytes) -> bytes:
    try:
        return vm.resume(message)
    except MemoryError:
        return killed(Kill("memory", "memory limit exceeded", None, ""))


def _ended() -> Iterator[tuple[int, int]]:
    """The workers that ended, and how."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def main(control: int) -> None:
    """Be the template. A worker can load nothing, so all it needs is loaded here."""
    time.localtime()
    template = Template(socket.socket(fileno=control), sys.stdin.buffer.read())
    gc.disable()
    gc.freeze()
    template.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
