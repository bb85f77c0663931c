"""Patterns for personal data and keys, and their redaction.

Every pattern runs in time linear in the length of the text: it starts only where a word starts, and
its backtracking is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class Sensitive(NamedTuple):
    """A kind of sensitive text.

    Attributes:
        pattern: Matches candidates.
        check: Returns whether a candidate, without spaces and hyphens, is of this kind. If it is
            not, the candidate without its last parts is tried as well, since other digits may
            follow.
    """

    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None


def redact(text: str, sensitive: Sensitive, replacement: str) -> str:
    """Return the text with sensitive parts replaced; the same object if there are none."""
    pieces: list[str] = []
    done = at = 0
    while at <= len(text) and (match := sensitive.pattern.search(text, at)):
        length = _length(match[0], sensitive.check)
        if length:
            pieces += [text[done : match.start()], replacement]
            done = match.start() + length
        at = match.start() + max(length, 1)
    return "".join([*pieces, text[done:]]) if pieces else text


def _length(candidate: str, check: Callable[[str], bool] | None) -> int:
    """Return how many characters of a candidate are sensitive."""
    if check is None:
        return len(candidate)
    ends = [len(candidate), *(gap.start() for gap in reversed(list(_GAP.finditer(candidate))))]
    return next((end for end in ends if check(_GAP.sub("", candidate[:end]))), 0)


_GAP = re.compile(r"[ .()-]+")


def _is_phone(candidate: str) -> bool:
    return 7 <= len(candidate.removeprefix("+")) <= 15  # noqa: PLR2004 - E.164 has up to 15 digits


def _is_card(digits: str) -> bool:
    """Check the length and the Luhn checksum, which doubles every second digit from the right."""
    if not 13 <= len(digits) <= 19:  # noqa: PLR2004 - ISO/IEC 7812
        return False
    doubled = (divmod(2 * int(digit), 10) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(map(sum, doubled))) % 10 == 0


# Countries by the length of their IBANs.
_IBANS = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
}


def _is_iban(candidate: str) -> bool:
    """Check the length and the ISO 7064 checksum.

    The checksum is correct if the number that starts with the fifth character and ends with the
    first four is 1 modulo 97.
    """
    if candidate[:2] not in _IBANS.get(len(candidate), ""):
        return False
    return int("".join(str(int(sign, 36)) for sign in candidate[4:] + candidate[:4])) % 97 == 1


SENSITIVE = {
    "email": Sensitive(
        re.compile(r"(?<![\w.+%-])[\w.+%-]++@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}")
    ),
    "key": Sensitive(
        re.compile(
            r"(?<![\w-])(?:"
            r"(?:sk|pk|rk|gsk|xai|tgp|fw|csk|key|glpat|xox[abprs])[-_](?=[\w-]{0,60}\d)[\w-]{16,}"
            r"|gh[opsur]_\w{20,}|github_pat_\w{20,}"
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,}"
            r"|eyJ[\w-]+\.[\w-]+\.[\w-]+"
            r"|Bearer\s{1,4}[\w.~+/=-]{16,})"
            r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:[^-]|-(?!----)){0,20000}"
            r"(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
            r"|(?<=://)[^\s/@]{3,400}(?=@)"  # a URL's user and password
        )
    ),
    "iban": Sensitive(
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"),
        _is_iban,
    ),
    "card": Sensitive(re.compile(r"(?<![\w.])[2-6](?:[ -]?\d){12,18}(?!\d)"), _is_card),
    "phone": Sensitive(
        re.compile(
            r"(?<![\w.+])(?:\+[1-9](?:[ .-]?\(?\d\)?){6,17}"
            r"|\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,3}"
            r"|\d{3}[.-]\d{3}[.-]\d{4})(?!\w)"
        ),
        _is_phone,
    ),
}
"""The kinds, in the order in which they are searched for."""
