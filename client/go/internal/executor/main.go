// The executor of the Go client: see tests/polyglot/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"lockstitch.dev/go/lockstitch"
)

type request struct {
	ID   int64           `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

// object is what stands under `ok`.
type object map[string]any

// executor has a method for each operation.
type executor struct {
	client  *lockstitch.Client
	runner  *lockstitch.Runner
	threads map[string]*thread
}

type operation func(context.Context, arguments) (object, error)

func (e *executor) operations() map[string]operation {
	return map[string]operation{
		"connect":               e.connect,
		"save":                  e.save,
		"save_many":             e.saveMany,
		"save_concurrently":     e.saveConcurrently,
		"edit":                  e.edit,
		"view":                  e.view,
		"save_writes":           e.saveWrites,
		"load_latest":           e.loadLatest,
		"load":                  e.load,
		"load_latest_many":      e.loadLatestMany,
		"list_sessions":         e.listSessions,
		"list_checkpoints":      e.listCheckpoints,
		"list_checkpoints_page": e.listCheckpointsPage,
		"walk_ancestors":        e.walkAncestors,
		"get_session":           e.getSession,
		"update_session":        e.updateSession,
		"delete_sessions":       e.deleteSessions,
		"delete_checkpoints":    e.deleteCheckpoints,
		"copy_session":          e.copySession,
		"prune_sessions":        e.pruneSessions,
		"watch_session":         e.watchSession,
		"acquire_lease":         e.acquireLease,
		"renew_lease":           e.renewLease,
		"release_lease":         e.releaseLease,
		"break_lease":           e.breakLease,
		"runner_start":          e.runnerStart,
		"runner_save":           e.runnerSave,
		"runner_stop":           e.runnerStop,
	}
}

func (e *executor) answer(asked request) object {
	result := object{"fault": "there is no operation " + asked.Op}
	if do, ok := e.operations()[asked.Op]; ok {
		result = run(asked, do)
	} else if do, ok := e.threadOperations()[asked.Op]; ok {
		result = run(asked, do)
	}
	result["id"] = asked.ID
	return result
}

func run[A any](asked request, do func(context.Context, A) (object, error)) object {
	var args A
	if err := json.Unmarshal(asked.Args, &args); err != nil {
		return object{"fault": fmt.Sprintf("arguments of %s: %v", asked.Op, err)}
	}
	return outcome(do(context.Background(), args))
}

// outcome is an answer with `ok` or `error`; or with `fault`, where the error is
// not one of the client's.
func outcome(result object, err error) object {
	var failure *lockstitch.Error
	var refused *lockstitch.StateError
	switch {
	case err == nil:
		return object{"ok": result}
	case errors.As(err, &failure):
		metadata := failure.Metadata
		if metadata == nil {
			metadata = map[string]string{}
		}
		return object{"error": object{
			"code":     codeNames[failure.Code],
			"reason":   string(failure.Reason),
			"metadata": metadata,
			"message":  failure.Message,
		}}
	case errors.As(err, &refused):
		return object{"ok": object{"refused": refused.Error()}}
	default:
		return object{"fault": err.Error()}
	}
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func serve(in io.Reader, out io.Writer) error {
	executor := &executor{}
	lines := bufio.NewReaderSize(in, 1<<20)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			return err
		}
		if err := encoder.Encode(executor.answer(asked)); err != nil {
			return err
		}
	}
}
