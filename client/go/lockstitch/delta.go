package lockstitch

import (
	"sort"

	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitchpb"
)

// diff gives the delta that leads from an old state to a new one. False: there
// is none.
func diff(old snapshot, taken snapshot, state *lockstitchpb.VersionedState) (*lockstitchpb.StateDelta, bool) {
	delta := &lockstitchpb.StateDelta{}
	ok := diffMessages(delta, old, taken, state) &&
		diffErrors(delta, old, taken, state) &&
		diffExtra(delta, old.extra, taken.extra, state.Extra) &&
		diffCustom(delta, old, taken, state)
	return delta, ok
}

func diffMessages(delta *lockstitchpb.StateDelta, old, taken snapshot, state *lockstitchpb.VersionedState) bool {
	if same(old.messages, taken.messages) {
		return true
	}
	items := state.GetMessages().GetItems()
	count, ok := grown(old.messages, taken.messages, items)
	if ok {
		delta.Messages = &lockstitchpb.MessagesDelta{Version: taken.messages.version, Append: items[count:]}
	}
	return ok
}

func diffErrors(delta *lockstitchpb.StateDelta, old, taken snapshot, state *lockstitchpb.VersionedState) bool {
	if same(old.errors, taken.errors) {
		return true
	}
	items := state.GetErrors().GetItems()
	count, ok := grown(old.errors, taken.errors, items)
	if ok {
		delta.Errors = &lockstitchpb.ErrorsDelta{Version: taken.errors.version, Append: items[count:]}
	}
	return ok
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

func diffCustom(delta *lockstitchpb.StateDelta, old, taken snapshot, state *lockstitchpb.VersionedState) bool {
	delta.Custom = map[string]*lockstitchpb.CustomDelta{}
	for name, part := range taken.custom {
		before, known := old.custom[name]
		if known && before == part {
			continue
		}
		change, ok := changedChannel(before, known, part, state.Custom[name])
		if !ok {
			return false
		}
		delta.Custom[name] = change
	}
	delta.RemovedCustom = gone(old.custom, taken.custom)
	return true
}

func changedChannel(
	old customPart, known bool, taken customPart, channel *lockstitchpb.CustomChannel,
) (*lockstitchpb.CustomDelta, bool) {
	change := &lockstitchpb.CustomDelta{Version: taken.version}
	switch {
	case known && old.kind == taken.kind && old.count == taken.count && old.value == taken.value:
		// Only the version has changed.
	case taken.kind == noValue:
		return nil, false
	case taken.kind == blobValue:
		change.Change = &lockstitchpb.CustomDelta_Blob{Blob: channel.GetBlob()}
	case known && old.kind == listValue && startsWith(channel.GetList().GetItems(), old.count, old.value):
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

// grown says how many of the items were there before. False: it is not the old
// list with more behind it.
func grown[M proto.Message](old, taken *listPart, items []M) (int, bool) {
	if taken == nil {
		return 0, false
	}
	if old == nil {
		return 0, true
	}
	return old.count, startsWith(items, old.count, old.items)
}

func startsWith[M proto.Message](items []M, count int, sum digest) bool {
	return count <= len(items) && digestOf(items[:count]) == sum
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
