"""What a spell asks for, read from its text and added to it. TOML is read back by tomllib."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.permissions import KINDS, Grants, Need
from llmspell.permissions.front_matter import PermissionsEditor
from llmspell.permissions.recording import lacking, record
from llmspell.spell import parse_spell

BODY = b"print('\xff')\r\nreturn 1"


def comment(toml, newline="\n"):
    lines = ["--- /// spell", *(f"--- {line}".rstrip() for line in toml.splitlines()), "--- ///"]
    return "".join(line + newline for line in lines).encode()


def added(toml, **more):
    """The TOML of a spell.toml that asks for more."""
    return PermissionsEditor(toml.encode(), comment=False).adding(more).decode()


def test_a_path_that_is_not_utf_8_is_refused():
    with pytest.raises(ValueError, match=r"^d\\udcff/a is not UTF-8, so it cannot be named here$"):
        added("", read=["d\udcff/a"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[permissions]\nnet = ["c"]\n'),
        ('name = "x"', 'name = "x"\n[permissions]\nnet = ["c"]\n'),
        ("[params]\na = 1 # A\n", '[params]\na = 1 # A\n[permissions]\nnet = ["c"]\n'),
        (
            '[permissions] # of\nread = ["r"] # R\n\n[params]\na = 1\n',
            '[permissions] # of\nread = ["r"] # R\nnet = ["c"]\n\n[params]\na = 1\n',
        ),
        (
            '[permissions]\nnet = [\n  "b", # B\n]\n# end\n',
            '[permissions]\nnet = ["b", "c"]\n# end\n',
        ),
        ("[permissions]\n[params]\n", '[permissions]\nnet = ["c"]\n[params]\n'),
        (
            'permissions.read = ["r"] # R\nname = "x"\n',
            'permissions.read = ["r"] # R\npermissions.net = ["c"]\nname = "x"\n',
        ),
        (
            'permissions = { read = ["r"] }\nname = "x"\n',
            'permissions.read = ["r"]\npermissions.net = ["c"]\nname = "x"\n',
        ),
        ("permissions = {}\n", 'permissions.net = ["c"]\n'),
        ('["permissions"]\n"net" = ["b"]\n', '["permissions"]\nnet = ["b", "c"]\n'),
        (
            'name = """\n[permissions]\nnet = ["no"]\n"""\n',
            'name = """\n[permissions]\nnet = ["no"]\n"""\n[permissions]\nnet = ["c"]\n',
        ),
        (
            "[params.permissions]\ndefault = 1\n",
            '[params.permissions]\ndefault = 1\n[permissions]\nnet = ["c"]\n',
        ),
    ],
)
def test_only_what_has_to_change_does(before, after):
    assert added(before, net=["c"]) == after


def test_many_targets_stand_below_each_other():
    names = [f"host{n}.example.com" for n in range(6)]
    lines = added("", net=names).splitlines()
    assert lines == ["[permissions]", "net = [", *(f'  "{name}",' for name in names), "]"]


@pytest.mark.parametrize(
    "toml", ["permissions = 1", "permissions.net = 'x'", "permissions.net = [1]", "x ="]
)
def test_what_is_wrong_is_refused(toml):
    with pytest.raises(ValueError, match=r"permissions|TOML|Invalid"):
        PermissionsEditor(toml.encode(), comment=False)


def test_a_comment_that_does_not_end_is_refused():
    with pytest.raises(ValueError, match="is missing"):
        PermissionsEditor(b"--- /// spell\nprint(1)\n")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("shebang", ["", "#!/usr/bin/env llmspell"])
def test_a_comment_is_made(mark, newline, shebang):
    head = mark + (shebang + newline if shebang else "").encode()
    text = PermissionsEditor(head + BODY).adding({"net": ["c"]})
    made = comment('[permissions]\nnet = ["c"]', newline if shebang else "\r\n")
    assert text == head + made + BODY
    assert parse_spell(text, name="s", file="s").permissions == {"net": ["c"]}


def test_a_shebang_without_a_line_after_it():
    text = PermissionsEditor(b"#!llmspell").adding({"net": ["c"]})
    assert text == b"#!llmspell\n" + comment('[permissions]\nnet = ["c"]')


NAMES = st.from_regex(r"[A-Za-z_]\w{0,5}", fullmatch=True).filter(str.isascii)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
TARGETS = st.lists(TEXTS, max_size=3)
REQUESTS = st.dictionaries(st.sampled_from(KINDS), TARGETS, max_size=3)


def toml_text(value):
    """A value in TOML, written otherwise than in the code that is tested."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    return repr(value)


@st.composite
def front_matters(draw):
    """Lines of TOML in one of the forms people write, and those that say nothing of permissions."""
    asked = draw(REQUESTS)
    written = {kind: [toml_text(target) for target in targets] for kind, targets in asked.items()}
    params = draw(st.dictionaries(NAMES, VALUES, max_size=3))
    limits = draw(st.dictionaries(st.sampled_from(["time", "effects"]), st.integers(1, 9)))
    top = [f"description = {toml_text(draw(TEXTS))}"] if draw(st.booleans()) else []
    sections = [
        ["[params]", *(f"{name} = {toml_text(value)}" for name, value in params.items())],
        ["[limits]  # low", *(f"{name} = {value}" for name, value in limits.items())],
    ]
    form = draw(st.sampled_from(["section", "dotted", "inline"]))
    at_top, section = [], []
    if form == "dotted":
        at_top = [f"permissions.{kind} = [{', '.join(ts)}] # D" for kind, ts in written.items()]
    elif form == "inline":
        inner = ", ".join(f"{kind} = [{', '.join(ts)}]" for kind, ts in written.items())
        at_top = [f"permissions = {{ {inner} }}"]
    else:
        section = ["[permissions] # P"]
        for kind, targets in written.items():
            section += [f"{kind} = [ # several", *(f"  {target}," for target in targets), "]"]
    parts = [top, at_top, *draw(st.permutations([*sections, section]))]
    filler = st.sampled_from([[], [""], ["# so"]])
    lines, others = [], []
    for part in parts:
        more = draw(filler)
        lines += [*part, *more]
        others += [*(part if part not in (at_top, section) else ()), *more]
    return lines, others


@given(front_matters(), REQUESTS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_it_parses_to_the_same_and_what_was_added(front, more, newline, apart):
    lines, others = front
    toml = newline.join(lines) + newline
    text = toml.encode() if apart else comment("\n".join([*lines, ""]), newline) + BODY
    changed = PermissionsEditor(text, comment=not apart).adding(more)

    before, after = tomllib.loads(toml), read_back(changed, apart=apart)
    asked = before.pop("permissions", {})
    merged = asked | {kind: sorted({*asked.get(kind, []), *more[kind]}) for kind in more}
    assert after.pop("permissions", {}) == merged
    assert repr(after) == repr(before)
    assert apart or changed.endswith(b"--- ///" + newline.encode() + BODY)
    margin = "" if apart else "--- "
    left = iter(changed.splitlines(keepends=True))
    assert all(f"{margin}{line}".rstrip().encode() + newline.encode() in left for line in others)


def read_back(text, *, apart):
    if apart:
        return tomllib.loads(text.decode())
    block = text.split(b"--- /// spell", 1)[1].split(b"--- ///", 1)[0]
    return tomllib.loads(
        "\n".join(
            line.decode().removeprefix("---").removeprefix(" ") for line in block.splitlines()
        )
    )


# What is written down of what was used.


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path.cwd()


def used(here, *needs):
    return [Need(kind, str(here / t) if kind in ("read", "write") else t) for kind, t in needs]


def test_the_least_that_covers_what_was_used(here):
    needs = used(
        here,
        ("read", "data/a.txt"),
        ("read", "data"),
        ("read", "notes/b.txt"),
        ("read", "/etc/hosts"),
        ("write", "data/a.txt"),
        ("net", "example.com"),
        ("net", "example.com:8080"),
        ("net", "10.0.0.5"),
        ("env", "HOME"),
        ("tool", "weather"),
        ("llm", "test/gpt"),
    )
    assert lacking({}, needs) == {
        "read": ["/etc/hosts", "data", "notes/b.txt"],
        "write": ["data/a.txt"],
        "net": ["10.0.0.5", "example.com"],
        "env": ["HOME"],
        "tool": ["weather"],
        "llm": ["test/gpt"],
    }


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ({"read": ["."]}, {"net": ["a.example.com"]}),
        ({"read": ["*"], "net": ["*"]}, {}),
        ({"net": ["*.example.com"]}, {"read": ["data/a"]}),
        ({"read": ["data/a"], "net": ["a.example.com"]}, {}),
        ({"read": ["data/b"], "net": []}, {"read": ["data/a"], "net": ["a.example.com"]}),
    ],
)
def test_what_is_asked_for_already_is_not_added(here, asked, missing):
    needs = used(here, ("read", "data/a"), ("net", "a.example.com"))
    assert lacking(asked, needs) == missing


def test_a_private_host_is_not_covered_by_every_public_one(here):
    assert lacking({"net": ["*"]}, used(here, ("net", "127.0.0.1:80"))) == {"net": ["127.0.0.1:80"]}


@pytest.mark.parametrize("name", ["~a", "*", "a,b", 'a"b\\c', "é\n\x01", " a "])
def test_odd_names_are_written_so_that_they_grant_themselves(here, name):
    spell = here / "s.lua"
    spell.write_text("return 1")
    needs = [Need("read", str(here / name)), Need("env", name), Need("tool", name)]
    assert record(spell, needs)
    asked = parse_spell(spell.read_bytes(), name="s", file="s").permissions
    granted = Grants.from_lists(asked)
    assert all(granted.allows(need) for need in needs)
    assert not granted.allows(Need("read", str(here / "other")))
    assert not granted.allows(Need("env", "OTHER"))
    assert record(spell, needs) == {}


def test_the_file_is_replaced_with_its_mode_and_through_links(here):
    spell, link = here / "s.lua", here / "link.lua"
    spell.write_text("return 1")
    spell.chmod(0o751)
    link.symlink_to(spell)
    assert record(link, [Need("env", "HOME")]) == {"env": ["HOME"]}
    assert link.is_symlink()
    assert 'env = ["HOME"]' in spell.read_text()
    assert spell.stat().st_mode & 0o777 == 0o751
    assert sorted(path.name for path in here.iterdir()) == ["link.lua", "s.lua"]


def test_nothing_used_changes_nothing(here):
    spell = here / "s.lua"
    spell.write_text("return 1")
    before = spell.stat()
    assert record(spell, []) == {}
    assert spell.stat() == before
