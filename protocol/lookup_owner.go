package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// What a stream's key signs.
const (
	kindLookup   = "symbolon/v1/lookup-request"
	kindStanding = "symbolon/v1/standing-request"
)

const (
	domainManifest = "symbolon/v1/manifest"
	listSize       = 16 // bytes of a standing list's id
)

// isImmediate reports whether requests of a mode are answered at once.
func isImmediate(m psi.Mode) bool { return slices.Contains(immediate, m) }

// granted says what the owner of a stream has to offer.
func (n *Node) granted(a *Agreement, mode psi.Mode) (*wirepb.Granted, error) {
	if mode == psi.ModeSearch {
		return n.searchGranted(a)
	}
	epoch, serial, err := n.newest(a.Hex())
	return &wirepb.Granted{Epoch: epoch, Serial: serial}, err
}

// requestOf returns the request that a frame is, in its mode.
func (s *answerer) requestOf(mode psi.Mode, f *wirepb.Frame) (*request, error) {
	switch {
	case mode == psi.ModeSearch:
		return s.searchRequestOf(f)
	case f.GetLookupRequest() != nil:
		return s.lookupRequest(f.GetLookupRequest())
	case f.GetStanding() != nil:
		return s.standingRequest(f.GetStanding())
	case f.GetManifestQuery() != nil:
		m := f.GetManifestQuery()
		return &request{number: m.Number, answer: func() (*wirepb.Frame, error) { return s.manifest(m) }}, nil
	case f.GetChunkQuery() != nil:
		m := f.GetChunkQuery()
		return &request{number: m.Number, answer: func() (*wirepb.Frame, error) { return s.chunk(m) }}, nil
	}
	return nil, refuse(CodeMessage, "the peer sent %s, want a request", frameName(f))
}

// checkAsker checks what a request says of who asks and why.
func checkAsker(user, purpose, caseNumber string) error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"purpose", purpose, 2000}, {"case", caseNumber, 200}, {"user", user, 200}} {
		if err := checkText(f.name, f.value, 1, f.most); err != nil {
			return refuse(CodeMessage, "the request's %w", err)
		}
	}
	return nil
}

// lookupSigned is what is signed of a LookupRequest.
func lookupSigned(agreement [32]byte, m *wirepb.LookupRequest) []byte {
	elements := sha256.Sum256(m.Blinded)
	return signedRequest(kindLookup, agreement, m.Number, beUint32(m.Epoch), m.List, []byte(m.User), []byte(m.Purpose), []byte(m.Case),
		beUint32(uint32(len(m.Blinded)/voprf.ElementSize)), elements[:])
}

// standingSigned is what is signed of a Standing.
func standingSigned(agreement [32]byte, m *wirepb.Standing) []byte {
	ended := []byte{0}
	if m.Ended {
		ended[0] = 1
	}
	return signedRequest(kindStanding, agreement, m.Number, beUint32(m.Epoch), m.List, []byte(m.User), []byte(m.Purpose), []byte(m.Case),
		beUint64(m.Serial), beUint64(m.Count), ended)
}

// lookupRequest checks the form of a request for evaluations.
func (s *answerer) lookupRequest(m *wirepb.LookupRequest) (*request, error) {
	l := s.a.Lookup
	count := len(m.Blinded) / voprf.ElementSize
	most := l.padded(s.a.Rules.MaxKeysPerRecord)
	switch {
	case len(m.Blinded)%voprf.ElementSize != 0 || count == 0 || count > most || count != l.padded(count):
		return nil, refuse(CodeMessage, "the peer asks for %d bytes of elements, want a multiple of %d elements of %d bytes, at most %d",
			len(m.Blinded), l.Evaluations, voprf.ElementSize, most)
	case len(m.List) != 0 && len(m.List) != listSize:
		return nil, refuse(CodeMessage, "the request's list has %d bytes, want none or %d", len(m.List), listSize)
	}
	if err := checkAsker(m.User, m.Purpose, m.Case); err != nil {
		return nil, err
	}
	if err := s.verify(lookupSigned(s.a.ID(), m), m.Signature); err != nil {
		return nil, err
	}
	answer := func() (*wirepb.Frame, error) { return s.evaluate(m, int64(count)) }
	return &request{number: m.Number, answer: answer, mode: psi.ModeLookup, evaluations: int64(count)}, nil
}

// evaluate answers a request for evaluations: booked and logged first.
func (s *answerer) evaluate(m *wirepb.LookupRequest, count int64) (*wirepb.Frame, error) {
	e := s.entry(eventLookup)
	e.Mode, e.User, e.Purpose, e.Case = string(psi.ModeLookup), m.User, m.Purpose, m.Case
	e.Epoch, e.Number, e.Key, e.Signature = m.Epoch, m.Number, s.key, m.Signature
	e.Session = hex.EncodeToString(m.List)
	elements := sha256.Sum256(m.Blinded)
	e.PeerCommitment = hexOf(elements)
	own, err := s.n.answeringEpoch(s.a, m.Epoch)
	var no refusal
	if errors.As(err, &no) {
		return nil, s.refusedBudget(e, count, err)
	}
	if err != nil {
		return nil, err
	}
	epoch, serial, err := s.n.newest(s.a.Hex())
	if err != nil {
		return nil, err
	}
	err = s.book(e, count, func(tx *store.Tx) error {
		if len(m.List) == 0 || epoch != m.Epoch {
			return nil
		}
		// Evaluating a list is what it costs for the present version.
		_, err := tx.ChargeStanding(s.a.Hex(), e.Session, epoch, serial)
		return err
	})
	if err != nil {
		return nil, err
	}
	select {
	case s.n.lookups.curve <- struct{}{}:
		defer func() { <-s.n.lookups.curve }()
	case <-s.l.ctx.Done():
		return nil, s.l.cause(s.l.ctx.Err())
	}
	a := &wirepb.LookupAnswer{Number: m.Number, Epoch: epoch, Serial: serial}
	if a.Evaluated, a.Proof, err = own.evaluate(s.n.Rand, m.Blinded); err != nil {
		if errors.Is(err, voprf.ErrPeer) {
			err = refuse(CodeMessage, "%w", err)
		}
		return nil, err
	}
	return &wirepb.Frame{Body: &wirepb.Frame_LookupAnswer{LookupAnswer: a}}, nil
}

// maxDeclared bounds the declarations of one stream. Each is logged and most cost
// nothing, and a stream is about one list.
const maxDeclared = 64

// standingRequest checks the form of a declaration.
func (s *answerer) standingRequest(m *wirepb.Standing) (*request, error) {
	if s.declared++; s.declared > maxDeclared {
		return nil, refuse(CodeMessage, "the peer made more than %d declarations on one stream", maxDeclared)
	}
	if len(m.List) != listSize || m.Count > uint64(s.a.Caps.ItemsPerDay) || m.Count%uint64(s.a.Lookup.Evaluations) != 0 {
		return nil, refuse(CodeMessage, "the peer declares %d evaluations of a list with an id of %d bytes", m.Count, len(m.List))
	}
	if err := checkAsker(m.User, m.Purpose, m.Case); err != nil {
		return nil, err
	}
	if err := s.verify(standingSigned(s.a.ID(), m), m.Signature); err != nil {
		return nil, err
	}
	return &request{number: m.Number, answer: func() (*wirepb.Frame, error) { return s.standing(m) }}, nil
}

// standing logs a declaration, and charges the first for each version of the
// filter.
func (s *answerer) standing(m *wirepb.Standing) (*wirepb.Frame, error) {
	count := int64(m.Count)
	e := s.entry(eventStandingRun)
	e.Mode, e.User, e.Purpose, e.Case = string(psi.ModeLookup), m.User, m.Purpose, m.Case
	e.Epoch, e.Serial, e.Number, e.Key, e.Signature = m.Epoch, m.Serial, m.Number, s.key, m.Signature
	e.Session, e.PeerItems = hex.EncodeToString(m.List), &count
	epoch, serial, err := s.n.newest(s.a.Hex())
	if err != nil {
		return nil, err
	}
	tested := false
	switch {
	case m.Ended:
		e.Event = eventStandingEnded
	case m.Serial == 0:
		e.Event = eventStanding
	case m.Epoch != epoch || m.Serial > serial:
		return nil, s.refusedBudget(e, count, refuseRequest(CodeEpoch, "version %d.%d is not served", m.Epoch, m.Serial))
	default:
		tested = true
	}
	// Nothing is computed for it: the minute's cap is not concerned.
	limits := s.limits
	limits.PerMinute = store.NoLimit
	err = s.bookAt(e, count, limits, func(tx *store.Tx) (int64, error) {
		if !tested {
			return 0, nil
		}
		fresh, err := tx.ChargeStanding(s.a.Hex(), e.Session, m.Epoch, m.Serial)
		if err != nil || !fresh {
			return 0, err
		}
		return count, nil
	})
	if err != nil {
		return nil, err
	}
	return &wirepb.Frame{Body: &wirepb.Frame_LookupAnswer{LookupAnswer: &wirepb.LookupAnswer{Number: m.Number, Epoch: epoch, Serial: serial}}}, nil
}

// manifest answers a question for the newest manifest, and keeps its files open
// for the chunks that follow.
func (s *answerer) manifest(m *wirepb.ManifestQuery) (*wirepb.Frame, error) {
	epoch, _, err := s.n.newest(s.a.Hex())
	if err != nil {
		return nil, err
	}
	if epoch == 0 || s.n.Dir == "" {
		return nil, refuseRequest(CodeNotPublished, "nothing is published under agreement %.16s", s.a.Hex())
	}
	p, err := lookup.OpenPublication(s.n.ownPath(epochID{s.a.Hex(), epoch}), 0)
	if isNotExist(err) {
		return nil, refuseRequest(CodeNotPublished, "the filter of epoch %d is not there", epoch)
	}
	if err != nil {
		return nil, err
	}
	sig, err := keys.ParseSignature(p.Signed.Signature)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	s.mu.Lock()
	old := s.serving
	s.serving = p
	s.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil {
			return nil, err
		}
	}
	return &wirepb.Frame{Body: &wirepb.Frame_Manifest{Manifest: &wirepb.Manifest{Number: m.Number, Manifest: p.Signed.Manifest, Signature: wireSignature(sig)}}}, nil
}

// chunk answers a question for a piece of what the last manifest describes. One
// piece of one stream is read at a time.
func (s *answerer) chunk(m *wirepb.ChunkQuery) (*wirepb.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.serving
	if p == nil || p.Manifest.Epoch != m.Epoch || p.Manifest.Serial != m.Serial {
		return nil, refuseRequest(CodeNotPublished, "version %d.%d is not the one whose manifest was asked for", m.Epoch, m.Serial)
	}
	if retry, ok := s.n.lookups.serve(s.a.Hex(), s.n.Now(), lookup.ChunkSize, p.Manifest.Filter.Bytes); !ok {
		no := refuseRequest(CodeBusy, "the peer has fetched filters again and again")
		no.why.RetryAfter = retry
		return nil, no
	}
	payload, err := p.Chunk(m.From, int(m.Chunk))
	if errors.Is(err, lookup.ErrNoChunk) {
		return nil, refuse(CodeMessage, "%w", err)
	}
	if err != nil {
		return nil, err
	}
	return &wirepb.Frame{Body: &wirepb.Frame_FileChunk{FileChunk: &wirepb.FileChunk{Number: m.Number, Payload: payload}}}, nil
}

// stopServing closes the files of a stream that has ended.
func (s *answerer) stopServing() error {
	if s.serving == nil {
		return nil
	}
	return s.serving.Close()
}

// auditOf is the entry of an operator's act.
func auditOf(event string, u *keys.User) audit.Entry {
	e := audit.Entry{Event: event}
	if u != nil {
		e.User, e.UserKey = u.Name(), hex.EncodeToString(u.PublicKey())
	}
	return e
}
