package lockstitch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitchpb"
)

// Start is where a graph begins.
func Start() *lockstitchpb.NodeKind {
	return &lockstitchpb.NodeKind{Kind: &lockstitchpb.NodeKind_Endpoint{Endpoint: lockstitchpb.Endpoint_ENDPOINT_START}}
}

// End is where a graph ends.
func End() *lockstitchpb.NodeKind {
	return &lockstitchpb.NodeKind{Kind: &lockstitchpb.NodeKind_Endpoint{Endpoint: lockstitchpb.Endpoint_ENDPOINT_END}}
}

// Node is a node of the user's.
func Node(name string) *lockstitchpb.NodeKind {
	return &lockstitchpb.NodeKind{Kind: &lockstitchpb.NodeKind_Custom{Custom: name}}
}

// Message is one message of a conversation.
func Message(role, content string) *lockstitchpb.Message {
	return &lockstitchpb.Message{Role: role, Content: content}
}

// JSONText is a value as the JSON text that `extra`, `metadata`, `details` and
// `context` hold. It fails for what JSON has no words for.
func JSONText(value any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return negativeZeros(strings.TrimSuffix(text.String(), "\n")), nil
}

// negativeZeros writes the float -0.0, of which encoding/json makes -0, as the other
// clients do: a reader takes -0 for an integer, and loses its sign.
func negativeZeros(text string) string {
	if !strings.Contains(text, "-0") {
		return text
	}
	exact, inString := make([]byte, 0, len(text)+len(".0")), false
	for index := 0; index < len(text); index++ {
		exact = append(exact, text[index])
		switch rest := text[index:]; {
		case rest[0] == '"':
			inString = !inString
		case rest[0] == '\\': // only strings have it
			index++
			exact = append(exact, text[index])
		case !inString && (rest == "-0" || len(rest) > 2 && rest[:2] == "-0" && strings.IndexByte(",]}", rest[2]) >= 0):
			index++
			exact = append(exact, "0.0"...)
		}
	}
	return string(exact)
}

// JSONValue reads a JSON text into what value points to. Numbers that go into an
// `any` become json.Number, so that integers above 2^53 stay exact.
func JSONValue(text string, value any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(value)
}

// CheckpointFromSession is a checkpoint of a session as it is now. It shares
// nothing with the session.
func CheckpointFromSession(sessionID string, session *lockstitchpb.SessionState) *lockstitchpb.Checkpoint {
	own := proto.CloneOf(session)
	return &lockstitchpb.Checkpoint{
		SessionId:        sessionID,
		Step:             own.GetStep(),
		State:            own.GetState(),
		Frontier:         own.GetFrontier(),
		VersionsSeen:     own.GetSchedulerState().GetVersionsSeen(),
		ConcurrencyLimit: own.GetScheduler().GetConcurrencyLimit(),
		CreatedAt:        timestamppb.New(time.Now()),
	}
}

// RestoreSession is the session that a checkpoint was made from, to go on with.
// It fails for a checkpoint without a state: it was loaded with the view Header,
// or saved without a state. A runner that went on from there would have lost
// everything.
func RestoreSession(checkpoint *lockstitchpb.Checkpoint) (*lockstitchpb.SessionState, error) {
	if checkpoint.GetState() == nil {
		return nil, fmt.Errorf("lockstitch: the checkpoint of session %q at step %d has no state: it was loaded with the "+
			"view Header, or saved without a state. Load it with the view Full, or load another checkpoint",
			checkpoint.GetSessionId(), checkpoint.GetStep())
	}
	own := proto.CloneOf(checkpoint)
	return &lockstitchpb.SessionState{
		State:          own.State,
		Step:           own.Step,
		Frontier:       own.Frontier,
		Scheduler:      &lockstitchpb.Scheduler{ConcurrencyLimit: own.ConcurrencyLimit},
		SchedulerState: &lockstitchpb.SchedulerState{VersionsSeen: own.VersionsSeen},
	}, nil
}
