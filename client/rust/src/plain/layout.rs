//! How a plain state is stored: docs/clients/plain-state.md.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    json::{self, Entries, Json, quoted},
    path::{Part, Path},
};
use crate::{
    Error,
    proto::{BlobList, Checkpoint, CustomChannel, TypedBlob, VersionedState, custom_channel::Value},
};

const TYPE: &str = "lockstitch.plain";
const LAYOUT: &[u8] = b"1";
const JSON: &str = "json";
/// How many keys a map in the state may have to get a channel for each.
const SPLIT_KEYS: usize = 100;
const NAME_BYTES: usize = 512;

type Channels = BTreeMap<String, CustomChannel>;

pub(super) fn header() -> TypedBlob {
    TypedBlob { r#type: TYPE.to_owned(), data: Bytes::from_static(LAYOUT) }
}

fn name(keys: &[&str]) -> String {
    let escaped = keys.iter().map(|key| key.replace('~', "~0").replace('/', "~1"));
    escaped.collect::<Vec<_>>().join("/")
}

/// A state as channels. before: those that were loaded or saved last; values that are equal keep their bytes, so that
/// they are not stored again.
pub(super) fn write(state: &impl Serialize, before: &VersionedState) -> Result<VersionedState, Error> {
    let mut root = Path::default();
    let text = json::write(state, &mut root)?;
    if !text.starts_with('{') {
        return Err(root.refuse("is not a struct or a map"));
    }
    let mut channels = Channels::new();
    for (key, raw) in entries(&text, &root)? {
        match split(&key, raw, &root)? {
            Some(inside) => {
                for (inner, raw) in inside {
                    put(&mut channels, &[&key, &inner], raw, before)?;
                }
            }
            None => put(&mut channels, &[&key], raw, before)?,
        }
    }
    Ok(VersionedState { custom: channels, ..Default::default() })
}

fn entries<'a>(text: &'a str, at: &Path) -> Result<Vec<(String, &'a str)>, Error> {
    let entries: Entries<&RawValue> = serde_json::from_str(text).map_err(|error| at.refuse(error))?;
    Ok(entries.0.into_iter().map(|(key, raw)| (key, raw.get())).collect())
}

/// The entries of a map that gets a channel for each.
fn split<'a>(key: &str, raw: &'a str, at: &Path) -> Result<Option<Vec<(String, &'a str)>>, Error> {
    if !raw.starts_with('{') {
        return Ok(None);
    }
    let inside = entries(raw, at)?;
    let fits = inside.iter().all(|(inner, _)| name(&[key, inner]).len() <= NAME_BYTES);
    Ok(((1..=SPLIT_KEYS).contains(&inside.len()) && fits).then_some(inside))
}

fn put(channels: &mut Channels, keys: &[&str], raw: &str, before: &VersionedState) -> Result<(), Error> {
    let name = name(keys);
    if name.len() > NAME_BYTES {
        let problem = format!("has keys of {} bytes together; the limit is {NAME_BYTES}: shorten them", name.len());
        return Err(Path::of(keys).refuse(problem));
    }
    let known = before.custom.get(&name).and_then(|channel| channel.value.as_ref());
    let value = if raw.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|error| Path::of(keys).refuse(error))?;
        let known: &[TypedBlob] = if let Some(Value::List(list)) = known { &list.items } else { &[] };
        let blobs = items.iter().enumerate().map(|(index, item)| kept(known.get(index), item.get()));
        Value::List(BlobList { items: blobs.collect() })
    } else {
        Value::Blob(kept(if let Some(Value::Blob(blob)) = known { Some(blob) } else { None }, raw))
    };
    match channels.insert(name, CustomChannel { value: Some(value), ..Default::default() }) {
        None => Ok(()),
        Some(_) => Err(Path::of(keys).refuse("stands twice in the state")),
    }
}

/// The known blob where it has the same value: another program may have written it.
fn kept(known: Option<&TypedBlob>, raw: &str) -> TypedBlob {
    match known {
        Some(blob) if blob.data == raw.as_bytes() || json::equal(&blob.data, raw.as_bytes()) => blob.clone(),
        _ => TypedBlob { r#type: JSON.to_owned(), data: Bytes::copy_from_slice(raw.as_bytes()) },
    }
}

/// A state with more items in one of its lists.
pub(super) fn append<I: Serialize>(
    state: &VersionedState,
    key: &str,
    items: impl IntoIterator<Item = I>,
) -> Result<VersionedState, Error> {
    let mut at = Path::of(&[key]);
    let name = name(&[key]);
    if name.len() > NAME_BYTES {
        return Err(at.refuse(format!("has a key of {} bytes; the limit is {NAME_BYTES}: shorten it", name.len())));
    }
    if state.custom.keys().any(|other| other.starts_with(&format!("{name}/"))) {
        return Err(at.refuse("is a map, not a list"));
    }
    let mut grown = state.clone();
    let channel = grown
        .custom
        .entry(name)
        .or_insert_with(|| CustomChannel { value: Some(Value::List(BlobList::default())), ..Default::default() });
    let Some(Value::List(list)) = &mut channel.value else { return Err(at.refuse("is not a list")) };
    for item in items {
        let text = at.within(Part::Index(list.items.len()), |at| json::write(&item, at))?;
        list.items.push(TypedBlob { r#type: JSON.to_owned(), data: text.into() });
    }
    Ok(grown)
}

/// The JSON text of a checkpoint's state.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<String, Error> {
    check(checkpoint)?;
    let mut whole: BTreeMap<String, String> = BTreeMap::new();
    let mut parts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, channel) in checkpoint.state.iter().flat_map(|state| &state.custom) {
        let keys: Vec<_> = name.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let (inside, last) = match keys[..] {
            [key] => (&mut whole, key),
            [key, inner] => (parts.entry(key.to_owned()).or_default(), inner),
            _ => return Err(foreign(name)),
        };
        if self::name(&keys) != *name {
            return Err(foreign(name));
        }
        inside.insert(last.to_owned(), channel_text(channel, &keys)?);
    }
    for (key, inside) in parts {
        let twice = whole.insert(key.clone(), object(&inside)).is_some();
        if twice {
            return Err(Path::of(&[&key]).refuse("is stored as one value, and by its keys"));
        }
    }
    Ok(object(&whole))
}

fn foreign(name: &str) -> Error {
    Path::default().refuse(format!("has the channel {name:?}, which is not one of a plain state"))
}

fn check(checkpoint: &Checkpoint) -> Result<(), Error> {
    let of = format!("of checkpoint {:?} of session {:?}", checkpoint.checkpoint_id, checkpoint.session_id);
    let header = checkpoint.header.clone().unwrap_or_default();
    let problem = if header.r#type != TYPE {
        format!("{of} is not a plain state: load it with load_latest or load")
    } else if header.data != LAYOUT {
        let (found, ours) = (String::from_utf8_lossy(&header.data), String::from_utf8_lossy(LAYOUT));
        format!("{of} has layout {found:?}, and this client reads layout {ours:?}: update it")
    } else if checkpoint
        .state
        .as_ref()
        .is_some_and(|state| state.messages.is_some() || state.extra.is_some() || state.errors.is_some())
    {
        format!("{of} has messages, extra or errors, which are not channels of a plain state")
    } else {
        return Ok(());
    };
    Err(Path::default().refuse(problem))
}

/// The text of a channel's value, which is checked.
fn channel_text(channel: &CustomChannel, keys: &[&str]) -> Result<String, Error> {
    let mut at = Path::of(keys);
    match &channel.value {
        Some(Value::List(list)) => {
            let items = list.items.iter().enumerate();
            let texts = items.map(|(index, blob)| at.within(Part::Index(index), |at| text(blob, at)));
            Ok(format!("[{}]", texts.collect::<Result<Vec<_>, _>>()?.join(",")))
        }
        Some(Value::Blob(blob)) => Ok(text(blob, &mut at)?.to_owned()),
        None => Err(at.refuse("is stored without a value")),
    }
}

fn text<'a>(blob: &'a TypedBlob, at: &mut Path) -> Result<&'a str, Error> {
    if blob.r#type != JSON {
        return Err(at.refuse(format!("is stored as {:?}, and this client reads {JSON:?}", blob.r#type)));
    }
    let text = std::str::from_utf8(&blob.data).map_err(|_| at.refuse("is stored as text that is not UTF-8"))?;
    Json::parse(text, at)?;
    Ok(text)
}

fn object(entries: &BTreeMap<String, String>) -> String {
    let entries: Vec<_> = entries.iter().map(|(key, text)| format!("{}:{text}", quoted(key))).collect();
    format!("{{{}}}", entries.join(","))
}
