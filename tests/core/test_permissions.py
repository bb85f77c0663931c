import contextlib
import itertools
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmspell.cli.grants import grants_in
from llmspell.errors import PermissionDenied
from llmspell.permissions import KINDS, Grants, Need, Permissions, flags, in_words, problems_in


def net(grant, url):
    return Grants(net=(grant,)).allows(Need("net", url))


# What is granted at all


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_granted_by_default(kind):
    for target in ("/tmp", "https://example.com/", "http://127.0.0.1/", "name", ""):
        assert not Grants().allows(Need(kind, target))
        assert Grants.all().allows(Need(kind, target))


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
        (("*",), ("a",), ("*", "a")),
    ],
)
def test_merged_grants_are_everything_either_grants(a, b, both):
    assert Grants(read=a).merged(Grants(read=b)) == Grants(read=both)


def test_every_public_host_and_a_private_one_are_both_granted():
    both = Grants(net=()).merged(Grants(net=("10.0.0.5",)))
    assert both == Grants(net=("*", "10.0.0.5"))
    assert both.allows(Need("net", "http://10.0.0.5/"))
    assert both.allows(Need("net", "http://example.com/"))
    assert Grants(net=()).merged(Grants(net=())) == Grants(net=())


@pytest.mark.parametrize("kind", KINDS)
def test_grants_can_be_written_as_lists(kind):
    for targets, granted in ((["*"], ()), ([], None), (["a", "a", "b"], ("a", "b"))):
        grants = Grants.from_lists({kind: targets})
        assert grants[kind] == granted
        assert grants == Grants(**{kind: granted})
        assert Grants.from_lists(grants.as_lists()) == grants
        assert bool(grants) is bool(targets)
    every = Grants.from_lists({kind: ["a", "*"]})
    assert every[kind] == (("a", "*") if kind == "net" else ())
    assert every.allows(Need(kind, "https://example.com/"))


@pytest.mark.parametrize(
    ("asked", "held", "left"),
    [
        ({"read": ["/a/b", "/c"]}, {"read": ["/a"]}, {"read": ["/c"]}),
        ({"read": ["*"]}, {"read": ["/"]}, {"read": ["*"]}),
        ({"read": ["*"], "env": ["A"]}, {"read": ["*"], "env": ["*"]}, {}),
        ({"net": ["*", "a.b"]}, {"net": ["*"]}, {}),
        ({"net": ["*", "10.0.0.1"]}, {"net": ["*"]}, {"net": ["10.0.0.1"]}),
        ({"net": ["**"]}, {"net": ["*"]}, {"net": ["**"]}),
        ({"net": ["*", "10.0.0.1"]}, {"net": ["**"]}, {}),
        ({"net": ["*.a.b", "*.c"]}, {"net": ["*.b"]}, {"net": ["*.c"]}),
        ({"llm": ["openai/*", "a/b"]}, {"llm": ["openai/*"]}, {"llm": ["a/b"]}),
        ({"run": ["git"], "tool": ["x"]}, {"tool": ["x"]}, {"run": ["git"]}),
    ],
)
def test_what_goes_beyond_other_grants(asked, held, left):
    beyond = Grants.from_lists(asked).beyond(Grants.from_lists(held))
    assert beyond.as_lists() == left


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
        Permissions(grants).check(Need("read", str(place / "granted" / path)), by="read_file")
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
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ("localhost", "http://0.0.0.0/"),
        ("localhost", "http://[::]/"),
    ],
)
def test_hosts_that_are_granted(grant, url):
    assert net(grant, url)


@pytest.mark.parametrize("grant", ["bücher.de", "BÜCHER.de:443", "xn--bcher-kva.de", "bücher。de"])
@pytest.mark.parametrize(
    "url",
    ["https://bücher.de/", "https://Bücher.de.", "//xn--bcher-kva.de:443", "//bücher。de:443"],
)
def test_a_name_beyond_ascii_is_the_one_that_is_asked_for(grant, url):
    need = Need("net", url)
    assert Grants(net=(grant,)).allows(need)
    assert Grants(net=(grant,)).forbids(need)
    assert need.place.removesuffix(":443") == "xn--bcher-kva.de"
    below = Need("net", "https://tee.xn--bcher-kva.de")
    assert Grants(net=("*.bücher.de",)).allows(below)
    assert not Grants(net=("*.bücher.de",)).allows(need)


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
        ("[::1]:80", "http://[::1]:81/"),
        ("::1", "http://[::2]/"),
        ("good.com", "good.com"),
        ("good.com", "//"),
        ("good.com", "http://"),
        ("good.com", ""),
        ("", ""),
        ("", "http:///x"),
        (".", "http://./"),
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


@pytest.mark.parametrize(
    ("kind", "target", "covers_something"),
    [
        ("net", "example.com", True),
        ("net", "*.bücher.de:8080", True),
        ("net", "*", True),
        ("net", "**", True),
        ("net", "::1", True),
        ("net", "[::1]:80", True),
        ("net", "fd00::/8", True),
        ("net", "", False),
        ("net", "https://example.com", False),
        ("net", "example.com/", False),
        ("net", "example.com:http", False),
        ("net", "example.com:80800", False),
        ("net", "10.0.0.0/33", False),
        ("net", "10.0.0.0/8:80", False),
        ("net", "[::1", False),
        ("llm", "openai/gpt-5.4-mini", True),
        ("llm", "*", True),
        ("llm", "*-mini", True),
        ("llm", "gpt-5.4-mini", False),
    ],
)
def test_a_target_that_could_cover_nothing_is_a_problem(kind, target, covers_something):
    assert bool(problems_in({kind: [target]})) is not covers_something


@given(st.text(max_size=30))
def test_every_host_that_is_reached_can_be_granted(url):
    place = Need("net", url).place
    assert not place or not problems_in({"net": [place]})


@given(st.text(max_size=30), st.text(max_size=30))
def test_judging_never_fails(grant, target):
    grants = Grants(read=(grant,), write=(grant,), net=(grant,))
    for kind in KINDS:
        assert grants.allows(Need(kind, target)) in (True, False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.8.9.1:8080/",
        "http://10.0.0.5/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/",
        "http://[ff02::1]/",
        "http://[::ffff:10.0.0.5]/",
        "http://[64:ff9b::10.0.0.5]/",
        "http://[2002:a00:5::]/",
        "//10.0.0.5:80",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://a.localhost:8080/",
    ],
)
def test_every_host_is_every_public_one(url):
    need = Need("net", url)
    for grants in (Grants(net=()), Grants(net=("*",)), Grants(net=("*", "example.com"))):
        assert grants.allows(Need("net", "http://example.com/"))
        assert grants.allows(Need("net", "http://93.184.216.34/"))
        assert grants.allows(Need("net", "http://[2606:2800:21f:cb07::1]/"))
        assert not grants.allows(need)
        assert grants.forbids(need)  # what is denied is denied wherever it is
    assert Grants(net=("**",)).allows(need)
    assert Grants.all().allows(need)
    assert Grants(net=("*", need.place)).allows(need)


@pytest.mark.parametrize(
    ("grant", "inside", "outside"),
    [
        ("10.0.0.0/8", "http://10.255.1.2:81/", "http://11.0.0.1/"),
        ("10.1.2.3/8", "http://10.255.1.2:81/", "http://11.0.0.1/"),
        ("fc00::/7", "http://[fd00::1]/", "http://[fe80::1]/"),
        ("10.0.0.0/8", "http://[::ffff:10.1.1.1]/", "http://ten.example.com/"),
        ("0.0.0.0/0", "http://127.0.0.1/", "http://[::1]/"),
        ("localhost", "http://127.0.0.1:8080/", "http://10.0.0.1/"),
        ("localhost", "http://[::1]/", "http://127.0.0.1.example.com/"),
        ("localhost", "http://localhost:1/", "http://a.localhost/"),
        ("localhost:8080", "http://127.0.0.1:8080/", "http://127.0.0.1/"),
        ("127.0.0.1", "http://127.0.0.1:1/", "http://localhost:1/"),
    ],
)
def test_private_hosts_are_granted_by_themselves(grant, inside, outside):
    assert net(grant, inside)
    assert not net(grant, outside)


@pytest.mark.parametrize("grant", ["10.0.0.0/33", "10.0.0.0/8:80", "a/8", "/", "10.0.0.0//8"])
def test_ranges_that_are_none_grant_nothing(grant):
    assert not net(grant, "http://10.0.0.1:80/")


# Programs, variables, tools and models


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder on PATH with two programs, one by two names, and one outside."""
    for name in ("bin/tea", "bin/cup", "elsewhere/tea"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    (tmp_path / "bin" / "kettle").symlink_to("tea")
    (tmp_path / "linked").symlink_to("bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'linked'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("grant", ["tea", "bin/tea", "./linked/tea", "{}/bin/tea"])
@pytest.mark.parametrize("program", ["tea", "bin/tea", "bin/../linked/tea", "{}/bin/tea"])
def test_a_program_is_granted_by_name_or_path(programs, grant, program):
    grants = Grants(run=(grant.format(programs),))
    assert grants.allows(Need("run", program.format(programs)))
    for other in ("cup", "elsewhere/tea", "kettle", "bin/kettle", "sh", "tea2", "", "bin", "*"):
        assert not grants.allows(Need("run", other)), other


def test_a_link_to_a_program_is_a_program_of_its_own(programs):
    for grant in ("kettle", "bin/kettle"):
        assert Grants(run=(grant,)).allows(Need("run", "linked/kettle"))
        assert not Grants(run=(grant,)).allows(Need("run", "tea"))


def test_a_program_that_is_not_there_can_be_granted():
    assert Grants(run=("no-such",)).allows(Need("run", "no-such"))
    assert not Grants(run=("no-such",)).allows(Need("run", "./no-such"))


@pytest.mark.parametrize("kind", ["env", "tool", "llm"])
@pytest.mark.parametrize(
    ("grant", "name", "granted"),
    [
        ("openai/gpt-5", "openai/gpt-5", True),
        ("openai/gpt-5", "openai/gpt-5-mini", False),
        ("openai/*", "openai/a/b", True),
        ("openai/*", "OpenAI/a", False),
        ("*mini", "openai/gpt-5-mini", True),
        ("AWS_*", "AWS_REGION", True),
        ("AWS_*", "MY_AWS_REGION", False),
        ("a[b]", "a[b]", True),
        ("openai/gpt-5", "*", False),
        ("openai/gpt-5", "openai/*", False),
    ],
)
def test_names_are_granted_by_patterns(kind, grant, name, granted):
    assert Grants(**{kind: (grant,)}).allows(Need(kind, name)) is granted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["*", "**", "a*", "[a]", "http://*.com/", "//*", "?"])
def test_granting_what_is_needed_grants_nothing_else(kind, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    need = Need(kind, target)
    if not need.place:
        return  # it is not granted at all, see below
    grants = Grants.of(need)
    assert grants.allows(need)
    for other in ("ab", "a", "b", "http://example.com/", "/", "."):
        assert not grants.allows(Need(kind, other)), other


# Permissions


def test_what_is_denied_wins():
    permissions = Permissions(Grants.all(), Grants(read=("/etc",), net=(), llm=("openai/*",)))
    assert permissions.allows(Need("read", "/usr"))
    assert permissions.denies(Need("read", "/etc/hosts"))
    for kind, target in (("read", "/etc/hosts"), ("net", "http://a.b/"), ("llm", "openai/x")):
        with pytest.raises(PermissionDenied, match="it is denied") as caught:
            permissions.check(Need(kind, target), by="it")
        assert f"--deny-{kind}" in caught.value.hint
        assert "--allow" not in caught.value.hint
    assert permissions.denies_any("net")
    assert not permissions.denies_any("run")


def test_what_was_used_is_known_in_the_form_it_is_granted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    permissions = Permissions(Grants.all().merged(Grants(read=())), Grants(env=("SECRET",)))
    for need in (
        Need("read", "a/../b"),
        Need("net", "https://user:pw@Example.com/x?key=1"),
        Need("net", "https://example.com"),
        Need("llm", "openai/x"),
    ):
        permissions.check(need, by="it")
    with pytest.raises(PermissionDenied):
        permissions.check(Need("env", "SECRET"), by="it")
    assert permissions.used == {
        Need("read", str(tmp_path / "b")),
        Need("net", "example.com"),
        Need("llm", "openai/x"),
    }


places = st.lists(st.sampled_from(["/a", "/a/b", "/a/b/c", "/d"]), max_size=2).map(tuple)
some_grants = st.builds(Grants, read=st.none() | places)


@given(st.lists(st.tuples(some_grants, some_grants), min_size=1, max_size=4))
def test_a_child_may_do_what_all_above_it_may(levels):
    permissions = Permissions(*levels[0])
    for granted, denied in levels[1:]:
        permissions = permissions.within(granted, denied)
    for path in ("/a", "/a/b/c", "/d/x", "/e"):
        need = Need("read", path)
        allowed = all(g.allows(need) and not d.forbids(need) for g, d in levels)
        assert permissions.allows(need) is allowed
        assert permissions.denies(need) is any(d.forbids(need) for _, d in levels)
        assert permissions.denies_any("read") is any(d.read is not None for _, d in levels)
        if allowed:
            permissions.check(need, by="it")
        else:
            with pytest.raises(PermissionDenied):
                permissions.check(need, by="it")


def test_a_child_sees_what_its_parent_is_granted_later():
    parent = Permissions(Grants())
    child = parent.within(Grants(read=("/a",)))
    assert not child.allows(Need("read", "/a/x"))
    parent.grant(Grants.all())
    assert child.allows(Need("read", "/a/x"))
    with pytest.raises(PermissionDenied) as caught:
        child.check(Need("read", "/b"), by="it")
    assert "the spell that runs this one" in caught.value.hint


# What is said


def test_a_denial_names_the_flag_that_would_grant_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermissionDenied) as caught:
        Permissions(Grants()).check(Need("write", "out/x.txt"), by="write_file")
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
        Permissions(Grants(net=("other.com",))).check(Need("net", url), by="http_request")
    assert shlex.split(caught.value.hint)[-1] == f"--allow-net={shown}"
    assert "secret" not in caught.value.message
    assert net(shown, url)


def test_a_url_without_a_host_is_named():
    with pytest.raises(PermissionDenied, match="no host"):
        Permissions(Grants(net=("a.b",))).check(Need("net", "a.b/x"), by="http_request")


def test_what_stands_for_several_cannot_be_asked_for():
    for kind, target in (("net", "http://*.com/"), ("run", "*")):
        with pytest.raises(PermissionDenied) as caught:
            Permissions(Grants()).check(Need(kind, target), by="it")
        assert caught.value.hint is None


@pytest.mark.parametrize(
    ("need", "said", "hint"),
    [
        (Need("run", "git"), "it may not run git", "--allow-run=git"),
        (Need("env", "HOME"), "it may not see the variable HOME", "--allow-env=HOME"),
        (Need("tool", "price"), "it may not call the tool price", "--allow-tool=price"),
        (Need("llm", "openai/x"), "it may not ask the model openai/x", "--allow-llm=openai/x"),
        (Need("llm", "a/*"), "it may not ask the model a/*", "--allow-llm='a/[*]'"),
        (Need("read", "a b"), "it may not read a b", "--allow-read='a b'"),
        (Need("read", "a,b"), "it may not read a,b", "--allow-read=a,,b"),
        (Need("read", "*"), "it may not read *", "--allow-read='./*'"),
        (Need("read", "~/x"), "it may not read ~/x", "--allow-read='./~/x'"),
        (Need("run", "~/x"), "it may not run ~/x", "--allow-run='./~/x'"),
        (Need("read", "a\n\x1b[2J"), "it may not read a\\n\\x1b[2J", "--allow-read=$'a\\x0a\\x1b[2J'"),
        (Need("read", "it's\u202e"), "it may not read it's\\u202e", "--allow-read=$'it\\'s\\xe2\\x80\\xae'"),
    ],
)  # fmt: skip
def test_each_denial_says_what_and_how_to_grant_it(need, said, hint):
    with pytest.raises(PermissionDenied) as caught:
        Permissions(Grants()).check(need, by="it")
    assert caught.value.message.startswith(said)
    assert said.isprintable()
    assert caught.value.hint == f"grant it with {hint}"


typed = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(st.sampled_from(KINDS), typed), min_size=1, max_size=20))
@example(
    [
        ("read", "*"),
        ("write", "~"),
        ("env", "a[*]?"),
        ("read", ""),
        ("read", ",,a,"),
        ("run", "*,*"),
        ("run", "~/a"),
        ("run", "~a"),
    ]
)
@example([("llm", "a/'\\$(id)`id`\x1b\n'"), ("read", "$'\\x41'"), ("tool", "--"), ("read", "-")])
def test_the_flag_of_a_hint_grants_just_that_when_pasted_into_a_shell(needs):
    needs = [need for need in itertools.starmap(Need, needs) if need.place]
    needs = [need for need in needs if need.kind != "llm" or "/" in need.target]
    script = "".join(f"printf '%s\\0' {flag_for(need)}\n" for need in needs)
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    options = [option.decode() for option in done.stdout.split(b"\0")[:-1]]
    assert len(options) == len(needs)
    for need, option in zip(needs, options, strict=True):
        name, _, value = option.removeprefix("--").partition("=")
        granted = grants_in({name.replace("-", "_"): (value,)}, "allow")
        if need.kind != "net" or "," not in need.target:
            assert granted.allows(need), option
        assert granted[need.kind] != ()
        assert len(granted[need.kind] or ()) <= 1


def flag_for(need):
    try:
        Permissions(Grants()).check(need, by="it")
    except PermissionDenied as error:
        return error.hint.partition("with ")[2]


def test_grants_in_words_and_as_options():
    grants = Grants(read=("/a b",), write=(), net=("a.b", "**"), env=("HOME",), tool=(), llm=())
    assert in_words(grants) == [
        "read /a b",
        "write every file",
        "reach a.b",
        "reach every host, private ones too",
        "see the variable HOME",
        "call every tool",
        "ask every model",
    ]
    assert flags(grants) == [
        "--allow-read='/a b'",
        "--allow-write",
        "--allow-net='a.b,**'",
        "--allow-env=HOME",
        "--allow-tool",
        "--allow-llm",
    ]
    assert flags(Grants(run=("git",)), verb="deny") == ["--deny-run=git"]


def test_what_is_granted_passes(tmp_path):
    Permissions(Grants(read=(str(tmp_path),))).check(Need("read", str(tmp_path)), by="read_file")
