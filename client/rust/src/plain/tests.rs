//! Plain states as channels, and back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{json as texts, layout, path::Path, thread::decode};
use crate::{
    Error, ErrorReason,
    proto::{Checkpoint, CustomChannel, TypedBlob, VersionedState, custom_channel},
};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Order {
    messages: Vec<(String, String)>,
    cart: Cart,
    paid: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notes: BTreeMap<String, i32>,
    number: u64,
    price: f64,
    small: f32,
    wide: u128,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
}

fn saved(state: VersionedState) -> Checkpoint {
    Checkpoint { header: Some(layout::header()), state: Some(state), ..Default::default() }
}

/// A checkpoint with blobs that have these texts.
fn stored(channels: &[(&str, &[u8])]) -> Checkpoint {
    let channel = |data: &[u8]| {
        let blob = TypedBlob { r#type: "json".into(), data: data.to_vec().into() };
        CustomChannel { value: Some(custom_channel::Value::Blob(blob)), ..Default::default() }
    };
    let custom = channels.iter().map(|(name, data)| ((*name).to_owned(), channel(data))).collect();
    saved(VersionedState { custom, ..Default::default() })
}

fn write(state: &impl Serialize) -> Result<VersionedState, Error> {
    layout::write(state, &VersionedState::default())
}

fn written(state: &impl Serialize) -> VersionedState {
    write(state).unwrap()
}

fn list(state: &VersionedState, name: &str) -> Vec<String> {
    match &state.custom[name].value {
        Some(custom_channel::Value::List(list)) => {
            list.items.iter().map(|blob| String::from_utf8(blob.data.to_vec()).unwrap()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn assert_refused<R: std::fmt::Debug>(result: Result<R, Error>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::InvalidField);
    assert!(error.message().contains(text), "{error} does not say {text}");
    assert!(error.message().starts_with(error.field()), "{error}");
}

#[test]
fn where_values_stand() {
    let many: BTreeMap<_, _> = (0..101).map(|number| (number.to_string(), number)).collect();
    let state = written(&json!({
        "messages": [{"role": "<é>\u{2028}"}, 1],
        "cart": {"a/b": 1.5, "items": [1], "deep": {"x": []}},
        "x~y": "text", "none": {}, "nothing": [], "many": many, "long": {"k".repeat(512): 1, "b": 2},
    }));
    let names: Vec<_> = state.custom.keys().map(String::as_str).collect();
    let expected = ["cart/a~1b", "cart/deep", "cart/items", "long", "many", "messages", "none", "nothing", "x~0y"];
    assert_eq!(names, expected);
    assert_eq!(list(&state, "messages"), ["{\"role\":\"<é>\u{2028}\"}", "1"]);
    assert!(list(&state, "nothing").is_empty());
}

#[test]
fn a_state_comes_back() {
    let value = json!({
        "": "\0\u{2028}\"\\🧵", "a/b~c": [[1, 2], [], {}], "cart": {"~": null, "~1": true, "": {"deep": [[[]]]}},
        "numbers": [0, -1, u64::MAX, i64::MIN, 0.1, 5e-324, f64::MAX, 1e16, -0.0], "empty": {}, "nothing": [],
    });
    assert_eq!(decode::<Value>(&saved(written(&value))).unwrap(), value);
    let order = Order {
        messages: vec![("user".into(), "hello".into())],
        cart: Cart { items: vec!["a".into()] },
        paid: Some(true),
        notes: [("a".to_owned(), -1)].into(),
        number: u64::MAX,
        price: 0.1 + 0.2,
        small: 0.1,
        wide: u128::MAX,
    };
    for order in [order, Order::default()] {
        assert_eq!(decode::<Order>(&saved(written(&order))).unwrap(), order);
    }
}

#[test]
fn a_deep_value_comes_back() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let checkpoint = stored(&[("a", nested(500).as_bytes())]);
    let value: Value = decode(&checkpoint).unwrap();
    assert_eq!(decode::<Value>(&saved(written(&value))).unwrap(), value);
    assert_refused(decode::<Value>(&stored(&[("a", nested(501).as_bytes())])), "is nested more than 500 deep");
    let deeper = BTreeMap::from([("a", vec![value["a"].clone()])]);
    assert_refused(write(&deeper), "is nested more than 500 deep");
}

#[test]
fn what_would_be_lost_is_refused_with_its_path() {
    let floats = |number: f64| BTreeMap::from([("a", BTreeMap::from([("b", vec![Some(1.0), Some(number)])]))]);
    assert_refused(write(&floats(f64::NAN)), r#"state["a"]["b"][1] is NaN, which JSON does not have"#);
    assert_refused(write(&Order { small: f32::INFINITY, ..Default::default() }), r#"state["small"] is inf"#);
    assert_refused(write(&BTreeMap::from([("k".repeat(513), 1)])), "has keys of 513 bytes together; the limit is 512");
    assert_refused(write(&vec![1]), "state is not a struct or a map");
    assert_refused(write(&BTreeMap::from([(vec![1], 1)])), "state cannot be written as JSON");
}

#[test]
fn what_a_type_cannot_hold_is_refused_with_its_path() {
    for (name, text, problem) in [
        ("colour", "\"red\"", r#"state["colour"] is stored, and"#),
        ("cart/weight", "1", r#"state["cart"]["weight"] is stored, and"#),
        ("number", "18446744073709551616", "does not fit"),
        ("price", "9007199254740993", r#"state["price"] is stored as 9007199254740993, which"#),
        ("price", "0.1000000000000000055511151231257827", r#"state["price"] is stored as 0.1"#),
        ("small", "0.1234567890123", r#"state["small"] is stored as 0.1234567890123"#),
        ("price", "1e400", "does not fit"),
        ("paid", "0", "does not fit"),
    ] {
        assert_refused(decode::<Order>(&stored(&[("cart/items", b"[]"), (name, text.as_bytes())])), problem);
    }
    for (name, text) in [
        ("price", "1"),
        ("price", "-0.0"),
        ("price", "0.10000000000000001"),
        ("price", "12E-1"),
        ("price", "10000000000000000"),
    ] {
        decode::<Order>(&stored(&[(name, text.as_bytes())])).unwrap();
    }
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "100000000000000000000000000001",
        "100000000000000000000000000000000000000",
    ] {
        let text = format!("{{\"b\":[{number}]}}");
        let problem = format!("state[\"a\"][\"b\"][0] is stored as {number}, which serde_json");
        assert_refused(decode::<Value>(&stored(&[("a", text.as_bytes())])), &problem);
    }
}

#[test]
fn zero_values_of_keys_that_a_type_does_not_have_are_refused() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<Sparse>,
        #[serde(default, skip_serializing_if = "String::is_empty", alias = "label")]
        name: String,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        sparse: Sparse,
    }
    for zero in ["null", "false", "0", "\"\"", "[]", "{}"] {
        let channels = [("a.b", zero.as_bytes())];
        assert_refused(decode::<Sparse>(&stored(&channels)), r#"state["a.b"] is stored, and"#);
        assert_refused(decode::<Outer>(&stored(&channels)), r#"state["a.b"] is stored, and"#);
        let inside = format!("[{{\"other\":{zero}}}]");
        assert_refused(decode::<Sparse>(&stored(&[("tags", inside.as_bytes())])), r#"state["tags"][0]["other"] is"#);
        decode::<BTreeMap<String, Value>>(&stored(&channels)).unwrap();
    }
    for (name, zero) in [("note", "null"), ("tags", "[]"), ("tags", r#"[{"note":null}]"#), ("name", r#""""#)] {
        decode::<Sparse>(&stored(&[(name, zero.as_bytes())])).unwrap();
        decode::<Outer>(&stored(&[(name, zero.as_bytes())])).unwrap();
    }
    decode::<Sparse>(&stored(&[("label", b"\"\"")])).unwrap();
}

#[test]
fn what_is_no_plain_state_is_refused() {
    for (channels, problem) in [
        (vec![("b/c/d", "1")], "has the channel \"b/c/d\""),
        (vec![("b~2", "1")], "has the channel \"b~2\""),
        (vec![("b", "{}"), ("b/c", "1")], r#"state["b"] is stored as one value, and by its keys"#),
        (vec![("b", "{\"c\":[{\"d\":1,\"d\":2}]}")], r#"state["b"]["c"][0]["d"] stands twice"#),
        (vec![("b", "1 2")], r#"state["b"] is stored as text that is not JSON"#),
        (vec![("b", "[NaN]")], "that is not JSON"),
        (vec![("b", "")], "that is not JSON"),
        (vec![("b", r#""\ud83d""#)], "that is not JSON"),
    ] {
        let channels: Vec<_> = channels.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        assert_refused(decode::<Value>(&stored(&channels)), problem);
    }
    assert_refused(decode::<Value>(&stored(&[("b", b"\"\xff\"")])), "that is not UTF-8");
    let mut other = stored(&[]);
    other.state_mut().messages_mut();
    assert_refused(decode::<Value>(&other), "has messages, extra or errors");
    other.header = Some(TypedBlob { data: vec![b'2'].into(), ..layout::header() });
    assert_refused(decode::<Value>(&other), "has layout \"2\", and this client reads layout \"1\"");
    other.header = None;
    assert_refused(decode::<Value>(&other), "is not a plain state");
}

#[test]
fn equal_values_keep_their_bytes() {
    let before = stored(&[("a", br#"{"z": 1.0, "y": {"b": "\u00e9"}}"#), ("b", b"1"), ("c", b"[]")]).state.unwrap();
    let after = layout::write(&json!({"a": {"y": {"b": "é"}, "z": 1}, "b": 2, "d": 1}), &before).unwrap();
    let blob = |state: &VersionedState, name: &str| state.custom[name].clone();
    assert_eq!(blob(&after, "b"), stored(&[("b", b"2")]).state.unwrap().custom["b"]);
    assert!(!after.custom.contains_key("a"), "a map in the state has channels for its keys");
    assert!(texts::equal(br#"{"z": 1.0, "y": "\u00e9"}"#, r#"{"y":"é","z":1}"#.as_bytes()));
    for (left, right) in
        [("1", "2"), ("1", "\"1\""), ("true", "1"), ("[1]", "[1,1]"), ("9007199254740993", "9007199254740992")]
    {
        assert!(!texts::equal(left.as_bytes(), right.as_bytes()), "{left} {right}");
    }
    let list = json!({"log": [{"x": 1, "y": 2}]});
    let mut known = written(&list);
    if let Some(custom_channel::Value::List(list)) = &mut known.custom.get_mut("log").unwrap().value {
        list.items[0].data = r#"{"y":2,"x":1}"#.into();
    }
    assert_eq!(layout::write(&list, &known).unwrap(), known);
}

#[test]
fn appending_is_writing_the_longer_list() {
    let before = written(&json!({"log": [1], "cart": {"a": 1}, "text": "x", "null": null, "cart2": 1}));
    let grown = layout::append(&before, "log", [json!("two"), json!({"three": 3})]).unwrap();
    let expected = json!({"log": [1, "two", {"three": 3}], "cart": {"a": 1}, "text": "x", "null": null, "cart2": 1});
    assert_eq!(grown, written(&expected));
    assert_eq!(list(&layout::append(&before, "new", [1]).unwrap(), "new"), ["1"]);
    for key in ["cart", "text", "null"] {
        assert_refused(layout::append(&before, key, [1]), &format!("state[{key:?}] is "));
    }
    assert_refused(layout::append(&before, "log", [vec![f64::NAN]]), r#"state["log"][1][0] is NaN"#);
}

#[test]
fn texts_and_values() {
    assert_eq!(texts::json_text(&json!({"a": [1.0, "é"]})).unwrap(), r#"{"a":[1.0,"é"]}"#);
    assert_eq!(texts::json_value::<Value>(" [1] ").unwrap(), json!([1]));
    assert_refused(texts::json_value::<Cart>(r#"{"items":[],"size":1}"#), r#"state["size"] is stored, and"#);
    assert_eq!(Path::of(&["a\"", "b"]).to_string(), r#"state["a\""]["b"]"#);
}
