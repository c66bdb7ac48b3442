package protocol

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// lookupState is what a node keeps in memory for its streams of requests.
type lookupState struct {
	curve chan struct{} // a token for each evaluation of a batch that may run

	mu     sync.Mutex
	heads  map[string]time.Time     // agreement -> the last exchange on a stream of requests
	locks  map[string]chan struct{} // what one goroutine does at a time
	epochs map[epochID]*ownEpoch
	newest map[string]version   // agreement -> what we serve
	tries  map[string]time.Time // agreement -> when the schedule last looked for changes
	rests  map[string]time.Time // agreement -> until when it rests after a failure
	copied map[string]time.Time // agreement -> when the copy was last brought up to date
	served map[string]*allowance
}

func (s *lookupState) init(workers int) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	s.curve = make(chan struct{}, workers)
	s.heads = map[string]time.Time{}
	s.locks = map[string]chan struct{}{}
	s.epochs = map[epochID]*ownEpoch{}
	s.newest = map[string]version{}
	s.tries = map[string]time.Time{}
	s.rests = map[string]time.Time{}
	s.copied = map[string]time.Time{}
	s.served = map[string]*allowance{}
}

// headsDue reports whether log heads are to be exchanged again, and counts on
// it.
func (s *lookupState) headsDue(agreement string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.heads[agreement]) < headsEvery {
		return false
	}
	s.heads[agreement] = now
	return true
}

func (s *lookupState) headsSeen(agreement string, now time.Time) {
	s.mu.Lock()
	s.heads[agreement] = now
	s.mu.Unlock()
}

// lock waits for the turn to do something of which there is one at a time.
func (s *lookupState) lock(ctx context.Context, what string) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[what]
	if l == nil {
		l = make(chan struct{}, 1)
		s.locks[what] = l
	}
	s.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// allowance bounds the bytes of files that a peer fetches under an agreement.
type allowance struct {
	began time.Time
	bytes int64
}

// An honest peer fetches a filter once an epoch and a delta a version. So many
// whole filters an hour, and so many bytes where filters are small, leave room
// for broken connections and lost disks.
const (
	servedFilters = 8
	servedBytes   = 256 << 20
	servedEvery   = time.Hour
)

// serve counts bytes of files that are to be sent, or returns when there is room
// for them again.
func (s *lookupState) serve(agreement string, now time.Time, n, filter int64) (retry time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.served[agreement]
	if a == nil || now.Sub(a.began) >= servedEvery {
		a = &allowance{began: now}
		s.served[agreement] = a
	}
	if a.bytes+n > servedFilters*filter+servedBytes {
		return a.began.Add(servedEvery), false
	}
	a.bytes += n
	return time.Time{}, true
}
