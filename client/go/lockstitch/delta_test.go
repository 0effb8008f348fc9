package lockstitch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"lockstitch.dev/go/lockstitchpb"
)

// deltaOf is the delta between two states, as a client makes it.
func deltaOf(t testing.TB, old, taken *lockstitchpb.VersionedState) (*lockstitchpb.StateDelta, bool) {
	t.Helper()
	known, _, isKnown := snapshotOf(old, snapshot{})
	now, begun, isNowKnown := snapshotOf(taken, known)
	if !isKnown || !isNowKnown {
		t.Fatal("no snapshot")
	}
	return diff(known, now, begun, taken)
}

func TestADeltaHoldsWhatIsNew(t *testing.T) {
	old, taken := conversation(t.Name(), 3).State, conversation(t.Name(), 5).State
	delta, ok := deltaOf(t, old, taken)
	if !ok || len(delta.Messages.Append) != 2 || delta.Extra != nil || delta.Errors != nil || len(delta.Custom) != 0 {
		t.Fatal(delta, ok)
	}
	if proto.Size(delta) > 600 {
		t.Fatal(proto.Size(delta))
	}
}

func TestNoDeltaForWhatItCannotCarry(t *testing.T) {
	full := conversation(t.Name(), 3).State
	shorter := conversation(t.Name(), 2).State
	none := &lockstitchpb.VersionedState{}
	for _, taken := range []*lockstitchpb.VersionedState{shorter, none} {
		if delta, ok := deltaOf(t, full, taken); ok {
			t.Fatal(delta)
		}
	}
	full.Messages.ProtoReflect().SetUnknown(protoreflect.RawFields("\xc0\x3e\x05"))
	if _, _, ok := snapshotOf(full, snapshot{}); ok {
		t.Fatal("a delta cannot carry a field that nobody knows")
	}
}

// BenchmarkDelta is what a client does for a message more in a conversation of 1 MB.
func BenchmarkDelta(b *testing.B) {
	taken := conversation("s", 5000).State
	old := proto.CloneOf(taken)
	old.Messages.Items = old.Messages.Items[:5000]
	known, _, _ := snapshotOf(old, snapshot{})
	b.SetBytes(int64(proto.Size(taken)))
	for b.Loop() {
		now, begun, _ := snapshotOf(taken, known)
		if delta, ok := diff(known, now, begun, taken); !ok || len(delta.Messages.Append) != 1 {
			b.Fatal(delta, ok)
		}
	}
}

func TestTheMemoryForgetsWhatWasUsedLongestAgo(t *testing.T) {
	memory := newMemory(2)
	for _, session := range []string{"a", "b"} {
		memory.put(sessionKey{session: session}, base{checkpointID: session})
	}
	memory.get(sessionKey{session: "a"})
	memory.put(sessionKey{session: "c"}, base{})
	if _, ok := memory.get(sessionKey{session: "b"}); ok {
		t.Fatal("b was used longest ago")
	}
	if known, ok := memory.get(sessionKey{session: "a"}); !ok || known.checkpointID != "a" {
		t.Fatal(known)
	}
}

// TestWhateverChangesIsStored saves one state after the other, each made from the
// one before by chance, and loads every one of them.
func TestWhateverChangesIsStored(t *testing.T) {
	client := newClient(t, sharedServer(t).target)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for session := range 8 {
		checkpoint := conversation(fmt.Sprint(t.Name(), session), 1)
		for step := range uint64(25) {
			checkpoint = proto.CloneOf(checkpoint)
			checkpoint.Step = step
			checkpoint.CheckpointId = fmt.Sprintf("%020d", step)
			for range random.IntN(4) {
				change(random, checkpoint.State)
			}
			mustSave(t, client, checkpoint)
			assertLatest(t, client, checkpoint)
		}
	}
}

func change(random *rand.Rand, state *lockstitchpb.VersionedState) {
	name := string(rune('a' + random.IntN(3)))
	blob := &lockstitchpb.TypedBlob{Type: name, Data: []byte{byte(random.IntN(2))}}
	switch random.IntN(10) {
	case 0, 1, 2:
		if state.Messages == nil {
			state.Messages = &lockstitchpb.MessagesChannel{}
		}
		state.Messages.Version++
		state.Messages.Items = append(state.Messages.Items, Message(name, "é"))
	case 3:
		state.Messages = nil
	case 4:
		if state.GetExtra().GetEntries() == nil { // an empty map is a nil one after its copy
			state.Extra = &lockstitchpb.ExtrasChannel{Entries: map[string]string{}}
		}
		state.Extra.Entries[name] = fmt.Sprint(random.IntN(3))
	case 5:
		if state.Extra != nil {
			delete(state.Extra.Entries, name)
		}
	case 6:
		if state.Errors == nil {
			state.Errors = &lockstitchpb.ErrorsChannel{}
		}
		state.Errors.Items = append(state.Errors.Items, &lockstitchpb.ErrorEvent{Tags: []string{name}})
	case 7:
		setCustom(state, name, &lockstitchpb.CustomChannel{Value: &lockstitchpb.CustomChannel_Blob{Blob: blob}})
	case 8:
		items := append(state.Custom[name].GetList().GetItems(), blob)
		list := &lockstitchpb.CustomChannel_List{List: &lockstitchpb.BlobList{Items: items}}
		setCustom(state, name, &lockstitchpb.CustomChannel{Version: name, Value: list})
	case 9:
		delete(state.Custom, name)
		if random.IntN(2) == 0 {
			setCustom(state, name, &lockstitchpb.CustomChannel{Version: name})
		}
	}
}

func setCustom(state *lockstitchpb.VersionedState, name string, channel *lockstitchpb.CustomChannel) {
	if state.Custom == nil {
		state.Custom = map[string]*lockstitchpb.CustomChannel{}
	}
	state.Custom[name] = channel
}

func TestABaseThatIsGoneIsMadeUpFor(t *testing.T) {
	s := sharedServer(t)
	client, other := newClient(t, s.target), newClient(t, s.target)
	mustSave(t, client, conversation(t.Name(), 5))
	replaced := conversation(t.Name(), 5)
	replaced.State.Messages.Items[0].Content = "other"
	mustSave(t, other, replaced)
	mustSave(t, client, conversation(t.Name(), 6))
	assertLatest(t, client, conversation(t.Name(), 6))

	stream := client.SaveStream()
	defer stream.Close()
	mustSave(t, other, replacedAt(t, 6))
	if _, err := stream.Save(context.Background(), conversation(t.Name(), 7)); err != nil {
		t.Fatal(err)
	}
	assertLatest(t, client, conversation(t.Name(), 7))
}

func replacedAt(t *testing.T, step uint64) *lockstitchpb.Checkpoint {
	checkpoint := conversation(t.Name(), step)
	checkpoint.State.Messages.Items[0].Content = "other"
	return checkpoint
}
