"""Times are read as the standard library reads them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.moment import parse_moment

TIMES = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001 - zones below.
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(TIMES, ZONES)
def test_it_is_what_the_standard_library_says(time: datetime, zone: timezone) -> None:
    moment = time.replace(tzinfo=zone)
    assert parse_moment(moment.isoformat()) == pytest.approx(moment.timestamp(), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("20150830T123600Z", 1440938160),
        ("2015-08-30T12:36:00", 1440938160),
        ("2015-08-30T14:36:00.5+02:00", 1440938160.5),
        ("2000-02-29T00:00Z", 951782400),
    ],
)
def test_forms(text: str, seconds: float) -> None:
    assert parse_moment(text) == seconds
    assert seconds == 0 or datetime.fromtimestamp(seconds, UTC).year == int(text[:4])


@pytest.mark.parametrize(
    "text",
    ["", "now", "2015-13-01", "2015-02-29", "1900-02-29", "2015-01-01T24:00", "2015-01-01T00:60", "\uff12015-01-01"],
)
def test_what_is_no_time(text: str) -> None:
    assert parse_moment(text) is None


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_none(text: str) -> None:
    parse_moment(text)
