"""Dates and times."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field

from llmspell import clock
from llmspell.errors import ToolError
from llmspell.tools.tool import tool

Time = str | int | float
"""ISO 8601 text, or Unix time in seconds."""


@dataclass(slots=True)
class Moment:
    """A point in time, with its date and time of day in a time zone.

    Attributes:
        iso: ISO 8601, with the offset from UTC.
        unix: Seconds since 1970-01-01T00:00:00Z.
        year: Such as 2026.
        month: 1 to 12.
        day: 1 to 31.
        hour: 0 to 23.
        minute: 0 to 59.
        second: 0 to 59; `unix` has the fraction.
        weekday: English name: "Monday".
        yearday: 1 to 366.
        timezone: The time zone's name.
        offset: Seconds the zone is ahead of UTC.
    """

    iso: str
    unix: float
    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    weekday: str
    yearday: int
    timezone: str
    offset: int


@tool(category="time", pure=True)
async def now(timezone: str = "UTC") -> Moment:
    """Get the current time: `{iso, unix, year, month, day, hour, minute, second, weekday, …}`.

    Args:
        timezone: IANA time zone, such as "Europe/Oslo".
    """
    return _moment(datetime.fromtimestamp(clock.now(), UTC), _zone(timezone), timezone)


@tool(category="time", pure=True)
async def parse_time(
    text: Annotated[str, Field(max_length=200)],
    format: Annotated[str, Field(max_length=200)] | None = None,  # noqa: A002 - its Lua name
    timezone: str = "UTC",
) -> Moment:
    """Parse a time: `{iso, unix, year, month, day, hour, minute, second, weekday, …}`.

    Args:
        text: The time.
        format: Its format in the syntax of Python's `strptime`, such as "%d.%m.%Y %H:%M"; without
            it the text is ISO 8601.
        timezone: IANA time zone of the result, and of a text without an offset.
    """
    zone = _zone(timezone)
    if format is None:
        return _moment(_when(text, zone), zone, timezone)
    _check_format(format)
    try:
        when = datetime.strptime(text, format)  # noqa: DTZ007 - the zone is added below
    except (ValueError, re.error) as error:
        raise ToolError(
            f"{text!r} is not a time of the format {format!r}",
            details={"text": text, "format": format},
        ) from error
    with _calendar():
        return _moment(_in_zone(when, zone), zone, timezone)


@tool(category="time", pure=True)
async def format_time(
    time: Time,
    format: Annotated[str, Field(max_length=200)] = "%Y-%m-%d %H:%M:%S",  # noqa: A002
    timezone: str = "UTC",
) -> str:
    """Format a time as text.

    Args:
        time: ISO 8601 text, or Unix time in seconds.
        format: In the syntax of Python's `strftime`, such as "%A, %d %B %Y".
        timezone: IANA time zone of the result, and of a time without an offset.
    """
    _check_format(format)
    zone = _zone(timezone)
    when = _when(time, zone)
    with _calendar():
        return when.astimezone(zone).strftime(format)


@tool(category="time", pure=True)
async def add_time(
    time: Time,
    *,
    years: int = 0,
    months: int = 0,
    weeks: int = 0,
    days: int = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    timezone: str = "UTC",
) -> Moment:
    """Add to a time, or subtract with negative numbers; the result is like that of now.

    Years to days keep the time of day in the time zone; the 31st becomes the last day of a
    shorter month. Hours to seconds are elapsed time.

    Args:
        time: ISO 8601 text, or Unix time in seconds.
        years: Years to add.
        months: Months to add.
        weeks: Weeks to add.
        days: Days to add.
        hours: Hours to add.
        minutes: Minutes to add.
        seconds: Seconds to add.
        timezone: IANA time zone to count days in, and of a time without an offset.
    """
    zone = _zone(timezone)
    when = _when(time, zone)
    with _calendar():
        local = _add_months(when.astimezone(zone), 12 * years + months)
        local += timedelta(weeks=weeks, days=days)
        elapsed = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return _moment(local.astimezone(UTC) + elapsed, zone, timezone)


@dataclass(slots=True)
class Duration:
    """A span of time in four units; negative if the finish is before the start."""

    seconds: float
    minutes: float
    hours: float
    days: float


@tool(category="time", pure=True)
async def time_between(start: Time, finish: Time, timezone: str = "UTC") -> Duration:
    """Compute the time from start to finish, in each unit: `{seconds, minutes, hours, days}`.

    Args:
        start: ISO 8601 text, or Unix time in seconds.
        finish: ISO 8601 text, or Unix time in seconds.
        timezone: IANA time zone of times without an offset.
    """
    zone = _zone(timezone)
    with _calendar():
        elapsed = _when(finish, zone).astimezone(UTC) - _when(start, zone).astimezone(UTC)
    seconds = elapsed.total_seconds()
    return Duration(seconds, seconds / 60, seconds / 3600, seconds / 86400)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        hint = 'use a name of the IANA database, such as "Europe/Oslo"'
        if not available_timezones():
            hint = "this system has no time zones but UTC: install its tzdata package"
        raise ToolError(
            f"no time zone named {name!r}", hint=hint, details={"timezone": name}
        ) from error


def _when(time: Time, zone: tzinfo) -> datetime:
    """Convert a time to a datetime; one without an offset is in `zone`."""
    if isinstance(time, str):
        try:
            return _in_zone(datetime.fromisoformat(time.strip()), zone)
        except ValueError as error:
            raise ToolError(
                f"{time!r} is not an ISO 8601 time",
                hint='write it as "2026-11-22T07:44:00+01:00", or use parse_time with a format',
                details={"time": time},
            ) from error
    with _calendar():
        return datetime.fromtimestamp(time, UTC)


def _in_zone(when: datetime, zone: tzinfo) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=zone)


@contextmanager
def _calendar() -> Iterator[None]:
    """Turn errors for dates outside the years 1 to 9999 into a ToolError."""
    try:
        yield
    except (ValueError, OverflowError, OSError) as error:
        raise ToolError("the time is outside the years 1 to 9999") from error


def _moment(when: datetime, zone: tzinfo, name: str) -> Moment:
    with _calendar():
        local = when.astimezone(zone)
        unix = when.timestamp()
    offset = local.utcoffset() or timedelta()
    return Moment(
        iso=local.isoformat(),
        unix=unix,
        year=local.year,
        month=local.month,
        day=local.day,
        hour=local.hour,
        minute=local.minute,
        second=local.second,
        weekday=calendar.day_name[local.weekday()],
        yearday=local.timetuple().tm_yday,
        timezone=name,
        offset=int(offset.total_seconds()),
    )


def _add_months(when: datetime, months: int) -> datetime:
    year, month = divmod(when.year * 12 + when.month - 1 + months, 12)
    if not 1 <= year <= 9999:  # noqa: PLR2004 - the range of datetime
        raise ValueError(year)
    last = calendar.monthrange(year, month + 1)[1]
    return when.replace(year=year, month=month + 1, day=min(when.day, last))


_DIRECTIVES = "aAwdbBmyYHIpMSfzZjUWcxXGuV%"


def _check_format(text: str) -> None:
    for directive in re.findall("%(.?)", text, re.DOTALL):
        if directive == "" or directive not in _DIRECTIVES:
            raise ToolError(
                f"%{directive} in the format {text!r} is not part of a time",
                hint="%Y year, %m month, %d day, %H hour, %M minute, %S second, %B and %A names",
                details={"format": text},
            )
