import os
import resource
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, PermissionDenied, ToolError
from llmspell.permissions import Grants, Permissions
from llmspell.tools import files, granted_files
from llmspell.tools.files import delete_file, file_info, list_files, read_file, write_file

pytestmark = pytest.mark.anyio


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def only(folder):
    return Grants(read=(str(folder),), write=(str(folder),))


@contextmanager
def files_of_at_most(size):
    """The system refuses to make files larger than that, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_what_is_written_can_be_read(call, here):
    info = await call(write_file, path="a.txt", content="blåbær\n")
    assert info["path"] == info["name"] == "a.txt"
    assert (info["kind"], info["size"]) == ("file", 9)
    assert await call(read_file, path="a.txt") == "blåbær\n"
    assert names(here) == ["a.txt"]


async def test_bytes_stay_bytes(call, here):
    await call(write_file, path="x.bin", content=b"\xff\x00\r\n")
    assert await call(read_file, path="x.bin", encoding="binary") == b"\xff\x00\r\n"
    with pytest.raises(ToolError, match="not utf-8 text") as caught:
        await call(read_file, path="x.bin")
    assert "binary" in caught.value.hint


async def test_other_encodings(call, here):
    (here / "old.txt").write_bytes("naïve".encode("latin-1"))
    assert await call(read_file, path="old.txt", encoding="latin-1") == "naïve"
    with pytest.raises(InvalidArguments, match="encoding"):
        await call(read_file, path="old.txt", encoding="punycode")


async def test_line_ends_stay_as_they_are(call, here):
    await call(write_file, path="dos.txt", content="a\r\nb\n")
    assert (here / "dos.txt").read_bytes() == b"a\r\nb\n"
    assert await call(read_file, path="dos.txt") == "a\r\nb\n"


async def test_a_large_file_is_refused_and_the_exact_size_is_not(call, here):
    (here / "ten").write_text("0123456789")
    assert await call(read_file, path="ten", max_bytes=10) == "0123456789"
    with pytest.raises(ToolError, match="10 bytes are more than max_bytes = 9") as caught:
        await call(read_file, path="ten", max_bytes=9)
    assert caught.value.details["size"] == 10


async def test_append(call, here):
    await call(write_file, path="log", content="a", append=True)
    info = await call(write_file, path="log", content="b", append=True)
    assert info["size"] == 2
    assert (here / "log").read_text() == "ab"


async def test_missing_files_and_folders_are_explained(call, here):
    with pytest.raises(ToolError, match=r"cannot read no\.txt: it does not exist") as caught:
        await call(read_file, path="no.txt")
    assert str(here) in caught.value.hint
    assert caught.value.details == {"path": "no.txt", "errno": "ENOENT"}
    with pytest.raises(ToolError, match="its folder does not exist") as caught:
        await call(write_file, path="a/b.txt", content="")
    assert "create_folders" in caught.value.hint
    (here / "file").touch()
    with pytest.raises(ToolError, match="is not a folder"):
        await call(read_file, path="file/x")


async def test_folders_are_made_on_request(call, here):
    await call(write_file, path="a/b/c.txt", content="x", create_folders=True)
    await call(write_file, path="a/b/d.txt", content="x", create_folders=True)
    assert names(here / "a" / "b") == ["c.txt", "d.txt"]


async def test_a_folder_that_is_not_granted_is_not_made(call, here):
    grants = Grants(write=(str(here / "a" / "b.txt"),))
    with pytest.raises(PermissionDenied, match="write_file may not write"):
        await call(write_file, grants, path="a/b.txt", content="", create_folders=True)
    assert names(here) == []


@pytest.mark.parametrize("tool", [read_file, list_files, write_file, delete_file, file_info])
async def test_nothing_outside_of_the_grant(call, here, tool):
    (here / "in").mkdir()
    (here / "out").mkdir()
    (here / "in" / "link").symlink_to("../out")
    more = {"content": ""} if tool is write_file else {}
    for path in ("out/x", "in/../out/x", "in/link/x"):
        with pytest.raises(PermissionDenied):
            await call(tool, only(here / "in"), path=path, **more)


@pytest.mark.parametrize("tool", [read_file, list_files, write_file, delete_file, file_info])
async def test_a_link_swapped_in_after_the_judgement_is_judged_again(here, tool):
    (here / "in").mkdir()
    (here / "out").mkdir()
    (here / "out" / "x").write_text("secret")
    more = {"content": ""} if tool is write_file else {}
    bound = tool.bind({"path": "in/sub/x", **more})
    permissions = Permissions(only(here / "in"))
    for need in tool.needs(bound):
        permissions.check(need, by=tool.name)
    (here / "in" / "sub").symlink_to("../out")
    run = {Permissions: permissions}
    with pytest.raises(PermissionDenied):
        await tool.invoke(Effect("tool.call", {}, "0/0", run), bound)
    assert (here / "out" / "x").read_text() == "secret"


def test_a_link_swapped_in_after_resolving_is_not_followed(here):
    (here / "out").mkdir()
    (here / "out" / "x").write_text("secret")
    place = (here / "in" / "x").resolve()
    (here / "in").symlink_to("out")
    with pytest.raises(NotADirectoryError), granted_files.opened_folder(place.parent):
        pass
    (here / "x").symlink_to("out/x")
    with granted_files.opened_folder(here.resolve()) as folder:
        with pytest.raises(OSError, match="symbolic links"):
            granted_files.open_file("x", folder)
        with pytest.raises(OSError, match="link"):
            granted_files.file_status("x", folder)


async def test_links_inside_of_the_grant_work(call, here):
    (here / "real.txt").write_text("x")
    (here / "link.txt").symlink_to("real.txt")
    assert await call(read_file, only(here), path="link.txt") == "x"
    await call(write_file, only(here), path="link.txt", content="y")
    assert (here / "link.txt").is_symlink()
    assert (here / "real.txt").read_text() == "y"


async def test_pipes_devices_and_sockets_are_no_files(call, here):
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in ("pipe", "/dev/null"):
            with pytest.raises(ToolError, match="device, pipe or socket"):
                await call(read_file, path=path)
        for path in ("pipe", "socket", "/dev/null"):
            for append in (False, True):
                with pytest.raises(ToolError, match="device, pipe or socket"):
                    await call(write_file, path=path, content="x", append=append)


@pytest.mark.parametrize("path", ["folder", "/", "."])
async def test_a_folder_is_no_file(call, here, path):
    (here / "folder").mkdir()
    for tool, more in ((read_file, {}), (write_file, {"content": ""}), (delete_file, {})):
        with pytest.raises(ToolError, match="it is a folder"):
            await call(tool, path=path, **more)


async def test_a_failed_write_loses_nothing(call, here):
    (here / "kept").write_text("kept")
    with files_of_at_most(1000), pytest.raises(ToolError, match="cannot write kept"):
        await call(write_file, path="kept", content="x" * 2000)
    assert (here / "kept").read_text() == "kept"
    assert names(here) == ["kept"]


async def test_a_reader_sees_the_old_or_the_new_file_whole(call, here):
    size = 200_000
    (here / "f").write_text("a" * size)
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.add((here / "f").read_text())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for letter in "bcdefgh":
        await call(write_file, path="f", content=letter * size)
    done.set()
    watcher.join()
    assert seen <= {letter * size for letter in "abcdefgh"}


async def test_modes(call, here):
    (here / "script").write_text("x")
    (here / "script").chmod(0o750)
    await call(write_file, path="script", content="y")
    assert (here / "script").stat().st_mode & 0o777 == 0o750
    await call(write_file, path="new", content="")
    umask = os.umask(0)
    os.umask(umask)
    assert (here / "new").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
async def test_what_the_system_forbids(call, here):
    (here / "f").write_text("x")
    (here / "f").chmod(0o444)
    with pytest.raises(ToolError, match="does not permit it"):
        await call(write_file, path="f", content="")
    (here / "f").chmod(0)
    with pytest.raises(ToolError, match="does not permit it"):
        await call(read_file, path="f")


async def test_file_info(call, here):
    (here / "f").write_text("abc")
    os.utime("f", (5, 7.5))
    assert await call(file_info, path="f") == {
        "path": "f",
        "name": "f",
        "kind": "file",
        "size": 3,
        "modified": 7.5,
    }
    assert (await call(file_info, path="."))["kind"] == "folder"
    assert (await call(file_info, path="/"))["kind"] == "folder"
    assert (await call(file_info, path="/dev/null"))["kind"] == "other"
    assert await call(file_info, path="none") is None
    assert await call(file_info, path="f/none") is None
    with pytest.raises(ToolError, match="cannot inspect"):
        await call(file_info, path="x" * 300)


@pytest.mark.parametrize("tool", [read_file, list_files, write_file, delete_file, file_info])
async def test_a_name_that_no_file_can_have(call, here, tool):
    more = {"content": ""} if tool is write_file else {}
    with pytest.raises(ToolError, match=r"cannot \w+ x+: File name too long"):
        await call(tool, path="x" * 5000, **more)


async def test_delete_file(call, here):
    (here / "f").touch()
    (here / "link").symlink_to("f")
    with pytest.raises(ToolError, match="it is a link"):
        await call(delete_file, path="link")
    await call(delete_file, path="f")
    assert names(here) == ["link"]
    with pytest.raises(ToolError, match="does not exist"):
        await call(delete_file, path="f")


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


async def test_list_files(call, here):
    tree(here, "b.md", "a.txt", "sub/c.md", "sub/deep/d.md", ".hidden/e.md", ".f.md")

    async def paths(**options):
        return [info["path"] for info in await call(list_files, **options)]

    assert await paths() == ["a.txt", "b.md", "sub"]
    assert await paths(pattern="*.md") == ["b.md"]
    assert await paths(pattern="*.md", recursive=True) == ["b.md", "sub/c.md", "sub/deep/d.md"]
    assert await paths(pattern="*.md", recursive=True, hidden=True) == [
        ".f.md",
        ".hidden/e.md",
        "b.md",
        "sub/c.md",
        "sub/deep/d.md",
    ]
    assert await paths(path="sub") == ["sub/c.md", "sub/deep"]
    assert await paths(path=str(here / "sub")) == [f"{here}/sub/c.md", f"{here}/sub/deep"]
    kinds = {info["path"]: info["kind"] for info in await call(list_files)}
    assert kinds == {"a.txt": "file", "b.md": "file", "sub": "folder"}


async def test_a_listing_does_not_leave_through_links(call, here):
    tree(here, "out/secret", "in/f")
    (here / "in" / "link").symlink_to("../out")
    (here / "in" / "loop").symlink_to(".")
    found = await call(list_files, only(here / "in"), path="in", recursive=True)
    assert [(info["path"], info["kind"]) for info in found] == [
        ("in/f", "file"),
        ("in/link", "link"),
        ("in/loop", "link"),
    ]


async def test_listings_are_bounded(call, here, monkeypatch):
    tree(here, *map(str, range(5)))
    assert len(await call(list_files, max_results=5)) == 5
    with pytest.raises(ToolError, match="more than max_results = 4"):
        await call(list_files, max_results=4)
    monkeypatch.setattr(granted_files, "MAX_ENTRIES", 4)
    with pytest.raises(ToolError, match="more than 4 files and folders"):
        await call(list_files, pattern="none")


async def test_wrong_listings(call, here):
    (here / "f").touch()
    with pytest.raises(ToolError, match="contains a slash") as caught:
        await call(list_files, pattern="**/*.md")
    assert "recursive" in caught.value.hint
    with pytest.raises(
        ToolError, match="cannot list f: it, or a part of its path, is not a folder"
    ):
        await call(list_files, path="f")
    with pytest.raises(ToolError, match="does not exist"):
        await call(list_files, path="none")


async def test_no_descriptor_is_left_open(call, here):
    def descriptors():
        return len(names(Path("/dev/fd")))

    tree(here, "f", "sub/deep/g")
    before = descriptors()
    for _ in range(3):
        await call(read_file, path="f")
        await call(write_file, path="f", content="")
        await call(list_files, recursive=True)
        for path in ("none/none", "sub", "f/x"):
            with pytest.raises(ToolError):
                await call(read_file, path=path)
    assert descriptors() == before


def test_the_limit_of_a_file_is_the_limit_of_the_schema():
    assert read_file.schema["properties"]["max_bytes"]["maximum"] == files.MAX_FILE


async def test_a_path_that_leads_nowhere_is_said_to(call, here):
    (here / "loop").symlink_to("loop")
    for tool in (read_file, file_info, list_files):
        with pytest.raises(ToolError, match="cannot read 'loop': its links lead in a circle"):
            await call(tool, path="loop")
    with pytest.raises(ToolError, match="cannot write 'loop': its links lead in a circle"):
        await call(write_file, path="loop", content="x")
    with pytest.raises(ToolError, match="a path cannot contain a zero byte"):
        await call(read_file, path="a\0b")
