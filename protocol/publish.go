package protocol

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// PublishRequest asks for the next version of the filter that the other party of
// an agreement may look people up in.
type PublishRequest struct {
	Agreement string
	// User is the operator, unlocked; nil is the node itself, on its schedule.
	User   *keys.User
	Source Source
	// RotateNow begins a new epoch. The old one answers until the overlap ends,
	// or, with NoOverlap, no more: its secret is destroyed at once.
	RotateNow, NoOverlap bool
	Progress             func(Progress)
}

// Publication is one version of a filter of ours.
type Publication struct {
	Agreement string `json:"agreement"`
	Epoch     uint32 `json:"epoch"`
	Serial    uint64 `json:"serial"`
	// State is that of the epoch: see package store.
	State string `json:"state"`
	// Changed is false where nothing was to be published: the version is then
	// the one before.
	Changed bool `json:"changed"`
	publicationDetail
	PaddedKeys  int64     `json:"padded_keys"`
	FilterBytes int64     `json:"filter_bytes"`
	DeltaBytes  int64     `json:"delta_bytes"` // 0: there is none
	Created     time.Time `json:"created"`
	EpochEnds   time.Time `json:"epoch_ends"`
	// ValidUntil is when the epoch answers no more.
	ValidUntil time.Time `json:"valid_until"`
	// NextDue is when the schedule allows the next version.
	NextDue time.Time `json:"next_due"`
}

// publicationDetail is what only the owner knows of a version. Its figures are
// exact and are for nobody else.
type publicationDetail struct {
	Records  int64 `json:"records"`
	Keys     int64 `json:"keys"`
	Computed int64 `json:"computed"` // outputs computed for this version
	// Cut counts the records with more keys than the rules allow for one.
	Cut     int64 `json:"cut"`
	Added   int64 `json:"added"`
	Removed int64 `json:"removed"`
	// CPUSeconds is what the outputs took, RotationCPUSeconds what one rotation
	// of all the node's agreements takes.
	CPUSeconds         float64 `json:"cpu_seconds"`
	RotationCPUSeconds float64 `json:"rotation_cpu_seconds"`
}

// mayOffer returns an agreement under which this node, and the user if there is
// one, may offer records to be asked for in a mode.
func (n *Node) mayOffer(agreement string, mode psi.Mode, user *keys.User) (*Agreement, error) {
	a, _, err := n.inForce(agreement)
	if err != nil {
		return nil, err
	}
	if err := n.mayAsk(a, mode); err != nil {
		return nil, err
	}
	if n.Dir == "" {
		return nil, errNoDir
	}
	if user != nil {
		err = n.checkUser(user)
	}
	return a, err
}

// Publish makes the next version of a filter and signs it. While it is made, and
// if it comes to nothing, the one before is served.
func (n *Node) Publish(ctx context.Context, req PublishRequest) (*Publication, error) {
	a, err := n.mayOffer(req.Agreement, psi.ModeLookup, req.User)
	if err != nil {
		return nil, err
	}
	unlock, err := n.lookups.lock(ctx, "publish "+a.Hex())
	if err != nil {
		return nil, err
	}
	defer unlock()
	p := &publisher{n: n, a: a, req: req, ctx: ctx}
	if err := p.recover(); err != nil {
		return nil, err
	}
	if err := p.chooseEpoch(); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	if err := p.checkRotation(); err != nil {
		return nil, err
	}
	out, err := p.publish()
	if errors.Is(err, lookup.ErrRotate) && p.epoch.row.State != store.EpochBuilding {
		n.Logger.Info().Str("agreement", short(a.Hex())).Msg("the filter has outgrown its epoch: a new one begins")
		if p.epoch, err = n.beginEpoch(a); err != nil {
			return nil, err
		}
		out, err = p.publish()
	}
	if err != nil {
		return nil, err
	}
	if req.NoOverlap {
		err = n.endEpochs(a, func(e store.Epoch) bool { return e.State == store.EpochOverlap })
	}
	return out, err
}

// publisher is one run of Publish.
type publisher struct {
	n     *Node
	a     *Agreement
	req   PublishRequest
	ctx   context.Context
	epoch *ownEpoch
	index *records.Index
	label func(record uint32) lookup.Label
	cpu   atomic.Int64 // nanoseconds spent on outputs
	total float64      // CPU seconds of a rotation of all agreements
}

// recover takes into the database what was committed to disk before a crash.
func (p *publisher) recover() error {
	epochs, err := p.n.Store.Epochs(p.a.Hex())
	if err != nil {
		return err
	}
	for _, row := range epochs {
		if row.State != store.EpochBuilding && row.State != store.EpochCurrent {
			continue
		}
		e, err := p.n.loadEpoch(epochID{p.a.Hex(), row.Epoch})
		if errors.Is(err, errSecretLost) {
			p.n.Logger.Warn().Str("agreement", short(p.a.Hex())).Uint32("epoch", row.Epoch).Str("reason", err.Error()).
				Msg("a new epoch begins")
			if err := p.n.endEpoch(p.a, row); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := p.recoverVersion(e, row); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) recoverVersion(e *ownEpoch, row store.Epoch) error {
	files, err := lookup.OpenPublication(p.n.ownPath(epochID{p.a.Hex(), row.Epoch}), 0)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer files.Close()
	last, err := p.n.Store.LastPublication(p.a.Hex(), row.Epoch)
	if err == nil && last.Serial >= files.Manifest.Serial {
		return nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	var detail publicationDetail
	if err == nil { // the figures of the version before are the best there are
		if err := json.Unmarshal([]byte(last.Detail), &detail); err != nil {
			return err
		}
	}
	p.epoch = e
	return p.record(files.Manifest, files.Signed, detail)
}

// chooseEpoch finds the epoch to publish in: the one that builds, the current
// one, or a new one.
func (p *publisher) chooseEpoch() error {
	n, now := p.n, p.n.Now()
	epochs, err := n.Store.Epochs(p.a.Hex())
	if err != nil {
		return err
	}
	var current *store.Epoch
	for i := range epochs {
		switch epochs[i].State {
		case store.EpochBuilding:
			p.epoch, err = n.loadEpoch(epochID{p.a.Hex(), epochs[i].Epoch})
			return err
		case store.EpochCurrent:
			current = &epochs[i]
		}
	}
	if current == nil || p.req.RotateNow || !now.Before(current.Ends) {
		p.epoch, err = n.beginEpoch(p.a)
		return err
	}
	last, err := n.Store.LastPublication(p.a.Hex(), current.Epoch)
	if err != nil {
		return err
	}
	if due := last.Created.Add(p.a.Lookup.every()); now.Before(due) {
		e := refuse(CodeNotDue, "the agreement lets changes enter every %d hours; the last version is of %s", p.a.Lookup.DeltaHours, last.Created.Format(time.RFC3339))
		e.RetryAfter = due
		return e
	}
	p.epoch, err = n.loadEpoch(epochID{p.a.Hex(), current.Epoch})
	return err
}

// load reads the records and derives their keys.
func (p *publisher) load() error {
	p.progress(Progress{Stage: stageReading})
	src := p.req.Source
	index, err := p.n.readIndex(p.ctx, src, p.a, p.a.Rules)
	if err != nil {
		return err
	}
	in := &input{index: index, referenceID: src.ReferenceID}
	p.index = index
	p.label = func(record uint32) lookup.Label {
		contact, note := index.Notes(record)
		return lookup.Label{Reference: in.label(record), Contact: cmp.Or(contact, src.Contact), Text: cmp.Or(note, src.Text)}
	}
	if p.a.Labels == nil {
		return nil
	}
	for i := range index.Records() {
		l := p.label(uint32(i))
		if !utf8.ValidString(l.Reference + l.Contact + l.Text) {
			return refuse(CodeRefused, "source %s: record %d has a reference, contact or text that is not UTF-8", src.Records.Name(), i+1)
		}
		if n := len(l.Reference) + len(l.Contact) + len(l.Text); n > p.a.Labels.Bytes {
			return refuse(CodeRefused, "source %s: record %d has a reference, contact and text of %d bytes, the agreement allows %d",
				src.Records.Name(), i+1, n, p.a.Labels.Bytes)
		}
	}
	return nil
}

func (p *publisher) progress(at Progress) {
	if p.req.Progress != nil {
		p.req.Progress(at)
	}
}

// walked tells how far the walk over the keys is, which is what takes the time.
func (p *publisher) walked(stage string, done, total int) {
	switch stage {
	case lookup.StageReading:
		p.progress(Progress{Stage: lookup.StageEvaluating, Done: done, Total: p.index.Len()})
	case lookup.StageWriting:
		p.progress(Progress{Stage: stage, Done: done, Total: total})
	}
}

// checkRotation measures what a rotation of all agreements costs, and refuses an
// epoch that is shorter.
func (p *publisher) checkRotation() error {
	each, err := p.n.evaluationCost()
	if err != nil {
		return err
	}
	total := int64(p.index.Len())
	epochs, err := p.n.Store.Epochs("")
	if err != nil {
		return err
	}
	for _, e := range epochs {
		if e.State != store.EpochCurrent || e.Agreement == p.a.Hex() {
			continue
		}
		last, err := p.n.Store.LastPublication(e.Agreement, e.Epoch)
		if err != nil {
			return err
		}
		var d publicationDetail
		if err := json.Unmarshal([]byte(last.Detail), &d); err != nil {
			return fmt.Errorf("stored publication: %w", err)
		}
		total += d.Keys
	}
	cpu := each * time.Duration(total)
	p.total = cpu.Seconds()
	wall := cpu / time.Duration(parallel.Workers(p.n.Workers))
	if wall > p.a.Lookup.epoch() {
		return refuse(CodeRefused, "a rotation of all agreements takes %s on this machine, the agreement wants one every %s: publish less or agree on a longer epoch",
			wall.Round(time.Second), p.a.Lookup.epoch())
	}
	return nil
}

// evaluationCost returns the CPU time of one output.
func (n *Node) evaluationCost() (time.Duration, error) {
	if n.cost != 0 {
		return n.cost, nil
	}
	key, err := voprf.GenerateKey(voprf.ModeVOPRF, n.Rand)
	if err != nil {
		return 0, err
	}
	inputs := make([][]byte, 256)
	for i := range inputs {
		inputs[i] = beUint64(uint64(i))
	}
	var outErr error
	d := threadTime(func() { _, outErr = key.Evaluate(context.Background(), inputs, 1) })
	return d / time.Duration(len(inputs)), outErr
}

// publish stages, signs and commits the next serial of the epoch.
func (p *publisher) publish() (*Publication, error) {
	n, a := p.n, p.a
	id := epochID{a.Hex(), p.epoch.row.Epoch}
	pub, err := lookup.OpenPublisher(n.ownPath(id), a.lookupParams(id.epoch), p.epoch.secret, lookup.Options{
		Rand: n.Rand, Workers: n.Workers,
		Progress: p.walked,
	})
	if err != nil {
		return nil, err
	}
	defer pub.Close()
	terms, err := p.terms()
	if err != nil {
		return nil, err
	}
	staged, err := pub.Stage(p.ctx, p.input(id.epoch), p.evaluate, terms)
	if errors.Is(err, lookup.ErrUnchanged) {
		return n.unchanged(a, id.epoch)
	}
	if err != nil {
		return nil, err
	}
	signature, err := n.signManifest(staged.Bytes())
	if err != nil {
		return nil, errors.Join(err, staged.Discard())
	}
	// Once its manifest is on the disk, the version is published.
	if err := staged.Commit(signature); err != nil {
		return nil, err
	}
	s := staged.Stats
	detail := publicationDetail{Records: int64(s.Records), Keys: int64(s.Items), Cut: int64(p.index.Cut()), Computed: int64(s.Evaluated), Added: int64(s.Added),
		Removed: int64(s.Removed), CPUSeconds: time.Duration(p.cpu.Load()).Seconds(), RotationCPUSeconds: p.total}
	if err := p.record(staged.Manifest, lookup.Signed{Manifest: staged.Bytes(), Signature: signature}, detail); err != nil {
		return nil, err
	}
	last, err := n.Store.LastPublication(a.Hex(), id.epoch)
	if err != nil {
		return nil, err
	}
	out, err := n.publicationOf(a, last)
	if err == nil {
		out.Changed = true
	}
	return out, err
}

// terms are what the next manifest says of its epoch.
func (p *publisher) terms() (lookup.Terms, error) {
	now := p.n.Now()
	t := lookup.Terms{Created: now, ValidUntil: now.Add(p.a.Lookup.epoch() + p.a.Lookup.overlap()),
		RuleSet: p.a.Rules.Hash(), Normalisation: p.a.Normalisation}
	copy(t.PublicKey[:], p.epoch.row.PublicKey)
	row, err := p.n.Store.Epoch(p.a.Hex(), p.epoch.row.Epoch)
	if err == nil && row.State == store.EpochCurrent {
		t.ValidUntil = row.AnswersUntil
	}
	return t, err
}

// input is the index as package lookup walks it.
func (p *publisher) input(epoch uint32) lookup.Input {
	params := p.a.lookupParams(epoch)
	return lookup.Input{
		Records: p.index.Records(),
		Count:   p.index.Len(),
		Items: func(yield func(lookup.Item, []uint32) error) error {
			var owners []uint32
			items := make([]lookup.Item, min(p.index.Len(), itemBatch))
			for first := 0; first < p.index.Len(); first += len(items) {
				items = items[:min(len(items), p.index.Len()-first)]
				if err := p.itemize(&params, items, first); err != nil {
					return err
				}
				for i := range items {
					owners = p.index.RecordsOf(owners[:0], first+i)
					if err := yield(items[i], owners); err != nil {
						return err
					}
				}
			}
			return nil
		},
		Record: func(n int) (string, lookup.Label, error) {
			return p.index.ID(uint32(n)), p.label(uint32(n)), nil
		},
	}
}

// itemBatch is the number of keys that are hashed before they are walked.
const itemBatch = 1 << 16

// itemize sets items to those of the keys from first on.
func (p *publisher) itemize(params *lookup.Params, items []lookup.Item, first int) error {
	return parallel.Ranges(p.ctx, p.n.Workers, len(items), hashBatch, func(lo, hi int) error {
		h := params.Hasher()
		for i := lo; i < hi; i++ {
			key := p.index.Key(first + i)
			items[i] = h.Item(key.Rule, key.Value)
		}
		return nil
	})
}

// evaluate computes outputs in one goroutine of several.
func (p *publisher) evaluate(ctx context.Context, dst [][lookup.OutputSize]byte, items []lookup.Item) error {
	inputs := make([][]byte, len(items))
	for i := range items {
		inputs[i] = items[i][:]
	}
	var outputs []voprf.Output
	var err error
	p.cpu.Add(int64(threadTime(func() { outputs, err = p.epoch.key.Evaluate(ctx, inputs, 1) })))
	copy(dst, outputs)
	return err
}

// signManifest returns the agency's signatures over a manifest.
func (n *Node) signManifest(manifest []byte) ([]byte, error) {
	sig, err := n.Identity.Sign(domainManifest, manifest)
	if err != nil {
		return nil, err
	}
	return sig.Bytes(), nil
}

// record stores what is published, and moves the epochs on.
func (p *publisher) record(m *lookup.Manifest, s lookup.Signed, detail publicationDetail) error {
	n, a, now := p.n, p.a, p.n.Now()
	raw, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		err := tx.PutPublication(store.Publication{Agreement: a.Hex(), Epoch: m.Epoch, Serial: m.Serial, Manifest: s.Manifest,
			Signature: s.Signature, Detail: string(raw), Created: m.Created})
		if err != nil {
			return err
		}
		row, err := tx.Epoch(a.Hex(), m.Epoch)
		if err != nil {
			return err
		}
		if row.State == store.EpochBuilding {
			oldUntil := now.Add(a.Lookup.overlap())
			if p.req.NoOverlap {
				oldUntil = now
			}
			if err := tx.PublishEpoch(a.Hex(), m.Epoch, m.ValidUntil.Add(-a.Lookup.overlap()), m.ValidUntil, oldUntil); err != nil {
				return err
			}
		}
		e := auditOf(eventPublished, p.req.User)
		e.Mode, e.Role, e.Epoch, e.Serial = string(psi.ModeLookup), string(psi.RoleSender), m.Epoch, m.Serial
		e.OwnItems = &detail.Keys
		hash := m.Hash()
		e.Transcript = hex.EncodeToString(hash[:])
		return n.append(tx, a, e)
	})
	n.lookups.changed(a.Hex())
	return err
}

// unchanged returns the version that is up to date.
func (n *Node) unchanged(a *Agreement, epoch uint32) (*Publication, error) {
	last, err := n.Store.LastPublication(a.Hex(), epoch)
	if err != nil {
		return nil, err
	}
	return n.publicationOf(a, last)
}

// publicationOf reads a stored version.
func (n *Node) publicationOf(a *Agreement, row store.Publication) (*Publication, error) {
	m, err := lookup.ParseManifest(row.Manifest)
	if err != nil {
		return nil, fmt.Errorf("stored manifest: %w", err)
	}
	e, err := n.Store.Epoch(row.Agreement, row.Epoch)
	if err != nil {
		return nil, err
	}
	p := &Publication{Agreement: row.Agreement, Epoch: row.Epoch, Serial: row.Serial, State: e.State, PaddedKeys: int64(m.Keys),
		FilterBytes: m.Filter.Bytes, Created: m.Created, EpochEnds: e.Ends, ValidUntil: e.AnswersUntil,
		NextDue: m.Created.Add(a.Lookup.every())}
	if d := len(m.Deltas); d > 0 {
		p.DeltaBytes = m.Deltas[d-1].Bytes
	}
	if err := json.Unmarshal([]byte(row.Detail), &p.publicationDetail); err != nil {
		return nil, fmt.Errorf("stored publication: %w", err)
	}
	return p, nil
}

// Publications returns the versions that were published under an agreement, or
// under all for "", the newest of each first.
func (n *Node) Publications(agreement string) ([]Publication, error) {
	rows, err := n.Store.Publications(agreement)
	if err != nil {
		return nil, err
	}
	out := make([]Publication, 0, len(rows))
	for _, row := range rows {
		a, err := loadAgreement(n.Store.Reader, row.Agreement)
		if err != nil {
			return nil, err
		}
		p, err := n.publicationOf(a, row)
		if err != nil {
			return nil, err
		}
		out = append(out, *p)
	}
	return out, nil
}

// endEpochs ends the epochs of an agreement that are chosen.
func (n *Node) endEpochs(a *Agreement, chosen func(store.Epoch) bool) error {
	epochs, err := n.Store.Epochs(a.Hex())
	if err != nil {
		return err
	}
	for _, e := range epochs {
		if chosen(e) {
			if err := n.endEpoch(a, e); err != nil {
				return err
			}
		}
	}
	return nil
}
