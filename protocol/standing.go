package protocol

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// A standing lookup is a list of people who are looked up again whenever the
// peer's filter changes. Their keys are evaluated once an epoch; against a later
// version of its filter, those of which it says something else are tested here,
// which the peer could not see. It is declared all the same: the peer logs the
// list and charges its evaluations once a version.

// StandingRequest asks for a standing lookup.
type StandingRequest struct {
	Agreement, Name string
	// Data and Mapping say where the list is; it is read anew at each run.
	Data, Mapping string
	OnBadRow      records.Policy
	User          *keys.User // unlocked
	Purpose, Case string
}

// Standing is a standing lookup of ours.
type Standing struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Agreement string    `json:"agreement"`
	Peer      string    `json:"peer"`
	Data      string    `json:"data"`
	Mapping   string    `json:"mapping,omitempty"`
	User      string    `json:"user"`
	Purpose   string    `json:"purpose"`
	Case      string    `json:"case"`
	Created   time.Time `json:"created"`
	Ended     time.Time `json:"ended,omitzero"`
	// Epoch and Serial are the version that was tested last, Records and
	// Evaluations the size of the list then.
	Epoch       uint32    `json:"epoch"`
	Serial      uint64    `json:"serial"`
	Records     int64     `json:"records"`
	Evaluations int64     `json:"evaluations"`
	LastRun     time.Time `json:"last_run,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	Hits        int       `json:"hits"`
}

// StandingHit is a hit of a standing lookup. Each is reported once.
type StandingHit struct {
	List string `json:"list"`
	ID   string `json:"id"` // of our record; empty once its retention has ended
	LookupHit
	Epoch  uint32    `json:"epoch"`
	Serial uint64    `json:"serial"`
	Found  time.Time `json:"found"`
}

// StandingRun is what one run of a standing lookup came to.
type StandingRun struct {
	List   string `json:"list"`
	Epoch  uint32 `json:"epoch"`
	Serial uint64 `json:"serial"`
	// Evaluated counts evaluations made now, Declared those that the peer was
	// told of because kept ones were tested against a new version.
	Evaluated int64         `json:"evaluated"`
	Declared  int64         `json:"declared"`
	New       []StandingHit `json:"new"`
}

// standingList is a list with what runs need of it.
type standingList struct {
	store.StandingList
	a   *Agreement
	who asker
}

// AddStanding declares a standing lookup to the peer and stores it. It is first
// run by RunStanding, or by Tend.
func (n *Node) AddStanding(ctx context.Context, req StandingRequest) (*Standing, error) {
	if n.Dir == "" {
		return nil, errNoDir
	}
	a, _, err := n.inForce(req.Agreement)
	if err != nil {
		return nil, err
	}
	if req.User == nil {
		return nil, refuse(CodeApproval, "a standing lookup needs an operator")
	}
	if err := n.checkUser(req.User); err != nil {
		return nil, err
	}
	if err := checkAsker(req.User.Name(), req.Purpose, req.Case); err != nil {
		return nil, err
	}
	if err := checkText("name", req.Name, 1, 200); err != nil {
		return nil, refuse(CodeRefused, "%w", err)
	}
	raw := make([]byte, listSize)
	if _, err := io.ReadFull(n.Rand, raw); err != nil {
		return nil, err
	}
	l := &standingList{a: a, StandingList: store.StandingList{ID: hex.EncodeToString(raw), Name: req.Name, Agreement: a.Hex(),
		Data: req.Data, Mapping: req.Mapping, OnBadRow: string(req.OnBadRow), User: req.User.Name(), Purpose: req.Purpose, Case: req.Case, Created: n.Now()}}
	people, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	if l.who, err = n.standingAsker(l.StandingList); err != nil {
		return nil, err
	}
	count := int64(0)
	for _, p := range people {
		count += int64(a.Lookup.padded(len(p.Keys)))
	}
	if err := l.fits(count); err != nil {
		return nil, err
	}
	// The peer logs it first, so that no list of ours runs undeclared.
	err = n.declare(ctx, l, &wirepb.Standing{Count: uint64(count)})
	if err != nil {
		return nil, err
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		if err := tx.AddStandingList(l.StandingList); err != nil {
			return err
		}
		return n.append(tx, a, l.entry(eventStanding, count))
	})
	if err != nil {
		return nil, err
	}
	return n.standingOf(l.StandingList)
}

// fits refuses a list whose evaluations no day has room for: it could never be
// tested against a second version.
func (l *standingList) fits(count int64) error {
	most := min(l.a.Lookup.EvaluationsPerDay, l.a.Caps.ItemsPerDay)
	if count > most {
		return refuse(CodeRefused, "standing lookup %q takes %d evaluations, and the agreement allows %d a day: watch fewer people, or make several lists",
			l.Name, count, most)
	}
	return nil
}

// entry starts a log entry about the list.
func (l *standingList) entry(event string, count int64) audit.Entry {
	return audit.Entry{Event: event, User: l.who.name, UserKey: l.who.key, Purpose: l.Purpose, Case: l.Case, Session: l.ID,
		Mode: string(psi.ModeLookup), Role: string(psi.RoleReceiver), OwnItems: &count}
}

// standingAsker is the operator in whose name a list runs, if that operator may
// still act.
func (n *Node) standingAsker(l store.StandingList) (asker, error) {
	u, err := n.Store.User(l.User)
	if err != nil {
		return asker{}, err
	}
	if u.Status != store.StatusActive {
		return asker{}, refuse(CodeApproval, "user %q, who declared standing lookup %.16s, is %s", l.User, l.ID, u.Status)
	}
	raw, err := hex.DecodeString(l.ID)
	if err != nil || len(raw) != listSize {
		return asker{}, fmt.Errorf("stored standing lookup %.16s has no valid id", l.ID)
	}
	return asker{name: l.User, key: hex.EncodeToString(u.PublicKey), purpose: l.Purpose, caseNumber: l.Case, list: raw}, nil
}

// declare tells the peer of a list over a stream of its own.
func (n *Node) declare(ctx context.Context, l *standingList, m *wirepb.Standing) (err error) {
	r, err := n.openRequests(ctx, l.Agreement, psi.ModeLookup)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	return r.declare(ctx, l.who, m)
}

// declare sends a declaration and waits until the peer has logged it.
func (r *requester) declare(ctx context.Context, who asker, m *wirepb.Standing) error {
	m.List, m.User, m.Purpose, m.Case = who.list, who.name, who.purpose, who.caseNumber
	answer, err := r.call(ctx, r.l.timeouts.Handshake, func(number uint64) *wirepb.Frame {
		m.Number = number
		m.Signature = ed25519.Sign(r.key, standingSigned(r.a.ID(), m))
		return &wirepb.Frame{Body: &wirepb.Frame_Standing{Standing: m}}
	})
	if err != nil {
		return err
	}
	if answer.GetLookupAnswer() == nil {
		return r.fail(refuse(CodeMessage, "the peer sent %s, want LookupAnswer", frameName(answer)))
	}
	return nil
}

// EndStanding gives up a standing lookup, named by its id or the beginning of it.
// It ends here even where the peer can't be told, which is an error all the same.
func (n *Node) EndStanding(ctx context.Context, id string, user *keys.User) error {
	if err := n.checkUser(user); err != nil {
		return err
	}
	row, err := n.Store.FindStandingList(id)
	if err != nil {
		return err
	}
	a, err := loadAgreement(n.Store.Reader, row.Agreement)
	if err != nil {
		return err
	}
	l := &standingList{StandingList: row, a: a}
	l.who = asker{name: user.Name(), key: hex.EncodeToString(user.PublicKey()), purpose: row.Purpose, caseNumber: row.Case}
	if l.who.list, err = hex.DecodeString(row.ID); err != nil {
		return err
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		if err := tx.EndStandingList(row.ID, n.Now()); err != nil {
			return err
		}
		return n.append(tx, a, l.entry(eventStandingEnded, row.Evaluations))
	})
	if err != nil {
		return err
	}
	if err := n.dropSeeds(a, row.ID, 0); err != nil {
		return err
	}
	if err := n.declare(ctx, l, &wirepb.Standing{Ended: true}); err != nil {
		return fmt.Errorf("standing lookup %.16s has ended, but the peer was not told: %w", row.ID, err)
	}
	return nil
}

// standingOf reads a stored list.
func (n *Node) standingOf(row store.StandingList) (*Standing, error) {
	agreement, err := n.Store.Agreement(row.Agreement)
	if err != nil {
		return nil, err
	}
	peer, err := n.Store.PeerByRoot(agreement.PeerRoot)
	if err != nil {
		return nil, err
	}
	hits, err := n.Store.StandingHits(row.ID)
	if err != nil {
		return nil, err
	}
	return &Standing{ID: row.ID, Name: row.Name, Agreement: row.Agreement, Peer: peer.Name, Data: row.Data, Mapping: row.Mapping,
		User: row.User, Purpose: row.Purpose, Case: row.Case, Created: row.Created, Ended: row.Ended, Epoch: row.Epoch, Serial: row.Serial,
		Records: row.Records, Evaluations: row.Evaluations, LastRun: row.LastRun, LastError: row.LastError, Hits: len(hits)}, nil
}

// Standings returns the standing lookups under an agreement, or under all for "",
// the newest first.
func (n *Node) Standings(agreement string) ([]Standing, error) {
	rows, err := n.Store.StandingLists(agreement)
	if err != nil {
		return nil, err
	}
	out := []Standing{}
	for _, row := range rows {
		s, err := n.standingOf(row)
		if err != nil {
			return nil, err
		}
		out = append(out, *s)
	}
	return out, nil
}

// StandingHits returns the hits of a standing lookup in the order found.
func (n *Node) StandingHits(id string) ([]StandingHit, error) {
	l, err := n.Store.FindStandingList(id)
	if err != nil {
		return nil, err
	}
	rows, err := n.Store.StandingHits(l.ID)
	if err != nil {
		return nil, err
	}
	out := []StandingHit{}
	for _, row := range rows {
		h := StandingHit{List: row.List, ID: row.LocalID, Epoch: row.Epoch, Serial: row.Serial, Found: row.Found}
		if row.Hit != nil {
			if err := json.Unmarshal(row.Hit, &h.LookupHit); err != nil {
				return nil, fmt.Errorf("stored hit: %w", err)
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// listed is a person of a list with the keys derived.
type listed struct {
	ID   string
	Keys []records.Key
}

// read derives the keys of everybody on the list who has any.
func (l *standingList) read(ctx context.Context) ([]listed, error) {
	var mapping *records.Mapping
	if l.Mapping != "" {
		var err error
		if mapping, err = records.LoadMapping(l.Mapping); err != nil {
			return nil, refuse(CodeRefused, "standing lookup %q: %w", l.Name, err)
		}
	}
	src, err := records.Open(l.Data, mapping)
	if err != nil {
		return nil, refuse(CodeRefused, "standing lookup %q: %w", l.Name, err)
	}
	deriver, err := records.NewDeriver(l.a.Rules, l.a.Normalisation)
	if err != nil {
		return nil, refuse(CodeRules, "%w", err)
	}
	var people []listed
	_, err = src.Each(ctx, records.ReadOptions{OnBadRow: records.Policy(l.OnBadRow)}, func(r *records.Record) error {
		if keys, _ := deriver.Keys(nil, r); len(keys) > 0 {
			people = append(people, listed{r.ID, keys})
		}
		return nil
	})
	if err != nil {
		return nil, refuse(CodeRefused, "standing lookup %q: %w", l.Name, err)
	}
	return people, nil
}

// kept are the seeds of a list in one epoch, by the item of each key: sealed on
// the disk, since the filter beside them opens with them.
type kept struct {
	Seeds map[string]lookup.Seed `json:"seeds"` // by the item in hexadecimal
}

func (n *Node) seedsPath(a *Agreement, list string, epoch uint32) string {
	return filepath.Join(n.peerPath(epochID{a.Hex(), epoch}), "standing-"+list)
}

func seedsName(list string, epoch uint32) string { return fmt.Sprintf("standing/%s/%d", list, epoch) }

func (n *Node) loadSeeds(a *Agreement, list string, epoch uint32) (*kept, error) {
	k := &kept{Seeds: map[string]lookup.Seed{}}
	sealed, err := os.ReadFile(n.seedsPath(a, list, epoch))
	if isNotExist(err) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := n.open(sealed, seedsName(list, epoch))
	if err != nil {
		// Another identity's: they are evaluated anew.
		return k, nil
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, k); err != nil {
		return nil, errors.New("stored seeds of a standing lookup do not decode")
	}
	return k, nil
}

func (n *Node) saveSeeds(a *Agreement, list string, epoch uint32, k *kept) error {
	plain, err := json.Marshal(k)
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := n.seal(plain, seedsName(list, epoch))
	if err != nil {
		return err
	}
	return writePrivate(n.seedsPath(a, list, epoch), sealed)
}

// dropSeeds destroys the seeds of a list in all epochs but one.
func (n *Node) dropSeeds(a *Agreement, list string, except uint32) error {
	dirs, err := os.ReadDir(filepath.Join(n.Dir, lookupDir, peerDir, a.Hex()))
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.Name() == fmt.Sprint(except) {
			continue
		}
		if err := lookup.Destroy(filepath.Join(n.Dir, lookupDir, peerDir, a.Hex(), d.Name(), "standing-"+list)); err != nil {
			return err
		}
	}
	return nil
}

// digest tells a hit from those reported before, without saying whose it is. A
// record of the peer's is known by its reference, from epoch to epoch; where
// labels have none, our own record is all there is to tell hits apart.
func (n *Node) digest(list, id string, h LookupHit) []byte {
	mac := hmac.New(sha256.New, n.Identity.Derive("symbolon/v1/standing-hits").Expose())
	part := psi.HashTuple([]byte(list), []byte(id), []byte(h.Reference))
	mac.Write(part[:])
	return mac.Sum(nil)
}

// lastError is what a list keeps of a failed run.
func lastError(err error) string {
	if err == nil {
		return ""
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s[:min(len(s), 500)]
}
