import contextlib
import os
import tempfile
from pathlib import Path

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmspell.errors import PermissionDenied
from llmspell.permissions import KINDS, Grants, Need


def net(grant, url):
    return Grants(net=(grant,)).allows(Need("net", url))


# What is granted at all


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_granted_by_default(kind):
    assert not Grants().allows(Need(kind, "/tmp"))
    assert not Grants().allows(Need(kind, "https://example.com/"))
    assert Grants.all().allows(Need(kind, "/tmp"))
    assert Grants.all().allows(Need(kind, "https://example.com/"))


def test_each_kind_is_a_grant_of_its_own(tmp_path):
    grants = Grants(read=(str(tmp_path),))
    assert grants.allows(Need("read", str(tmp_path / "x")))
    assert not grants.allows(Need("write", str(tmp_path / "x")))
    assert not grants.allows(Need("net", str(tmp_path / "x")))


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        (None, None, None),
        (None, ("a",), ("a",)),
        (("a",), None, ("a",)),
        (("a", "b"), ("b", "c"), ("a", "b", "c")),
        ((), ("a",), ()),
        (("a",), (), ()),
        (None, (), ()),
    ],
)
def test_merged_grants_are_everything_either_grants(a, b, both):
    assert Grants(read=a).merged(Grants(read=b)) == Grants(read=both)


# Paths


@pytest.fixture(scope="module")
def place():
    """A granted folder with links and folders in it, beside one that is not granted."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        granted, other = root / "granted", root / "other"
        for folder in (granted / "a" / "b", other / "a" / "b", root / "granted-not"):
            folder.mkdir(parents=True)
        (granted / "out").symlink_to(other)
        (granted / "up").symlink_to("..")
        (granted / "loop").symlink_to("loop")
        (granted / "a" / "home").symlink_to(granted)
        (other / "in").symlink_to(granted)
        yield root


parts = st.sampled_from(
    [
        "a",
        "b",
        "..",
        ".",
        "out",
        "up",
        "home",
        "in",
        "granted",
        "other",
        "new",
        "",
        "loop",
        "granted-not",
    ]
)


@given(st.lists(parts, max_size=8), st.booleans())
@example(["..", "granted-not"], True)
@example(["out", "a"], True)
@example(["a", "home", "out", "in", "b"], True)
@example(["loop", "..", "a"], True)
def test_a_path_is_judged_by_where_it_leads(place, names, inside):
    granted = place / "granted"
    path = "/".join([str(granted if inside else place), *names])
    allowed = Grants(read=(str(granted),)).allows(Need("read", path))
    if "loop" in names:
        # Python and the system need not agree on what lies beyond; nothing outside is granted.
        leads = os.path.realpath(path)
        assert not allowed or Path(leads).is_relative_to(granted)
        return
    assert allowed == Path(os.path.realpath(path)).is_relative_to(granted)


def test_a_path_the_system_can_open_is_below_what_is_granted(place):
    (place / "other" / "secret").write_text("s")
    grants = Grants(read=(str(place / "granted"),))
    for path in (
        "granted/out/secret",
        "granted/../other/secret",
        "granted/up/other/secret",
        "granted/a/home/out/secret",
    ):
        assert (place / path).read_text() == "s"
        assert not grants.allows(Need("read", str(place / path)))


def test_a_link_may_be_granted_and_a_file(place):
    assert Grants(read=(str(place / "other" / "in"),)).allows(
        Need("read", str(place / "granted/a"))
    )
    file = str(place / "granted" / "one.txt")
    assert Grants(read=(file,)).allows(Need("read", file))
    assert not Grants(read=(file,)).allows(Need("read", file + ".bak"))


def test_relative_paths_and_home_folders(place, monkeypatch):
    monkeypatch.chdir(place / "granted")
    monkeypatch.setenv("HOME", str(place / "granted"))
    for grant in (".", "~", "../granted", "~/a/.."):
        assert Grants(read=(grant,)).allows(Need("read", "a/b/new")), grant
        assert not Grants(read=(grant,)).allows(Need("read", "../other")), grant
    # A tool opens such a file here, so it is judged here.
    assert not Grants(read=(str(place / "other"),)).allows(Need("read", "~/a"))


@pytest.mark.parametrize("path", ["a\0b", "loop", "loop/x", "x" * 5000, "\ud800"])
def test_what_leads_nowhere_is_denied_and_explained(place, path):
    grants = Grants(read=(str(place / "other"),), write=("\0", "~nobody-of-that-name/x"))
    with pytest.raises(PermissionDenied):
        grants.check(Need("read", str(place / "granted" / path)), by="read_file")
    assert not grants.allows(Need("write", str(place / "granted" / path)))


# Hosts


@pytest.mark.parametrize(
    ("grant", "url"),
    [
        ("example.com", "https://example.com"),
        ("example.com", "http://example.com/a?b#c"),
        ("example.com", "https://EXAMPLE.com/"),
        ("EXAMPLE.com", "https://example.COM/"),
        ("example.com", "https://example.com./"),
        ("example.com.", "https://example.com/"),
        ("example.com", "https://example.com:443/"),
        ("example.com", "https://example.com:8080/"),
        ("example.com:8080", "https://example.com:8080/"),
        ("example.com:443", "https://example.com/"),
        ("example.com:80", "http://example.com/"),
        ("example.com", "https://user:password@example.com/"),
        ("example.com", "https://evil.com@example.com/"),
        ("*.example.com", "https://api.example.com/"),
        ("*.example.com", "https://a.b.example.com:8080/"),
        ("*.Example.com:8080", "https://a.b.example.com:8080/"),
        ("127.0.0.1", "http://127.0.0.1:9999/"),
        ("127.0.0.1:80", "http://127.0.0.1/"),
        ("[::1]", "http://[::1]:80/"),
        ("::1", "http://[::1]/"),
        ("[::1]:8080", "http://[::1]:8080/"),
        ("[::1]", "http://[0:0:0:0:0:0:0:1]:81/"),
        ("::FFFF:1", "http://[::ffff:1]/"),
    ],
)
def test_hosts_that_are_granted(grant, url):
    assert net(grant, url)


@pytest.mark.parametrize(
    ("grant", "url"),
    [
        ("good.com", "https://evil.com/"),
        ("good.com", "http://good.com@evil.com/"),
        ("good.com", "http://good.com:80@evil.com/"),
        ("good.com", "http://a@good.com@evil.com/"),
        ("good.com", "http://evil.com/good.com"),
        ("good.com", "http://evil.com#@good.com"),
        ("good.com", "http://evil.com?@good.com"),
        ("good.com", "http://evil.com\\@good.com:80@evil.com/"),
        ("good.com", "http://good.com.evil.com/"),
        ("good.com", "http://evilgood.com/"),
        ("good.com", "http://api.good.com/"),
        ("*.good.com", "http://good.com/"),
        ("*.good.com", "http://evilgood.com/"),
        ("*.good.com", "http://good.com.evil.com/"),
        ("*.good.com", "http://a.good.com@evil.com/"),
        ("*.good.com:81", "http://a.good.com/"),
        ("good.com:8080", "http://good.com/"),
        ("good.com:80", "https://good.com/"),
        ("good.com:8080", "http://good.com:80800/"),
        ("*.0.0.1", "http://127.0.0.1/"),
        ("*.1]", "http://[::1]/"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ("[::1]:80", "http://[::1]:81/"),
        ("::1", "http://[::2]/"),
        ("good.com", "good.com"),
        ("good.com", "//"),
        ("good.com", "http://"),
        ("good.com", ""),
        ("", ""),
        ("", "http:///x"),
        (".", "http://./"),
        ("*", "http://good.com/"),
        ("*.", "http://good.com/"),
        ("good.com", "http://[::1"),
        ("good.com", "http://good.com:port/"),
        ("good.com", "http://good.com:99999/"),
        ("good.com", "http://good.com\u2100evil.com/"),
        ("https://good.com", "https://good.com/"),
        ("good.com/x", "https://good.com/x"),
        ("evil@good.com", "https://good.com/"),
        ("[::1", "http://[::1]/"),
    ],
)
def test_hosts_that_are_not(grant, url):
    assert not net(grant, url)


pieces = st.sampled_from(
    [
        "http://", "https://", "//", "good.com", "evil.com", ".", "@", ":", "80", "443", "/", "\\", "?", "#", "[", "]",
        "::1", "127.0.0.1", "a", "%2e", "%40", "\t", " ", "\u3002", "\uff0f", "G", "é", "xn--", "..", "user:pw@", "*",
    ]
)  # fmt: skip


@given(
    st.tuples(
        st.sampled_from(["http://", "https://"]),
        st.lists(pieces, max_size=4).map("".join),
        st.just("good.com"),
        st.lists(pieces, max_size=3).map("".join),
    ).map("".join)
)
@example("http://a@good.com@evil.com/")
@example("http://good.com\\@evil.com/")
@example("http://good.com:80\\@evil.com:81/")
@example("http://evil.com\u3002good.com/")
def test_what_is_allowed_is_what_the_http_client_reaches(url):
    """Two parsers that disagree about a URL would be a way round the grants."""
    with contextlib.suppress(httpx2.InvalidURL):
        reached = httpx2.URL(url).raw_host.decode().rstrip(".").lower()
        if net("good.com", url):
            assert reached == "good.com"
        if net("*.good.com", url):
            assert reached.endswith(".good.com")


@given(st.text(max_size=30), st.text(max_size=30))
def test_judging_never_fails(grant, target):
    grants = Grants(read=(grant,), write=(grant,), net=(grant,))
    for kind in KINDS:
        assert grants.allows(Need(kind, target)) in (True, False)


# What is said


def test_a_denial_names_the_flag_that_would_grant_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermissionDenied) as caught:
        Grants().check(Need("write", "out/x.txt"), by="write_file")
    error = caught.value
    assert error.message == "write_file may not write out/x.txt"
    assert "--allow-write=out/x.txt" in error.hint
    assert error.details == {"kind": "write", "target": str(tmp_path / "out" / "x.txt")}
    assert (error.code, error.exit_code) == ("permission_denied", 3)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@Example.com:443/path?key=secret", "example.com"),
        ("http://example.com:8080/", "example.com:8080"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_a_denial_shows_the_host_alone_and_its_flag_is_right(url, shown):
    with pytest.raises(PermissionDenied) as caught:
        Grants(net=("other.com",)).check(Need("net", url), by="http_request")
    assert caught.value.hint.endswith(f"--allow-net={shown}")
    assert "secret" not in caught.value.message
    assert net(shown, url)


def test_a_url_without_a_host_is_named():
    with pytest.raises(PermissionDenied, match="no host"):
        Grants(net=("a.b",)).check(Need("net", "a.b/x"), by="http_request")


def test_what_is_granted_passes(tmp_path):
    Grants(read=(str(tmp_path),)).check(Need("read", str(tmp_path)), by="read_file")
