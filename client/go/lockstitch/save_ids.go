package lockstitch

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"

	"lockstitch.dev/go/lockstitchpb"
)

// maxUnsettled is how many saves of unknown outcome are remembered.
const maxUnsettled = 1024

// saveIDs number the saves of one writer, so that the server can tell a repetition
// from another save of the same content, and does not let a save that was given up
// replace a later one.
type saveIDs struct {
	writer uint64

	mutex    sync.Mutex
	number   uint64
	underWay map[checkpointKey]*checkpointSaves
	// unsettled are those of checkpoints with an open save, and none under way.
	unsettled map[checkpointKey]*list.Element
	order     *list.List // of *checkpointSaves, the oldest in front
}

type checkpointKey struct{ session, namespace, checkpoint string }

// checkpointSaves are the saves of one checkpoint: those under way, and the last one
// of unknown outcome.
type checkpointSaves struct {
	key      checkpointKey
	underWay int
	// numbers are those of the saves under way, and of those that have ended meanwhile
	// and are stored, or may be.
	numbers []uint64
	open    *openSave
}

// An openSave may have been stored, or may be yet.
type openSave struct {
	digest digest
	number uint64
}

// canRetry says whether the open save, made again, is a retry. Where a later one may
// be stored, it comes after that one: a retry would replace it.
func (s *checkpointSaves) canRetry() bool {
	return s.open != nil && (len(s.numbers) == 0 || slices.Max(s.numbers) <= s.open.number)
}

func newSaveIDs() *saveIDs {
	return &saveIDs{
		writer: randomWriter(), order: list.New(),
		underWay: map[checkpointKey]*checkpointSaves{}, unsettled: map[checkpointKey]*list.Element{},
	}
}

func randomWriter() uint64 {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return max(1, binary.NativeEndian.Uint64(random[:]))
}

// identify gives a save its id, unless its caller has, and returns the number, which
// settle needs; 0: the id is the caller's. If the save repeats one of unknown outcome,
// it has that one's id.
func (s *saveIDs) identify(save *lockstitchpb.SaveRequest) (number uint64) {
	if save.SaveId != nil {
		return 0
	}
	number = s.begin(keyOf(save), save)
	save.SaveId = &lockstitchpb.SaveId{Writer: s.writer, Number: number}
	return number
}

func (s *saveIDs) begin(key checkpointKey, save *lockstitchpb.SaveRequest) (number uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.number++
	number = s.number
	saves := s.take(key)
	if saves.canRetry() && saves.open.digest == saveDigest(save) {
		number, saves.open = saves.open.number, nil // of two equal ones, only one is the retry
	}
	saves.underWay++
	saves.numbers = append(saves.numbers, number)
	return number
}

// take returns the saves of a checkpoint, of which one is under way now.
func (s *saveIDs) take(key checkpointKey) *checkpointSaves {
	saves := s.underWay[key]
	if saves != nil {
		return saves
	}
	if element, ok := s.unsettled[key]; ok {
		saves = s.order.Remove(element).(*checkpointSaves)
		delete(s.unsettled, key)
	} else {
		saves = &checkpointSaves{key: key}
	}
	s.underWay[key] = saves
	return saves
}

// settle learns how the save has ended that has this number of identify.
func (s *saveIDs) settle(save *lockstitchpb.SaveRequest, number uint64, err error) {
	if number == 0 {
		return
	}
	var open *openSave
	if isUnsettled(err) {
		open = &openSave{saveDigest(save), number}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	saves := s.underWay[keyOf(save)]
	switch {
	case open != nil && (saves.open == nil || open.number > saves.open.number):
		saves.open = open
	case open == nil && err != nil:
		at := slices.Index(saves.numbers, number)
		saves.numbers = slices.Delete(saves.numbers, at, at+1)
	}
	if saves.underWay--; saves.underWay > 0 {
		return
	}
	delete(s.underWay, saves.key)
	if saves.canRetry() {
		s.remember(saves)
	}
}

func (s *saveIDs) remember(saves *checkpointSaves) {
	saves.numbers = nil
	s.unsettled[saves.key] = s.order.PushBack(saves)
	if s.order.Len() > maxUnsettled {
		delete(s.unsettled, s.order.Remove(s.order.Front()).(*checkpointSaves).key)
	}
}

// isUnsettled says whether a save that ended so may have been stored. It may after
// all errors but those by which the server decides about a save: an attempt before
// the one that failed may have been stored, and its answer lost.
func isUnsettled(err error) bool {
	var failure *Error
	if !errors.As(err, &failure) {
		return err != nil
	}
	switch failure.Code {
	case codes.Aborted, codes.FailedPrecondition, codes.InvalidArgument:
		return false
	}
	return failure.Reason != TooLarge
}

func keyOf(save *lockstitchpb.SaveRequest) checkpointKey {
	checkpoint := save.Checkpoint
	return checkpointKey{checkpoint.SessionId, checkpoint.Namespace, idOf(checkpoint)}
}

// saveDigest is that of the checkpoint. Conditions may differ when a save is
// repeated, such as the lease, which had to be acquired again.
func saveDigest(save *lockstitchpb.SaveRequest) digest {
	data, err := stable.Marshal(save.Checkpoint)
	if err != nil {
		return digest{} // text that is not UTF-8, which is never sent
	}
	return sha256.Sum256(data)
}
