package lockstitch

import (
	"crypto/sha256"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"lockstitch.dev/go/lockstitchpb"
)

// A snapshot is what one has to know of a state to tell what has changed since:
// versions, keys, and digests in place of content.
type snapshot struct {
	messages, errors *listPart
	extra            *extraPart
	custom           map[string]customPart
}

type digest [sha256.Size]byte

// A listPart is the first items of a list: how many, and the digest of their
// bytes, one after the other.
type listPart struct {
	version uint32
	count   int
	items   digest
}

type extraPart struct {
	version uint32
	entries map[string]digest
}

type valueKind int

const (
	noValue valueKind = iota
	blobValue
	listValue
)

// A customPart is one custom channel; count is that of a list's items.
type customPart struct {
	version string
	kind    valueKind
	count   int
	value   digest
}

// starts are the digests of as many first items as the lists of an earlier state
// have: those lists have grown if the digests are the same.
type starts struct {
	messages, errors digest
	custom           map[string]digest
}

var stable = proto.MarshalOptions{Deterministic: true}

// snapshotOf gives false for a state that a delta could neither start from nor
// lead to, as it has fields that this package does not know. The starts are those
// for an earlier state; each item is hashed once.
func snapshotOf(state *lockstitchpb.VersionedState, earlier snapshot) (snapshot, starts, bool) {
	taken := snapshot{custom: make(map[string]customPart, len(state.Custom))}
	begun := starts{custom: map[string]digest{}}
	known := allKnown(state)
	if channel := state.Messages; channel != nil {
		known = known && allKnown(channel)
		taken.messages = &listPart{version: channel.Version, count: len(channel.Items)}
		taken.messages.items, begun.messages = digestsOf(channel.Items, earlier.messages.length())
	}
	if channel := state.Errors; channel != nil {
		known = known && allKnown(channel)
		taken.errors = &listPart{version: channel.Version, count: len(channel.Items)}
		taken.errors.items, begun.errors = digestsOf(channel.Items, earlier.errors.length())
	}
	if channel := state.Extra; channel != nil {
		known = known && allKnown(channel)
		taken.extra = &extraPart{channel.Version, make(map[string]digest, len(channel.Entries))}
		for key, text := range channel.Entries {
			taken.extra.entries[key] = sha256.Sum256([]byte(text))
		}
	}
	for name, channel := range state.Custom {
		known = known && allKnown(channel) && allKnown(channel.GetList())
		taken.custom[name], begun.custom[name] = customPartOf(channel, earlier.custom[name].count)
	}
	return taken, begun, known
}

func (p *listPart) length() int {
	if p == nil {
		return 0
	}
	return p.count
}

// customPartOf is a channel, and the digest of the first items of its list.
func customPartOf(channel *lockstitchpb.CustomChannel, first int) (part customPart, start digest) {
	part.version = channel.GetVersion()
	switch value := channel.GetValue().(type) {
	case *lockstitchpb.CustomChannel_Blob:
		part.kind = blobValue
		part.value, _ = digestsOf([]*lockstitchpb.TypedBlob{value.Blob}, 0)
	case *lockstitchpb.CustomChannel_List:
		part.kind, part.count = listValue, len(value.List.GetItems())
		part.value, start = digestsOf(value.List.GetItems(), first)
	}
	return part, start
}

// digestsOf are those of all items and of the first ones, as a repeated field holds
// them: each with its length, so that no two lists have the same bytes. With fewer
// items than `first`, start is zero, which is no list's.
func digestsOf[M proto.Message](items []M, first int) (all, start digest) {
	hash := sha256.New()
	var buffer []byte
	for index, item := range items {
		if index == first {
			hash.Sum(start[:0])
		}
		size := stable.Size(item)
		buffer = appendLength(buffer[:0], size)
		var err error
		if buffer, err = stable.MarshalAppend(buffer, item); err != nil {
			return digest{}, digest{} // not UTF-8: the save itself will say so
		}
		hash.Write(buffer)
	}
	hash.Sum(all[:0])
	if first == len(items) {
		start = all
	}
	return all, start
}

func appendLength(buffer []byte, size int) []byte {
	for size >= 0x80 {
		buffer = append(buffer, byte(size)|0x80)
		size >>= 7
	}
	return append(buffer, byte(size))
}

func allKnown(message protoMessage) bool {
	reflected := message.ProtoReflect()
	return !reflected.IsValid() || len(reflected.GetUnknown()) == 0
}

type protoMessage interface {
	ProtoReflect() protoreflect.Message
}
