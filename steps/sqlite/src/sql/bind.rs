//! Plan variables as bound SQL parameters: `:name`, `@name` or `$name`, never as text.

use std::collections::BTreeMap;

use cutover_core::{StepError, closest};
use rusqlite::Statement;
use rusqlite::types::Value as Sql;
use serde_json::Value;

use super::sqlite_error;

/// Binds every parameter of `statement` from `vars`. `:batch_size` also finds a variable `batch-size`.
pub fn bind_vars(statement: &mut Statement<'_>, vars: &BTreeMap<String, Value>) -> Result<(), StepError> {
    for index in 1..=statement.parameter_count() {
        let Some(name) = statement.parameter_name(index).map(|n| n[1..].to_owned()) else {
            return Err(StepError::failed("a parameter without a name (`?`) cannot be bound")
                .with_help("write `:name`, and give `name` in the plan's `[vars]`"));
        };
        let value =
            vars.get(&name).or_else(|| vars.get(&name.replace('_', "-"))).ok_or_else(|| unknown(&name, vars))?;
        let value = sql_value(value).ok_or_else(|| {
            StepError::failed(format!("the variable `{name}` is a number that SQLite cannot hold exactly"))
        })?;
        statement
            .raw_bind_parameter(index, value)
            .map_err(|e| sqlite_error(e, &format!("while binding the variable `{name}`")))?;
    }
    Ok(())
}

fn unknown(name: &str, vars: &BTreeMap<String, Value>) -> StepError {
    let error = StepError::failed(format!("the SQL names `:{name}`, which is no variable of the plan"));
    match closest(name, vars.keys().map(String::as_str)) {
        Some(near) => error.with_help(format!("did you mean `:{near}`?")),
        None => error.with_help(format!("add `{name}` to the plan's `[vars]`, or pass `--var {name}=VALUE`")),
    }
}

/// A JSON value as SQLite stores it: lists and tables as JSON text, booleans as 0 and 1. None: an integer too large.
pub fn sql_value(value: &Value) -> Option<Sql> {
    Some(match value {
        Value::Null => Sql::Null,
        Value::Bool(b) => Sql::Integer(i64::from(*b)),
        Value::Number(n) => match n.as_i64() {
            Some(i) => Sql::Integer(i),
            None if n.to_string().bytes().all(|b| b.is_ascii_digit() || b == b'-') => return None,
            None => Sql::Real(n.as_f64()?),
        },
        Value::String(s) => Sql::Text(s.clone()),
        other => Sql::Text(other.to_string()),
    })
}
