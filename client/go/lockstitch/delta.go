package lockstitch

import (
	"sort"

	"lockstitch.dev/go/lockstitchpb"
)

// diff gives the delta that leads from an old state to a new one. The starts of the
// new one are those for the old one. False: there is none.
func diff(
	old, taken snapshot, begun starts, state *lockstitchpb.VersionedState,
) (*lockstitchpb.StateDelta, bool) {
	delta := &lockstitchpb.StateDelta{}
	ok := diffMessages(delta, old.messages, taken.messages, begun.messages, state.GetMessages().GetItems()) &&
		diffErrors(delta, old.errors, taken.errors, begun.errors, state.GetErrors().GetItems()) &&
		diffExtra(delta, old.extra, taken.extra, state.Extra) &&
		diffCustom(delta, old, taken, begun, state)
	return delta, ok
}

func diffMessages(
	delta *lockstitchpb.StateDelta, old, taken *listPart, start digest, items []*lockstitchpb.Message,
) bool {
	if same(old, taken) {
		return true
	}
	if !grown(old, taken, start) {
		return false
	}
	delta.Messages = &lockstitchpb.MessagesDelta{Version: taken.version, Append: items[old.length():]}
	return true
}

func diffErrors(
	delta *lockstitchpb.StateDelta, old, taken *listPart, start digest, items []*lockstitchpb.ErrorEvent,
) bool {
	if same(old, taken) {
		return true
	}
	if !grown(old, taken, start) {
		return false
	}
	delta.Errors = &lockstitchpb.ErrorsDelta{Version: taken.version, Append: items[old.length():]}
	return true
}

func diffExtra(delta *lockstitchpb.StateDelta, old, taken *extraPart, channel *lockstitchpb.ExtrasChannel) bool {
	if taken == nil {
		return old == nil
	}
	before := map[string]digest{}
	if old != nil {
		before = old.entries
	}
	change := &lockstitchpb.ExtrasDelta{Version: taken.version, Set: map[string]string{}}
	for key, sum := range taken.entries {
		if known, ok := before[key]; !ok || known != sum {
			change.Set[key] = channel.Entries[key]
		}
	}
	change.Remove = gone(before, taken.entries)
	if old == nil || old.version != taken.version || len(change.Set)+len(change.Remove) > 0 {
		delta.Extra = change
	}
	return true
}

func diffCustom(
	delta *lockstitchpb.StateDelta, old, taken snapshot, begun starts, state *lockstitchpb.VersionedState,
) bool {
	delta.Custom = map[string]*lockstitchpb.CustomDelta{}
	for name, part := range taken.custom {
		before, known := old.custom[name]
		if known && before == part {
			continue
		}
		change, ok := changedChannel(before, known, part, begun.custom[name], state.Custom[name])
		if !ok {
			return false
		}
		delta.Custom[name] = change
	}
	delta.RemovedCustom = gone(old.custom, taken.custom)
	return true
}

func changedChannel(
	old customPart, known bool, taken customPart, start digest, channel *lockstitchpb.CustomChannel,
) (*lockstitchpb.CustomDelta, bool) {
	change := &lockstitchpb.CustomDelta{Version: taken.version}
	switch {
	case known && old.kind == taken.kind && old.count == taken.count && old.value == taken.value:
		// Only the version has changed.
	case taken.kind == noValue:
		return nil, false
	case taken.kind == blobValue:
		change.Change = &lockstitchpb.CustomDelta_Blob{Blob: channel.GetBlob()}
	case known && old.kind == listValue && old.count <= taken.count && old.value == start:
		rest := channel.GetList().GetItems()[old.count:]
		change.Change = &lockstitchpb.CustomDelta_Append{Append: &lockstitchpb.BlobList{Items: rest}}
	default:
		change.Change = &lockstitchpb.CustomDelta_List{List: channel.GetList()}
	}
	return change, true
}

func same(old, taken *listPart) bool {
	if old == nil || taken == nil {
		return old == taken
	}
	return *old == *taken
}

// grown says whether a list is the old one with more behind it. start: the digest of
// as many first items as the old one has.
func grown(old, taken *listPart, start digest) bool {
	return taken != nil && (old == nil || (old.count <= taken.count && old.items == start))
}

// gone is what was there and is not any more.
func gone[V any](old, taken map[string]V) []string {
	var names []string
	for name := range old {
		if _, ok := taken[name]; !ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
