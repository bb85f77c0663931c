import hashlib
import uuid as uuids

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import InvalidArguments, ToolError
from llmspell.tools.encoding import (
    base64_decode,
    base64_encode,
    hmac,
    url_decode,
    url_encode,
    uuid,
)
from llmspell.tools.encoding import hash as hash_

pytestmark = pytest.mark.anyio


async def test_hashes(call):
    # The digests of "abc" in FIPS 180-4's examples, and RFC 1321's for MD5.
    assert await call(hash_, data="abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert await call(hash_, data=b"abc", algorithm="sha1") == (
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    )
    assert await call(hash_, data="abc", algorithm="md5") == "900150983cd24fb0d6963f7d28e17f72"
    assert await call(hash_, data="é") == await call(hash_, data="é".encode())
    with pytest.raises(InvalidArguments, match="algorithm"):
        await call(hash_, data="abc", algorithm="crc")


async def test_every_listed_algorithm_exists(call):
    for algorithm in hash_.schema["properties"]["algorithm"]["enum"]:
        expected = hashlib.new(algorithm, b"x").hexdigest()
        assert await call(hash_, data="x", algorithm=algorithm) == expected
        assert len(await call(hmac, key="k", data="x", algorithm=algorithm)) == len(expected)


async def test_hmac(call):
    # RFC 4231, test case 2.
    assert await call(hmac, key="Jefe", data="what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert await call(hmac, key=b"\xaa" * 131, data="x") != await call(hmac, key="", data="x")


async def test_uuid(call):
    made = {await call(uuid) for _ in range(100)}
    assert len(made) == 100
    assert all(uuids.UUID(one).version == 4 and len(one) == 36 for one in made)


async def test_base64(call):
    assert await call(base64_encode, data="fooba") == "Zm9vYmE="
    assert await call(base64_encode, data=b"\xfb\xff") == "+/8="
    assert await call(base64_encode, data=b"\xfb\xff", url_safe=True) == "-_8="
    assert await call(base64_decode, text="Zm9v\nYmE") == "fooba"
    for text in ("+/8=", "-_8"):
        assert await call(base64_decode, text=text) == b"\xfb\xff"
    for text in ("a", "Zm9v!", "é", "=a="):
        with pytest.raises(ToolError, match="is not Base64"):
            await call(base64_decode, text=text)


@given(st.text() | st.binary())
@pytest.mark.parametrize("url_safe", [False, True])
async def test_base64_comes_back(url_safe, data):
    encoded = await base64_encode(data, url_safe)
    assert as_bytes(await base64_decode(encoded)) == as_bytes(data)


@given(st.text() | st.binary())
async def test_url_encoding_comes_back(data):
    assert as_bytes(await url_decode(await url_encode(data))) == as_bytes(data)


def as_bytes(data):
    return data.encode() if isinstance(data, str) else data


async def test_url_encoding(call):
    assert await call(url_encode, text="a b/ø&~") == "a%20b%2F%C3%B8%26~"
    assert await call(url_decode, text="a%20b+%C3%B8%") == "a b+ø%"
    assert await call(url_decode, text="%FF") == b"\xff"
