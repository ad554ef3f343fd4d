"""Text to time: ISO 8601 and the short form that AWS signs, as seconds since 1970, UTC.

Source: RFC 3339; ISO 8601; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", ``days_from_civil``.
"""

import re

_ZONE = r"[Zz]|([+-])(\d{2}):?(\d{2})"
_TIME = rf"[Tt ](\d{{2}}):?(\d{{2}})(?::?(\d{{2}})(?:\.(\d{{1,9}}))?)?(?:{_ZONE})?"
_ISO = re.compile(rf"(\d{{4}})-?(\d{{2}})-?(\d{{2}})(?:{_TIME})?", re.ASCII)
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


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970. Years begin in March here: a leap day is then the last."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719_468
