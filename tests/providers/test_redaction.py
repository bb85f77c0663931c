import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.redaction import REDACTED, redact_complete, redacted, secrets_in

KEY = "4f9b0c61d2e84a7b93"


def test_the_key_and_its_pieces_go():
    assert redacted(f"bad key {KEY}!", [KEY]) == f"bad key {REDACTED}!"
    assert redacted(f"bad key {KEY[:9]}…", [KEY]) == f"bad key {REDACTED}…"
    assert redacted(f"bad key …{KEY[5:14]}", [KEY]) == f"bad key …{REDACTED}"
    assert redacted(f"{KEY}{KEY} and {KEY}", [KEY]) == f"{REDACTED} and {REDACTED}"


def test_words_that_only_look_a_little_alike_stay():
    text = "the model 4f9b0c6 has no key 0c61d2e; sk-8 is short, and so is a task-oriented answer"
    assert redacted(text, [KEY]) == text


def test_what_looks_like_a_key_goes_though_it_is_not_ours():
    assert redacted("Incorrect key: sk-abc1*****wxyz. See", []) == f"Incorrect key: {REDACTED} See"
    assert redacted("got 'Bearer abcdefgh', no", []) == f"got '{REDACTED}', no"
    assert redacted("gsk_0123456789 xai-0123456789", []) == f"{REDACTED} {REDACTED}"


def test_the_user_and_password_of_a_url_go():
    text = "no answer from https://me:pa55@index.example/simple, ask a@b.example"
    assert redacted(text, []) == text.replace("me:pa55", REDACTED)


def test_of_an_answer_only_whole_secrets_go():
    answer = '{"content": "sk-proj-0123456789 and Bearer 0123456789", "4f9b0c61": "4f9b0c61d2"}'
    assert redact_complete(answer, [KEY, f"Token {KEY}x", "x", "ollama"]) == answer
    for text in (KEY, f"Token {KEY}x"):
        assert KEY not in redact_complete(f'{{"text": "got {text}"}}', [KEY, f"Token {KEY}x"])


def test_a_secret_is_found_as_json_may_write_it():
    secret = 'a/b"c\\d0123'
    for once in (json.dumps(secret), json.dumps(secret).replace("/", "\\/")):
        for written in (once, json.dumps(once)):
            shown = redact_complete(written, [secret])
            assert REDACTED in shown
            assert "0123" not in shown


@given(st.binary(max_size=4), st.binary(max_size=4), st.sampled_from([KEY, "ab/+~?" * 3]))
def test_a_key_in_base64_is_found_in_whatever_it_stands(before, after, key):
    """As Basic authentication has it, after a user and a colon."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + key.encode() + after).decode()
        for shown in (redacted(f"got {text}", [key]), redact_complete(f"got {text}", [key])):
            assert REDACTED in shown
            left = shown.removeprefix("got ").replace(REDACTED, "")
            assert len(left) <= len(text) - len(key)


def test_keys_given_to_servers_that_want_none_are_no_secret():
    assert redacted("none of x", ["x", "abc"]) == "none of x"
    assert redacted("no ollama here", ["ollama"]) == f"no {REDACTED} here"


@given(st.text(), st.text(min_size=8), st.text())
def test_nothing_of_the_key_is_left(before, key, after):
    assert key not in redacted(before + key + after, [key]).replace(REDACTED, "\0")


@given(st.text(alphabet="abc ", max_size=40))
def test_text_without_secrets_is_untouched(text):
    assert redacted(text, [KEY]) == text


def test_headers_named_like_secrets_are_secret():
    headers = {"X-Api-Key": "a", "Cookie": "b", "X-Title": "c", "api-token": "d"}
    assert secrets_in("k", headers) == ["k", "a", "b", "d"]
    assert secrets_in(None, {}) == []
