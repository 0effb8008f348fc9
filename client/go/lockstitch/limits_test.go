package lockstitch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstitch.dev/go/lockstitchpb"
)

func TestSavesWaitForRoom(t *testing.T) {
	for name, limit := range map[string]Option{"count": WithSaveLimits(1, 0), "bytes": WithSaveLimits(0, 1)} {
		t.Run(name, func(t *testing.T) {
			script, _ := startScripted(t, errHang)
			client := newClient(t, script.target, limit, WithTimeout(wait))
			first, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() {
				_, err := client.Save(first, conversation("s", 1))
				ended <- err
			}()
			await(t, func() bool { return script.count() == 1 })
			stream := client.SaveStream()
			defer stream.Close()
			short, cancelShort := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancelShort()
			_, alone := client.Save(short, conversation("s", 2))
			_, streamed := stream.Save(short, conversation("s", 2))
			for _, err := range []error{alone, streamed} {
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "WithSaveLimits") {
					t.Error(err)
				}
			}
			if script.count() != 1 {
				t.Error("a save above the limit was sent")
			}
			cancel()
			<-ended
			mustSave(t, client, conversation("s", 3))
			if _, err := stream.Save(context.Background(), conversation("s", 4)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStreamThatIsClosedLetsNobodyWaitForRoom(t *testing.T) {
	script, _ := startScripted(t, errHang)
	client := newClient(t, script.target, WithSaveLimits(1, 0), WithTimeout(never))
	stream := client.SaveStream()
	first := stream.Begin(context.Background(), conversation("s", 1))
	await(t, func() bool { return script.count() == 1 })
	ended := make(chan error, 1)
	go func() {
		_, err := stream.Save(context.Background(), conversation("s", 2))
		ended <- err
	}()
	_ = stream.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := first.Wait(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestMemoryIsBoundedWhileTheServerHangs has 64 savers of 200 kB each give up after
// a quarter of a second, again and again: 50 MB a second, 200 MB in all.
func TestMemoryIsBoundedWhileTheServerHangs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"unary", "stream"} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			client := newClient(t, s.target, WithTimeout(wait))
			stream := client.SaveStream()
			t.Cleanup(func() { _ = stream.Close() })
			mustSave(t, client, conversation(t.Name(), 0))
			if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.process.Process.Signal(syscall.SIGCONT) })
			before := heap()
			var group sync.WaitGroup
			end := time.Now().Add(4 * time.Second)
			for number := range 64 {
				group.Go(func() {
					for step := uint64(0); time.Now().Before(end); step++ {
						ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
						large := largeCheckpoint(fmt.Sprintf("%s-%d", t.Name(), number), step)
						if name == "unary" {
							_, _ = client.Save(ctx, large)
						} else {
							_, _ = stream.Save(ctx, large)
						}
						cancel()
					}
				})
			}
			var grown int64
			for time.Now().Before(end) {
				time.Sleep(500 * time.Millisecond)
				grown = max(grown, heap()-before)
			}
			group.Wait()
			t.Logf("%.1f MB were in memory at most", float64(grown)/(1<<20))
			if grown > 128<<20 {
				t.Fatal("memory grows")
			}
		})
	}
}

func largeCheckpoint(session string, step uint64) *lockstitchpb.Checkpoint {
	checkpoint := conversation(session, 0)
	checkpoint.Step, checkpoint.CheckpointId = step, idOfStep(step)
	checkpoint.State.Messages.Items[0].Content = strings.Repeat("x", 200_000)
	return checkpoint
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
