package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

var anyLimits = Limits{NoLimit, NoLimit, NoLimit, 3}

func begin(s *Store, id string, c Charge, l Limits) (n int, err error) {
	err = s.Update(func(tx *Tx) error {
		n, err = tx.BeginAttempt(id, 0, c, l)
		return err
	})
	return n, err
}

func setState(s *Store, id, from, to string) error {
	return s.Update(func(tx *Tx) error { return tx.SetSessionState(id, []string{from}, to, t0, nil) })
}

func TestSessionRoundTrip(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	want := Session{
		ID: sid(1), Agreement: agrA, PeerRoot: peerA, Role: "sender", Mode: "mutual", State: SessionProposed,
		Local: true, User: "ana", Purpose: "missing persons", Case: "C-1", Proposal: []byte("{}"),
		OwnSize: 1024, PeerSize: 2048, Commitment: []byte{1}, PeerCommitment: []byte{2}, SealedSeed: []byte{3},
		Source: "main", Created: t0, Changed: t0, TranscriptHash: []byte{4}, Outcome: "o", Detail: "d", Count: 7,
		ResultsExpire: t0.Add(time.Hour), RecordExpires: t0.Add(2 * time.Hour),
	}
	must(t, s.Update(func(tx *Tx) error { return tx.CreateSession(want) }))
	got, err := s.Session(want.ID)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	must(t, s.Update(func(tx *Tx) error {
		return tx.SetSessionState(want.ID, []string{SessionProposed}, SessionApproved, t0.Add(time.Minute), func(c *Session) {
			if c.Purpose != want.Purpose {
				t.Errorf("change sees %+v", c)
			}
			c.PeerSize, c.Detail = 4096, "later"
			c.ID, c.PeerRoot, c.State, c.Attempts, c.Created = "x", peerB, SessionFinished, 9, t0.Add(time.Hour)
		})
	}))
	want.State, want.Changed, want.PeerSize, want.Detail = SessionApproved, t0.Add(time.Minute), 4096, "later"
	if got, err = s.Session(want.ID); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestCreateSessionRefuses(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	newSession(t, s, sid(1), agrA, peerA, SessionProposed)
	good := Session{ID: sid(2), Agreement: agrA, PeerRoot: peerA, State: SessionProposed, Created: t0}
	for name, tt := range map[string]struct {
		change func(*Session)
		want   error
	}{
		"used id":           {func(s *Session) { s.ID = sid(1) }, ErrExists},
		"unknown agreement": {func(s *Session) { s.Agreement = sid(9) }, ErrNotFound},
		"other peer":        {func(s *Session) { s.PeerRoot = peerB }, ErrConflict},
		"running at once":   {func(s *Session) { s.State = SessionRunning }, nil},
		"bad id":            {func(s *Session) { s.ID = "../x" }, nil},
	} {
		c := good
		tt.change(&c)
		err := s.Update(func(tx *Tx) error { return tx.CreateSession(c) })
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", name, err, tt.want)
		}
	}
}

func TestSessionStateMachine(t *testing.T) {
	t.Parallel()
	states := []string{SessionProposed, SessionApproved, SessionRunning, SessionAborted, SessionFinished, SessionRefused, SessionFailed}
	// reach brings a new session into a state by the public ways.
	reach := func(s *Store, id, state string) {
		first := SessionApproved
		if state == SessionProposed {
			first = SessionProposed
		}
		newSession(t, s, id, agrA, peerA, first)
		switch state {
		case SessionRunning, SessionAborted, SessionFinished:
			_, err := begin(s, id, Charge{At: t0}, anyLimits)
			must(t, err)
		}
		switch state {
		case SessionAborted:
			must(t, setState(s, id, SessionRunning, SessionAborted))
		case SessionRefused, SessionFailed:
			must(t, setState(s, id, SessionApproved, state))
		case SessionFinished:
			must(t, s.Update(func(tx *Tx) error { return tx.FinishSession(id, Finish{At: t0}, nil) }))
		}
	}
	s := seeded(t)
	n := 0
	for _, from := range states {
		for _, to := range states {
			n++
			id := sid(n)
			reach(s, id, from)
			final := from == SessionFinished || from == SessionRefused || from == SessionFailed
			want := !final && (from == to || slices.Contains(next[from], to))
			if err := setState(s, id, from, to); (err == nil) != want {
				t.Errorf("%s to %s: error %v", from, to, err)
			} else if err != nil && !errors.Is(err, ErrState) {
				t.Errorf("%s to %s: error %v is not ErrState", from, to, err)
			}
		}
	}
	for _, to := range []string{SessionRunning, SessionFinished} {
		for from, tos := range next {
			if slices.Contains(tos, to) {
				t.Errorf("SetSessionState can lead from %s to %s", from, to)
			}
		}
	}
	id := sid(1000)
	reach(s, id, SessionApproved)
	wantErr(t, setState(s, id, SessionProposed, SessionRefused), ErrState, "approved", "want proposed")
}

func TestSeedIsDeletedAtTheEnd(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	end := map[string]func(id string) error{
		"finished": func(id string) error {
			return s.Update(func(tx *Tx) error { return tx.FinishSession(id, Finish{At: t0}, nil) })
		},
		"failed":  func(id string) error { return setState(s, id, SessionRunning, SessionFailed) },
		"aborted": func(id string) error { return setState(s, id, SessionRunning, SessionAborted) },
	}
	n := 0
	for name, f := range end {
		n++
		newSession(t, s, sid(n), agrA, peerA, SessionApproved)
		_, err := begin(s, sid(n), Charge{At: t0}, anyLimits)
		must(t, err)
		must(t, f(sid(n)))
		got, err := s.Session(sid(n))
		must(t, err)
		if kept := len(got.SealedSeed) > 0; kept != (name == "aborted") {
			t.Errorf("%s: seed kept is %v", name, kept)
		}
	}
}

func TestApprovals(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	newSession(t, s, sid(1), agrA, peerA, SessionProposed)
	approve := func(user, key string) error {
		return s.Update(func(tx *Tx) error {
			return tx.AddApproval(Approval{sid(1), user, []byte(key), []byte("sig"), t0})
		})
	}
	must(t, approve("ana", "ka"))
	wantErr(t, approve("ana", "ka"), ErrExists)
	wantErr(t, approve("ana", "kb"), ErrConflict)
	wantErr(t, approve("ben", "ka"), ErrConflict) // one key, two names
	wantErr(t, approve("zoe", "kz"), ErrNotFound)
	must(t, s.Update(func(tx *Tx) error { return tx.RevokeUser("ben", t0) }))
	wantErr(t, approve("ben", "kb"), ErrState, "revoked")
	got, err := s.Approvals(sid(1))
	must(t, err)
	if want := []Approval{{sid(1), "ana", []byte("ka"), []byte("sig"), t0}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	must(t, setState(s, sid(1), SessionProposed, SessionApproved))
	wantErr(t, approve("ana", "ka"), ErrState)
}

func TestSessionsFilter(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	must(t, s.Update(func(tx *Tx) error {
		var errs []error
		for i, c := range []Session{
			{Agreement: agrA, PeerRoot: peerA, State: SessionProposed},
			{Agreement: agrA2, PeerRoot: peerA, State: SessionApproved},
			{Agreement: agrB, PeerRoot: peerB, State: SessionApproved},
		} {
			c.ID, c.Created = sid(i), t0.Add(time.Duration(i)*time.Hour)
			errs = append(errs, tx.CreateSession(c))
		}
		return errors.Join(errs...)
	}))
	for name, tt := range map[string]struct {
		f    SessionFilter
		want []string
	}{
		"all":       {SessionFilter{}, []string{sid(2), sid(1), sid(0)}},
		"peer":      {SessionFilter{PeerRoot: peerA}, []string{sid(1), sid(0)}},
		"agreement": {SessionFilter{Agreement: agrA2}, []string{sid(1)}},
		"states":    {SessionFilter{States: []string{SessionApproved, SessionRunning}}, []string{sid(2), sid(1)}},
		"since":     {SessionFilter{Since: t0.Add(time.Hour)}, []string{sid(2), sid(1)}},
		"limit":     {SessionFilter{Limit: 1}, []string{sid(2)}},
		"together":  {SessionFilter{PeerRoot: peerA, States: []string{SessionProposed}, Limit: 5}, []string{sid(0)}},
		"none":      {SessionFilter{Agreement: sid(8)}, nil},
	} {
		all, err := s.Sessions(tt.f)
		must(t, err)
		var got []string
		for _, c := range all {
			got = append(got, c.ID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

func TestRecoverSessions(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	for i := range 3 {
		newSession(t, s, sid(i), agrA, peerA, SessionApproved)
	}
	_, err := begin(s, sid(1), Charge{At: t0, ItemsIn: 10}, anyLimits)
	must(t, err)
	var aborted []Session
	must(t, s.Update(func(tx *Tx) (err error) {
		aborted, err = tx.RecoverSessions(t0.Add(time.Hour))
		return err
	}))
	got, err := s.Session(sid(1))
	must(t, err)
	if len(aborted) != 1 || !reflect.DeepEqual(aborted[0], got) {
		t.Fatalf("returned %+v, stored %+v", aborted, got)
	}
	if got.State != SessionAborted || got.Attempts != 1 || got.Outcome != OutcomeInterrupted || len(got.SealedSeed) == 0 {
		t.Errorf("got %+v", got)
	}
	u, err := s.Usage(peerA, t0)
	must(t, err)
	if u.ItemsIn != 10 {
		t.Errorf("usage is %+v", u)
	}
	n, err := begin(s, sid(1), Charge{At: t0.Add(time.Hour)}, anyLimits)
	if err != nil || n != 2 {
		t.Errorf("the next attempt is %d, %v", n, err)
	}
}

func TestResultsAreWrittenOnce(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	hits := []Hit{
		{LocalID: "z", Rules: []string{"document", "name, \"quoted\""}, PeerReference: []byte{0, 1}, Flags: []string{"cut"}, Bits: 33.2},
		{LocalID: "a", Rules: []string{"phone"}},
	}
	finish := func(h []Hit) error {
		return s.Update(func(tx *Tx) error {
			return tx.FinishSession(sid(1), Finish{At: t0, Outcome: "ok", TranscriptHash: []byte{9}, Count: 2}, h)
		})
	}
	wantErr(t, finish(hits), ErrState)
	_, err := begin(s, sid(1), Charge{At: t0}, anyLimits)
	must(t, err)
	_, err = s.Results(sid(1))
	wantErr(t, err, ErrState)
	must(t, finish(hits))
	wantErr(t, finish(nil), ErrState)
	got, err := s.Results(sid(1))
	must(t, err)
	hits[1].Flags = []string{}
	if !reflect.DeepEqual(got, hits) {
		t.Errorf("got %+v, want %+v", got, hits)
	}
	c, err := s.Session(sid(1))
	must(t, err)
	if c.State != SessionFinished || c.Count != 2 || c.Outcome != "ok" || !bytes.Equal(c.TranscriptHash, []byte{9}) {
		t.Errorf("session is %+v", c)
	}
}

// onDisk reports whether any file of the directory holds the text.
func onDisk(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		if bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}

func TestRetention(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	seed(t, s)
	const secret, reference, purpose = "local-id-4711", "peer-reference-0815", "a-purpose-of-ours"
	hits := make([]Hit, 500)
	for i := range hits {
		hits[i] = Hit{LocalID: secret, PeerReference: []byte(reference)}
	}
	must(t, s.Update(func(tx *Tx) error {
		return tx.CreateSession(Session{ID: sid(1), Agreement: agrA, PeerRoot: peerA, State: SessionApproved,
			Purpose: purpose, Created: t0, RecordExpires: t0.Add(48 * time.Hour)})
	}))
	_, err := begin(s, sid(1), Charge{At: t0, ItemsIn: 5}, anyLimits)
	must(t, err)
	must(t, s.Update(func(tx *Tx) error {
		return tx.FinishSession(sid(1), Finish{At: t0, ResultsExpire: t0.Add(24 * time.Hour)}, hits)
	}))
	must(t, s.Update(func(tx *Tx) error {
		return tx.AppendLogLeaf(agrA, 0, []byte("leaf"), []byte("salt-salt"), []byte("entry "+secret), t0.Add(24*time.Hour), 0, nil)
	}))
	expire := func(f func(time.Time) (int64, error), at time.Time, want int64) {
		t.Helper()
		if n, err := f(at); err != nil || n != want {
			t.Errorf("expired %d, %v, want %d", n, err, want)
		}
	}
	early := t0.Add(24*time.Hour - time.Millisecond)
	expire(s.ExpireResults, early, 0)
	expire(s.EraseLogEntries, early, 0)
	if got, err := s.Results(sid(1)); err != nil || len(got) != len(hits) {
		t.Errorf("before the end of retention: %d hits, %v", len(got), err)
	}
	if !onDisk(t, dir, secret) {
		t.Fatal("the test can't find what is there")
	}
	late := t0.Add(24 * time.Hour)
	expire(s.ExpireResults, late, 1)
	expire(s.ExpireResults, late, 0)
	expire(s.EraseLogEntries, late, 1)
	_, err = s.Results(sid(1))
	wantErr(t, err, ErrExpired, "2026-03-02")
	for _, text := range []string{secret, reference, "salt-salt"} {
		if onDisk(t, dir, text) {
			t.Errorf("%q is still on the disk", text)
		}
	}
	must(t, s.ScanLog(agrA, 0, 1, func(n int64, leaf, salt, entry []byte, expires time.Time) error {
		if string(leaf) != "leaf" || salt != nil || entry != nil {
			t.Errorf("the erased leaf is %q %q %q", leaf, salt, entry)
		}
		return nil
	}))

	if !onDisk(t, dir, purpose) {
		t.Fatal("the test can't find what is there")
	}
	expire(s.ExpireSessions, t0.Add(48*time.Hour), 1)
	if onDisk(t, dir, purpose) {
		t.Error("the purpose is still on the disk")
	}
	_, err = s.Session(sid(1))
	wantErr(t, err, ErrNotFound)
	if u, err := s.Usage(peerA, t0); err != nil || u.ItemsIn != 5 {
		t.Errorf("the charge went with its session: %+v, %v", u, err)
	}
	expire(s.ExpireSessions, t0.Add(1000*time.Hour), 0)
	_, err = begin(s, newApproved(t, s, 2), Charge{At: t0.Add(-time.Hour)}, anyLimits)
	wantErr(t, err, ErrClock)
}

func newApproved(t testing.TB, s *Store, n int) string {
	t.Helper()
	newSession(t, s, sid(n), agrA, peerA, SessionApproved)
	return sid(n)
}

func TestScrubWaitsForReaders(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	_, err := s.write.Exec(`PRAGMA busy_timeout = 50`)
	must(t, err)
	must(t, s.View(func(r Reader) error {
		_, err := r.Users() // the snapshot begins
		must(t, err)
		must(t, s.Update(func(tx *Tx) error { return tx.RevokeUser("ana", t0) }))
		if _, err := s.ExpireResults(t0); err == nil {
			t.Error("the log was not emptied, and nobody heard of it")
		}
		return nil
	}))
	_, err = s.ExpireResults(t0)
	must(t, err)
}

func TestShards(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	put := func(n int, data string) error {
		return s.Update(func(tx *Tx) error { return tx.PutShard(sid(1), n, []byte(data)) })
	}
	want := func(shards ...string) {
		t.Helper()
		got, err := s.Shards(sid(1))
		must(t, err)
		var text []string
		for _, b := range got {
			text = append(text, string(b))
		}
		if !slices.Equal(text, shards) {
			t.Errorf("shards %q, want %q", text, shards)
		}
	}
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	wantErr(t, put(0, "a"), ErrState, "approved")
	_, err := begin(s, sid(1), Charge{At: t0}, anyLimits)
	must(t, err)
	wantErr(t, put(1, "b"), ErrConflict)
	must(t, put(0, "a"))
	must(t, put(1, "b"))
	must(t, put(2, "c"))
	want("a", "b", "c")
	must(t, setState(s, sid(1), SessionRunning, SessionAborted))
	want("a", "b", "c") // an aborted session may go on
	_, err = begin(s, sid(1), Charge{At: t0}, anyLimits)
	must(t, err)
	must(t, put(1, "B"))
	want("a", "B")
	must(t, s.Update(func(tx *Tx) error { return tx.FinishSession(sid(1), Finish{At: t0}, nil) }))
	want()
}
