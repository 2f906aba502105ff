//! JSON, TOML and YAML text as one sort of document, and back, without quiet losses.
//!
//! A document is a JSON value: keys keep their order, numbers their digits. What a format cannot say exactly is an
//! error that names the key. A TOML date is kept as `{"$datetime": "…"}` and written as text by the other formats.

use serde_json::{Map, Number, Value};

use super::exact::Exact;

const DATETIME: &str = "$datetime";

/// A text format, told by a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
    Yaml,
}

impl Format {
    /// The format of a file of that name.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// Reads a document.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            Self::Json => serde_json::from_str::<Exact>(text).map(|e| e.0).map_err(|e| e.to_string()),
            Self::Yaml => serde_yaml_ng::from_str::<Exact>(text).map(|e| e.0).map_err(|e| e.to_string()),
            Self::Toml => {
                let table: toml::Table =
                    text.parse().map_err(|e: toml::de::Error| e.to_string().trim_end().to_owned())?;
                from_toml(&toml::Value::Table(table), "")
            }
        }
    }

    /// Writes a document. `like` is an earlier text of the same format, whose indentation is taken over.
    pub(super) fn write(self, document: &Value, like: Option<&str>) -> Result<String, String> {
        match self {
            Self::Json => Ok(write_json(&dates_as_text(document), like)),
            Self::Yaml => {
                let value = to_yaml(&dates_as_text(document), "")?;
                serde_yaml_ng::to_string(&value).map_err(|e| e.to_string())
            }
            Self::Toml => match to_toml(document, "")? {
                toml::Value::Table(table) => toml::to_string_pretty(&table).map_err(|e| e.to_string()),
                _ => Err("a TOML document is a table".to_owned()),
            },
        }
    }

    /// Whether `text` has comments, which no document keeps.
    pub(super) fn has_comments(self, text: &str) -> bool {
        self != Self::Json && text.lines().any(|line| line.trim_start().starts_with('#') || line.contains(" #"))
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The text of a TOML date, if the value is one.
fn datetime(map: &Map<String, Value>) -> Option<&str> {
    if map.len() == 1 { map.get(DATETIME)?.as_str() } else { None }
}

fn dates_as_text(value: &Value) -> Value {
    match value {
        Value::Object(map) => match datetime(map) {
            Some(text) => text.into(),
            None => Value::Object(map.iter().map(|(k, v)| (k.clone(), dates_as_text(v))).collect()),
        },
        Value::Array(items) => items.iter().map(dates_as_text).collect(),
        other => other.clone(),
    }
}

fn write_json(document: &Value, like: Option<&str>) -> String {
    let indent = like
        .and_then(|text| text.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty()))
        .map_or("  ", |line| &line[..line.len() - line.trim_start().len()]);
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A JSON value written to memory cannot fail; should it, the plain form is as good.
    let written =
        serde::Serialize::serialize(document, &mut serializer).ok().and_then(|()| String::from_utf8(bytes).ok());
    let mut text = written.unwrap_or_else(|| document.to_string());
    text.push('\n');
    text
}

fn from_toml(value: &toml::Value, path: &str) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(s) => s.as_str().into(),
        toml::Value::Integer(i) => (*i).into(),
        toml::Value::Float(f) => match Number::from_f64(*f) {
            Some(number) => Value::Number(number),
            None => return Err(format!("`{path}` is {f}, which only TOML knows")),
        },
        toml::Value::Boolean(b) => (*b).into(),
        toml::Value::Datetime(d) => Value::Object(Map::from_iter([(DATETIME.to_owned(), d.to_string().into())])),
        toml::Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| from_toml(item, path)).collect();
            Value::Array(items?)
        }
        toml::Value::Table(table) => {
            let mut map = Map::new();
            for (key, inner) in table {
                map.insert(key.clone(), from_toml(inner, &below(path, key))?);
            }
            Value::Object(map)
        }
    })
}

fn to_toml(value: &Value, path: &str) -> Result<toml::Value, String> {
    Ok(match value {
        Value::Null => return Err(format!("`{path}` is null, which TOML cannot say")),
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match (n.as_i64(), exact_float(n)) {
            (Some(i), _) => i.into(),
            (None, Some(f)) => f.into(),
            (None, None) => return Err(format!("`{path}` is {n}, which TOML cannot say exactly")),
        },
        Value::String(s) => s.as_str().into(),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| to_toml(item, path)).collect();
            toml::Value::Array(items?)
        }
        Value::Object(map) => match datetime(map) {
            Some(text) => toml::Value::Datetime(text.parse().map_err(|e| format!("`{path}`: {e}"))?),
            None => {
                let mut table = toml::Table::new();
                for (key, inner) in map {
                    table.insert(key.clone(), to_toml(inner, &below(path, key))?);
                }
                toml::Value::Table(table)
            }
        },
    })
}

fn to_yaml(value: &Value, path: &str) -> Result<serde_yaml_ng::Value, String> {
    use serde_yaml_ng::Value as Yaml;
    Ok(match value {
        Value::Null => Yaml::Null,
        Value::Bool(b) => Yaml::Bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), exact_float(n)) {
            (Some(i), ..) => Yaml::Number(i.into()),
            (None, Some(u), _) => Yaml::Number(u.into()),
            (None, None, Some(f)) => Yaml::Number(f.into()),
            _ => return Err(format!("`{path}` is {n}, which our YAML cannot say exactly")),
        },
        Value::String(s) => Yaml::String(s.clone()),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| to_yaml(item, path)).collect();
            Yaml::Sequence(items?)
        }
        Value::Object(map) => {
            let mut mapping = serde_yaml_ng::Mapping::new();
            for (key, inner) in map {
                mapping.insert(Yaml::String(key.clone()), to_yaml(inner, &below(path, key))?);
            }
            Yaml::Mapping(mapping)
        }
    })
}

/// The number as a float, where no digit that was written is lost by it.
fn exact_float(number: &Number) -> Option<f64> {
    let text = number.to_string();
    if !text.contains(['.', 'e', 'E']) {
        return None; // an integer too big for the integers of the format
    }
    let float: f64 = text.parse().ok().filter(|f: &f64| f.is_finite())?;
    let digits = text.split(['e', 'E']).next()?.trim_start_matches(['-', '0', '.']);
    // Fifteen significant digits survive the way into an IEEE double and back.
    (digits.bytes().filter(u8::is_ascii_digit).count() <= 15 || float.to_string() == text).then_some(float)
}
