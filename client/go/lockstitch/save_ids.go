package lockstitch

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
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

	mutex     sync.Mutex
	number    uint64
	order     *list.List // of *unsettledSave, the oldest in front
	unsettled map[checkpointKey]*list.Element
}

type checkpointKey struct{ session, namespace, checkpoint string }

// An unsettledSave may have been stored, or may be yet. If the caller makes it
// again, it is the same save.
type unsettledSave struct {
	key    checkpointKey
	digest digest
	id     *lockstitchpb.SaveId
}

func newSaveIDs() *saveIDs {
	return &saveIDs{writer: randomWriter(), order: list.New(), unsettled: map[checkpointKey]*list.Element{}}
}

func randomWriter() uint64 {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return max(1, binary.NativeEndian.Uint64(random[:]))
}

// identify gives a save its id, unless its caller has.
func (s *saveIDs) identify(save *lockstitchpb.SaveRequest) {
	if save.SaveId != nil {
		return
	}
	s.mutex.Lock()
	s.number++
	save.SaveId = &lockstitchpb.SaveId{Writer: s.writer, Number: s.number}
	before := s.find(save)
	s.mutex.Unlock()
	if before != nil {
		if before.digest == saveDigest(save) {
			save.SaveId = before.id
		} else {
			s.forget(save)
		}
	}
}

// settle learns how a save has ended.
func (s *saveIDs) settle(save *lockstitchpb.SaveRequest, err error) {
	if save.SaveId.GetWriter() != s.writer {
		return
	}
	s.forget(save)
	if !isUnsettled(err) {
		return
	}
	key := keyOf(save)
	ended := &unsettledSave{key, saveDigest(save), save.SaveId}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if element, ok := s.unsettled[key]; ok { // of another goroutine
		s.order.Remove(element)
	}
	s.unsettled[key] = s.order.PushBack(ended)
	if s.order.Len() > maxUnsettled {
		delete(s.unsettled, s.order.Remove(s.order.Front()).(*unsettledSave).key)
	}
}

func (s *saveIDs) find(save *lockstitchpb.SaveRequest) *unsettledSave {
	if len(s.unsettled) == 0 {
		return nil
	}
	if element, ok := s.unsettled[keyOf(save)]; ok {
		return element.Value.(*unsettledSave)
	}
	return nil
}

func (s *saveIDs) forget(save *lockstitchpb.SaveRequest) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if known := s.find(save); known != nil {
		s.order.Remove(s.unsettled[known.key])
		delete(s.unsettled, known.key)
	}
}

// isUnsettled says whether a save that ended so may have been stored.
func isUnsettled(err error) bool {
	var failure *Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code {
	case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable, codes.Internal, codes.Unknown:
		return true
	}
	return false
}

func keyOf(save *lockstitchpb.SaveRequest) checkpointKey {
	checkpoint := save.Checkpoint
	return checkpointKey{checkpoint.SessionId, checkpoint.Namespace, idOf(checkpoint)}
}

// saveDigest is that of a save without its id.
func saveDigest(save *lockstitchpb.SaveRequest) digest {
	bare := shallow(save)
	bare.SaveId = nil
	data, err := stable.Marshal(bare)
	if err != nil {
		return digest{} // text that is not UTF-8, which is never sent
	}
	return sha256.Sum256(data)
}
