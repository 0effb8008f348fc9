// Package lockstitch saves the checkpoints of agent workflows on a Lockstitch
// server, and loads them again.
//
// A Thread saves plain state, a struct or a map, and loads it again:
//
//	client, err := lockstitch.New("127.0.0.1:50051")
//	...
//	thread := lockstitch.NewThread[Order](client, "order-42")
//	order, err := thread.Load(ctx)
//	...
//	saved, err := thread.Save(ctx, order)
//
// A runner of graphs saves a checkpoint at every barrier. When it dies, another
// runner loads the latest one and continues:
//
//	saved, err := client.Save(ctx, checkpoint)
//	...
//	latest, err := client.LoadLatest(ctx, "order-4711")
//
// Sessions, events and leases are structs of this package. Checkpoints and their
// pending writes are the messages of the contract, in package lockstitchpb, so that
// fields of a newer contract are kept when they are loaded and saved again. As
// always with protobuf in Go, a nil slice or map is the same as an empty one,
// while a nil message is not the same as an empty one: a nil MessagesChannel
// says that the runner has no such channel.
//
// A Client may be used by any number of goroutines.
package lockstitch
