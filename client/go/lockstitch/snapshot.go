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

var stable = proto.MarshalOptions{Deterministic: true}

// snapshotOf gives false for a state that a delta could neither start from nor
// lead to, as it has fields that this package does not know.
func snapshotOf(state *lockstitchpb.VersionedState) (snapshot, bool) {
	taken := snapshot{custom: make(map[string]customPart, len(state.Custom))}
	known := allKnown(state)
	if channel := state.Messages; channel != nil {
		known = known && allKnown(channel)
		taken.messages = &listPart{channel.Version, len(channel.Items), digestOf(channel.Items)}
	}
	if channel := state.Errors; channel != nil {
		known = known && allKnown(channel)
		taken.errors = &listPart{channel.Version, len(channel.Items), digestOf(channel.Items)}
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
		taken.custom[name] = customPartOf(channel)
	}
	return taken, known
}

func customPartOf(channel *lockstitchpb.CustomChannel) customPart {
	part := customPart{version: channel.GetVersion()}
	switch value := channel.GetValue().(type) {
	case *lockstitchpb.CustomChannel_Blob:
		part.kind, part.value = blobValue, digestOf([]*lockstitchpb.TypedBlob{value.Blob})
	case *lockstitchpb.CustomChannel_List:
		part.kind, part.count, part.value = listValue, len(value.List.GetItems()), digestOf(value.List.GetItems())
	}
	return part
}

// digestOf is that of items as a repeated field holds them: each with its
// length, so that no two lists have the same bytes.
func digestOf[M proto.Message](items []M) digest {
	hash := sha256.New()
	var buffer []byte
	for _, item := range items {
		size := stable.Size(item)
		buffer = appendLength(buffer[:0], size)
		var err error
		if buffer, err = stable.MarshalAppend(buffer, item); err != nil {
			return digest{} // not UTF-8: the save itself will say so
		}
		hash.Write(buffer)
	}
	var sum digest
	hash.Sum(sum[:0])
	return sum
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
