//! The messages of the interface as JSON, by their description: fields by their names, enumerations
//! as lower-case words, bytes in hexadecimal, numbers as numbers.

use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    ReflectMessage as _, Value,
};
use serde_json::{Map, Value as Json, json};

use crate::fault::Fault;

/// What is known of all messages.
#[derive(Clone, Debug)]
pub struct Described(pub(crate) DescriptorPool);

impl Default for Described {
    fn default() -> Self {
        Self::new()
    }
}

impl Described {
    /// From the description that was compiled in.
    pub fn new() -> Self {
        // It was compiled from the same files; were it broken, every message would be unknown, and
        // a test would say so.
        Self(DescriptorPool::decode(crate::DESCRIPTION).unwrap_or_default())
    }

    fn of<M: Name>(&self) -> Result<MessageDescriptor, Fault> {
        let found = self.0.get_message_by_name(&M::full_name());
        found.ok_or_else(|| {
            let words = format!("{} is not described", M::full_name());
            Fault::of_kind(tonic::Code::Internal, peerage::Kind::Bug, words)
        })
    }

    /// A message as JSON.
    ///
    /// # Errors
    /// When the description knows no such message, which is a fault of ours.
    pub fn show<M: Message + Name>(&self, message: &M) -> Result<Json, Fault> {
        let of = self.of::<M>()?;
        let decoded = DynamicMessage::decode(of, &*message.encode_to_vec());
        let decoded = decoded.map_err(|error| {
            Fault::of_kind(tonic::Code::Internal, peerage::Kind::Bug, error.to_string())
        })?;
        Ok(shown(&decoded))
    }

    /// A message from JSON. Numbers and flags may be written as text, as a query has them.
    ///
    /// # Errors
    /// When a field is unknown or has a value of another kind.
    pub fn read<M: Message + Name + Default>(&self, json: &Json) -> Result<M, Fault> {
        let read = read_message(&self.of::<M>()?, json, "")?;
        M::decode(&*read.encode_to_vec()).map_err(|error| Fault::invalid(error.to_string()))
    }
}

/// The word for a value of an enumeration: `KIND_PEER_FULL` is `peer_full`. Nothing for the one that
/// says nothing.
fn word(of: &EnumDescriptor, number: i32) -> Option<String> {
    let value = of.get_value(number).filter(|_| number != 0)?;
    Some(value.name().strip_prefix(&prefix(of))?.to_ascii_lowercase())
}

/// What the names of an enumeration's values begin with: its own name in capitals.
pub(crate) fn prefix(of: &EnumDescriptor) -> String {
    let mut prefix = String::new();
    for (at, letter) in of.name().chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    prefix
}

fn shown(message: &DynamicMessage) -> Json {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        let is_set = message.has_field(&field);
        let is_choice = field.containing_oneof().is_some() && !is_optional(&field);
        if is_choice && !is_set {
            continue;
        }
        let value = match is_set || !field.supports_presence() {
            true => value_of(&message.get_field(&field), &field.kind()),
            false => Json::Null,
        };
        object.insert(field.name().to_owned(), value);
    }
    Json::Object(object)
}

/// Whether it is `optional`, which the wire has as a choice of one.
pub(crate) fn is_optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

fn value_of(value: &Value, kind: &Kind) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::I32(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::F32(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Bytes(value) => {
            json!(
                value
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            )
        }
        Value::EnumNumber(number) => kind
            .as_enum()
            .and_then(|of| word(of, *number))
            .map_or(Json::Null, Json::String),
        Value::Message(message) => shown(message),
        Value::List(values) => values.iter().map(|value| value_of(value, kind)).collect(),
        // The interface has none.
        Value::Map(_) => Json::Null,
    }
}

fn wrong(path: &str, field: &str, expected: &str) -> Fault {
    Fault::invalid(format!("{path}{field} must be {expected}"))
}

fn read_message(of: &MessageDescriptor, json: &Json, path: &str) -> Result<DynamicMessage, Fault> {
    let Some(object) = json.as_object() else {
        return Err(wrong(path, "it", "an object"));
    };
    let mut message = DynamicMessage::new(of.clone());
    for (name, value) in object {
        let Some(field) = of.get_field_by_name(name) else {
            let known: Vec<String> = of.fields().map(|field| field.name().to_owned()).collect();
            let known = known.join(", ");
            return Err(Fault::invalid(format!(
                "{path}{name} is unknown: there are {known}"
            )));
        };
        if value.is_null() {
            continue;
        }
        let read = if field.is_list() {
            let one = std::slice::from_ref(value);
            let values = value.as_array().map_or(one, Vec::as_slice);
            let values = values.iter().map(|value| read_value(&field, value, path));
            Value::List(values.collect::<Result<_, _>>()?)
        } else {
            read_value(&field, value, path)?
        };
        message.set_field(&field, read);
    }
    Ok(message)
}

fn read_value(field: &FieldDescriptor, json: &Json, path: &str) -> Result<Value, Fault> {
    let name = field.name();
    let number = || {
        let text = json.as_str().map(str::trim);
        let integer = text.and_then(|text| text.parse::<i128>().ok());
        let integer = integer.or_else(|| json.as_i64().map(i128::from));
        integer.or_else(|| json.as_u64().map(i128::from))
    };
    let expected = |what: &str| wrong(path, name, what);
    let integer = || number().ok_or_else(|| expected("a whole number"));
    let small = || expected("a smaller number, and not below 0 where it counts");
    Ok(match field.kind() {
        Kind::Bool => Value::Bool(match (json.as_bool(), json.as_str()) {
            (Some(flag), _) => flag,
            (None, Some("true" | "1" | "yes" | "")) => true,
            (None, Some("false" | "0" | "no")) => false,
            _ => return Err(expected("true or false")),
        }),
        Kind::String => {
            let text = json.as_str().ok_or_else(|| expected("text"))?;
            Value::String(text.to_owned())
        }
        Kind::Bytes => {
            let digits = json.as_str().and_then(from_hex);
            Value::Bytes(
                digits
                    .ok_or_else(|| expected("bytes in hexadecimal"))?
                    .into(),
            )
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::try_from(integer()?).map_err(|_| small())?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::try_from(integer()?).map_err(|_| small())?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(i32::try_from(integer()?).map_err(|_| small())?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(i64::try_from(integer()?).map_err(|_| small())?)
        }
        Kind::Double | Kind::Float => return Err(expected("left out")),
        Kind::Enum(of) => {
            let text = json.as_str().unwrap_or_default();
            let found = of.values().find(|value| {
                let number = value.number();
                value.name() == text || word(&of, number).is_some_and(|word| word == text)
            });
            let words: Vec<_> = of
                .values()
                .filter_map(|value| word(&of, value.number()))
                .collect();
            let found = found.ok_or_else(|| expected(&format!("one of {}", words.join(", "))))?;
            Value::EnumNumber(found.number())
        }
        Kind::Message(of) => {
            let path = format!("{path}{name}.");
            Value::Message(read_message(&of, json, &path)?)
        }
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.chunks(2).map(|pair| {
        let digit = |at: usize| {
            pair.get(at)
                .and_then(|digit| char::from(*digit).to_digit(16))
        };
        u8::try_from(digit(0)? * 16 + digit(1)?).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_message_comes_back_as_it_went() {
        let described = Described::new();
        let request = v1::SendRequest {
            peer: Some(v1::PeerRef {
                realm: None,
                session: u64::MAX,
                key: "\u{1f980}".into(),
            }),
            message: Some(v1::Payload {
                name: "inv".into(),
                code: Some(0),
                capability: String::new(),
                body: vec![0, 0xff].into(),
            }),
            lane: v1::Lane::Gossip.into(),
        };
        let shown = described.show(&request).unwrap();
        assert_eq!(shown["peer"]["session"], u64::MAX);
        assert_eq!(
            (&shown["lane"], &shown["message"]["body"]),
            (&json!("gossip"), &json!("00ff"))
        );
        assert_eq!(
            (&shown["peer"]["realm"], &shown["message"]["code"]),
            (&Json::Null, &json!(0))
        );
        assert_eq!(described.read::<v1::SendRequest>(&shown).unwrap(), request);
    }

    #[test]
    fn of_a_choice_only_what_is_chosen_is_there() {
        let described = Described::new();
        let subject = v1::Subject {
            of: Some(v1::subject::Of::Net("10.0.0.0/8".into())),
        };
        assert_eq!(
            described.show(&subject).unwrap(),
            json!({ "net": "10.0.0.0/8" })
        );
        let read: v1::Subject = described.read(&json!({ "net": "10.0.0.0/8" })).unwrap();
        assert_eq!(read, subject);
    }

    #[test]
    fn a_query_has_text_for_numbers() {
        let described = Described::new();
        let query = json!({ "limit": "7", "pending": "", "realm": { "network": "zcash" } });
        let read: v1::ListPeersRequest = described.read(&query).unwrap();
        assert_eq!((read.limit, read.pending), (7, true));
        for (wrong, words) in [
            (json!({ "limit": "-1" }), "limit must be a smaller number"),
            (json!({ "limit": "x" }), "limit must be a whole number"),
            (
                json!({ "limits": 1 }),
                "limits is unknown: there are realm, pending",
            ),
            (
                json!({ "realm": { "chian": "" } }),
                "realm.chian is unknown",
            ),
            (
                json!({ "pending": "maybe" }),
                "pending must be true or false",
            ),
            (json!([]), "it must be an object"),
        ] {
            let error = described.read::<v1::ListPeersRequest>(&wrong).unwrap_err();
            assert!(error.to_string().starts_with(words), "{error}");
        }
        let lane = json!({ "lane": "fast" });
        let error = described.read::<v1::SendRequest>(&lane).unwrap_err();
        assert_eq!(error.to_string(), "lane must be one of control, gossip");
        let odd = json!({ "body": "abc" });
        assert!(described.read::<v1::Payload>(&odd).is_err());
    }
}
