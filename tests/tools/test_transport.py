import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager

import anyio
import httpx2
import pytest

from llmspell.errors import PermissionDenied
from llmspell.tools.transport import CheckedTransport, resolve

pytestmark = pytest.mark.anyio


class Listener:
    """Answers every request at one loopback address with what was asked of it."""

    def __init__(self, address, port=0, tls=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, port), family=family)
        self.address, self.port = self.socket.getsockname()[:2]
        self.tls, self.asked, self.names = tls, [], []
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                try:
                    self._answer(
                        self.tls.wrap_socket(client, server_side=True) if self.tls else client
                    )
                except OSError:
                    self.asked.append("broken off")

    def _answer(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                return
            head += piece
        self.asked.append(head.decode())
        body = self.address.encode()
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        client.close()


@pytest.fixture
def listen():
    opened = []

    def listen(*args, **options):
        opened.append(Listener(*args, **options))
        return opened[-1]

    yield listen
    for listener in opened:
        listener.socket.shutdown(socket.SHUT_RDWR)
        listener.socket.close()


class Names:
    """A name server: each name has a list of answers, the last of which it keeps giving."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    async def __call__(self, host, port):
        self.asked.append(host)
        answers = self.answers[host.partition(".")[0]]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Judge:
    """Refuses some addresses, and keeps what it judged."""

    def __init__(self, *refused):
        self.refused, self.judged = refused, []

    def allows_address(self, host, address, port):
        self.judged.append((host, address, port))
        return address not in self.refused

    async def obtain(self, host, address, port):
        raise PermissionDenied(f"no {host} at {address}:{port}")


@contextmanager
def client_for(names, judge=None, tls=None, **options):
    judge = judge or Judge()
    tls = tls or ssl.create_default_context()
    transport = CheckedTransport(judge, tls=tls, resolve=names, **options)
    yield httpx2.AsyncClient(transport=transport, trust_env=False, timeout=5)


async def test_the_address_that_was_judged_is_connected_to(listen):
    """Another answer at the next look-up, as of a name server that attacks, is never asked for."""
    safe = listen("127.0.0.1")
    listen("127.0.0.2", safe.port)
    names = Names(rebind=[["127.0.0.1"], ["127.0.0.2"]])
    judge = Judge()
    with client_for(names, judge) as client:
        async with client:
            response = await client.get(f"http://rebind.test:{safe.port}/tea?x=1")
    assert response.text == "127.0.0.1"
    assert str(response.url) == f"http://rebind.test:{safe.port}/tea?x=1"
    assert judge.judged == [("rebind.test", "127.0.0.1", safe.port)]
    assert names.asked == ["rebind.test"]
    head = safe.asked[0].lower()
    assert head.startswith("get /tea?x=1 ")
    assert f"\r\nhost: rebind.test:{safe.port}\r\n" in head


async def test_each_request_is_looked_up_and_judged_anew(listen):
    safe = listen("127.0.0.1")
    other = listen("127.0.0.2", safe.port)
    names = Names(rebind=[["127.0.0.1"], ["127.0.0.2"]])
    with client_for(names, Judge("127.0.0.2")) as client:
        async with client:
            await client.get(f"http://rebind.test:{safe.port}/")
            with pytest.raises(PermissionDenied, match=r"no rebind\.test at 127\.0\.0\.2"):
                await client.get(f"http://rebind.test:{safe.port}/")
    assert other.asked == []


async def test_no_connection_is_shared_by_two_names(listen):
    server = listen("127.0.0.1")
    names = Names(one=[["127.0.0.1"]], two=[["127.0.0.1"]])
    with client_for(names) as client:
        async with client:
            for name in ("one", "two", "two"):
                await client.get(f"http://{name}.test:{server.port}/")
    assert len(server.asked) == 3


async def test_only_allowed_addresses_are_tried_in_order(listen):
    server = listen("127.0.0.3")
    denied = listen("127.0.0.1", server.port)
    names = Names(many=[["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]])
    with client_for(names, Judge("127.0.0.1")) as client:
        async with client:
            response = await client.post(f"http://many.test:{server.port}/", content=b"tea")
    assert response.text == "127.0.0.3"
    assert len(server.asked) == 1
    assert denied.asked == []


async def test_when_no_address_is_allowed_the_first_refusal_is_the_answer(listen):
    names = Names(many=[["127.0.0.1", "127.0.0.2"]])
    with client_for(names, Judge("127.0.0.1", "127.0.0.2")) as client:
        async with client:
            with pytest.raises(PermissionDenied, match=r"at 127\.0\.0\.1:80"):
                await client.get("http://many.test/")
            with pytest.raises(PermissionDenied, match=r"at 127\.0\.0\.1:443"):
                await client.get("https://many.test/")


async def test_when_no_address_answers(listen):
    server = listen("127.0.0.1")
    names = Names(many=[["127.0.0.2", "127.0.0.3"]])
    with client_for(names) as client:
        async with client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"http://many.test:{server.port}/")


async def test_addresses_are_their_own_names(listen):
    try:
        server = listen("::1")
    except OSError:
        pytest.skip("there is no IPv6 here")
    with client_for(resolve) as client:
        async with client:
            assert (await client.get(f"http://[::1]:{server.port}/")).text == "::1"
    assert f"host: [::1]:{server.port}" in server.asked[0].lower()


async def test_the_system_resolves_localhost_and_numbers():
    assert set(await resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert await resolve("127.1", 80) == ["127.0.0.1"]
    assert await resolve("2130706433", 80) == ["127.0.0.1"]


async def test_a_name_that_leads_nowhere():
    async def nowhere(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with client_for(nowhere) as client:
        async with client:
            with pytest.raises(httpx2.ConnectError, match=r"gone\.test is not found: unknown"):
                await client.get("http://gone.test/")


async def test_proxies_of_the_environment_are_not_used(listen, monkeypatch):
    proxy, server = listen("127.0.0.1"), listen("127.0.0.1")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with client_for(Names(tea=[["127.0.0.1"]])) as client:
        async with client:
            await client.get(f"http://tea.test:{server.port}/")
    assert (proxy.asked, len(server.asked)) == ([], 1)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Certificate and key of tea.test."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tea.test "
        "-addext subjectAltName=DNS:tea.test -keyout key.pem -out certificate.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def secure(listen, certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    return listen("127.0.0.1", tls=tls)


async def test_tls_is_asked_for_the_name_and_checked_against_it(secure, certificate):
    tls = ssl.create_default_context(cafile=str(certificate[0]))
    with client_for(Names(tea=[["127.0.0.1"]]), tls=tls) as client:
        async with client:
            assert (await client.get(f"https://tea.test:{secure.port}/")).status_code == 200
    assert secure.names == ["tea.test"]


async def test_a_certificate_of_another_name_is_refused(secure, certificate):
    tls = ssl.create_default_context(cafile=str(certificate[0]))
    names = Names(coffee=[["127.0.0.1"]])
    names.answers["127"] = [["127.0.0.1"]]
    with client_for(names, tls=tls) as client:
        async with client:
            for host in ("coffee.test", "127.0.0.1"):
                with pytest.raises(httpx2.ConnectError, match="certificate"):
                    await client.get(f"https://{host}:{secure.port}/")


async def test_an_address_that_does_not_answer_gives_way_to_the_next(listen):
    """A full queue of connections answers nobody, like a machine behind a firewall."""
    server = listen("127.0.0.1")
    with socket.socket() as deaf, socket.socket() as first:
        deaf.bind(("127.0.0.2", server.port))
        deaf.listen(0)
        first.connect(deaf.getsockname())
        second = socket.socket()
        second.setblocking(False)
        second.connect_ex(deaf.getsockname())
        with second, client_for(Names(many=[["127.0.0.2", "127.0.0.1"]]), patience=0.2) as client:
            async with client:
                with anyio.fail_after(10):
                    response = await client.get(f"http://many.test:{server.port}/")
    assert response.text == "127.0.0.1"
