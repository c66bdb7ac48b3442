package protocol

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
)

// agency is a node with its operators and its data.
type agency struct {
	*Node
	t     *testing.T
	users []*keys.User
	data  string // CSV
	mu    sync.Mutex
	clock time.Time
}

func (ag *agency) now() time.Time {
	ag.mu.Lock()
	defer ag.mu.Unlock()
	return ag.clock
}

// at sets the clock while the node runs.
func (ag *agency) at(now time.Time) {
	ag.mu.Lock()
	defer ag.mu.Unlock()
	ag.clock = now
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// identities are slow to make, so the tests share them.
var identities = sync.OnceValue(func() []*keys.Identity {
	var ids []*keys.Identity
	for _, name := range []string{"North Agency", "South Agency"} {
		id, err := keys.NewIdentity(psi.NewStream([]byte(name), "test identity"), name, epoch)
		if err != nil {
			panic(err)
		}
		ids = append(ids, id)
	}
	return ids
})

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const header = "id,primary_name,date_of_birth,document_type,document_number,document_country,phone,email,source_ref\n"

// person is a row of synthetic data: its number decides every value.
func person(prefix string, i int) string {
	return fmt.Sprintf("%s-%d,Given%c Family%d,19%02d-0%d-1%d,passport,P%06d,NO,+4721%06d,p%d@example.org,REF-%s-%d\n",
		prefix, i, 'a'+i%26, i, i%80+10, i%9+1, i%9, i, i, i, prefix, i)
}

// people is a register of the persons numbered lo to hi.
func people(prefix string, lo, hi int) string {
	var b strings.Builder
	b.WriteString(header)
	for i := lo; i < hi; i++ {
		b.WriteString(person(prefix, i))
	}
	return b.String()
}

func newAgency(t *testing.T, id *keys.Identity, seed string, data string) *agency {
	t.Helper()
	return newAgencyIn(t, t.TempDir(), id, seed, data)
}

func newAgencyIn(t *testing.T, dir string, id *keys.Identity, seed string, data string) *agency {
	t.Helper()
	s, err := store.Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	ag := &agency{t: t, data: filepath.Join(dir, "data.csv"), clock: epoch}
	must(t, os.WriteFile(ag.data, []byte(data), 0o600))
	must(t, s.Update(func(tx *store.Tx) error {
		return tx.AddOwnIdentity(store.OwnIdentity{Fingerprint: id.Public().Fingerprint().String(), Identity: id.Public().Bytes(), Added: epoch})
	}))
	ag.Node, err = NewNode(Options{
		Identity: id, Store: s, Dir: dir, Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		Rand: psi.NewStream([]byte(seed), "test node"), Now: ag.now,
		Source:   func(string) (Source, error) { return ag.source(), nil },
		Timeouts: Timeouts{Handshake: time.Minute, Idle: time.Minute, Round: time.Minute, Session: 5 * time.Minute, Close: 200 * time.Millisecond},
	})
	must(t, err)
	for i := range 3 {
		u, err := keys.NewUser(psi.NewStream([]byte(seed), "user", uint32(i)), fmt.Sprintf("user%d", i))
		must(t, err)
		ag.users = append(ag.users, u)
		must(t, s.Update(func(tx *store.Tx) error {
			return tx.AddUser(store.User{Name: u.Name(), PublicKey: u.PublicKey(), Status: store.StatusActive, Added: epoch})
		}))
	}
	return ag
}

func (ag *agency) source() Source {
	src, err := records.Open(ag.data, nil)
	must(ag.t, err)
	return Source{Compartment: "missing-persons", Records: src}
}

func (ag *agency) pinPeer(other *agency) {
	ag.t.Helper()
	p := other.Identity.Public()
	must(ag.t, ag.Store.Update(func(tx *store.Tx) error {
		fp := p.Fingerprint().String()
		return tx.AddPeer(store.Peer{Root: fp, Fingerprint: fp, Identity: p.Bytes(), Name: strings.Fields(strings.ToLower(p.Name()))[0],
			Status: store.StatusActive, Added: epoch, Changed: epoch})
	}))
}

// draft is an agreement between the test identities.
func draft(t *testing.T, change func(*Agreement)) *Agreement {
	t.Helper()
	rules, err := records.Shipped("exact")
	must(t, err)
	canary, err := records.CanaryKeys(rules)
	must(t, err)
	a := &Agreement{
		Version: 1, Title: "Test", Purpose: "tests", LegalBasis: "none", Compartment: "missing-persons",
		Modes: []psi.Mode{psi.ModeMutual, psi.ModeIntersection, psi.ModeCardinality}, Learns: LearnsProposer,
		Rules: rules, Normalisation: records.NormalisationVersion(), Canary: canary, CardinalityRule: "document",
		Engine: EngineDH, Security: psi.SemiHonest, Padding: PadPow2, Labels: &Labels{Bytes: 32, Slots: 2},
		Caps:        Caps{ItemsPerSession: 1024, ItemsPerDay: 8192, SessionsPerDay: 6},
		NotifyOnHit: NotifyOptional, Approval: ApproveAuto,
		ValidFrom: "2026-01-01T00:00:00Z", ValidUntil: "2027-01-01T00:00:00Z",
		RetentionDays: 30, ClockToleranceSeconds: 300,
	}
	for i, id := range identities() {
		a.Parties[i] = Party{Name: id.Public().Name(), Identity: id.Public().Fingerprint().String()}
	}
	if a.Parties[0].Identity > a.Parties[1].Identity {
		a.Parties[0], a.Parties[1] = a.Parties[1], a.Parties[0]
	}
	if change != nil {
		change(a)
	}
	return a
}

// pair returns two agencies that know 40 and 60 people, 20 of them in common,
// under an agreement that both have signed, connected in memory.
func pair(t *testing.T, change func(*Agreement)) (north, south *agency, agreement string) {
	t.Helper()
	return pairIn(t, t.TempDir(), change)
}

// pairIn is pair with the proposer's files in a directory.
func pairIn(t *testing.T, dir string, change func(*Agreement)) (north, south *agency, agreement string) {
	t.Helper()
	ids := identities()
	north = newAgencyIn(t, dir, ids[0], "north", people("n", 0, 40))
	south = newAgency(t, ids[1], "south", people("s", 20, 80))
	north.pinPeer(south)
	south.pinPeer(north)
	s := &SignedAgreement{Agreement: draft(t, change)}
	must(t, s.Sign(ids[0]))
	must(t, s.Sign(ids[1]))
	must(t, north.AddAgreement(s, "admin"))
	must(t, south.AddAgreement(s, "admin"))
	north.connect(south, nil)
	return north, south, s.Agreement.Hex()
}

// connect makes sessions that ag proposes run in memory, through tap if given.
func (ag *agency) connect(other *agency, tap func(Conn) Conn) {
	ag.dial = func(ctx context.Context, _ store.Peer) (Conn, func(), error) {
		a, b := Pipe(ctx, ag.Identity.Public(), other.Identity.Public(), []byte(fmt.Sprintf("binding %p", ctx)))
		done := make(chan struct{})
		inner, cancel := context.WithCancel(ctx)
		go func() {
			defer close(done)
			other.Handle(inner, b)
			_ = b.CloseSend()
		}()
		if tap != nil {
			a = tap(a)
		}
		return a, func() { cancel(); <-done }, nil
	}
}

func (ag *agency) match(agreement string, mode psi.Mode) (*Outcome, error) {
	handle, err := ag.propose1(agreement, mode)
	if err != nil {
		return nil, err
	}
	return ag.Run(context.Background(), handle, RunOptions{Source: ag.source()})
}

func (ag *agency) propose1(agreement string, mode psi.Mode) (string, error) {
	return ag.Propose(context.Background(), Request{Agreement: agreement, Mode: mode, User: ag.users[0],
		Purpose: "find people", Case: "C-1", Source: ag.source()})
}

func ids(hits []Hit) []string {
	var out []string
	for _, h := range hits {
		out = append(out, h.ID)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func wantIDs(prefix string, lo, hi int) []string {
	var out []string
	for i := lo; i < hi; i++ {
		out = append(out, fmt.Sprintf("%s-%d", prefix, i))
	}
	slices.Sort(out)
	return out
}

func TestSession(t *testing.T) {
	for _, tt := range []struct {
		engine   string
		security psi.Security
		mode     psi.Mode
	}{
		{EngineDH, psi.SemiHonest, psi.ModeIntersection},
		{EngineDH, psi.SemiHonest, psi.ModeMutual},
		{EngineDH, psi.SemiHonest, psi.ModeCardinality},
		{EngineVOLE, psi.Malicious, psi.ModeIntersection},
		{EngineVOLE, psi.Malicious, psi.ModeMutual},
		{EngineVOLE, psi.SemiHonest, psi.ModeMutual},
	} {
		mode := tt.mode
		t.Run(fmt.Sprintf("%s %s %s", tt.engine, tt.security, mode), func(t *testing.T) {
			t.Parallel()
			north, south, agreement := pair(t, func(a *Agreement) {
				a.Engine, a.Security = tt.engine, tt.security
				if mode != psi.ModeCardinality {
					a.Modes, a.CardinalityRule = []psi.Mode{mode}, ""
				}
			})
			out, err := north.match(agreement, mode)
			must(t, err)
			if mode == psi.ModeCardinality {
				if out.Count != 20 || len(out.Hits) != 0 {
					t.Fatalf("count %d with %d hits, want 20 and none", out.Count, len(out.Hits))
				}
			} else {
				if got, want := ids(out.Hits), wantIDs("n", 20, 40); !slices.Equal(got, want) {
					t.Fatalf("hits %v, want %v", got, want)
				}
				for _, h := range out.Hits {
					if want := "REF-s-" + strings.TrimPrefix(h.ID, "n-"); h.Reference != want {
						t.Errorf("reference of %s is %q, want %q", h.ID, h.Reference, want)
					}
					if len(h.Rules) != 5 {
						t.Errorf("hit %s by rules %v, want all five", h.ID, h.Rules)
					}
					// A document, a telephone number and a name with date.
					if h.Bits < 60 {
						t.Errorf("hit %s says %.1f bits", h.ID, h.Bits)
					}
				}
			}
			if !out.Signed {
				t.Error("the peer did not sign the transcript")
			}
			rows, err := south.Store.Sessions(store.SessionFilter{})
			must(t, err)
			if len(rows) != 1 || rows[0].State != store.SessionFinished || hexOf([32]byte(rows[0].TranscriptHash)) != out.Transcript {
				t.Fatalf("the acceptor has %+v", rows)
			}
			hits, err := south.Store.Results(rows[0].ID)
			must(t, err)
			var got []string
			for _, h := range hits {
				got = append(got, h.LocalID)
				if h.Bits < 60 {
					t.Errorf("the stored hit %s says %.1f bits", h.LocalID, h.Bits)
				}
			}
			slices.Sort(got)
			var want []string
			if mode == psi.ModeMutual {
				want = wantIDs("s", 20, 40)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the sender learned %v, want %v", got, want)
			}
			for _, ag := range []*agency{north, south} {
				checkLog(t, ag, agreement, "agreement-in-force proposed finished")
			}
		})
	}
}

// checkLog verifies an agency's log and compares its events.
func checkLog(t *testing.T, ag *agency, agreement, want string) {
	t.Helper()
	a, err := loadAgreement(ag.Store.Reader, agreement)
	must(t, err)
	tree, err := ag.tree(a)
	must(t, err)
	list, err := tree.List(ag.Store.Reader, audit.Filter{})
	must(t, err)
	var got []string
	for _, r := range list {
		got = append(got, r.Entry.Event)
	}
	if g := strings.Join(got, " "); g != want {
		t.Errorf("%s logged %q, want %q", ag.Identity.Public().Name(), g, want)
	}
}

// verifyLog recomputes an agency's logs.
func verifyLog(t *testing.T, ag *agency) {
	t.Helper()
	trees, err := ag.Store.LogTrees()
	must(t, err)
	for _, id := range trees {
		_, err := ag.VerifyLog(id)
		must(t, err)
	}
}

func sha(b []byte) [32]byte { return sha256.Sum256(b) }
