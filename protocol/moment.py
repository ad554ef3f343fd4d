"""Times as text: ISO 8601 and the short form that AWS signs are read, RFC 3339 is written; all in UTC.

Days are counted from years that begin in March, so that a leap day is the last of its year.

Source: RFC 3339; ISO 8601; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", ``days_from_civil``,
``civil_from_days``.
"""

import re

_ZONE = r"[Zz]|([+-])(\d{2}):?(\d{2})"
_TIME = rf"[Tt ](\d{{2}}):?(\d{{2}})(?::?(\d{{2}})(?:\.(\d{{1,9}}))?)?(?:{_ZONE})?"
_ISO = re.compile(rf"(\d{{4}})-?(\d{{2}})-?(\d{{2}})(?:{_TIME})?", re.ASCII)
_ERA = 146_097  # Days in 400 years.
_EPOCH = 719_468  # Days from the first of March of the year 0 to 1970.
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_moment(text: str) -> float | None:
    """Return the seconds since 1970 that *text* names, UTC where it says no zone; ``None`` where it names none."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6))
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] and (day < 29 or month != 2 or is_leap)):
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    east = (int(found[9]) * 3600 + int(found[10]) * 60) * (1 if found[8] == "+" else -1) if found[8] else 0
    whole = _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - east
    return whole + (float(f"0.{found[7]}") if found[7] else 0.0)


def rfc3339(ms: int, *, with_ms: bool) -> str:
    """Return *ms*, milliseconds since 1970, as in ``2026-01-31T23:59:59Z``, or with milliseconds before the Z."""
    days, rest = divmod(ms, 86_400_000)
    year, month, day = _civil(days)
    seconds, fraction = divmod(rest, 1000)
    hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    return f"{text}.{fraction:03}Z" if with_ms else f"{text}Z"


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * _ERA + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - _EPOCH


def _civil(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a day since 1970."""
    era, day_of_era = divmod(days + _EPOCH, _ERA)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
