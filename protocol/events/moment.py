"""Milliseconds since 1970 as RFC 3339 has them, in UTC.

Source: RFC 3339; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", ``civil_from_days``.
"""

_DAY = 86_400_000
_ERA = 146_097  # Days in 400 years.


def rfc3339(ms: int, *, with_ms: bool) -> str:
    """Return *ms* as in ``2026-01-31T23:59:59Z``, or with milliseconds before the Z."""
    days, rest = divmod(ms, _DAY)
    year, month, day = _civil(days)
    seconds, fraction = divmod(rest, 1000)
    hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    return f"{text}.{fraction:03}Z" if with_ms else f"{text}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a day since 1970. Years begin in March here: a leap day is then the last."""
    era, day_of_era = divmod(days + 719_468, _ERA)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
