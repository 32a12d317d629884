//! Wall clocks: microseconds and days since 1970 against civil dates, and their ISO 8601 text.

use chrono::{Datelike, Days, NaiveDate, NaiveTime, Timelike};

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// 0001-01-01, in days since 1970.
pub const FIRST_DAY: i32 = -719_162;
/// 9999-12-31, in days since 1970.
pub const LAST_DAY: i32 = 2_932_896;

/// Whether `micros` since 1970 lies in the years 1 to 9999.
#[must_use]
pub fn is_datetime(micros: i64) -> bool {
    (i64::from(FIRST_DAY)..=i64::from(LAST_DAY)).contains(&micros.div_euclid(DAY))
}

/// Whether `days` since 1970 lie in the years 1 to 9999.
#[must_use]
pub fn is_date(days: i32) -> bool {
    (FIRST_DAY..=LAST_DAY).contains(&days)
}

fn date(days: i32) -> Option<NaiveDate> {
    let epoch = NaiveDate::default();
    let by = Days::new(u64::from(days.unsigned_abs()));
    if days < 0 { epoch.checked_sub_days(by) } else { epoch.checked_add_days(by) }
}

/// Year, month and day of the date `days` after 1970-01-01; `None` outside the years 1 to 9999.
#[must_use]
pub fn civil_from_days(days: i32) -> Option<(u16, u8, u8)> {
    let date = date(days).filter(|_| is_date(days))?;
    Some((u16::try_from(date.year()).ok()?, u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?))
}

/// Days from 1970-01-01 to that date; `None` if there is no such date in the years 1 to 9999.
#[must_use]
pub fn days_from_civil(year: u16, month: u8, day: u8) -> Option<i32> {
    let date = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day))?;
    let days = i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()?;
    is_date(days).then_some(days)
}

/// `2026-11-20`.
#[must_use]
pub fn format_date(days: i32) -> Option<String> {
    let (year, month, day) = civil_from_days(days)?;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The days since 1970 of `2026-11-20`.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    days_from_civil(
        digits(&text[..4])?,
        u8::try_from(digits(&text[5..7])?).ok()?,
        u8::try_from(digits(&text[8..])?).ok()?,
    )
}

fn digits(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `12:34:56`, or with microseconds `12:34:56.000789`.
#[must_use]
pub fn format_time(micros: i64) -> Option<String> {
    (0..DAY).contains(&micros).then(|| {
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction == 0 { time } else { format!("{time}.{fraction:06}") }
    })
}

/// The microseconds since midnight of a result of [`format_time`].
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let shape = |b: u8| if b.is_ascii_digit() { b'0' } else { b };
    let shape: Vec<u8> = text.bytes().map(shape).collect();
    if shape != b"00:00:00" && shape != b"00:00:00.000000" {
        return None;
    }
    let time: NaiveTime = text.parse().ok()?;
    let nanos = i64::from(time.nanosecond());
    // A leap second is not a time of day in Python.
    (nanos < 1_000_000_000).then(|| i64::from(time.num_seconds_from_midnight()) * 1_000_000 + nanos / 1000)
}

/// `2026-11-20T12:34:56`, with microseconds if there are any.
#[must_use]
pub fn format_datetime(micros: i64) -> Option<String> {
    let days = i32::try_from(micros.div_euclid(DAY)).ok()?;
    Some(format!("{}T{}", format_date(days)?, format_time(micros.rem_euclid(DAY))?))
}

/// The microseconds since 1970 of a result of [`format_datetime`].
#[must_use]
pub fn parse_datetime(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    Some(i64::from(parse_date(date)?) * DAY + parse_time(time)?)
}

/// An offset from UTC: `+02:00`, with seconds and microseconds if there are any.
#[must_use]
pub fn format_offset(micros: i64) -> Option<String> {
    let size = i64::try_from(micros.unsigned_abs()).ok()?;
    let text = format_time(size)?;
    let text = text.strip_suffix(":00").filter(|_| size % 60_000_000 == 0).unwrap_or(&text);
    Some(format!("{}{text}", if micros < 0 { '-' } else { '+' }))
}

/// The microseconds of a result of [`format_offset`].
#[must_use]
pub fn parse_offset(text: &str) -> Option<i64> {
    let (sign, size) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let micros = if size.len() == 5 { parse_time(&format!("{size}:00"))? } else { parse_time(size)? };
    Some(sign * micros)
}

/// Microseconds of the wall clock and of the offset, of a date or a datetime in ISO 8601.
#[must_use]
pub fn parse_iso(text: &str) -> Option<(i64, Option<i64>)> {
    if let Some(days) = parse_date(text) {
        return Some((i64::from(days) * DAY, None));
    }
    let (date, time) = text.split_once(['T', ' '])?;
    let days = parse_date(date)?;
    let (time, offset) = if let Some(time) = time.strip_suffix(['Z', 'z']) {
        (time, Some(0))
    } else if let Some(at) = time.rfind(['+', '-']) {
        (&time[..at], Some(parse_offset(&time[at..])?))
    } else {
        (time, None)
    };
    // Seconds, and any number of their decimals up to microseconds, may be left out.
    let (clock, decimals) = time.split_once('.').unwrap_or((time, ""));
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    if decimals.len() > 6 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) || time.ends_with('.') {
        return None;
    }
    let micros = format!("{decimals:0<6}").parse::<i64>().ok()?;
    Some((i64::from(days) * DAY + parse_time(&clock)? + micros, offset))
}
