package main

import (
	"context"

	"lockstitch.dev/go/lockstitch"
)

type thread = lockstitch.Thread[map[string]any]

// threadArguments are those of the operations on threads of plain state.
type threadArguments struct {
	SessionID string  `json:"session_id"`
	By        string  `json:"by"`
	State     string  `json:"state"`
	Key       string  `json:"key"`
	Items     string  `json:"items"`
	Target    string  `json:"target"`
	Step      *uint64 `json:"step"`
}

func (e *executor) threadOperations() map[string]func(context.Context, threadArguments) (object, error) {
	return map[string]func(context.Context, threadArguments) (object, error){
		"plain_save":            e.plainSave,
		"plain_append":          e.plainAppend,
		"plain_load":            e.plainLoad,
		"plain_history":         e.plainHistory,
		"plain_fork":            e.plainFork,
		"plain_rewind":          e.plainRewind,
		"plain_save_ill_formed": e.plainSaveIllFormed,
	}
}

func (e *executor) thread(args threadArguments) *thread {
	key := args.By + " " + args.SessionID
	if e.threads[key] == nil {
		e.threads[key] = e.client.Thread(args.SessionID)
	}
	return e.threads[key]
}

func (e *executor) plainSave(ctx context.Context, args threadArguments) (object, error) {
	var state map[string]any
	if err := lockstitch.JSONValue(args.State, &state); err != nil {
		return nil, err
	}
	_, err := e.thread(args).Save(ctx, state)
	return object{"step": e.thread(args).Step()}, err
}

func (e *executor) plainAppend(ctx context.Context, args threadArguments) (object, error) {
	var items []any
	if err := lockstitch.JSONValue(args.Items, &items); err != nil {
		return nil, err
	}
	_, err := e.thread(args).Append(ctx, args.Key, items...)
	return object{"step": e.thread(args).Step()}, err
}

func (e *executor) plainLoad(ctx context.Context, args threadArguments) (object, error) {
	thread := e.thread(args)
	if args.Step != nil {
		return shown(thread)(thread.At(ctx, *args.Step))
	}
	answer, err := shown(thread)(thread.Load(ctx))
	if err == nil && thread.Step() == 0 {
		delete(answer, "state")
	}
	return answer, err
}

func (e *executor) plainHistory(ctx context.Context, args threadArguments) (object, error) {
	steps := []uint64{}
	for version, err := range e.thread(args).History(ctx) {
		if err != nil {
			return nil, err
		}
		steps = append(steps, version.Step)
	}
	return object{"steps": steps}, nil
}

func (e *executor) plainFork(ctx context.Context, args threadArguments) (object, error) {
	var fork *thread
	var err error
	if args.Step != nil {
		fork, err = e.thread(args).ForkAt(ctx, args.Target, *args.Step)
	} else {
		fork, err = e.thread(args).Fork(ctx, args.Target)
	}
	if err != nil {
		return nil, err
	}
	return shown(fork)(fork.Load(ctx))
}

func (e *executor) plainRewind(ctx context.Context, args threadArguments) (object, error) {
	thread := e.thread(args)
	return shown(thread)(thread.Rewind(ctx, *args.Step))
}

func (e *executor) plainSaveIllFormed(ctx context.Context, args threadArguments) (object, error) {
	_, err := e.thread(args).Save(ctx, map[string]any{"a": map[string]any{"b": []string{"\xff"}}})
	return object{}, err
}

// shown is an answer with a state.
func shown(thread *thread) func(map[string]any, error) (object, error) {
	return func(state map[string]any, err error) (object, error) {
		if err != nil {
			return nil, err
		}
		text, err := lockstitch.JSONText(state)
		return object{"state": text, "step": thread.Step()}, err
	}
}
