//! What changed between two states, as the contract's `StateDelta`.

use std::collections::BTreeMap;

use crate::proto::{
    BlobList, CustomChannel, CustomDelta, ErrorsChannel, ErrorsDelta, ExtrasChannel, ExtrasDelta, MessagesChannel,
    MessagesDelta, StateDelta, VersionedState, custom_channel::Value, custom_delta::Change,
};

/// The delta that leads from `old` to `new`. None: there is none, and the full state has to be sent.
pub(crate) fn diff(old: &VersionedState, new: &VersionedState) -> Option<StateDelta> {
    let mut delta = StateDelta::default();
    if old.messages != new.messages {
        delta.messages = Some(messages(old.messages.as_ref(), new.messages.as_ref()?)?);
    }
    if old.extra != new.extra {
        delta.extra = Some(extra(old.extra.as_ref(), new.extra.as_ref()?));
    }
    if old.errors != new.errors {
        delta.errors = Some(errors(old.errors.as_ref(), new.errors.as_ref()?)?);
    }
    for (name, channel) in &new.custom {
        let before = old.custom.get(name);
        if before != Some(channel) {
            delta.custom.insert(name.clone(), custom(before, channel)?);
        }
    }
    delta.removed_custom = gone(&old.custom, &new.custom);
    Some(delta)
}

fn messages(old: Option<&MessagesChannel>, new: &MessagesChannel) -> Option<MessagesDelta> {
    let append = grown(old.map_or(&[], |channel| &channel.items), &new.items)?;
    Some(MessagesDelta { version: new.version, append })
}

fn errors(old: Option<&ErrorsChannel>, new: &ErrorsChannel) -> Option<ErrorsDelta> {
    let append = grown(old.map_or(&[], |channel| &channel.items), &new.items)?;
    Some(ErrorsDelta { version: new.version, append })
}

/// The items that have come; None where others have changed or gone.
fn grown<T: Clone + PartialEq>(old: &[T], new: &[T]) -> Option<Vec<T>> {
    new.strip_prefix(old).map(<[T]>::to_vec)
}

fn extra(old: Option<&ExtrasChannel>, new: &ExtrasChannel) -> ExtrasDelta {
    let none = BTreeMap::new();
    let before = old.map_or(&none, |channel| &channel.entries);
    let set = new.entries.iter().filter(|(key, text)| before.get(*key) != Some(text));
    ExtrasDelta {
        version: new.version,
        set: set.map(|(key, text)| (key.clone(), text.clone())).collect(),
        remove: gone(before, &new.entries),
    }
}

fn custom(old: Option<&CustomChannel>, new: &CustomChannel) -> Option<CustomDelta> {
    let before = old.and_then(|channel| channel.value.as_ref());
    let change = if old.is_some() && before == new.value.as_ref() {
        None // only the version changed
    } else {
        Some(changed_value(before, new.value.as_ref()?))
    };
    Some(CustomDelta { version: new.version.clone(), change })
}

fn changed_value(old: Option<&Value>, new: &Value) -> Change {
    match (old, new) {
        (_, Value::Blob(blob)) => Change::Blob(blob.clone()),
        (Some(Value::List(old)), Value::List(new)) => match grown(&old.items, &new.items) {
            Some(items) => Change::Append(BlobList { items }),
            None => Change::List(new.clone()),
        },
        (_, Value::List(new)) => Change::List(new.clone()),
    }
}

fn gone<T>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Vec<String> {
    old.keys().filter(|key| !new.contains_key(*key)).cloned().collect()
}
