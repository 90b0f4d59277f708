//! JSON to the members of a known object, in one pass. Unknown members are walked over without being kept,
//! so a hostile body costs no more memory than its own bytes; serde_json's limit of depth holds for them
//! too, so whatever is accepted here can be parsed again by any reader.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::field::Field;

/// Unknown members that are named in faults; further ones are counted.
const UNKNOWN_NAMED_MAX: usize = 20;

/// Characters kept of an unknown member's name.
const UNKNOWN_NAME_CHARS_MAX: usize = 64;

/// What stands in a member.
#[derive(Debug)]
pub(crate) enum Given<'de> {
    /// True or false.
    Flag(bool),
    /// A number; whole ones are exact up to 2^53.
    Number(f64),
    /// A string.
    Text(Cow<'de, str>),
    /// An object, where one belongs.
    Object(Members<'de>),
    /// Null, a list, or an object where none belongs.
    Other,
}

/// The members of an object. Of a name that stands twice, the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Members<'de> {
    given: Vec<(&'static str, Given<'de>)>,
    /// Names that the object may not have, shortened; in the body's order.
    pub(crate) unknown: Vec<String>,
    /// Unknown members beyond those.
    pub(crate) unknown_more: usize,
}

impl<'de> Members<'de> {
    /// Takes a member out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Given<'de>> {
        let index = self.given.iter().position(|(given, _)| *given == name)?;
        Some(self.given.swap_remove(index).1)
    }

    fn put(&mut self, name: &'static str, value: Given<'de>) {
        match self.given.iter_mut().find(|(given, _)| *given == name) {
            Some(slot) => slot.1 = value,
            None => self.given.push((name, value)),
        }
    }

    fn put_unknown(&mut self, name: &str) {
        let end = name.char_indices().nth(UNKNOWN_NAME_CHARS_MAX).map_or(name.len(), |(end, _)| end);
        let name = &name[..end];
        if self.unknown.iter().any(|known| known == name) {
            return;
        }
        if self.unknown.len() < UNKNOWN_NAMED_MAX {
            self.unknown.push(name.to_owned());
        } else {
            self.unknown_more += 1;
        }
    }
}

/// The members of the object that `body` is.
///
/// # Errors
/// As [`members`], or something after the object.
pub(crate) fn body<'de>(body: &'de [u8], fields: &'static [Field]) -> serde_json::Result<Members<'de>> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let members = members(&mut json, fields)?;
    json.end()?;
    Ok(members)
}

/// The members of the object in `from`.
///
/// # Errors
/// Malformed JSON, or, as an error of category `Data`, anything but an object.
pub(crate) fn members<'de, D>(from: D, fields: &'static [Field]) -> Result<Members<'de>, D::Error>
where
    D: Deserializer<'de>,
{
    from.deserialize_any(ObjectVisitor(fields))
}

struct ObjectVisitor(&'static [Field]);

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { given: Vec::with_capacity(self.0.len()), ..Members::default() };
        while let Some(field) = map.next_key_seed(Name { fields: self.0, members: &mut members })? {
            let object = field.and_then(|field| field.kind.members());
            let value = map.next_value_seed(Value { object })?;
            if let Some(field) = field {
                members.put(field.name, value);
            }
        }
        Ok(members)
    }
}

/// Reads a member's name: one of the fields, or noted as unknown.
struct Name<'m, 'de> {
    fields: &'static [Field],
    members: &'m mut Members<'de>,
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let field = self.fields.iter().find(|field| field.name == name);
        if field.is_none() {
            self.members.put_unknown(name);
        }
        Ok(field)
    }
}

/// Reads any value; keeps an object only where one belongs.
#[derive(Clone, Copy)]
struct Value {
    object: Option<&'static [Field]>,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Given<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Given<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Given<'de>, E> {
        Ok(Given::Other)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Given<'de>, E> {
        Ok(Given::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Given<'de>, E> {
        Ok(Given::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Given<'de>, E> {
        Ok(Given::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Given<'de>, E> {
        Ok(Given::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given<'de>, A::Error> {
        while list.next_element_seed(Self { object: None })?.is_some() {}
        Ok(Given::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
        if let Some(fields) = self.object {
            return ObjectVisitor(fields).visit_map(map).map(Given::Object);
        }
        // Names are read as text too, so that broken UTF-8 is found wherever it stands.
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(Given::Other)
    }
}
