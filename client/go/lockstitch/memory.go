package lockstitch

import (
	"container/list"
	"sync"
)

// memorySessions is how many sessions a client remembers.
const memorySessions = 1024

// memoryParts is how many parts (entries of `extra`, custom channels) a session
// may have that a client remembers.
const memoryParts = 10_000

// A memory knows what the server has acknowledged last of each session, and
// forgets those first that have not been saved for longest.
type memory struct {
	mutex sync.Mutex
	most  int
	order *list.List // of *remembered, the one used last in front
	bases map[sessionKey]*list.Element
}

type sessionKey struct{ session, namespace string }

// A base is a checkpoint that a delta can start from.
type base struct {
	checkpointID string
	revision     uint64
	state        snapshot
}

type remembered struct {
	key  sessionKey
	base base
}

func newMemory(most int) *memory {
	return &memory{most: most, order: list.New(), bases: map[sessionKey]*list.Element{}}
}

func (m *memory) get(key sessionKey) (base, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	element, ok := m.bases[key]
	if !ok {
		return base{}, false
	}
	m.order.MoveToFront(element)
	return element.Value.(*remembered).base, true
}

func (m *memory) put(key sessionKey, known base) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	element, ok := m.bases[key]
	switch {
	case known.state.parts() > memoryParts:
		if ok {
			m.forget(element)
		}
	case ok:
		element.Value.(*remembered).base = known
		m.order.MoveToFront(element)
	default:
		m.bases[key] = m.order.PushFront(&remembered{key, known})
		if m.order.Len() > m.most {
			m.forget(m.order.Back())
		}
	}
}

func (m *memory) forget(element *list.Element) {
	delete(m.bases, m.order.Remove(element).(*remembered).key)
}

func (s snapshot) parts() int {
	parts := len(s.custom)
	if s.extra != nil {
		parts += len(s.extra.entries)
	}
	return parts
}
