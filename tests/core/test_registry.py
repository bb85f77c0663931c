from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from llmspell.errors import UnknownEffect
from llmspell.registry import Registry


@pytest.fixture
def tools():
    registry = Registry("tool")
    for name in ("write_file", "read_file"):
        registry.register(name, name.upper())
    return registry


def test_it_is_a_mapping_in_order_of_names(tools):
    assert list(tools) == ["read_file", "write_file"]
    assert dict(tools) == {"read_file": "READ_FILE", "write_file": "WRITE_FILE"}
    assert len(tools) == 2
    assert "read_file" in tools
    assert tools.get("nothing") is None
    with pytest.raises(KeyError):
        tools["nothing"]


def test_a_name_is_taken_once(tools):
    with pytest.raises(ValueError, match="tool named 'read_file'"):
        tools.register("read_file", 1)
    assert tools["read_file"] == "READ_FILE"
    tools.register("read_file", 2, replace=True)
    assert tools["read_file"] == 2


def test_removed_things_are_gone(tools):
    tools.remove("read_file")
    tools.remove("read_file")
    assert list(tools) == ["write_file"]


def test_a_child_sees_its_parent_and_hides_what_it_redefines(tools):
    child = Registry("tool", tools)
    child.register("read_file", "mine")
    child.register("extra", "e")
    assert dict(child) == {"extra": "e", "read_file": "mine", "write_file": "WRITE_FILE"}
    assert len(child) == 3
    assert tools["read_file"] == "READ_FILE"
    tools.register("later", 1)
    assert "later" in child
    child.remove("read_file")
    assert child["read_file"] == "READ_FILE"
    with pytest.raises(
        ValueError, match="'write_file' is built in, or shared, and cannot be removed"
    ):
        child.remove("write_file")
    assert "write_file" in child


def test_registering_does_not_disturb_a_reader(tools):
    seen = []
    for name in tools:
        tools.register(f"{name}_2", 1)
        tools.remove("write_file")
        seen.append(name)
    assert seen == ["read_file", "write_file"]


def test_an_unknown_name_has_suggestions(tools):
    child = Registry("tool", tools)
    child.register("read_files", 1)
    with pytest.raises(UnknownEffect) as caught:
        child.find("read_fil")
    error = caught.value
    assert (error.details["kind"], error.details["name"]) == ("tool", "read_fil")
    assert error.details["suggestions"][:2] == ["read_file", "read_files"]
    assert "read_file" in error.hint
    with pytest.raises(UnknownEffect) as caught:
        child.find("zzz")
    assert caught.value.hint is None
    assert child.find("write_file") == "WRITE_FILE"


def test_what_one_looks_at_stays_as_it_is(tools):
    values, items = tools.values(), tools.items()
    for name, thing in items:
        tools.register(f"{name}_2", 1)
        tools.remove("write_file")
        assert thing == name.upper()
    assert list(values) == ["READ_FILE", "WRITE_FILE"]
    assert list(tools) == ["read_file", "read_file_2", "write_file_2"]


def test_threads_that_write_lose_nothing_and_disturb_no_reader(tools):
    def write(writer):
        for i in range(50):
            tools.register(f"tool_{writer}_{i}", i)
            tools.register("shared", i, version=f"{writer}.{i}")

    def read():
        while writing:
            assert tools["read_file"] == "READ_FILE"
            assert dict(tools.items())["write_file"] == "WRITE_FILE"

    writing = True
    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for done in [pool.submit(write, writer) for writer in range(4)]:
                done.result()
        finally:
            writing = False
        for done in readers:
            done.result()
    assert len(tools) == 2 + 4 * 50 + 1
    assert len(tools.versions("shared")) == 4 * 50
    assert tools["shared"] == tools["shared@3.49"] == 49


# Versions


@pytest.fixture
def versions(tools):
    for version in ("1.9", "1.10", "1", "0.5.2"):
        tools.register("price", f"price {version}", version=version)
    return tools


def test_the_plain_name_is_the_newest_version(versions):
    assert versions["price"] == versions.find("price") == "price 1.10"
    assert versions["price@1.9"] == "price 1.9"
    assert versions.versions("price") == ["1.10", "1.9", "1", "0.5.2"]
    assert versions.versions("read_file") == ["1"]
    assert versions["read_file@1"] == "READ_FILE"
    assert versions.versions("nothing") == []


def test_only_plain_names_are_listed(versions):
    assert list(versions) == ["price", "read_file", "write_file"]
    assert len(versions) == 3
    assert list(versions.values()) == ["price 1.10", "READ_FILE", "WRITE_FILE"]
    assert "price@1.9" in versions
    assert "price@7" not in versions


def test_a_version_is_taken_once(versions):
    with pytest.raises(ValueError, match=r"tool named 'price@1\.9' is already registered"):
        versions.register("price", 1, version="1.9")
    versions.register("price", "better", version="1.10", replace=True)
    assert versions["price"] == "better"


def test_one_version_or_all_can_be_removed(versions):
    versions.remove("price@1.10")
    assert versions["price"] == "price 1.9"
    versions.remove("price@7")
    assert versions.versions("price") == ["1.9", "1", "0.5.2"]
    versions.remove("price")
    assert list(versions) == ["read_file", "write_file"]
    assert "price@1" not in versions


def test_a_child_sees_the_versions_of_its_parent_too(versions):
    child = Registry("tool", versions)
    child.register("price", "mine", version="0.9")
    assert child["price"] == "mine"
    assert child["price@1.10"] == "price 1.10"
    assert child.versions("price") == ["1.10", "1.9", "1", "0.9", "0.5.2"]
    child.remove("price")
    assert child["price"] == "price 1.10"


def test_a_version_that_is_not_there_suggests_those_that_are(versions):
    with pytest.raises(UnknownEffect) as caught:
        versions.find("price@2")
    assert caught.value.details["name"] == "price@2"
    assert caught.value.details["suggestions"][:2] == ["price@1.10", "price@1.9"]
    with pytest.raises(UnknownEffect) as caught:
        versions.find("read_fil@2")
    assert caught.value.details["suggestions"][0] == "read_file"


@pytest.mark.parametrize("version", ["", "v1", "1.", "1.0-beta", "1 ", "\u0661"])
def test_what_is_no_version(tools, version):
    with pytest.raises(ValueError, match="is not a version"):
        tools.register("price", 1, version=version)


def test_a_name_has_no_at_sign(tools):
    with pytest.raises(ValueError, match="is not a valid name for a tool"):
        tools.register("price@1", 1)


# Categories, tags, search


@dataclass
class Entry:
    name: str
    category: str
    tags: tuple[str, ...] = ()
    description: str = ""


@pytest.fixture
def library():
    shared = Registry("tool")
    registry = Registry("tool", shared)
    for entry in (
        Entry("read_mail", "net", ("mail", "inbox"), "Fetch a letter."),
        Entry("mailbox", "net", (), "Open the box."),
        Entry("mail", "post", (), "Send something."),
    ):
        shared.register(entry.name, entry)
    for entry in (
        Entry("stamp", "post", ("mail", "mail"), "Put a stamp on."),
        Entry("weigh", "post", (), "How heavy a letter, or other mail, is."),
        Entry("email", "net", ("inbox",), "Send a letter over the wire."),
        Entry("camel", "zoo", (), "It blackmails nobody."),
    ):
        registry.register(entry.name, entry)
    return registry


def names(entries):
    return [entry.name for entry in entries]


def test_by_category_and_by_tag(library):
    assert {category: names(found) for category, found in library.by_category().items()} == {
        "net": ["email", "mailbox", "read_mail"],
        "post": ["mail", "stamp", "weigh"],
        "zoo": ["camel"],
    }
    assert {tag: names(found) for tag, found in library.by_tag().items()} == {
        "inbox": ["email", "read_mail"],
        "mail": ["read_mail", "stamp"],
    }
    assert list(library.by_category()) == ["net", "post", "zoo"]


def test_what_a_child_redefines_is_found_where_it_is_now(library):
    library.register("mail", Entry("mail", "zoo", ("new",)))
    assert names(library.by_category()["post"]) == ["stamp", "weigh"]
    assert names(library.by_tag()["new"]) == ["mail"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # The name, a part of it, some letters of it, a tag, the beginning of a word described.
        ("mail", ["mail", "read_mail", "email", "mailbox", "stamp", "weigh"]),
        ("MAIL", ["mail", "read_mail", "email", "mailbox", "stamp", "weigh"]),
        ("letter mail", ["read_mail", "email", "weigh"]),
        ("  send\tlett ", ["email"]),
        ("post", ["mail", "stamp", "weigh"]),
        ("(", []),
        ("mail nothing", []),
        ("", ["camel", "email", "mail", "mailbox", "read_mail", "stamp", "weigh"]),
    ],
)
def test_search_gives_what_has_every_word_the_best_first(library, text, found):
    assert names(library.search(text)) == found


def test_search_within_a_category_or_tag(library):
    assert names(library.search("mail", category="net")) == ["read_mail", "email", "mailbox"]
    assert names(library.search("mail", tag="inbox")) == ["read_mail", "email"]
    assert names(library.search(tag="mail", category="post")) == ["stamp"]
    assert library.search(category="none") == library.search(tag="none") == []


class Counted(Registry):
    """Counts how often its things are gone through."""

    gone_through = 0

    def values(self):
        type(self).gone_through += 1
        return super().values()


def test_a_category_index_looks_only_after_a_change():
    class Own(Counted):
        gone_through = 0

    registry = Own("thing").with_category_index()
    child = Own("thing", registry)
    registry.register("tea", SimpleNamespace(name="tea", category="hot"))
    assert registry.by_category() == registry.by_category() == {"hot": [registry["tea"]]}
    assert registry.search("te", category="hot") == [registry["tea"]]
    assert registry.search(category="cold") == []
    assert Own.gone_through == 1

    child.register("ice", SimpleNamespace(name="ice", category="cold"))
    assert [t.name for t in child.search(category="cold")] == ["ice"]
    registry.register("soup", SimpleNamespace(name="soup", category="hot"))
    assert [t.name for t in child.search(category="hot")] == ["soup", "tea"]
    registry.by_category()["hot"].clear()
    assert [t.name for t in registry.search(category="hot")] == ["soup", "tea"]
    assert Own.gone_through == 4
    registry.remove("tea")
    assert [t.name for t in child.search(category="hot")] == ["soup"]


def test_things_need_no_labels_to_be_listed():
    registry = Registry("thing")
    registry.register("five", 5)
    assert registry.by_category() == {"user": [5]}
    assert registry.by_tag() == {}
    assert registry.search(tag="x") == []
