package lockstitch

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"lockstitch.dev/go/lockstitchpb"
)

// How a plain state is stored: docs/clients/plain-state.md.
const (
	plainType   = "lockstitch.plain"
	plainLayout = "1"
	jsonType    = "json"
	// splitKeys is how many keys a map in the state may have to get a channel for
	// each.
	splitKeys = 100
	nameBytes = 512
)

func plainHeader() *lockstitchpb.TypedBlob {
	return &lockstitchpb.TypedBlob{Type: plainType, Data: []byte(plainLayout)}
}

var (
	escapeKey   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapeKey = strings.NewReplacer("~1", "/", "~0", "~")
)

func channelName(keys ...string) string {
	for index, key := range keys {
		keys[index] = escapeKey.Replace(key)
	}
	return strings.Join(keys, "/")
}

// A stateWriter makes the channels of a state.
type stateWriter struct {
	checker  stateChecker
	before   *lockstitchpb.VersionedState
	channels map[string]*lockstitchpb.CustomChannel
}

// writeState is a state as channels. before: those of the state that was loaded
// or saved last; values that are equal keep their bytes, so that they are not
// stored again.
func writeState(state any, before *lockstitchpb.VersionedState) (*lockstitchpb.VersionedState, error) {
	raw, checker, err := stateText(state, nil)
	if err != nil {
		return nil, err
	}
	writer := stateWriter{checker, before, map[string]*lockstitchpb.CustomChannel{}}
	var members map[string]json.RawMessage
	if raw = writer.notNull(raw, nil); raw[0] != '{' || json.Unmarshal(raw, &members) != nil {
		return nil, statePath(nil).refuse("is of type %T: a state is a struct or a map", state)
	}
	for key, value := range members {
		if err := writer.writeMember(key, value); err != nil {
			return nil, err
		}
	}
	return &lockstitchpb.VersionedState{Custom: writer.channels}, nil
}

func (w *stateWriter) writeMember(key string, raw json.RawMessage) error {
	raw = w.notNull(raw, statePath{key})
	if raw[0] == '{' {
		var inside map[string]json.RawMessage
		if err := json.Unmarshal(raw, &inside); err != nil {
			return statePath{key}.refuse("is not JSON: %v", err)
		}
		if isSplit(key, inside) {
			for inner, value := range inside {
				if err := w.put(w.notNull(value, statePath{key, inner}), key, inner); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return w.put(raw, key)
}

// notNull gives a nil slice or map as an empty one.
func (w *stateWriter) notNull(raw json.RawMessage, at statePath) json.RawMessage {
	if empty, ok := w.checker.empty[at.String()]; ok && string(raw) == "null" {
		return json.RawMessage(empty)
	}
	return raw
}

func isSplit(key string, inside map[string]json.RawMessage) bool {
	if len(inside) == 0 || len(inside) > splitKeys {
		return false
	}
	for inner := range inside {
		if len(channelName(key, inner)) > nameBytes {
			return false
		}
	}
	return true
}

func (w *stateWriter) put(raw json.RawMessage, keys ...string) error {
	at := statePath{}
	for _, key := range keys {
		at = at.in(key)
	}
	name := channelName(keys...)
	if len(name) > nameBytes {
		return at.refuse("has keys of %d bytes together; the limit is %d: shorten them", len(name), nameBytes)
	}
	known := w.before.GetCustom()[name]
	if raw[0] != '[' {
		w.channels[name] = blobChannel(sameBlob(known.GetBlob(), raw))
		return nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return at.refuse("is not JSON: %v", err)
	}
	list := &lockstitchpb.BlobList{Items: make([]*lockstitchpb.TypedBlob, len(items))}
	for index, item := range items {
		var old *lockstitchpb.TypedBlob
		if before := known.GetList().GetItems(); index < len(before) {
			old = before[index]
		}
		list.Items[index] = sameBlob(old, item)
	}
	w.channels[name] = listChannel(list)
	return nil
}

func blobChannel(blob *lockstitchpb.TypedBlob) *lockstitchpb.CustomChannel {
	return &lockstitchpb.CustomChannel{Value: &lockstitchpb.CustomChannel_Blob{Blob: blob}}
}

func listChannel(list *lockstitchpb.BlobList) *lockstitchpb.CustomChannel {
	return &lockstitchpb.CustomChannel{Value: &lockstitchpb.CustomChannel_List{List: list}}
}

// sameBlob is the old blob where it has the same value, whatever the order of its
// keys: another program may have written it.
func sameBlob(old *lockstitchpb.TypedBlob, raw json.RawMessage) *lockstitchpb.TypedBlob {
	if old != nil && (bytes.Equal(old.Data, raw) || equalTexts(old.Data, raw)) {
		return old
	}
	return &lockstitchpb.TypedBlob{Type: jsonType, Data: raw}
}

func equalTexts(left, right []byte) bool {
	if left[0] != right[0] && (left[0] == '{' || left[0] == '[' || left[0] == '"') {
		return false
	}
	one, err := parseJSON(left, nil)
	if err != nil {
		return false
	}
	other, err := parseJSON(right, nil)
	return err == nil && sameJSON(one, other)
}

// appendToState is a state with more items in one of its lists.
func appendToState(
	state *lockstitchpb.VersionedState, field string, items []any,
) (*lockstitchpb.VersionedState, error) {
	at := statePath{field}
	if err := checkText(field, nil); err != nil {
		return nil, err
	}
	name := channelName(field)
	if len(name) > nameBytes {
		return nil, at.refuse("has a key of %d bytes; the limit is %d: shorten it", len(name), nameBytes)
	}
	known, ok := state.GetCustom()[name]
	for other := range state.GetCustom() {
		if strings.HasPrefix(other, name+"/") {
			return nil, at.refuse("is a map, not a list")
		}
	}
	if ok && known.GetList() == nil {
		return nil, at.refuse("is not a list")
	}
	list := &lockstitchpb.BlobList{Items: slices.Clone(known.GetList().GetItems())}
	for _, item := range items {
		raw, _, err := stateText(item, at.in(len(list.Items)))
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, &lockstitchpb.TypedBlob{Type: jsonType, Data: raw})
	}
	channels := maps.Clone(state.GetCustom())
	if channels == nil {
		channels = map[string]*lockstitchpb.CustomChannel{}
	}
	channels[name] = listChannel(list)
	return &lockstitchpb.VersionedState{Custom: channels}, nil
}

// checkPlain fails for a checkpoint that does not hold a plain state.
func checkPlain(checkpoint *lockstitchpb.Checkpoint) error {
	header := checkpoint.GetHeader()
	if header.GetType() != plainType {
		return statePath(nil).refuse("of checkpoint %q of session %q is not a plain state: load it with LoadLatest or Load",
			checkpoint.GetCheckpointId(), checkpoint.GetSessionId())
	}
	if string(header.GetData()) != plainLayout {
		return statePath(nil).refuse("of checkpoint %q of session %q has layout %q, and this client reads layout %q: update it",
			checkpoint.GetCheckpointId(), checkpoint.GetSessionId(), header.GetData(), plainLayout)
	}
	state := checkpoint.GetState()
	if state.GetMessages() != nil || state.GetExtra() != nil || state.GetErrors() != nil {
		return statePath(nil).refuse("has messages, extra or errors, which are not channels of a plain state")
	}
	return nil
}

// A stateReader collects the values of channels, and their texts.
type stateReader struct {
	values map[string]any
	texts  map[string]json.RawMessage
}

// readState gives the values of a state, and its JSON text.
func readState(checkpoint *lockstitchpb.Checkpoint) (map[string]any, []byte, error) {
	if err := checkPlain(checkpoint); err != nil {
		return nil, nil, err
	}
	whole := stateReader{map[string]any{}, map[string]json.RawMessage{}}
	split := map[string]stateReader{}
	channels := checkpoint.GetState().GetCustom()
	for name, channel := range channels {
		keys := strings.Split(name, "/")
		for index, key := range keys {
			keys[index] = unescapeKey.Replace(key)
		}
		inside, at := whole, statePath{keys[0]}
		if len(keys) == 2 {
			if _, ok := split[keys[0]]; !ok {
				split[keys[0]] = stateReader{map[string]any{}, map[string]json.RawMessage{}}
			}
			inside, at = split[keys[0]], at.in(keys[1])
		}
		last := keys[len(keys)-1]
		if len(keys) > 2 || channelName(slices.Clone(keys)...) != name {
			return nil, nil, statePath(nil).refuse("has the channel %q, which is not one of a plain state", name)
		}
		if err := inside.read(last, channel, at); err != nil {
			return nil, nil, err
		}
	}
	for key, inside := range split {
		if _, ok := whole.values[key]; ok {
			return nil, nil, statePath{key}.refuse("is stored as one value, and by its keys")
		}
		whole.values[key], whole.texts[key] = inside.values, textOf(inside.texts)
	}
	return whole.values, textOf(whole.texts), nil
}

func (r stateReader) read(key string, channel *lockstitchpb.CustomChannel, at statePath) (err error) {
	list := channel.GetList()
	if list == nil {
		r.texts[key] = channel.GetBlob().GetData()
		r.values[key], err = readBlob(channel.GetBlob(), at)
		return err
	}
	values, texts := make([]any, len(list.Items)), make([]json.RawMessage, len(list.Items))
	for index, blob := range list.Items {
		texts[index] = blob.GetData()
		if values[index], err = readBlob(blob, at.in(index)); err != nil {
			return err
		}
	}
	r.values[key], r.texts[key] = values, textOf(texts)
	return nil
}

func readBlob(blob *lockstitchpb.TypedBlob, at statePath) (any, error) {
	if blob.GetType() != jsonType {
		return nil, at.refuse("is stored as %q, and this client reads %q", blob.GetType(), jsonType)
	}
	return parseJSON(blob.GetData(), at)
}

// textOf joins texts that have been checked.
func textOf(texts any) json.RawMessage {
	raw, err := json.Marshal(texts)
	if err != nil {
		panic(err) // they are JSON
	}
	return raw
}
