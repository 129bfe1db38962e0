//! `[[schema]]`: what the properties of a type of events have to be, as JSON Schema. An event that is not
//! so is refused, or kept with a note, as the rule says.

use std::collections::{BTreeMap, HashMap};

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::{
    event::is_type,
    rule::{Fault, List, MAX_RULES},
};

/// Longest text of a schema, in bytes.
const MAX_SCHEMA: usize = 64 * 1024;
/// Longest message of a violation, in characters.
const MAX_MESSAGE: usize = 300;

/// A `[[schema]]` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaSpec {
    /// The type of the events.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the source that it is for; without one it is for all that have none of their own.
    #[serde(default)]
    pub source: Option<String>,
    /// What becomes of an event whose properties are not so.
    #[serde(default)]
    pub mode: SchemaMode,
    /// The JSON Schema of its properties.
    #[serde(default)]
    pub schema: String,
    /// `true` takes the entry of the same type and source away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// What becomes of an event whose properties are not as its schema says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemaMode {
    /// It is kept and counted, with a note in the answer.
    #[default]
    Warn,
    /// It is refused.
    Reject,
}

impl SchemaMode {
    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            SchemaMode::Warn => "warn",
            SchemaMode::Reject => "reject",
        }
    }
}

/// A schema in force.
#[derive(Debug)]
struct EventSchema {
    mode: SchemaMode,
    validator: Validator,
}

/// The schemas in force, by type and then by source; an empty source stands for all.
#[derive(Debug, Default)]
pub struct EventSchemas(HashMap<String, BTreeMap<String, EventSchema>>);

/// How an event breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What becomes of it.
    pub mode: SchemaMode,
    /// Where it does and how, without the value itself.
    pub message: String,
}

impl EventSchemas {
    /// Compiles the schemas.
    ///
    /// # Errors
    /// Every one that can't be used, with its place in the list.
    pub fn compile(specs: &[SchemaSpec]) -> Result<EventSchemas, Vec<Fault>> {
        let (mut schemas, mut faults) = (EventSchemas::default(), Vec::new());
        for (index, spec) in specs.iter().enumerate() {
            let source = spec.source.clone().unwrap_or_default();
            let of_type = schemas.0.entry(spec.kind.clone()).or_default();
            let compiled = match of_type.contains_key(&source) {
                true => Err("there is one for this type and source already".to_owned()),
                false => compiled(spec),
            };
            match compiled {
                Ok(schema) => drop(of_type.insert(source, schema)),
                Err(message) => {
                    let message = format!("{}: {message}", spec.kind);
                    faults.push(Fault { list: List::Schemas, index, message });
                }
            }
        }
        if specs.len() > MAX_RULES {
            let message = format!("more than {MAX_RULES} of them");
            faults.push(Fault { list: List::Schemas, index: MAX_RULES, message });
        }
        if faults.is_empty() { Ok(schemas) } else { Err(faults) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How the properties of an event break the schema of its type and source; `None` where they do
    /// not, or there is none.
    pub fn violation(&self, kind: &str, source: &str, properties: &str) -> Option<Violation> {
        let by_source = self.0.get(kind)?;
        let schema = by_source.get(source).or_else(|| by_source.get(""))?;
        // What is kept of an event is JSON, so this does not fail.
        let properties: Value = serde_json::from_str(properties).ok()?;
        let error = schema.validator.validate(&properties).err()?;
        let path = error.instance_path().to_string();
        // The value may be what a dead letter must not show. Names are shown, and may be thousands.
        let mut message = format!("properties{path}: {}", error.masked());
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Some(Violation { mode: schema.mode, message })
    }
}

fn compiled(spec: &SchemaSpec) -> Result<EventSchema, String> {
    if !is_type(&spec.kind) {
        return Err("type: is 1 to 64 characters of A-Z a-z 0-9 _ . : - or space".to_owned());
    }
    if spec.schema.len() > MAX_SCHEMA {
        return Err(format!("schema: has more than {MAX_SCHEMA} bytes"));
    }
    let schema: Value =
        serde_json::from_str(&spec.schema).map_err(|e| format!("schema: is no JSON: {e}"))?;
    if !schema.is_object() {
        return Err("schema: must be a JSON object".to_owned());
    }
    // A reference to another document is an error here: the crate is built without ways to fetch one.
    let validator = jsonschema::validator_for(&schema)
        .map_err(|e| format!("schema: is no JSON Schema: {e}"))?;
    Ok(EventSchema { mode: spec.mode, validator })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: &str, source: Option<&str>, mode: SchemaMode, schema: &str) -> SchemaSpec {
        SchemaSpec {
            kind: kind.to_owned(),
            source: source.map(str::to_owned),
            mode,
            schema: schema.to_owned(),
            off: false,
        }
    }

    const SCHEMA: &str = r#"{"required":["plan"],"properties":{"seats":{"type":"integer"},
        "items":{"type":"array","items":{"required":["sku"]}}}}"#;

    #[test]
    fn a_violation_names_the_path_and_not_the_value() {
        let reject = SchemaMode::Reject;
        let schemas = EventSchemas::compile(&[
            spec("signup", None, reject, SCHEMA),
            spec("signup", Some("app"), SchemaMode::Warn, "{\"maxProperties\":1}"),
        ]);
        let schemas = schemas.unwrap();
        let of = |source: &str, properties: &str| schemas.violation("signup", source, properties);
        assert_eq!(of("web", r#"{"plan":"pro","seats":5,"more":null}"#), None);
        assert_eq!(schemas.violation("purchase", "web", "{}"), None);
        let message = |properties: &str| of("web", properties).unwrap().message;
        assert_eq!(message("{}"), "properties: \"plan\" is a required property");
        let secret = message(r#"{"plan":"pro","seats":"hunter2"}"#);
        assert_eq!(secret, "properties/seats: value is not of type \"integer\"");
        let nested = message(r#"{"plan":"pro","items":[{"sku":1},{}]}"#);
        assert_eq!(nested, "properties/items/1: \"sku\" is a required property");
        assert_eq!(of("app", r#"{"a":1}"#), None);
        let long = format!("{{\"plan\":1,\"{}\":1,\"b\":1}}", "ü".repeat(900));
        assert!(of("app", &long).unwrap().message.chars().count() <= MAX_MESSAGE + 1);
        assert_eq!(of("app", r#"{"a":1,"b":2}"#).unwrap().mode, SchemaMode::Warn);
    }

    #[test]
    fn a_schema_that_can_not_be_used_stops_the_start() {
        for (wrong, message) in [
            (spec("a?", None, SchemaMode::Warn, "{}"), "type: is 1 to 64"),
            (spec("a", None, SchemaMode::Warn, ""), "is no JSON"),
            (spec("a", None, SchemaMode::Warn, "true"), "must be a JSON object"),
            (spec("a", None, SchemaMode::Warn, r#"{"type":"strnig"}"#), "is no JSON Schema"),
            (
                spec("a", None, SchemaMode::Warn, r#"{"$ref":"https://shop.example/s.json"}"#),
                "is no JSON Schema",
            ),
            (spec("b", None, SchemaMode::Reject, "{}"), "there is one for this type"),
        ] {
            let faults = EventSchemas::compile(&[spec("b", None, SchemaMode::Warn, "{}"), wrong]);
            let faults = faults.unwrap_err();
            assert!(faults[0].message.contains(message), "{faults:?}");
            assert_eq!((faults.len(), faults[0].index), (1, 1));
        }
    }
}
