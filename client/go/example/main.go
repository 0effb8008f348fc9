// A worker that counts to ten, one step at a time. Kill it and start it again:
// it goes on after the last step that it has saved.
//
//	go run ./example [address] [session]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

const steps = 10

func main() {
	address, session := "127.0.0.1:50051", "go-example"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if len(os.Args) > 2 {
		session = os.Args[2]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := work(ctx, address, session); err != nil {
		log.Fatal(err)
	}
}

func work(ctx context.Context, address, session string) error {
	client, err := lockstitch.New(address)
	if err != nil {
		return err
	}
	defer client.Close()
	state, err := resume(ctx, client, session)
	if err != nil {
		return err
	}
	for state.Step < steps {
		condition := lockstitch.ExpectStep(state.Step)
		if state.Step == 0 {
			condition = lockstitch.ExpectNone()
		}
		doStep(state)
		_, err := client.Save(ctx, lockstitch.CheckpointFromSession(session, state), condition)
		if errors.Is(err, lockstitch.ExpectedLatestMismatch) {
			return errors.New("another worker has this session")
		}
		if err != nil {
			return err
		}
		fmt.Println("saved step", state.Step)
	}
	fmt.Println("done:", len(state.State.Messages.Items), "messages")
	return nil
}

// resume gives the session as it was saved last, or a new one.
func resume(ctx context.Context, client *lockstitch.Client, session string) (*lockstitchpb.SessionState, error) {
	latest, err := client.LoadLatest(ctx, session)
	if err != nil {
		return nil, err
	}
	if latest.Checkpoint == nil {
		state := &lockstitchpb.VersionedState{Messages: &lockstitchpb.MessagesChannel{}}
		return &lockstitchpb.SessionState{State: state}, nil
	}
	fmt.Println("going on after step", latest.Checkpoint.Step)
	return lockstitch.RestoreSession(latest.Checkpoint)
}

func doStep(state *lockstitchpb.SessionState) {
	time.Sleep(100 * time.Millisecond)
	state.Step++
	messages := state.State.Messages
	messages.Version++
	messages.Items = append(messages.Items, lockstitch.Message("worker", fmt.Sprint("step ", state.Step)))
}
