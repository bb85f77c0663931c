"""Spells by address: real servers on the loopback, one of them with TLS."""

import gzip
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmspell.errors import ConfigError, SpellNotFound
from llmspell.spell_download import MAX_REDIRECTS, MAX_SIZE, fetch_spell, is_address

pytestmark = pytest.mark.anyio

SPELL = b"--- /// spell\n--- [params]\n--- n = 1\n--- ///\nreturn params.n\n"
EXACTLY = b"return 1".ljust(MAX_SIZE)
PAGES = {
    "/deep/way/x.lua": SPELL,
    "/": SPELL,
    "/a%20b%2Fc:d.lua": SPELL,
    "/exactly.lua": EXACTLY,
    "/long.lua": EXACTLY + b" ",
    "/binary.lua": b"\x1bLua\x55\x00\xff",
    "/wrong.lua": b"--- /// spell\n--- nam = 1\n--- ///\n",
    "/packed.lua": gzip.compress(SPELL),
    "/page.lua": b"<!doctype html>",
    "/broken.lua": SPELL,
}


class Site(BaseHTTPRequestHandler):
    """Answers as the path says."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers))
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            self.answer(int(path.removeprefix("/status/")), b"return 1")
        elif path.startswith("/to/"):
            self.answer(302, b"", location=self.server.elsewhere)
        elif path == "/endless":
            self.answer(302, b"", location="/endless")
        elif path == "/silent":
            time.sleep(1)
        elif path == "/slow":
            self.answer(200, b"", length=1000)
            for _ in range(20):
                self.wfile.write(b"-")
                time.sleep(0.05)
        else:
            kind = "Text/HTML; charset=utf-8" if path == "/page.lua" else "text/plain"
            length = 5000 if path == "/broken.lua" else None
            packed = {"content_encoding": "gzip"} if path == "/packed.lua" else {}
            self.answer(200, PAGES[path], length=length, content_type=kind, **packed)

    def answer(self, status, body, *, length=None, **headers):
        self.send_response(status)
        self.send_header("content-length", str(length or len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(context=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads, server.asked = True, []
    server.handle_error = lambda *_: None  # whoever asked has gone
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if context else "http"
    server.base = f"{scheme}://127.0.0.1:{server.server_port}"
    server.elsewhere = "/deep/way/x.lua"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def site():
    server = serve()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a certificate for 127.0.0.1, and its key."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    wanted = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", file, "-out", file.with_name("cert.pem")]
    subprocess.run(
        ["openssl", "req", *wanted.split(), *names, *files],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_name("cert.pem").read_text())
    return file


@pytest.fixture
def safe_site(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve(context)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def trusting(monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


async def refused(address, **options):
    with pytest.raises(SpellNotFound) as caught:
        await fetch_spell(address, **options)
    assert caught.value.exit_code == 2
    return caught.value


async def test_it_is_a_strangers_and_named_by_the_last_part(site):
    spell = await fetch_spell(f"{site.base}/deep/way/x.lua?token=1")
    assert (spell.name, spell.file, spell.source) == ("x", "x.lua", SPELL)
    assert (spell.folder, spell.trusted) == (None, False)
    assert spell.bind({"n": "2"}) == {"n": 2}
    assert site.asked[0][0] == "/deep/way/x.lua?token=1"


@pytest.mark.parametrize(("path", "file"), [("/", "127.0.0.1"), ("/a%20b%2Fc:d.lua", "c_d.lua")])
async def test_odd_addresses_have_plain_names(site, path, file):
    assert (await fetch_spell(site.base + path)).file == file


async def test_localhost_is_this_machine_and_no_proxy_leads_there(site, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    address = site.base.replace("127.0.0.1", "localhost") + "/exactly.lua"
    assert (await fetch_spell(address)).source == EXACTLY


@pytest.mark.parametrize(
    ("path", "said", "hint"),
    [
        ("/status/404", "it does not exist (HTTP 404)", "check the address"),
        ("/status/410", "it does not exist (HTTP 410)", "check the address"),
        ("/status/500", "the server answers with HTTP 500", None),
        ("/status/204", "the server answers with HTTP 204", None),
        ("/status/302", "the server answers with HTTP 302", None),
        ("/long.lua", "it is larger than 1 MB", None),
        ("/binary.lua", "it is not text", None),
        ("/packed.lua", "it is not text", None),
        ("/page.lua", "it is a web page", "look there for a link to the raw text"),
    ],
)
async def test_what_is_no_spell(site, path, said, hint):
    error = await refused(f"{site.base}{path}?token=secret")
    assert error.message == f"cannot fetch {site.base}{path}: {said}"
    assert error.hint == hint


async def test_an_answer_that_breaks_off(site):
    assert (await refused(f"{site.base}/broken.lua", patience=5)).message.startswith("cannot fetch")


@pytest.mark.parametrize("path", ["/silent", "/slow"])
async def test_one_that_takes_too_long(site, path):
    begin = time.monotonic()
    error = await refused(f"{site.base}{path}", patience=0.2)
    assert time.monotonic() - begin < 0.9
    assert error.message == f"cannot fetch {site.base}{path}: it did not arrive within 0.2 s"


async def test_nobody_there(site):
    address = "http://127.0.0.1:1/x.lua"
    assert (await refused(address)).message.startswith(f"cannot fetch {address}: ")
    error = await refused("https://nowhere.invalid/x.lua")
    assert error.message == "cannot fetch https://nowhere.invalid/x.lua: its host is unknown"


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("http://example.com/x.lua?token=1", "try https://example.com/x.lua"),
        ("http://127.0.0.1.example.com/x.lua", "try https://127.0.0.1.example.com/x.lua"),
        ("http://me:secret@example.com/x.lua", "try https://example.com/x.lua"),
        ("ftp://127.0.0.1/x.lua", None),
        ("file:///etc/passwd", None),
    ],
)
async def test_what_is_not_asked(address, hint):
    error = await refused(address)
    assert "only https:// is fetched, and http:// from this machine" in error.message
    assert "secret" not in error.message
    assert error.hint == hint


async def test_what_is_no_address():
    assert "is not a URL" in (await refused("https://a:b:c/x.lua")).message
    assert (await refused("https://")).message == "https:// is not a URL: it names no host"
    assert (await refused("https://a/\udce9")).message.endswith(" is not a URL: it is not UTF-8")


async def test_front_matter_that_is_wrong(site):
    with pytest.raises(ConfigError, match=r"wrong\.lua: front matter: unknown key 'nam'"):
        await fetch_spell(f"{site.base}/wrong.lua")


async def test_a_redirect_is_followed_to_https(site, safe_site, trusting):
    site.elsewhere = f"{safe_site.base}/to/x"
    safe_site.elsewhere = "/deep/way/x.lua"
    spell = await fetch_spell(f"{site.base}/to/y.lua")
    assert (spell.source, spell.file) == (SPELL, "y.lua")
    assert [path for path, _ in safe_site.asked] == ["/to/x", "/deep/way/x.lua"]


async def test_a_redirect_to_http_is_not_followed(site, safe_site, trusting):
    safe_site.elsewhere = f"{site.base}/deep/way/x.lua?token=secret"
    error = await refused(f"{safe_site.base}/to/x.lua")
    said = f"it redirects to {site.base}/deep/way/x.lua, which is not https://"
    assert error.message == f"cannot fetch {safe_site.base}/to/x.lua: {said}"
    assert site.asked == []
    assert "which is not https://" in (await refused(f"{site.base}/to/x.lua")).message


async def test_redirects_come_to_an_end(safe_site, trusting):
    assert "more than 5 redirects" in (await refused(f"{safe_site.base}/endless")).message
    assert len(safe_site.asked) == MAX_REDIRECTS + 1


async def test_a_certificate_nobody_knows(safe_site):
    error = await refused(f"{safe_site.base}/deep/way/x.lua")
    assert error.message.startswith(
        f"cannot fetch {safe_site.base}/deep/way/x.lua: its certificate is not valid: self"
    )
    assert safe_site.asked == []


async def test_no_tls_at_all(site):
    address = site.base.replace("http:", "https:") + "/x.lua"
    assert "TLS failed" in (await refused(address)).message


def test_what_is_an_address():
    assert is_address("https://example.com/x.lua")
    assert is_address("HTTP://x")
    for name in ("x.lua", "-", "a/b.lua", "/https://x", "https:", "C:/x.lua"):
        assert not is_address(name)
