package lockstitch_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

func Example() {
	client, err := lockstitch.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	latest, err := client.LoadLatest(ctx, "order-4711")
	if err != nil {
		log.Fatal(err)
	}
	step := latest.Checkpoint.GetStep() + 1 // 1 where there is no checkpoint
	_, err = client.Save(ctx, &lockstitchpb.Checkpoint{SessionId: "order-4711", Step: step})
	if errors.Is(err, lockstitch.ExpectedLatestMismatch) {
		fmt.Println("somebody else was faster")
	}
}
