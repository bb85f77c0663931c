import time
import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import InvalidArguments, ToolError
from llmspell.tools import time as time_tools
from llmspell.tools.time import add_time, format_time, now, parse_time, time_between

pytestmark = pytest.mark.anyio


async def test_now(call):
    before = time.time()
    moment = await call(now)
    assert before <= moment["unix"] <= time.time()
    assert datetime.fromisoformat(moment["iso"]).timestamp() == moment["unix"]
    assert (moment["timezone"], moment["offset"]) == ("UTC", 0)
    assert (await call(now, timezone="Asia/Tokyo"))["offset"] == 9 * 3600


async def test_parse_time(call):
    assert await call(parse_time, text="2026-11-22T07:44:05.5Z", timezone="Europe/Oslo") == {
        "iso": "2026-11-22T08:44:05.500000+01:00",
        "unix": 1795333445.5,
        "year": 2026,
        "month": 11,
        "day": 22,
        "hour": 8,
        "minute": 44,
        "second": 5,
        "weekday": "Sunday",
        "yearday": 326,
        "timezone": "Europe/Oslo",
        "offset": 3600,
    }


@pytest.mark.parametrize(
    ("arguments", "iso"),
    [
        ({"text": "2026-11-22"}, "2026-11-22T00:00:00+00:00"),
        ({"text": " 20261122T0744 "}, "2026-11-22T07:44:00+00:00"),
        ({"text": "2026-07-01 12:00", "timezone": "Europe/Oslo"}, "2026-07-01T12:00:00+02:00"),
        ({"text": "22.11.2026", "format": "%d.%m.%Y"}, "2026-11-22T00:00:00+00:00"),
        (
            {"text": "1 Jul 2026 05:00", "format": "%d %b %Y %H:%M", "timezone": "Europe/Oslo"},
            "2026-07-01T05:00:00+02:00",
        ),
        (
            {"text": "2026-07-01 12:00 -0500", "format": "%Y-%m-%d %H:%M %z"},
            "2026-07-01T17:00:00+00:00",
        ),
    ],
)
async def test_texts(call, arguments, iso):
    assert (await call(parse_time, **arguments))["iso"] == iso


async def test_wrong_times(call):
    with pytest.raises(ToolError, match="'tomorrow' is not an ISO 8601 time") as caught:
        await call(parse_time, text="tomorrow")
    assert "parse_time" in caught.value.hint
    with pytest.raises(ToolError, match="is not a time of the format"):
        await call(parse_time, text="1", format="%Y-%m")
    with pytest.raises(ToolError, match="is not a time of the format"):
        await call(parse_time, text="2026 1 1", format="%Y %d %d")
    with pytest.raises(InvalidArguments, match="text"):
        await call(parse_time, text="1" * 300)


@pytest.mark.parametrize("wrong", ["%Q", "100%", "%-d", "%\n", "%999999999d"])
async def test_wrong_formats(call, wrong):
    with pytest.raises(ToolError, match="is not part of a time"):
        await call(format_time, time=0, format=wrong)
    with pytest.raises(ToolError, match="is not part of a time"):
        await call(parse_time, text="x", format=wrong)


@pytest.mark.parametrize("zone", ["Oslo", "", "../../etc/passwd", "/etc/passwd", "America", "a\0b"])
async def test_wrong_zones(call, zone):
    with pytest.raises(ToolError, match="no time zone named") as caught:
        await call(now, timezone=zone)
    assert "Europe/Oslo" in caught.value.hint


async def test_a_system_without_zones_says_so(call, monkeypatch):
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr(time_tools, "available_timezones", set)
    with pytest.raises(ToolError) as caught:
        await call(now, timezone="Nowhere/Town")
    assert "install its tzdata package" in caught.value.hint
    assert (await call(now))["timezone"] == "UTC"


async def test_format_time(call):
    assert await call(format_time, time=0) == "1970-01-01 00:00:00"
    assert await call(format_time, time="2026-07-01T12:00Z", format="%A %d %B %H:%M 100%%") == (
        "Wednesday 01 July 12:00 100%"
    )
    assert await call(format_time, time=0.5, format="%H:%M %Z", timezone="Asia/Tokyo") == (
        "09:00 JST"
    )
    assert await call(format_time, time=0, format="") == ""


@pytest.mark.parametrize(
    ("arguments", "iso"),
    [
        ({"time": 0, "days": 1, "hours": -1.5}, "1970-01-01T22:30:00+00:00"),
        ({"time": "2026-01-31", "months": 1}, "2026-02-28T00:00:00+00:00"),
        ({"time": "2024-02-29", "years": 1, "months": -12}, "2024-02-29T00:00:00+00:00"),
        ({"time": "2026-01-15", "months": -1}, "2025-12-15T00:00:00+00:00"),
        ({"time": "2026-12-15", "months": 13, "weeks": 1}, "2028-01-22T00:00:00+00:00"),
        # Clocks in Oslo went forward at 02:00 on 2026-03-29.
        (
            {"time": "2026-03-28T12:00", "days": 1, "timezone": "Europe/Oslo"},
            "2026-03-29T12:00:00+02:00",
        ),
        (
            {"time": "2026-03-28T12:00", "hours": 24, "timezone": "Europe/Oslo"},
            "2026-03-29T13:00:00+02:00",
        ),
        (
            {"time": "2026-03-28T02:30", "days": 1, "timezone": "Europe/Oslo"},
            "2026-03-29T03:30:00+02:00",
        ),
    ],
)
async def test_add_time(call, arguments, iso):
    assert (await call(add_time, **arguments))["iso"] == iso


@pytest.mark.parametrize(
    "arguments",
    [
        {"time": 0, "years": 9000},
        {"time": 0, "years": -1970},
        {"time": 0, "days": 10**12},
        {"time": 0, "seconds": 1e300},
        {"time": 0, "hours": float("nan")},
        {"time": 1e18},
        {"time": float("inf")},
        {"time": "0001-01-01", "timezone": "Asia/Tokyo"},
        {"time": "9999-12-31T23:00Z", "timezone": "Asia/Tokyo"},
    ],
)
async def test_times_out_of_range(call, arguments):
    with pytest.raises(ToolError, match="outside the years 1 to 9999"):
        await call(add_time, **arguments)


async def test_time_between(call):
    assert await call(time_between, start="2026-03-28T12:00Z", finish="2026-03-30") == {
        "seconds": 129600.0,
        "minutes": 2160.0,
        "hours": 36.0,
        "days": 1.5,
    }
    elapsed = await call(
        time_between, start="2026-03-29", finish="2026-03-30", timezone="Europe/Oslo"
    )
    assert elapsed["hours"] == 23
    assert (await call(time_between, start=10, finish=0))["seconds"] == -10


times = st.integers(-(2**31), 2**32).map(lambda n: datetime.fromtimestamp(n + 0.25, UTC))
zones = st.sampled_from(["UTC", "Europe/Oslo", "America/St_Johns", "Pacific/Apia"])


@given(times, zones)
async def test_a_time_comes_back(when, zone):
    moment = await parse_time(when.isoformat(), timezone=zone)
    assert datetime.fromisoformat(moment.iso) == when
    assert (await parse_time(moment.iso)).unix == moment.unix
    again = await add_time(moment.unix, timezone=zone)
    assert abs(datetime.fromisoformat(again.iso) - when) < timedelta(microseconds=10)


@given(times, zones, st.integers(-10_000, 10_000))
async def test_elapsed_time_is_what_was_added(when, zone, minutes):
    start = when.isoformat()
    end = await add_time(start, minutes=minutes, timezone=zone)
    assert (await time_between(start, end.iso)).minutes == minutes
