//! The description of HTTP (OpenAPI 3.1), made of the same description that gRPC has.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::http::CALLS;
use crate::json::{is_optional, prefix};
use crate::reference::{Comments, words};

/// The whole description.
pub(crate) fn described(pool: &DescriptorPool) -> Value {
    let comments = Comments::new(pool);
    let mut paths = plain();
    let mut wanted = Vec::new();
    let service = pool.get_service_by_name("peerage.v1.Daemon");
    let methods: Vec<_> = service.iter().flat_map(|of| of.methods()).collect();
    for call in CALLS {
        let Some(method) = methods.iter().find(|method| method.name() == call.name) else {
            continue;
        };
        let words = comments.of(method.parent_service().parent_file().name(), method.path());
        wanted.extend([method.input(), method.output()]);
        let mut operation = json!({
            "operationId": method.name(),
            "summary": words,
            "responses": responses(reference(&method.output())),
        });
        if call.reads {
            operation["parameters"] = parameters(&method.input(), &comments);
            paths.insert(call.path.into(), json!({ "get": operation }));
        } else {
            let content = json!({ "application/json": { "schema": reference(&method.input()) } });
            operation["requestBody"] = json!({ "content": content });
            operation["security"] = json!([{ "token": [] }]);
            paths.insert(call.path.into(), json!({ "post": operation }));
        }
    }
    if let Some(item) = pool.get_message_by_name("peerage.v1.Item") {
        wanted.push(item);
    }
    wanted.extend(pool.get_message_by_name("peerage.v1.Problem"));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "peerage",
            "version": "1",
            "description": words(
                "What a daemon of peerage tells and does. Bytes are in hexadecimal; numbers of 64 \
                 bits are numbers."
            ),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(wanted, &comments),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// What is no call of the service.
fn plain() -> Map<String, Value> {
    let text = |summary: &str, kind: &str| {
        let content = json!({ kind: { "schema": { "type": "string" } } });
        json!({ "get": {
            "summary": summary,
            "responses": { "200": { "description": "It is so.", "content": content } },
        } })
    };
    let mut paths = Map::new();
    let mut add = |path: &str, summary: &str, kind: &str| {
        paths.insert(path.to_owned(), text(summary, kind));
    };
    add("/healthz", "Whether the process lives.", "text/plain");
    add(
        "/readyz",
        "Whether every node runs and its book is written; 503 if not.",
        "text/plain",
    );
    add(
        "/metrics",
        "Figures, in the text format of Prometheus.",
        "text/plain",
    );
    add("/openapi.json", "This.", "application/json");
    let events = "Events as they come, each an Item's event, message, lagged or opened; resumed by \
                  Last-Event-ID. The query is that of SubscribeRequest: events.kinds=closed.";
    add("/v1/events", events, "text/event-stream");
    paths
}

fn responses(of: Value) -> Value {
    let whole = json!({ "application/json": { "schema": of } });
    let error = json!({ "application/json": { "schema": {
        "type": "object",
        "properties": {
            "error": { "type": "string" },
            "reason": { "$ref": "#/components/schemas/Reason" },
        },
    } } });
    json!({
        "200": { "description": "The answer.", "content": whole },
        "default": { "description": "Why there is none.", "content": error },
    })
}

fn reference(of: &MessageDescriptor) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", of.name()) })
}

/// The fields of a request as names of a query, those of its objects behind a dot.
fn parameters(of: &MessageDescriptor, comments: &Comments) -> Value {
    let mut all = Vec::new();
    let mut add = |name: String, field: &FieldDescriptor| {
        all.push(json!({
            "name": name,
            "in": "query",
            "description": comments.of(field.parent_file().name(), field.path()),
            "schema": schema(field),
        }));
    };
    for field in of.fields() {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are values")]
        match field.kind() {
            Kind::Message(inner) if inner.name() == "Realm" => {
                inner
                    .fields()
                    .for_each(|field| add(field.name().to_owned(), &field));
            }
            Kind::Message(inner) => {
                for inside in inner
                    .fields()
                    .filter(|field| field.kind().as_message().is_none())
                {
                    add(format!("{}.{}", field.name(), inside.name()), &inside);
                }
            }
            _ => add(field.name().to_owned(), &field),
        }
    }
    Value::Array(all)
}

/// The schema of a field's values.
fn schema(field: &FieldDescriptor) -> Value {
    let one = match field.kind() {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" }),
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => {
            json!({ "type": "integer", "minimum": 0 })
        }
        Kind::Enum(of) => {
            let begins = prefix(&of);
            let words = of.values().filter(|value| value.number() != 0);
            let words = words.map(|value| {
                let name = value.name();
                name.strip_prefix(&begins)
                    .unwrap_or(name)
                    .to_ascii_lowercase()
            });
            json!({ "type": ["string", "null"], "enum": words.map(Value::from).chain([Value::Null]).collect::<Vec<_>>() })
        }
        Kind::Message(of) => {
            return many(
                field,
                json!({ "oneOf": [reference(&of), { "type": "null" }] }),
                reference(&of),
            );
        }
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Int32
        | Kind::Int64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Sfixed32
        | Kind::Sfixed64 => json!({ "type": "integer" }),
    };
    if is_optional(field) {
        let mut one = one;
        one["type"] = json!([one["type"], "null"]);
        return one;
    }
    many(field, one.clone(), one)
}

fn many(field: &FieldDescriptor, one: Value, item: Value) -> Value {
    if field.is_list() {
        json!({ "type": "array", "items": item })
    } else {
        one
    }
}

/// The schemas of these messages and of all that they hold.
fn schemas(mut wanted: Vec<MessageDescriptor>, comments: &Comments) -> Value {
    let (mut all, mut seen) = (Map::new(), BTreeSet::new());
    while let Some(of) = wanted.pop() {
        if !seen.insert(of.name().to_owned()) {
            continue;
        }
        let mut properties = Map::new();
        for field in of.fields() {
            if let Kind::Message(inner) = field.kind() {
                wanted.push(inner);
            }
            let mut schema = schema(&field);
            let words = comments.of(field.parent_file().name(), field.path());
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".into(), words.into());
            }
            properties.insert(field.name().to_owned(), schema);
        }
        let words = comments.of(of.parent_file().name(), of.path());
        let whole = json!({ "type": "object", "description": words, "properties": properties });
        all.insert(of.name().to_owned(), whole);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Described;

    fn references(of: &Value, all: &mut BTreeSet<String>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others hold nothing")]
        match of {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str().filter(|_| name == "$ref") {
                        Some(to) => drop(all.insert(to.to_owned())),
                        None => references(value, all),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, all)),
            _ => {}
        }
    }

    #[test]
    fn everything_is_described_and_nothing_points_nowhere() {
        let whole = described(&Described::new().0);
        for call in CALLS {
            let method = if call.reads { "get" } else { "post" };
            let operation = &whole["paths"][call.path][method];
            assert!(
                operation["summary"]
                    .as_str()
                    .is_some_and(|words| !words.is_empty()),
                "{}",
                call.path
            );
            assert_eq!(operation["security"].is_array(), !call.reads);
        }
        let mut all = BTreeSet::new();
        references(&whole, &mut all);
        for to in all {
            let found = whole.pointer(&to[1..]);
            assert!(found.is_some_and(Value::is_object), "{to}");
        }
        let peers = &whole["paths"]["/v1/peers"]["get"]["parameters"];
        let names: Vec<_> = peers
            .as_array()
            .unwrap()
            .iter()
            .map(|of| of["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["network", "chain", "pending", "after", "limit"]);
    }

    #[test]
    fn every_call_of_the_service_but_streams_has_a_path() {
        let pool = Described::new().0;
        let service = pool.get_service_by_name("peerage.v1.Daemon").unwrap();
        for method in service.methods() {
            let has_path = CALLS.iter().any(|call| call.name == method.name());
            let is_stream = ["Subscribe", "Unsubscribe"].contains(&method.name());
            assert_eq!(has_path, !is_stream, "{}", method.name());
        }
    }
}
