package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// recanary takes the canary again after a change of the rules.
func recanary(a *Agreement) (err error) {
	a.Canary, err = records.CanaryKeys(a.Rules)
	return err
}

// codeIs checks a refusal's code and on which side it arose.
func codeIs(t *testing.T, err error, want Code, byPeer bool) {
	t.Helper()
	code, _ := codeOf(err)
	var e *Error
	if err == nil || code != want || errors.As(err, &e) && e.ByPeer != byPeer {
		t.Fatalf("got %v (code %q), want %q, by the peer: %v", err, code, want, byPeer)
	}
}

// lax makes an agency skip its own checks, so that the other's are tested: the
// node enforces a changed agreement under the id of the real one.
func (ag *agency) lax(t *testing.T, agreement string, change func(*Agreement)) {
	t.Helper()
	a, err := loadAgreement(ag.Store.Reader, agreement)
	must(t, err)
	change(a)
	ag.override = func(*Agreement) *Agreement { return a }
}

// Each cap is enforced by the proposer itself, and by the acceptor against a
// proposer that does not care.
func TestCaps(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Agreement)
		runs   int // that must succeed first
		mode   psi.Mode
		byPeer bool // only the peer can know
	}{
		{"items per session", func(a *Agreement) { a.Caps.ItemsPerSession, a.Caps.ItemsPerDay = 64, 640 }, 0, psi.ModeIntersection, false},
		{"items per day", func(a *Agreement) { a.Caps.ItemsPerDay = 1100 }, 2, psi.ModeIntersection, true},
		{"sessions per day", func(a *Agreement) { a.Caps.SessionsPerDay = 2 }, 2, psi.ModeCardinality, false},
		{"one budget for all modes", func(a *Agreement) { a.Caps.ItemsPerDay = 1100 }, 2, psi.ModeMutual, true},
	} {
		for _, lax := range []bool{false, true} {
			name := tt.name
			if lax {
				name += ", proposer does not care"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				north, south, agreement := pair(t, tt.change)
				for range tt.runs {
					_, err := north.match(agreement, tt.mode)
					must(t, err)
				}
				if lax {
					north.lax(t, agreement, func(a *Agreement) {
						a.Caps = Caps{ItemsPerSession: 1 << 20, ItemsPerDay: 1 << 20, SessionsPerDay: 1000}
					})
				}
				_, err := north.match(agreement, psi.ModeIntersection)
				codeIs(t, err, CodeBudget, lax || tt.byPeer)
				// The refusal and the charges outlive the process.
				again, err := NewNode(south.Options)
				must(t, err)
				south.Node = again
				north.connect(south, nil)
				_, err = north.match(agreement, psi.ModeIntersection)
				codeIs(t, err, CodeBudget, lax || tt.byPeer)
				if tt.runs == 0 {
					return
				}
				// A day later the budget is free again.
				north.clock, south.clock = epoch.Add(25*time.Hour), epoch.Add(25*time.Hour)
				_, err = north.match(agreement, psi.ModeIntersection)
				must(t, err)
			})
		}
	}
}

func TestKeysPerRecordAreCut(t *testing.T) {
	north, _, agreement := pair(t, func(a *Agreement) { a.Rules.MaxKeysPerRecord = 2; must(t, recanary(a)) })
	out, err := north.match(agreement, psi.ModeIntersection)
	must(t, err)
	if out.Keys != 80 {
		t.Errorf("%d keys of 40 records, want 80", out.Keys)
	}
}

func TestSmallestSet(t *testing.T) {
	north, _, agreement := pair(t, func(a *Agreement) { a.Caps.MinRecords = 50 })
	_, err := north.match(agreement, psi.ModeIntersection)
	codeIs(t, err, CodeRefused, false)
}

// Every attempt counts, and there are three at most, over the same input.
func TestAttempts(t *testing.T) {
	north, south, agreement := pair(t, nil)
	handle, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	broken := func(c Conn) Conn { return &tapConn{Conn: c, out: instead(isEngine, engineFrame(99, nil))} }
	north.connect(south, broken)
	for range 2 {
		_, err = north.Run(t.Context(), handle, RunOptions{Source: north.source()})
		codeIs(t, err, CodeMessage, true)
	}
	north.connect(south, nil)
	kept, err := os.ReadFile(north.data)
	must(t, err)
	must(t, os.WriteFile(north.data, []byte(people("n", 0, 39)), 0o600))
	_, err = north.Run(t.Context(), handle, RunOptions{Source: north.source()})
	codeIs(t, err, CodeInput, false)
	must(t, os.WriteFile(north.data, kept, 0o600))
	north.connect(south, broken)
	_, err = north.Run(t.Context(), handle, RunOptions{Source: north.source()})
	codeIs(t, err, CodeMessage, true)
	north.connect(south, nil)
	_, err = north.Run(t.Context(), handle, RunOptions{Source: north.source()})
	codeIs(t, err, CodeAttempts, false)
	u, err := south.Store.Usage(north.Identity.Public().Fingerprint().String(), epoch)
	must(t, err)
	if u.ItemsIn != 3*256 || u.Sessions != 1 {
		t.Errorf("the acceptor counts %+v, want three times 256 items in one session", u)
	}
}

func TestInForce(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, north, south *agency, agreement string)
		// what the proposer then meets, and whether from the peer
		code   Code
		byPeer bool
	}{
		{"expired", func(_ *testing.T, n, s *agency, _ string) {
			n.clock, s.clock = epoch.AddDate(2, 0, 0), epoch.AddDate(2, 0, 0)
		}, CodeNotInForce, false},
		{"not yet valid", func(_ *testing.T, n, s *agency, _ string) {
			n.clock, s.clock = epoch.AddDate(-1, 0, 0), epoch.AddDate(-1, 0, 0)
		}, CodeNotInForce, false},
		{"expired at the acceptor", func(t *testing.T, n, s *agency, id string) {
			n.clock, s.clock = epoch.AddDate(2, 0, 0), epoch.AddDate(2, 0, 0)
			n.lax(t, id, func(a *Agreement) { a.ValidUntil = "2040-01-01T00:00:00Z" })
		}, CodeNotInForce, true},
		{"suspended here", func(t *testing.T, n, _ *agency, id string) { must(t, n.SuspendAgreement(id, "u", "why")) }, CodeNotInForce, false},
		{"suspended by the peer", func(t *testing.T, _, s *agency, id string) { must(t, s.SuspendAgreement(id, "u", "why")) }, CodeNotInForce, true},
		{"peer revoked here", func(t *testing.T, n, s *agency, _ string) { must(t, n.RevokePeer(s.root(t))) }, CodeRefused, false},
		{"revoked by the peer", func(t *testing.T, n, s *agency, _ string) { must(t, s.RevokePeer(n.root(t))) }, CodeRefused, true},
		{"clocks apart", func(_ *testing.T, n, _ *agency, _ string) { n.clock = epoch.Add(10 * time.Minute) }, CodeClock, true},
		{"user revoked", func(t *testing.T, n, _ *agency, _ string) {
			must(t, n.Store.Update(func(tx *store.Tx) error { return tx.RevokeUser("user0", epoch) }))
		}, CodeApproval, false},
		{"another compartment at the acceptor", func(t *testing.T, _, s *agency, _ string) {
			src := s.source()
			src.Compartment = "suspects"
			s.Source = func(string) (Source, error) { return src, nil }
		}, CodeRefused, true},
		{"no source at the acceptor", func(_ *testing.T, _, s *agency, _ string) {
			s.Source = func(string) (Source, error) {
				return Source{}, errors.New("no data source is configured for this agreement")
			}
		}, CodeRefused, true},
		{"broken data at the acceptor", func(t *testing.T, _, s *agency, _ string) {
			must(t, os.WriteFile(s.data, []byte("id,primary_name\nx,\"unclosed\n"), 0o600))
		}, CodeRefused, true},
		{"not enough sessions at once", func(_ *testing.T, _, s *agency, _ string) { s.MaxSessions = -1 }, CodeBusy, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := pair(t, nil)
			tt.do(t, north, south, agreement)
			_, err := north.match(agreement, psi.ModeIntersection)
			codeIs(t, err, tt.code, tt.byPeer)
			noResult(t, north)
			noResult(t, south)
		})
	}
}

func (ag *agency) root(t *testing.T) string {
	t.Helper()
	root, err := ag.ownRoot()
	must(t, err)
	return root
}

// A suspension ends a session that is running.
func TestSuspendWhileRunning(t *testing.T) {
	north, south, agreement := pair(t, nil)
	north.connect(south, func(c Conn) Conn {
		return &tapConn{Conn: c, out: func(f *frame) []*frame {
			if isEngine(f) {
				must(t, south.SuspendAgreement(agreement, "chief", "at once"))
				return nil
			}
			return []*frame{f}
		}}
	})
	_, err := north.match(agreement, psi.ModeIntersection)
	codeIs(t, err, CodeNotInForce, true)
	must(t, south.ResumeAgreement(agreement, "chief"))
	north.connect(south, nil)
	_, err = north.match(agreement, psi.ModeIntersection)
	must(t, err)
}

func TestApprovalOne(t *testing.T) {
	north, south, agreement := pair(t, func(a *Agreement) { a.Approval = ApproveOne })
	handle, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	run := func() (*Outcome, error) { return north.Run(t.Context(), handle, RunOptions{Source: north.source()}) }
	for range 2 { // asking again changes nothing
		_, err = run()
		var pending *PendingError
		if !errors.As(err, &pending) || !pending.AtPeer || pending.Session != handle {
			t.Fatalf("got %v, want pending at the peer", err)
		}
	}
	have, want, err := south.Approve(handle, south.users[1])
	must(t, err)
	if have != 1 || want != 1 {
		t.Errorf("%d of %d approvals", have, want)
	}
	out, err := run()
	must(t, err)
	if len(out.Hits) != 20 {
		t.Errorf("%d hits", len(out.Hits))
	}
}

func TestApprovalTwo(t *testing.T) {
	north, south, agreement := pair(t, func(a *Agreement) { a.Approval = ApproveTwo })
	handle, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	run := func() (*Outcome, error) { return north.Run(t.Context(), handle, RunOptions{Source: north.source()}) }
	pendingAt := func(peer bool) {
		t.Helper()
		_, err := run()
		var pending *PendingError
		if !errors.As(err, &pending) || pending.AtPeer != peer {
			t.Fatalf("got %v, want pending, at the peer: %v", err, peer)
		}
	}
	pendingAt(false)
	_, _, err = north.Approve(handle, north.users[0])
	codeIs(t, err, CodeApproval, false) // the proposer
	_, _, err = north.Approve(handle, north.users[1])
	must(t, err)
	_, _, err = north.Approve(handle, north.users[1])
	codeIs(t, err, CodeApproval, false) // twice
	_, _, err = north.Approve(handle, south.users[1])
	codeIs(t, err, CodeApproval, false) // a stranger
	pendingAt(false)
	_, _, err = north.Approve(handle, north.users[2])
	must(t, err)
	pendingAt(true)
	_, _, err = south.Approve(handle, south.users[1])
	must(t, err)
	pendingAt(true)
	_, _, err = south.Approve(handle, south.users[2])
	must(t, err)
	out, err := run()
	must(t, err)
	if len(out.Hits) != 20 {
		t.Errorf("%d hits", len(out.Hits))
	}
}

// An approval may arrive while a session is being looked at.
func TestReadyDuringApproval(t *testing.T) {
	north, _, agreement := pair(t, func(a *Agreement) { a.Approval = ApproveTwo })
	handle, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	stale, err := north.Store.Session(handle)
	must(t, err)
	for _, u := range north.users[1:] {
		_, _, err := north.Approve(handle, u)
		must(t, err)
	}
	must(t, north.ready(&stale, loaded(t, north, agreement)))
	if stale.State != store.SessionApproved {
		t.Errorf("the session is %s", stale.State)
	}
	// Or a rejection.
	other, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	stale, err = north.Store.Session(other)
	must(t, err)
	must(t, north.Reject(other, north.users[1], "no"))
	var pending *PendingError
	if err := north.ready(&stale, loaded(t, north, agreement)); !errors.As(err, &pending) {
		t.Errorf("got %v", err)
	}
}

// The acceptor counts the proposer's approvals itself.
func TestApprovalsOfTheProposerAreChecked(t *testing.T) {
	north, south, agreement := pair(t, func(a *Agreement) { a.Approval = ApproveTwo })
	north.lax(t, agreement, func(a *Agreement) { a.Approval = ApproveAuto })
	_, err := north.match(agreement, psi.ModeIntersection)
	codeIs(t, err, CodeApproval, true)
	noResult(t, south)
}

// And the proposer the acceptor's.
func TestApprovalsOfTheAcceptorAreChecked(t *testing.T) {
	north, south, agreement := pair(t, func(a *Agreement) { a.Approval = ApproveOne })
	south.lax(t, agreement, func(a *Agreement) { a.Approval = ApproveAuto })
	_, err := north.match(agreement, psi.ModeIntersection)
	codeIs(t, err, CodeApproval, false)
	noResult(t, north)
}

func TestReject(t *testing.T) {
	north, south, agreement := pair(t, func(a *Agreement) { a.Approval = ApproveOne })
	handle, err := north.propose1(agreement, psi.ModeIntersection)
	must(t, err)
	run := func() error {
		_, err := north.Run(t.Context(), handle, RunOptions{Source: north.source()})
		return err
	}
	var pending *PendingError
	if err := run(); !errors.As(err, &pending) {
		t.Fatal(err)
	}
	must(t, south.Reject(handle, south.users[1], "no basis"))
	codeIs(t, run(), CodeUnknownSession, true)
	_, _, err = south.Approve(handle, south.users[1])
	codeIs(t, err, CodeApproval, false)
}

func TestRetention(t *testing.T) {
	north, _, agreement := pair(t, nil)
	out, err := north.match(agreement, psi.ModeIntersection)
	must(t, err)
	later := epoch.AddDate(0, 0, 31)
	_, err = north.Store.ExpireResults(later)
	must(t, err)
	if _, err := north.Store.Results(out.Session); !errors.Is(err, store.ErrExpired) {
		t.Errorf("results after their retention: %v", err)
	}
	_, err = north.Store.EraseLogEntries(later)
	must(t, err)
	north.clock = later
	verifyLog(t, north)
}

func TestTwoSessionsAtOnce(t *testing.T) {
	north, south, agreement := pair(t, nil)
	var wg sync.WaitGroup
	for i := range 4 {
		from, prefix := north, "n"
		if i%2 == 1 {
			south.connect(north, nil)
			from, prefix = south, "s"
		}
		wg.Go(func() {
			out, err := from.match(agreement, psi.ModeMutual)
			if err != nil {
				t.Error(err)
				return
			}
			if got, want := strings.Join(ids(out.Hits), " "), strings.Join(wantIDs(prefix, 20, 40), " "); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	wg.Wait()
	verifyLog(t, north)
	verifyLog(t, south)
}

func TestAgreementFile(t *testing.T) {
	s := &SignedAgreement{Agreement: draft(t, nil)}
	ids := identities()
	if err := s.Complete(); !errors.Is(err, ErrUnsigned) {
		t.Errorf("an unsigned agreement is complete: %v", err)
	}
	must(t, s.Sign(ids[0]))
	if err := s.Complete(); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a half-signed agreement is complete: %v", err)
	}
	if err := s.Sign(ids[0]); err == nil {
		t.Error("a party signed twice")
	}
	half, err := s.Marshal()
	must(t, err)
	must(t, s.Sign(ids[1]))
	must(t, s.Complete())
	raw, err := s.Marshal()
	must(t, err)
	back, err := ParseSignedAgreement(raw)
	must(t, err)
	if back.Agreement.Hex() != s.Agreement.Hex() || back.Complete() != nil {
		t.Fatal("a file does not read back")
	}
	var compact bytes.Buffer
	must(t, json.Compact(&compact, raw))
	if _, err := ParseSignedAgreement(compact.Bytes()); err != nil {
		t.Errorf("white space matters: %v", err)
	}
	north := newAgency(t, ids[0], "north", header)
	if parsed, err := ParseSignedAgreement(half); err != nil || north.AddAgreement(parsed, "u") == nil {
		t.Errorf("a half-signed agreement was taken in (%v)", err)
	}
	if err := north.AddAgreement(back, "u"); err == nil || !strings.Contains(err.Error(), "pinned") {
		t.Errorf("an agreement with a stranger was taken in: %v", err)
	}
	for name, edit := range map[string][2]string{
		"altered cap":         {`"items_per_session": 1024`, `"items_per_session": 1025`},
		"altered rule":        {`"email exact"`, `"email exact, sex exact"`},
		"unknown field":       {`"title"`, `"titel"`},
		"field twice":         {`"title": "Test"`, `"title": "Test", "title": "Test"`},
		"weaker security":     {`"security": "semi-honest"`, `"security": "malicious"`},
		"unknown engine":      {`"engine": "dh"`, `"engine": "none"`},
		"number as text":      {`"retention_days": 30`, `"retention_days": "30"`},
		"exponent number":     {`"retention_days": 30`, `"retention_days": 3e1`},
		"control characters":  {`"title": "Test"`, `"title": "Te\u001b[2Jst"`},
		"bidirectional marks": {`"title": "Test"`, `"title": "Te\u202est"`},
		"unknown mode":        {`"mutual"`, `"everything"`},
		"mode twice":          {`"intersection"`, `"mutual"`},
		"backwards validity":  {`"valid_until": "2027`, `"valid_until": "2025`},
		"signer swapped":      {`"party": "` + s.Signatures[0].Party, `"party": "` + s.Signatures[1].Party},
	} {
		changed := strings.Replace(string(raw), edit[0], edit[1], 1)
		if changed == string(raw) {
			t.Fatalf("%s: the edit changes nothing", name)
		}
		if _, err := ParseSignedAgreement([]byte(changed)); err == nil && name != "exponent number" {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAgreementText(t *testing.T) {
	var b strings.Builder
	must(t, draft(t, nil).WriteText(&b))
	for _, want := range []string{"semi-honest", "Two records match when they share", "Trying every value takes", "cardinality", "padded to a power of two"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
}

func FuzzParseSignedAgreement(f *testing.F) {
	s := &SignedAgreement{Agreement: draft(&testing.T{}, nil)}
	raw, err := s.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"agreement":{},"signatures":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseSignedAgreement(raw)
		if err != nil {
			return
		}
		again, err := s.Marshal()
		must(t, err)
		back, err := ParseSignedAgreement(again)
		if err != nil || back.Agreement.ID() != s.Agreement.ID() {
			t.Fatalf("an accepted agreement does not re-encode to itself: %v", err)
		}
	})
}

func FuzzParseProposal(f *testing.F) {
	p := &Proposal{Version: 1, Agreement: strings.Repeat("ab", 32), Nonce: strings.Repeat("cd", 32), Mode: psi.ModeMutual,
		Items: 3, Purpose: "p", Case: "c", User: "u", UserKey: strings.Repeat("ef", 32), Time: "2026-01-01T00:00:00Z"}
	raw, err := p.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseProposal(raw)
		if err != nil {
			return
		}
		if again, err := p.Bytes(); err != nil || !bytes.Equal(again, raw) {
			t.Fatal("an accepted proposal does not re-encode to itself")
		}
	})
}
