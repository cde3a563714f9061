//! What goes over the wire, with its OpenAPI schemas.

pub(crate) mod agent;
pub(crate) mod batch;
pub(crate) mod batch_details;
pub(crate) mod batch_settings;
pub(crate) mod budget;
pub(crate) mod call;
pub(crate) mod csv;
pub(crate) mod decimal;
pub(crate) mod dnc;
pub(crate) mod envelope;
pub(crate) mod faults;
pub(crate) mod forecast;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod page;
pub(crate) mod phone;
pub(crate) mod record;
pub(crate) mod settings;
pub(crate) mod task;
pub(crate) mod trunk;
pub(crate) mod webhook;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// For fields of a PATCH: absent leaves as it is, `null` clears.
///
/// Beside `#[serde(default, deserialize_with = "present")]` an absent field is `None`.
pub(crate) fn present<'de, T, D>(d: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(d).map(Some)
}

/// As [`present`], for objects: an array of the fields in their order, which serde takes for one,
/// is refused.
pub(crate) fn present_object<'de, T, D>(d: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Some(Option::<Object<T>>::deserialize(d)?.map(|object| object.0)))
}

/// An object, or nothing where the field is absent or `null`.
pub(crate) fn object<'de, T, D>(d: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<Object<T>>::deserialize(d)?.map(|object| object.0))
}

/// An array of objects.
pub(crate) fn objects<'de, T, D>(d: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let all = Vec::<Object<T>>::deserialize(d)?;
    Ok(all.into_iter().map(|object| object.0).collect())
}

/// What only a JSON object can be.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        d.deserialize_map(Members(PhantomData)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Window {
        start: u8,
        end: u8,
    }

    #[derive(Debug, Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "present_object")]
        window: Option<Option<Window>>,
    }

    #[test]
    fn only_an_object_is_one() {
        let read = |text: &str| serde_json::from_str::<Body>(text).map(|body| body.window);
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"window":null}"#).unwrap(), Some(None));
        let window = Window { start: 1, end: 2 };
        assert_eq!(read(r#"{"window":{"end":2,"start":1}}"#).unwrap(), Some(Some(window)));
        for bad in ["[1,2]", "\"x\"", "5", "true"] {
            let text = read(&format!(r#"{{"window":{bad}}}"#)).unwrap_err().to_string();
            assert!(text.contains("expected an object"), "{text}");
        }
        let text = read(r#"{"window":{"start":1,"end":2,"x":3}}"#).unwrap_err().to_string();
        assert!(text.contains("`x`"), "{text}");
    }
}
