//! The canonical form: one value, one spelling, so that a hash stands for what was meant.
//!
//! JSON with sorted keys, whole numbers only, no white space, and every character outside printable ASCII as `\uXXXX`:
//! it is inert in a terminal, a syslog line and a shell's output, and it survives every log that keeps ASCII.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// Why bytes are no canonical value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CanonicalError {
    #[error("it holds a number that is not whole")]
    NotWhole,
    #[error("it is no JSON: {0}")]
    NotJson(String),
    #[error("it is not written in the canonical form")]
    NotCanonical,
    #[error("it is not what it should be: {0}")]
    NotTheType(String),
}

/// A value in its one spelling.
pub fn encode<T: Serialize>(value: &T) -> Result<String, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|error| CanonicalError::NotTheType(error.to_string()))?;
    let mut out = String::new();
    write(&value, &mut out)?;
    Ok(out)
}

/// Reads a value, and refuses every spelling but the one that [`encode`] gives.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| CanonicalError::NotJson(error.to_string()))?;
    let mut again = String::with_capacity(bytes.len());
    write(&value, &mut again)?;
    if again.as_bytes() != bytes {
        return Err(CanonicalError::NotCanonical);
    }
    serde_json::from_value(value).map_err(|error| CanonicalError::NotTheType(error.to_string()))
}

fn write(value: &Value, out: &mut String) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) if number.is_f64() => return Err(CanonicalError::NotWhole),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if 0 < index {
                    out.push(',');
                }
                write(value, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if 0 < index {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(value, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_what_is_not_ascii_is_escaped() {
        let value = json!({"b": [1, true, null], "a": "ü\n\u{1f600}\"\\"});
        assert_eq!(encode(&value), Ok(r#"{"a":"\u00fc\u000a\ud83d\ude00\"\\","b":[1,true,null]}"#.to_owned()));
    }

    #[test]
    fn another_spelling_of_the_same_value_is_refused() {
        for spelling in [r#"{"a":1 }"#, r#"{"b":1,"a":2}"#, r#"{"a":1,"a":1}"#, r#"{"a":"ü"}"#, r#"{"a":"\u00FC"}"#] {
            assert_eq!(decode::<Value>(spelling.as_bytes()), Err(CanonicalError::NotCanonical), "{spelling}");
        }
        assert_eq!(decode::<Value>(b"[1.5]"), Err(CanonicalError::NotWhole));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|fields| json!(fields)),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_has_one_spelling_that_reads_back(value in values()) {
            let text = encode(&value).unwrap();
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decode::<Value>(text.as_bytes()).unwrap(), value);
        }

        #[test]
        fn no_bytes_panic_and_what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = decode::<Value>(&bytes) {
                prop_assert_eq!(encode(&value).unwrap().into_bytes(), bytes);
            }
        }
    }
}
