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
	underWay  map[checkpointKey]*underWay
}

type checkpointKey struct{ session, namespace, checkpoint string }

// An unsettledSave may have been stored, or may be yet. If the caller makes it
// again, it is the same save.
type unsettledSave struct {
	key    checkpointKey
	digest digest
	id     *lockstitchpb.SaveId
}

// underWay counts the saves of a checkpoint that have begun and not ended. latest
// is the number that was given last while there were any.
type underWay struct {
	saves  int
	latest uint64
}

func newSaveIDs() *saveIDs {
	return &saveIDs{
		writer: randomWriter(), order: list.New(),
		unsettled: map[checkpointKey]*list.Element{}, underWay: map[checkpointKey]*underWay{},
	}
}

func randomWriter() uint64 {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return max(1, binary.NativeEndian.Uint64(random[:]))
}

// identify gives a save its id, unless its caller has, and returns the number that
// was given for it, which `settle` needs. If it repeats a save of unknown outcome,
// it has that one's id.
func (s *saveIDs) identify(save *lockstitchpb.SaveRequest) (given uint64) {
	if save.SaveId != nil {
		return 0
	}
	given, before := s.begin(keyOf(save))
	if before != nil && before.digest == saveDigest(save) {
		save.SaveId = before.id
	} else {
		save.SaveId = &lockstitchpb.SaveId{Writer: s.writer, Number: given}
	}
	return given
}

// begin gives a number, and takes out what was remembered of the checkpoint, so
// that no two saves have the same id.
func (s *saveIDs) begin(key checkpointKey) (given uint64, before *unsettledSave) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.number++
	saves := s.underWay[key]
	if saves == nil {
		saves = &underWay{}
		s.underWay[key] = saves
	}
	saves.saves, saves.latest = saves.saves+1, s.number
	if element, ok := s.unsettled[key]; ok {
		before = s.order.Remove(element).(*unsettledSave)
		delete(s.unsettled, key)
	}
	return s.number, before
}

// settle learns how the save has ended for which a number was given. A save of
// unknown outcome is remembered, unless another one of the checkpoint began after
// it: to repeat it would be to replace that one.
func (s *saveIDs) settle(save *lockstitchpb.SaveRequest, given uint64, err error) {
	if given == 0 {
		return
	}
	ended := &unsettledSave{key: keyOf(save), id: save.SaveId}
	isUnsettled := isUnsettled(err)
	if isUnsettled {
		ended.digest = saveDigest(save)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	saves := s.underWay[ended.key]
	if saves.saves--; saves.saves == 0 {
		delete(s.underWay, ended.key)
	}
	if !isUnsettled || saves.latest != given {
		return
	}
	s.unsettled[ended.key] = s.order.PushBack(ended)
	if s.order.Len() > maxUnsettled {
		delete(s.unsettled, s.order.Remove(s.order.Front()).(*unsettledSave).key)
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
