//! Finds values that serde_json would change without an error: it writes NaN and infinities as null.

use std::fmt::{self, Display};

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::path::{Part, Path};
use crate::Error;

/// Fails, with the path, for a value that would not come back.
pub(super) fn check(value: &(impl Serialize + ?Sized), at: &mut Path) -> Result<(), Error> {
    value.serialize(Check { at }).map_err(|Refused(error)| error)
}

/// Walks through a value and writes nothing.
struct Check<'a> {
    at: &'a mut Path,
}

#[derive(Debug)]
struct Refused(Error);

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl serde::ser::Error for Refused {
    fn custom<T: Display>(problem: T) -> Self {
        Self(Path::default().refuse(format!("cannot be serialized: {problem}")))
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

type Checked = Result<(), Refused>;

/// A list, a map or a struct: its next index, and the key of its next value.
struct Inside<'a> {
    at: &'a mut Path,
    index: usize,
    key: String,
}

impl Inside<'_> {
    fn item(&mut self, value: &(impl Serialize + ?Sized)) -> Checked {
        self.index += 1;
        Ok(self.at.within(Part::Index(self.index - 1), |at| check(value, at))?)
    }

    fn entry(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Checked {
        Ok(self.at.within(Part::Key(key.to_owned()), |at| check(value, at))?)
    }
}

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, _: $type) -> Checked {
            Ok(())
        }
    )*};
}

macro_rules! floats {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, number: $type) -> Checked {
            if number.is_finite() {
                return Ok(());
            }
            Err(self.at.refuse(format!("is {number}, which JSON does not have")).into())
        }
    )*};
}

impl<'a> Serializer for Check<'a> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Inside<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Inside<'a>;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    }
    floats! { serialize_f32: f32, serialize_f64: f64 }

    fn serialize_none(self) -> Checked {
        Ok(())
    }

    fn serialize_unit(self) -> Checked {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Checked {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Checked {
        Ok(self.at.within(Part::Key(variant.to_owned()), |at| check(value, at))?)
    }

    /// Everything that holds others comes here.
    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>, Refused> {
        self.at.check_depth()?;
        Ok(Inside { at: self.at, index: 0, key: String::new() })
    }

    fn serialize_tuple(self, count: usize) -> Result<Inside<'a>, Refused> {
        self.serialize_seq(Some(count))
    }

    fn serialize_tuple_struct(self, _: &'static str, count: usize) -> Result<Inside<'a>, Refused> {
        self.serialize_seq(Some(count))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        count: usize,
    ) -> Result<Inside<'a>, Refused> {
        self.serialize_seq(Some(count))
    }

    fn serialize_map(self, count: Option<usize>) -> Result<Inside<'a>, Refused> {
        self.serialize_seq(count)
    }

    fn serialize_struct(self, _: &'static str, count: usize) -> Result<Inside<'a>, Refused> {
        self.serialize_seq(Some(count))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        count: usize,
    ) -> Result<Inside<'a>, Refused> {
        self.serialize_seq(Some(count))
    }
}

macro_rules! lists {
    ($($kind:ident: $method:ident),*) => {$(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
                self.item(value)
            }

            fn end(self) -> Checked {
                Ok(())
            }
        }
    )*};
}

lists! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! structs {
    ($($kind:ident),*) => {$(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Checked {
                self.entry(key, value)
            }

            fn end(self) -> Checked {
                Ok(())
            }
        }
    )*};
}

structs! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Checked {
        self.key = match serde_json::to_value(key).map_err(Refused::custom)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
        let key = std::mem::take(&mut self.key);
        self.entry(&key, value)
    }

    fn end(self) -> Checked {
        Ok(())
    }
}
