//! A value between its bytes and jq.
//!
//! Owns that nothing is lost on the way: a number keeps every digit that no program touches, integers of any size stay
//! integers, and what strict JSON does not allow is refused instead of mended.

use std::fmt;

use jaq_core::ValT;
use jaq_json::{Map, Num, Val};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The private name under which serde_json hands over a number's digits; a key of that name cannot be told from one.
const NUMBER: &str = "$serde_json::private::Number";

/// The value of a record, or why it is none.
pub(super) fn read(bytes: &[u8]) -> Result<Val, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if text.contains(NUMBER) {
        return Err(format!("the key `{NUMBER}` cannot be read"));
    }
    serde_json::from_str::<Exact>(text).map(|Exact(value)| value).map_err(|error| error.to_string())
}

/// A program's output as compact JSON, or why it is none.
pub(super) fn write(value: &Val) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    push(&mut bytes, value)?;
    // Digits come from programs too: `1.` is jq and no JSON.
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn push(bytes: &mut Vec<u8>, value: &Val) -> Result<(), String> {
    match value {
        Val::Null => bytes.extend(b"null"),
        Val::Bool(yes) => bytes.extend(yes.to_string().into_bytes()),
        Val::Num(Num::Float(n)) if !n.is_finite() => return Err(format!("{n} is no number of JSON")),
        Val::Num(number) => bytes.extend(number.to_string().into_bytes()),
        Val::BStr(_) => return Err("a byte string is no string of JSON".to_owned()),
        Val::TStr(text) => push_text(bytes, text)?,
        Val::Arr(items) => {
            bytes.push(b'[');
            for (n, item) in items.iter().enumerate() {
                comma(bytes, n);
                push(bytes, item)?;
            }
            bytes.push(b']');
        }
        Val::Obj(fields) => {
            bytes.push(b'{');
            for (n, (key, value)) in fields.iter().enumerate() {
                comma(bytes, n);
                match key {
                    Val::TStr(text) => push_text(bytes, text)?,
                    _ => return Err("a key is no string".to_owned()),
                }
                bytes.push(b':');
                push(bytes, value)?;
            }
            bytes.push(b'}');
        }
    }
    Ok(())
}

fn comma(bytes: &mut Vec<u8>, n: usize) {
    if n > 0 {
        bytes.push(b',');
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("a string is not UTF-8: {error}"))?;
    bytes.extend(serde_json::to_string(text).map_err(|error| error.to_string())?.into_bytes());
    Ok(())
}

/// A document in which no key stands twice and no digit is lost.
struct Exact(Val);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor).map(Exact)
    }
}

struct ExactVisitor;

fn number<E: de::Error>(digits: &str) -> Result<Val, E> {
    // No integer is -0.
    if digits == "-0" {
        return Ok(Val::from(-0.0));
    }
    Val::from_num(digits).map_err(|error| E::custom(error.to_string()))
}

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Val;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Val, E> {
        Ok(Val::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Val, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Val, E> {
        Ok(Val::Num(Num::from_integral(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Val, E> {
        Ok(Val::Num(Num::from_integral(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Val, E> {
        Ok(Val::from(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Val, A::Error> {
        let mut items = Vec::new();
        while let Some(Exact(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(items.into_iter().collect())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Val, A::Error> {
        let mut map = Map::default();
        while let Some(key) = access.next_key::<String>()? {
            if key == NUMBER {
                return number(&access.next_value::<String>()?);
            }
            let Exact(value) = access.next_value()?;
            if map.insert(Val::from(key.clone()), value).is_some() {
                return Err(de::Error::custom(format!("the key `{key}` stands twice in one object")));
            }
        }
        Ok(Val::obj(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn kept(text: &str) {
        let written = write(&read(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }

    #[test]
    fn what_no_program_touches_keeps_every_digit() {
        for text in [
            r#"{"timestamp":1760000000123456789,"z":9007199254740993,"a":-9007199254740993}"#,
            "18446744073709551615",
            "123456789012345678901234567890123456789",
            "[0.1,1.0,1e+400,-1.50e-7,3.141592653589793238462643383279]",
            r#"{"b":1,"a":[null,true,false,{"":""}],"ü":"\u0000\\\"é\n😀"}"#,
        ] {
            kept(text);
        }
        assert_eq!(write(&read(b"-0").unwrap()).unwrap(), b"-0.0");
    }

    #[test]
    fn what_strict_json_does_not_allow_is_refused() {
        let refused: [&[u8]; 12] = [
            b"",
            b"{",
            b"1 2",
            b"NaN",
            b"[1,]",
            b"'a'",
            b"{1:2}",
            b"// c\n1",
            b"\"\xff\"",
            br#""\ud800""#,
            br#"{"a":1,"a":2}"#,
            br#"{"$serde_json::private::Number":"1"}"#,
        ];
        for bytes in refused {
            assert!(read(bytes).is_err(), "{} was read", bytes.escape_ascii());
        }
        assert!(read("[".repeat(200).as_bytes()).is_err());
        for value in [Val::from(f64::NAN), Val::from(f64::INFINITY), Val::utf8_str(&b"\xff"[..])] {
            assert!(write(&value).is_err(), "{value:?} was written");
        }
    }
}
