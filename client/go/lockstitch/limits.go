package lockstitch

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

const (
	// DefaultMaxSaves is how many saves a client has in flight at most.
	DefaultMaxSaves = 1024
	// DefaultMaxSaveBytes is how many bytes they have at most, unless one save
	// alone is larger.
	DefaultMaxSaveBytes = 32 << 20
)

// A saveLimiter bounds the saves in flight and their bytes. First come, first
// served.
type saveLimiter struct {
	maxSaves, maxBytes int64
	saves, bytes       *semaphore.Weighted
}

func newSaveLimiter(maxSaves int, maxBytes int64) *saveLimiter {
	return &saveLimiter{
		maxSaves: int64(maxSaves), saves: semaphore.NewWeighted(int64(maxSaves)),
		maxBytes: maxBytes, bytes: semaphore.NewWeighted(maxBytes),
	}
}

// enter waits until there is room for a save of this size. A save above the limit
// is alone in flight.
func (l *saveLimiter) enter(ctx context.Context, size int) (*permit, error) {
	if err := l.saves.Acquire(ctx, 1); err != nil {
		return nil, l.full(err)
	}
	if err := l.bytes.Acquire(ctx, l.weight(size)); err != nil {
		l.saves.Release(1)
		return nil, l.full(err)
	}
	entered := &permit{limiter: l, size: size}
	entered.hold()
	return entered, nil
}

func (l *saveLimiter) leave(size int) {
	l.bytes.Release(l.weight(size))
	l.saves.Release(1)
}

func (l *saveLimiter) weight(size int) int64 { return min(int64(size), l.maxBytes) }

func (l *saveLimiter) full(err error) *Error {
	failure := fromError(err)
	failure.Message = fmt.Sprintf(
		"other saves of this client are in flight, and the limit is %d saves or %d bytes (WithSaveLimits): %s",
		l.maxSaves, l.maxBytes, failure.Message)
	return failure
}
