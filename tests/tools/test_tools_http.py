import asyncio
import gzip
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import pytest

from llmspell.errors import InvalidArguments, PermissionDenied, ToolError
from llmspell.permissions import Grants, Need, Permissions
from llmspell.tools.http import http_request

pytestmark = pytest.mark.anyio


class Site(BaseHTTPRequestHandler):
    """Does what the path says; /echo answers with the request it got."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        self.sent = self.rfile.read(length)
        path, _, self.query = self.path.partition("?")
        self.server.asked.append(self.path)
        getattr(self, path.strip("/").replace("/", "_") or "echo")()

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo(self):
        got = {
            "method": self.command,
            "path": self.path,
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "body": self.sent.decode("latin-1"),
        }
        self.reply(200, json.dumps(got).encode(), content_type="application/json; charset=utf-8")

    def redirect(self):
        """`?303,http://elsewhere/` redirects there."""
        status, _, location = self.query.partition(",")
        self.reply(int(status), b"moved", location=location)

    def loop(self):
        self.reply(302, location="/loop")

    def teapot(self):
        self.reply(
            418, "kort og godt: nei".encode("utf-16"), content_type="text/plain; charset=utf-16"
        )

    def binary(self):
        self.reply(200, b"\xff\xfe\x00", content_type="application/octet-stream")

    def mislabelled(self):
        self.reply(200, b"\xff{", content_type="application/json; charset=nonsense")

    def many_values(self):
        self.reply(200, b"[" + b"[]," * 1_000_001 + b"1]", content_type="application/json")

    def no_json(self):
        self.reply(200, b"<p>", content_type="application/problem+json")

    def packed(self):
        self.reply(200, gzip.compress(b"x" * 5_000_000), content_encoding="gzip")

    def packed_thrice(self):
        self.reply(200, gzip.compress(b"x"), content_encoding="gzip, Identity, deflate,gzip")

    def badly_packed(self):
        self.reply(200, b"no gzip", content_encoding="gzip")

    def large(self):
        self.reply(200, b"x" * 1000)

    def endless(self):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while not self.server.stopping.is_set():
            self.wfile.write(b"400\r\n" + b"x" * 0x400 + b"\r\n")

    def slow(self):
        self.server.stopping.wait(30)

    def drip(self):
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        while not self.server.stopping.wait(0.05):
            self.wfile.write(b"x")

    def truncated(self):
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def silent(self):
        self.close_connection = True

    def nonsense(self):
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def handle(self):
        try:
            super().handle()
        except OSError:
            self.server.dropped.set()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Site)
        self.asked = []
        self.stopping = threading.Event()
        self.dropped = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def start():
    servers = []

    def start():
        server = Server()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stopping.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(start):
    return start()


async def test_a_json_response(call, site):
    response = await call(http_request, url=f"{site.url}/echo?a=1#part")
    assert response["status"] == 200
    assert response["headers"]["content-type"] == "application/json; charset=utf-8"
    assert response["json"]["method"] == "GET"
    assert response["json"]["path"] == "/echo?a=1"
    assert response["json"]["headers"]["user-agent"] == "llmspell"
    assert json.loads(response["body"]) == response["json"]
    assert response["url"] == f"{site.url}/echo?a=1#part"


async def test_what_is_sent(call, site):
    async def echo(**options):
        return (await call(http_request, url=f"{site.url}/echo?a=1", **options))["json"]

    got = await echo(method="POST", json={"x": [1, "é"]}, headers={"X-Key": "k"})
    assert (got["method"], json.loads(got["body"].encode("latin-1"))) == ("POST", {"x": [1, "é"]})
    assert got["headers"]["content-type"] == "application/json"
    assert got["headers"]["x-key"] == "k"
    got = await echo(method="PUT", body=b"\xff", headers={"Content-Type": "image/x"})
    assert (got["body"], got["headers"]["content-type"]) == ("\xff", "image/x")
    assert (await echo(method="PATCH", body="é"))["body"] == "é".encode().decode("latin-1")
    got = await echo(query={"b": "x y&z", "c": [1, 2.5], "d": True})
    assert got["path"] in (
        "/echo?a=1&b=x+y%26z&c=1&c=2.5&d=true",
        "/echo?a=1&b=x%20y%26z&c=1&c=2.5&d=true",
    )
    assert (await echo(method="POST", json=False))["body"] == "false"


async def test_every_status_is_a_result(call, site):
    response = await call(http_request, url=f"{site.url}/teapot")
    assert response["status"] == 418
    assert response["body"] == "kort og godt: nei"
    assert response["json"] is None


async def test_bodies_that_are_no_text_or_no_json(call, site):
    assert (await call(http_request, url=f"{site.url}/binary"))["body"] == b"\xff\xfe\x00"
    response = await call(http_request, url=f"{site.url}/mislabelled")
    assert (response["body"], response["json"]) == (b"\xff{", None)
    response = await call(http_request, url=f"{site.url}/many_values")
    assert (len(response["body"]), response["json"]) == (3_000_006, None)
    response = await call(http_request, url=f"{site.url}/no_json")
    assert (response["body"], response["json"]) == ("<p>", None)


async def test_head(call, site):
    response = await call(http_request, url=f"{site.url}/large", method="HEAD", max_bytes=10)
    assert (response["body"], response["headers"]["content-length"]) == ("", "1000")


async def test_large_bodies_are_refused_and_the_exact_size_is_not(call, site):
    assert len((await call(http_request, url=f"{site.url}/large", max_bytes=1000))["body"]) == 1000
    with pytest.raises(ToolError, match="larger than max_bytes = 999"):
        await call(http_request, url=f"{site.url}/large", max_bytes=999)
    assert len((await call(http_request, url=f"{site.url}/packed"))["body"]) == 5_000_000
    with pytest.raises(ToolError, match="larger than max_bytes"):
        await call(http_request, url=f"{site.url}/packed", max_bytes=4_999_999)
    with pytest.raises(ToolError, match="larger than max_bytes") as caught:
        await call(http_request, url=f"{site.url}/endless", max_bytes=100_000)
    assert not caught.value.retryable
    assert site.dropped.wait(5), "the connection stayed open"


@pytest.mark.parametrize("path", ["slow", "drip"])
@pytest.mark.parametrize(("method", "retryable"), [("GET", True), ("POST", False)])
async def test_the_whole_exchange_has_a_time_limit(call, site, path, method, retryable):
    started = time.perf_counter()
    with pytest.raises(ToolError, match=r"no complete response from .* within 0\.3 s") as caught:
        await call(http_request, url=f"{site.url}/{path}", method=method, timeout=0.3)
    assert time.perf_counter() - started < 2
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("truncated", "cannot get a response from .*: peer closed connection"),
        ("silent", "cannot get a response from .*disconnected"),
        ("nonsense", "cannot get a response from"),
    ],
)
async def test_broken_exchanges(call, site, path, reason):
    with pytest.raises(ToolError, match=reason) as caught:
        await call(http_request, url=f"{site.url}/{path}")
    assert caught.value.retryable
    with pytest.raises(ToolError, match=reason) as caught:
        await call(http_request, url=f"{site.url}/{path}", method="POST", body="x")
    assert not caught.value.retryable


async def test_a_body_that_is_not_packed_as_it_says(call, site):
    with pytest.raises(ToolError, match="badly_packed") as caught:
        await call(http_request, url=f"{site.url}/badly_packed")
    assert not caught.value.retryable


async def test_a_body_that_is_packed_more_than_once_is_not_unpacked(call, site):
    with pytest.raises(ToolError, match="more than once: gzip, deflate, gzip") as caught:
        await call(http_request, url=f"{site.url}/packed_thrice")
    assert not caught.value.retryable


async def test_nobody_there(call, site):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(ToolError, match="cannot connect to") as caught:
            await call(http_request, url=url, method="POST")
    assert caught.value.retryable


async def test_who_hangs_up_at_once(call):
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ToolError, match=r"cannot connect to .*/: \w"):
            await call(http_request, url=f"https://127.0.0.1:{port}/")


async def test_tls_that_is_none(call, site):
    with pytest.raises(ToolError, match="cannot connect to"):
        await call(http_request, url=site.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://a:b/",
        "http://local\thost/",
        "http://127.0.0.1:65536/",
        "http://" + "a" * 70_000,
        "http://[::1/",
    ],
)
async def test_wrong_urls(call, url):
    with pytest.raises(ToolError) as caught:
        await call(http_request, url=url)
    assert not caught.value.retryable


async def test_wrong_requests(call, site):
    with pytest.raises(ToolError, match="user name") as caught:
        await call(http_request, url="http://ada:secret@127.0.0.1/")
    assert "secret" not in str(caught.value.as_table())
    with pytest.raises(ToolError, match="Host cannot be set"):
        await call(http_request, url=site.url, headers={"host": "example.com"})
    with pytest.raises(ToolError, match="json and body"):
        await call(http_request, url=site.url, method="POST", json={}, body="x")
    with pytest.raises(ToolError) as caught:
        await call(http_request, url=site.url, headers={"x": "a\r\nHost: b"})
    assert not caught.value.retryable
    with pytest.raises(ToolError, match="the header X contains characters that are not ASCII"):
        await call(http_request, url=site.url, headers={"X": "ü"})
    with pytest.raises(ToolError, match="Content-Length is 9, but the body has 1 bytes"):
        await call(http_request, url=site.url, headers={"content-length": "9"}, body="x")
    with pytest.raises(ToolError, match="json contains a function or a string that is not UTF-8"):
        await call(http_request, url=site.url, method="POST", json={"a": b"\xff"})
    with pytest.raises(ToolError, match="json cannot be sent"):
        await call(http_request, url=site.url, method="POST", json=[float("inf")])
    with pytest.raises(InvalidArguments, match="method"):
        await call(http_request, url=site.url, method="BREW")
    assert site.asked == []


@pytest.mark.parametrize("url", ["", "example.com/x", "http://", "localhost:80/", "//a/b"])
async def test_what_is_no_url_is_shown_as_it_was_written(call, url):
    with pytest.raises(ToolError) as caught:
        await call(http_request, url=url)
    assert caught.value.message.startswith(f"'{url}' is not a URL")


async def test_what_names_no_host_is_not_granted_and_said_to_be_incomplete(call):
    with pytest.raises(PermissionDenied, match="it names no host") as caught:
        await call(http_request, Grants(net=("localhost",)), url="localhost:80")
    assert caught.value.hint == "write it as https://example.com/"


async def test_the_first_host_is_judged(call, site):
    with pytest.raises(PermissionDenied, match="http_request may not reach 127"):
        await call(http_request, Grants(net=("example.com",)), url=site.url)
    assert site.asked == []


async def test_the_host_is_judged_as_the_client_reads_it(call):
    """The two parsers of URLs must not be played off against each other."""
    grants = Grants(net=("good.example",))
    for url in (
        "http://127.0.0.1\\@good.example/",
        "http://good.example\\@127.0.0.1/",
        "http://good.example@127.0.0.1/",
        "http://127.0.0.1/@good.example",
        "http://127.0.0.1#@good.example",
        "http://127.0.0.1;@good.example/",
    ):
        with pytest.raises((PermissionDenied, ToolError)):
            await call(http_request, grants, url=url, timeout=1)


async def test_a_redirect_is_followed_unless_unwanted(call, site):
    url = f"{site.url}/redirect?302,/echo"
    response = await call(http_request, url=url)
    assert (response["status"], response["url"]) == (200, f"{site.url}/echo")
    response = await call(http_request, url=url, follow_redirects=False)
    assert (response["status"], response["body"]) == (302, "moved")
    assert response["headers"]["location"] == "/echo"


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (302, "GET", "GET"),
    ],
)
async def test_the_method_after_a_redirect(call, site, status, method, becomes):
    got = await call(
        http_request, url=f"{site.url}/redirect?{status},/echo", method=method, json={"a": 1}
    )
    assert got["json"]["method"] == becomes
    kept = becomes == method
    assert (got["json"]["body"] != "") is kept
    assert ("content-type" in got["json"]["headers"]) is kept


async def test_head_stays_head(call, site):
    response = await call(http_request, url=f"{site.url}/redirect?303,/echo", method="HEAD")
    assert response["status"] == 200
    assert response["body"] == ""


async def test_credentials_stay_with_their_origin(call, site, start):
    secrets = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Other": "y"}

    async def headers_at(target):
        url = f"{site.url}/redirect?302,{target}"
        return (await call(http_request, url=url, headers=secrets))["json"]["headers"]

    assert {"authorization", "cookie", "x-other"} <= set(await headers_at("/echo"))
    other = start()
    there = await headers_at(f"{other.url}/echo")
    assert "x-other" in there
    assert not {"authorization", "cookie"} & set(there)
    assert there["host"] == other.url.removeprefix("http://")


async def test_a_redirect_to_a_host_that_is_not_granted(call, site, start):
    other = start()
    grants = Grants(net=(site.url.removeprefix("http://"),))
    with pytest.raises(PermissionDenied, match=str(other.server_port)) as caught:
        await call(http_request, grants, url=f"{site.url}/redirect?307,{other.url}/echo")
    assert f"--allow-net=127.0.0.1:{other.server_port}" in caught.value.hint
    assert other.asked == []


async def test_redirects_end(call, site):
    with pytest.raises(ToolError, match="more than 5 redirects"):
        await call(http_request, url=f"{site.url}/loop")
    assert len(site.asked) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://a:b/", "http://u:p@127.0.0.1/"])
async def test_redirects_to_nowhere(call, site, location):
    with pytest.raises(ToolError):
        await call(http_request, url=f"{site.url}/redirect?302,{location}")


# Where a name leads


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001"])
async def test_a_name_that_leads_to_a_private_address(call, site, host):
    """These are names for the resolver, which reads them as 127.0.0.1."""
    url = f"http://{host}:{site.server_port}/"
    for grants in (Grants(net=()), Grants(net=(host,))):
        with pytest.raises(PermissionDenied) as caught:
            await call(http_request, grants, url=url)
        place = f"127.0.0.1:{site.server_port}"
        assert caught.value.message == f"http_request may not reach {place}, where {host} leads"
        assert f"--allow-net={place}" in caught.value.hint
    assert site.asked == []
    both = Grants(net=(host, f"127.0.0.1:{site.server_port}"))
    assert (await call(http_request, both, url=url))["status"] == 200


@pytest.mark.parametrize(("reply", "questions"), [("once", 4), ("run", 2)])
async def test_a_person_is_asked_where_a_request_leads(call, site, start, reply, questions):
    """For the host of a redirect, then for its address; the time to answer does not count."""
    other, asked = start(), []

    async def ask(by, wanted):
        asked.append((by, wanted.net))
        await anyio.sleep(0.3)
        return reply

    permissions = Permissions(Grants(net=(site.url.removeprefix("http://"),)), ask=ask)
    url = f"{site.url}/redirect?302,http://127.1:{other.server_port}/echo"
    for _ in range(2):
        assert (await call(http_request, permissions, url=url, timeout=0.5))["status"] == 200
    hosts = [("http_request", (f"{host}:{other.server_port}",)) for host in ("127.1", "127.0.0.1")]
    assert asked == (hosts * 2)[:questions]
    assert Need("net", f"127.0.0.1:{other.server_port}") in permissions.used


async def test_what_a_person_refuses_is_not_reached(call, site, start):
    other = start()

    async def refuse(by, wanted):
        return "no"

    permissions = Permissions(Grants(net=(site.url.removeprefix("http://"),)), ask=refuse)
    with pytest.raises(PermissionDenied, match=str(other.server_port)):
        await call(http_request, permissions, url=f"{site.url}/redirect?307,{other.url}/echo")
    permissions.grant(Grants(net=("127.1",)))
    with pytest.raises(PermissionDenied, match=r"where 127\.1 leads"):
        await call(http_request, permissions, url=f"http://127.1:{other.server_port}/")
    assert other.asked == []


async def test_a_redirect_that_leads_to_a_private_address(call, site, start):
    other = start()
    url = f"{site.url}/redirect?302,http://127.1:{other.server_port}/"
    grants = Grants(net=("127.1", f"127.0.0.1:{site.server_port}"))
    with pytest.raises(PermissionDenied, match=r"where 127\.1 leads"):
        await call(http_request, grants, url=url)
    assert other.asked == []


async def test_localhost_is_granted_by_its_name(call, site):
    url = f"http://localhost:{site.server_port}/echo"
    with pytest.raises(PermissionDenied, match="may not reach localhost"):
        await call(http_request, Grants(net=()), url=url)
    permissions = Permissions(Grants(net=("localhost",)))
    response = await call(http_request, permissions, url=url)
    assert response["json"]["headers"]["host"] == f"localhost:{site.server_port}"
    assert permissions.used == {Need("net", f"localhost:{site.server_port}")}


async def test_a_denied_address_is_denied_by_every_name(call, site):
    for host in ("localhost", "127.1", "127.0.0.1", "0.0.0.0", "0", "[::ffff:0.0.0.0]"):
        permissions = Permissions(Grants.all(), Grants(net=("127.0.0.0/8",)))
        with pytest.raises(PermissionDenied, match=r"may not reach 127\.0\.0\.1"):
            await call(http_request, permissions, url=f"http://{host}:{site.server_port}/")
    assert site.asked == []


async def test_the_environment_has_no_say(call, site, start, monkeypatch, tmp_path):
    """Neither its proxies nor the passwords in .netrc are a spell's to use."""
    proxy = start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    response = await call(http_request, url=f"{site.url}/echo")
    assert "authorization" not in response["json"]["headers"]
    assert proxy.asked == []
