import os
from stat import S_IMODE

import pytest

from llmspell.atomic_files import replace_file


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kept"


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_made_and_replaced(file, durable):
    for data in (b"one", b"two"):
        replace_file(file, data, durable=durable)
        assert file.read_bytes() == data
    assert list(file.parent.iterdir()) == [file]


def test_it_has_the_mode_asked_for_whatever_the_umask(file):
    before = os.umask(0o077)
    try:
        replace_file(file, b"", mode=0o644)
        assert S_IMODE(file.stat().st_mode) == 0o644
        replace_file(file, b"")
        assert S_IMODE(file.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_what_cannot_be_replaced_stays_and_nothing_is_left_behind(file):
    file.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(file, b"new")
    assert list(file.parent.iterdir()) == [file]
