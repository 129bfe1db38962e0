//! Reads `docs/openapi.json`, and holds answers against it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::Answer;

/// The path of the document, from the root of the crate.
pub const PATH: &str = "docs/openapi.json";

/// The document.
pub struct Document(Value);

/// A path with a method.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The path, with variables in braces.
    pub path: String,
    /// The method, in capitals.
    pub method: String,
    /// What the document says of it.
    pub value: Value,
    /// Its parameters and those of the path.
    pub parameters: Vec<Value>,
}

impl Document {
    /// Reads it from the tree.
    pub fn load() -> Document {
        let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the document is there");
        Document(serde_json::from_str(&text).expect("it is JSON"))
    }

    /// All of it.
    pub fn root(&self) -> &Value {
        &self.0
    }

    /// A value, or what it refers to.
    pub fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.trim_start_matches('#');
                self.0.pointer(pointer).unwrap_or_else(|| panic!("{PATH} has no {reference}"))
            }
            None => value,
        }
    }

    /// Every operation, in the order of the document.
    pub fn operations(&self) -> Vec<Operation> {
        let mut found = Vec::new();
        for (path, shared) in self.0["paths"].as_object().expect("there are paths") {
            let item = self.resolved(shared);
            for (method, value) in item.as_object().expect("an object") {
                if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                    continue;
                }
                let lists = [&item["parameters"], &value["parameters"]];
                let parameters = lists.iter().filter_map(|list| list.as_array()).flatten();
                found.push(Operation {
                    path: path.clone(),
                    method: method.to_uppercase(),
                    value: value.clone(),
                    parameters: parameters.map(|it| self.resolved(it).clone()).collect(),
                });
            }
        }
        found
    }

    /// The operation of a request, if there is one. HEAD is GET.
    pub fn operation(&self, method: &str, path: &str) -> Option<Operation> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.operations().into_iter().find(|it| it.method == method && is_of(&it.path, path))
    }

    /// What an operation answers with a status, by a name that is the same for all that share it.
    pub fn shared_name(&self, operation: &Operation, status: u16) -> String {
        let reference = &operation.value["responses"][status.to_string()]["$ref"];
        let own = || format!("{status} of {} {}", operation.method, operation.path);
        reference.as_str().map_or_else(own, str::to_owned)
    }

    /// What a status of an operation is said to be.
    pub fn response<'a>(&'a self, operation: &'a Operation, status: u16) -> Option<&'a Value> {
        let value = operation.value["responses"].get(status.to_string())?;
        Some(self.resolved(value))
    }

    /// The error codes that stand beside a status; empty where it is no refusal.
    pub fn codes(&self, operation: &Operation, status: u16) -> BTreeSet<String> {
        let codes = self.response(operation, status).map(|response| &response["x-codes"]);
        let codes = codes.and_then(Value::as_array).into_iter().flatten();
        codes.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// How an answer differs from what the document says of it; empty if it does not.
    pub fn faults(&self, method: &str, path: &str, answer: &Answer) -> Vec<String> {
        let status = answer.status;
        let of = format!("{method} {path}: {status}");
        // These say that there is no such operation, and are the same for all paths.
        if matches!(status, 404 | 405) {
            let refusal = json!({"$ref": "#/components/schemas/Refusal"});
            return self.violations(&of, &refusal, &answer.json());
        }
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("{of}: {PATH} has no such operation")];
        };
        let Some(response) = self.response(&operation, status) else {
            return vec![format!("{of}: {PATH} does not have this status")];
        };
        let mut found = Vec::new();
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let schema = &self.resolved(header)["schema"];
            match answer.header(name) {
                Some(value) => found.extend(self.violations(&of, schema, &json!(value))),
                None => found.push(format!("{of}: the header {name} is missing")),
            }
        }
        if method == "HEAD" || answer.header("content-encoding").is_some() {
            return found;
        }
        let kind = answer.header("content-type");
        let content = response["content"].as_object();
        match (kind.filter(|_| !answer.body.is_empty()), content) {
            (None, None) => {}
            // A body of protobuf without any field has no bytes.
            (None, Some(content)) if content.contains_key("application/x-protobuf") => {}
            (Some(kind), Some(content)) if content.contains_key(kind) => {
                let value = match kind {
                    "application/json" => answer.json(),
                    _ => json!(String::from_utf8_lossy(&answer.body)),
                };
                found.extend(self.violations(&of, &content[kind]["schema"], &value));
            }
            (kind, _) => found.push(format!("{of}: the type of the answer is {kind:?}")),
        }
        found
    }

    /// How a value breaks a schema of the document.
    pub fn violations(&self, of: &str, schema: &Value, value: &Value) -> Vec<String> {
        // References lead into the components, so the schema is read as a part of the whole.
        let whole = json!({"allOf": [schema], "components": self.0["components"]});
        let validator = jsonschema::draft202012::new(&whole)
            .unwrap_or_else(|e| panic!("{of}: no schema ({e}): {schema}"));
        let errors = validator.iter_errors(value);
        errors.map(|e| format!("{of}: {e} at {:?}", e.instance_path().to_string())).collect()
    }
}

/// Whether a path is one of this template.
fn is_of(template: &str, path: &str) -> bool {
    let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (template, path) = (parts(template), parts(path));
    let fits = |(name, part): (&String, &String)| name == part || name.starts_with('{');
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}
