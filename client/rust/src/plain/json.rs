//! JSON texts and exactly what they say, numbers with all their digits.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    check::check,
    path::{Part, Path},
};
use crate::Error;

/// Digits of a decimal number, as programs write floats, that is read as the nearest float.
const EXACT_DIGITS: usize = 17;

/// A value of each kind that is not zero.
const OTHERS: [&str; 5] = ["true", "1", "\"x\"", "[null]", "{\"x\":null}"];

/// What a JSON text says.
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(String),
    List(Vec<Json<'a>>),
    Object(BTreeMap<String, Json<'a>>),
}

/// A number as it is written. Two are equal if they are the same number, or the same float where both are written as
/// floats are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a>(&'a str);

impl<'a> Json<'a> {
    /// Fails, with the path, for what is not JSON, and for a key that stands twice.
    pub(super) fn parse(text: &'a str, at: &mut Path) -> Result<Self, Error> {
        let invalid = |error: serde_json::Error| at.refuse(format!("is stored as text that is not JSON: {error}"));
        let first = text.trim_start().as_bytes().first();
        if let Some(b'{' | b'[') = first {
            at.check_depth()?;
        }
        Ok(match first {
            Some(b'{') => return Self::object(serde_json::from_str(text).map_err(invalid)?, at),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(invalid)?;
                let items = items.into_iter().enumerate();
                let parsed = items.map(|(index, raw)| at.within(Part::Index(index), |at| Json::parse(raw.get(), at)));
                Self::List(parsed.collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text).map_err(invalid)?),
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text).map_err(invalid)?),
            Some(b'n') => serde_json::from_str(text).map(|()| Self::Null).map_err(invalid)?,
            _ => Self::Number(Number(serde_json::from_str::<&RawValue>(text).map_err(invalid)?.get())),
        })
    }

    fn object(entries: Entries<&'a RawValue>, at: &mut Path) -> Result<Self, Error> {
        let mut found = BTreeMap::new();
        for (key, raw) in entries.0 {
            at.within(Part::Key(key.clone()), |at| {
                let value = Json::parse(raw.get(), at)?;
                match found.insert(key, value) {
                    None => Ok(()),
                    Some(_) => Err(at.refuse("stands twice in its object")),
                }
            })?;
        }
        Ok(Self::Object(found))
    }

    /// Whether a type may leave it out: it is the same as nothing.
    fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Bool(true) => false,
            Self::Number(number) => *number == Number("0"),
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Object(entries) => entries.is_empty(),
        }
    }

    /// Compare what was stored with what would be saved again: fails, with the path, where `kind` has no place for
    /// something. Texts may differ, as those of times do. absent: collects the places of zero values that were left out.
    fn check_kept(&self, again: &Self, at: &mut Path, kind: &str, absent: &mut Vec<Path>) -> Result<(), Error> {
        match (self, again) {
            (Self::Object(stored), Self::Object(again)) => stored.iter().try_for_each(|(key, value)| {
                at.within(Part::Key(key.clone()), |at| match again.get(key) {
                    Some(inside) => value.check_kept(inside, at, kind, absent),
                    None if value.is_zero() => {
                        absent.push(at.clone());
                        Ok(())
                    }
                    None => Err(no_place(at, kind)),
                })
            }),
            (Self::List(stored), Self::List(again)) if stored.len() == again.len() => {
                let mut pairs = stored.iter().zip(again).enumerate();
                pairs.try_for_each(|(index, (value, inside))| {
                    at.within(Part::Index(index), |at| value.check_kept(inside, at, kind, absent))
                })
            }
            (Self::Text(_), Self::Text(_)) => Ok(()),
            _ if self == again => Ok(()),
            _ => Err(at.refuse(format!("is stored as {self}, which {kind} cannot hold"))),
        }
    }
}

impl Json<'_> {
    /// Write the text of this, with another text at a place.
    fn write_with(&self, text: &mut String, place: Option<&[Part]>, other: &str) {
        if place.is_some_and(<[Part]>::is_empty) {
            return text.push_str(other);
        }
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(Number(digits)) => text.push_str(digits),
            Self::Text(value) => text.push_str(&quoted(value)),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    text.push(if index == 0 { '[' } else { ',' });
                    item.write_with(text, below(place, |part| matches!(part, Part::Index(at) if *at == index)), other);
                }
                text.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(entries) => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    text.push(if index == 0 { '{' } else { ',' });
                    text.push_str(&quoted(key));
                    text.push(':');
                    value.write_with(text, below(place, |part| matches!(part, Part::Key(at) if at == key)), other);
                }
                text.push_str(if entries.is_empty() { "{}" } else { "}" });
            }
        }
    }
}

/// The rest of a place, where it begins with this part.
fn below(place: Option<&[Part]>, is_it: impl FnOnce(&Part) -> bool) -> Option<&[Part]> {
    let (first, rest) = place?.split_first()?;
    is_it(first).then_some(rest)
}

fn no_place(at: &Path, kind: &str) -> Error {
    at.refuse(format!("is stored, and {kind} has no place for it"))
}

/// In an error: numbers, booleans and null as they are.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(Number(text)) if text.len() <= 40 => f.write_str(text),
            Self::Number(_) => f.write_str("a number"),
            Self::Text(_) => f.write_str("a text"),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

impl Number<'_> {
    fn is_integer(self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }

    /// Whether an integer is exactly a float: readers take `1e40` for a float, which is not 10^40.
    fn is_float(self) -> bool {
        self.0.parse::<f64>().is_ok_and(|value| format!("{value:.0}") == self.0)
    }

    /// Sign, digits without zeros at either end, and exponent. None: the exponent is beyond all bounds.
    fn decimal(self) -> Option<(bool, String, i64)> {
        let (negative, text) = self.0.strip_prefix('-').map_or((false, self.0), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let short = digits.trim_end_matches('0');
        if short.is_empty() {
            return Some((negative, String::new(), 0));
        }
        let exponent: i64 = power.parse().ok()?;
        let zeros = i64::try_from(digits.len() - short.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        Some((negative, short.to_owned(), exponent.checked_add(zeros)?))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        let (Some(left), Some(right)) = (self.decimal(), other.decimal()) else { return false };
        match (self.is_integer(), other.is_integer()) {
            (true, true) => left == right,
            (true, false) => left == right && self.is_float(),
            (false, true) => left == right && other.is_float(),
            (false, false) => {
                let short = left.1.len().max(right.1.len()) <= EXACT_DIGITS;
                let value = self.0.parse::<f64>();
                left == right || (short && value == other.0.parse() && value.is_ok_and(f64::is_finite))
            }
        }
    }
}

/// The entries of an object as they stand, repeated keys included.
pub(super) struct Entries<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for All<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(All(PhantomData))
    }
}

/// A value as JSON text. Fails, with the path, where it would not come back.
pub(super) fn write(value: &(impl Serialize + ?Sized), at: &mut Path) -> Result<String, Error> {
    check(value, at)?;
    serde_json::to_string(value).map_err(|error| at.refuse(format!("cannot be written as JSON: {error}")))
}

/// The value of a JSON text, which has been parsed. Fails, with the path, where the type has no place for something.
pub(super) fn read<T: Serialize + DeserializeOwned>(text: &str, stored: &Json<'_>) -> Result<T, Error> {
    let kind = std::any::type_name::<T>();
    let mut root = Path::default();
    let value: T = parse(text).map_err(|error| root.refuse(format!("does not fit {kind}: {error}")))?;
    let again = write(&value, &mut root)?;
    let again = Json::parse(&again, &mut root)?;
    let mut absent = Vec::new();
    stored.check_kept(&again, &mut root, kind, &mut absent)?;
    match absent.iter().find(|place| !has_place::<T>(stored, &again, place)) {
        Some(place) => Err(no_place(place, kind)),
        None => Ok(value),
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit(); // the depth was checked
    T::deserialize(&mut deserializer)
}

/// Whether a type has a place for a zero value that it leaves out (`skip_serializing_if`): then another value at this
/// place does not fit, or comes back. again: what the type writes with the zero value.
fn has_place<T: Serialize + DeserializeOwned>(stored: &Json<'_>, again: &Json<'_>, place: &Path) -> bool {
    OTHERS.iter().any(|other| {
        let mut text = String::new();
        stored.write_with(&mut text, Some(place.parts()), other);
        let Ok(value) = parse::<T>(&text) else { return true };
        let written = serde_json::to_string(&value).unwrap_or_default();
        Json::parse(&written, &mut Path::default()).is_ok_and(|written| written != *again)
    })
}

/// Whether two texts have the same value, whatever the order of keys.
pub(super) fn equal(left: &[u8], right: &[u8]) -> bool {
    let (Ok(left), Ok(right)) = (std::str::from_utf8(left), std::str::from_utf8(right)) else { return false };
    let simple = |text: &str| !text.starts_with(['{', '[', '"']);
    if left.as_bytes().first() != right.as_bytes().first() && !(simple(left) && simple(right)) {
        return false;
    }
    let parse = |text| Json::parse(text, &mut Path::default()).ok();
    matches!((parse(left), parse(right)), (Some(left), Some(right)) if left == right)
}

/// A value as JSON text, for `extra`, `metadata`, `details` and `context`. Needs the feature `plain`.
///
/// Fails if the text would not give the same value back, for example for NaN. [`Error::field`] is the path.
///
/// ```
/// assert_eq!(lockstitch::json_text(&[1.5, 2.0])?, "[1.5,2.0]");
/// assert!(lockstitch::json_text(&[f64::NAN]).is_err());
/// # Ok::<(), lockstitch::Error>(())
/// ```
pub fn json_text(value: &(impl Serialize + ?Sized)) -> Result<String, Error> {
    write(value, &mut Path::default())
}

/// The value of a JSON text. Needs the feature `plain`.
///
/// Fails if the type cannot hold the value, for example an integer above 2^64 in a `serde_json::Value`, or a key that a struct
/// does not have. [`Error::field`] is the path.
///
/// ```
/// assert_eq!(lockstitch::json_value::<Vec<u8>>("[1, 2]")?, [1, 2]);
/// assert!(lockstitch::json_value::<serde_json::Value>("18446744073709551616").is_err());
/// # Ok::<(), lockstitch::Error>(())
/// ```
pub fn json_value<T: Serialize + DeserializeOwned>(text: &str) -> Result<T, Error> {
    read(text, &Json::parse(text, &mut Path::default())?)
}

/// Text of a key or a value as JSON.
pub(super) fn quoted(text: &str) -> Cow<'static, str> {
    serde_json::to_string(text).map_or(Cow::Borrowed("\"\""), Cow::Owned)
}
