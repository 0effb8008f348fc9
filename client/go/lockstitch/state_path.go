package lockstitch

import (
	"fmt"
	"strings"
)

// StateError says why a plain state cannot be saved without loss, or cannot be
// read. No other data has changed.
type StateError struct {
	// Path is the place in the state, such as state["cart"]["items"][2].
	Path string
	// Problem is what is wrong there, such as "is NaN, which JSON does not have".
	Problem string
}

func (e *StateError) Error() string { return "lockstitch: " + e.Path + " " + e.Problem }

// A statePath is a place in a state: keys (string) and indexes (int).
type statePath []any

func (p statePath) String() string {
	var text strings.Builder
	text.WriteString("state")
	for _, part := range p {
		if key, ok := part.(string); ok {
			fmt.Fprintf(&text, "[%q]", key)
		} else {
			fmt.Fprintf(&text, "[%d]", part)
		}
	}
	return text.String()
}

// in is a place inside this one.
func (p statePath) in(part any) statePath {
	return append(p[:len(p):len(p)], part)
}

func (p statePath) refuse(problem string, arguments ...any) error {
	return &StateError{Path: p.String(), Problem: fmt.Sprintf(problem, arguments...)}
}
