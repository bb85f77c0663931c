"""The program that runs in the processes with Lua states. It is started as a script.

The first process, the template, reads from standard input: in eight bytes, by how many bytes a
worker may grow; then the bytecode that every state is created from. From then on it forks a worker
at each request of the host; a worker confines itself and runs one spell. Template and host exchange
pairs of two four-byte numbers. From the host: 0, 0 along with a descriptor, to fork a worker that
communicates through it; or a process id and a signal, to send that signal to that worker. From the
template: the process id and wait status of a worker that ended.

Host and worker exchange frames: a four-byte length, followed by that many bytes. The worker's first
frame contains its process id and the names of the measures that confine it. The host then sends the
parameters of the state, and after that messages, each of which is answered by one message.
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
SPARE_CPU = 2  # seconds beyond the time limit, after which the kernel ends a worker


def send_frame(pipe: socket.socket, data: bytes) -> None:
    pipe.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(pipe: socket.socket) -> bytes:
    """Return the next frame. Raises EOFError at the end."""
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
        self._pipe = os.pipe()  # tells of signals
        self._memory = _MEMORY.unpack_from(setup)[0]
        self._image = Image(setup[_MEMORY.size :])
        confinement.prepare()

    def run(self) -> None:
        """Serve until the host is gone; no worker outlives it."""
        woken, wake = self._pipe
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
                if self._control in readable and not self._handle_request():
                    return
        finally:
            for worker in self._workers:
                os.killpg(worker, signal.SIGKILL)

    def _reap(self) -> None:
        for pid, status in _ended():
            self._workers.discard(pid)
            self._control.sendall(_PAIR.pack(pid, status))

    def _handle_request(self) -> bool:
        """Execute a request of the host; return False when the host is gone."""
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
            os.close(descriptor)  # which tells the host
            return
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            for end in self._pipe:  # a reader would keep the ends of others from the template
                os.close(end)
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
    """Serve as a worker, until the host closes the connection."""
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
    """Yield the process id and wait status of each worker that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def main(control: int) -> None:
    """Run the template. A worker cannot load anything, so everything it needs is loaded here."""
    time.localtime()
    template = Template(socket.socket(fileno=control), sys.stdin.buffer.read())
    gc.disable()
    gc.freeze()
    template.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
