package protocol

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// rounds are the engine's rounds of an attempt, shard by shard, and what follows
// them: labels from sender to receiver, receipts the other way.
type rounds struct {
	*session
	link     *link
	in       *input
	params   psi.Params // of the whole
	sharding psi.Sharding
	cut      *psi.Cut
	rows     int             // of the sender's label table
	table    *psi.LabelTable // the sender's, where labels travel
}

// newRounds prepares an attempt that both sides have started.
func (s *session) newRounds(l *link, in *input, r *attemptResult, items []psi.Item, rows int) (*rounds, error) {
	e := &rounds{session: s, link: l, in: in, rows: rows, params: psi.Params{
		Mode: s.proposal.Mode, Security: s.agreement.Security,
		SenderItems: int(r.items), ReceiverItems: int(r.peerItems), Session: s.id, Attempt: r.attempt,
	}}
	p := &e.params
	if s.role == psi.RoleReceiver {
		p.SenderItems, p.ReceiverItems = p.ReceiverItems, p.SenderItems
	}
	target := int(s.agreement.ShardItems)
	if p.Mode == psi.ModeCardinality {
		target = 0 // the counts of shards would say more than their sum
	}
	var err error
	if e.sharding, err = psi.NewSharding(p, target); err != nil {
		return nil, err
	}
	e.cut = psi.NewCut(e.sharding, p, items)
	if s.role == psi.RoleSender && s.labelled() {
		// Entries of earlier attempts point into the same table: its order and
		// its keys are the session's, its nonces the attempt's.
		e.table, err = psi.NewLabelTable(e.labelParams(), psi.NewStream(s.seed, streamTable),
			psi.NewStream(s.seed, streamRows, r.attempt), in.index.Records(),
			func(record int) ([]byte, error) { return []byte(in.label(uint32(record))), nil })
	}
	return e, err
}

// shard is one shard's run and its labels and receipts.
type shard struct {
	*rounds
	psi.Params
	items []psi.Item
	order []uint32 // index of each item that is not the shard's own padding; nil for all
	rand  io.Reader
	state shardState
}

// shard runs one shard.
func (e *rounds) shard(n int, o psi.Options) (*shardState, error) {
	x := &shard{rounds: e, Params: e.sharding.Params(e.params, n)}
	x.rand = psi.NewStream(e.seed, streamLabels, uint32(n), e.params.Attempt)
	o.Rand = psi.NewStream(e.seed, streamEngine, uint32(n), e.params.Attempt)
	size := x.ReceiverItems
	if e.role == psi.RoleSender {
		size = x.SenderItems
	}
	var err error
	if x.items, x.order, err = e.cut.Shard(n, size, o.Rand); err != nil {
		return nil, err
	}
	if progress := o.Progress; progress != nil && e.sharding.Shards > 1 {
		o.Progress = func(stage string, done, total int) {
			progress(fmt.Sprintf("shard %d of %d, %s", n+1, e.sharding.Shards, stage), done, total)
		}
	}
	if e.role == psi.RoleSender {
		err = x.send(o)
	} else {
		err = x.receive(o)
	}
	return &x.state, err
}

// key returns the index among our keys of a shard's item, -1 for padding.
func (x *shard) key(item uint32) int {
	if x.order != nil {
		if int(item) >= len(x.order) {
			return -1
		}
		item = x.order[item]
	}
	if int(item) >= x.in.index.Len() {
		return -1
	}
	return int(item)
}

func (e *rounds) labelParams() psi.LabelParams {
	id := e.agreement.ID()
	var associated []byte
	for _, part := range [][]byte{[]byte("symbolon/labels/v1"), id[:], e.id[:]} {
		associated = psi.AppendPart(associated, part)
	}
	return psi.LabelParams{
		Associated: associated, LabelLen: e.agreement.Labels.Bytes, Slots: e.agreement.Labels.Slots, Rows: e.rows,
	}
}

// send runs the sender's side of a shard.
func (x *shard) send(o psi.Options) error {
	party, err := NewSender(x.agreement.Engine, x.Params, x.items, o)
	if err != nil {
		return err
	}
	if err := psi.Drive(x.link.ctx, party, engineConn{x.link}); err != nil {
		return err
	}
	x.state.Count = -1
	out := party.Outputs()
	if x.labelled() {
		if err := x.sendEntries(out); err != nil {
			return err
		}
	}
	if x.Mode == psi.ModeMutual {
		return x.recvReceipts(out)
	}
	return nil
}

// sendEntries sends an entry for each tag.
func (x *shard) sendEntries(out *psi.Outputs) error {
	entries, err := psi.NewLabelSealer(x.table, x.Context(), out, func(item uint32) []uint32 {
		if key := x.key(item); key >= 0 {
			return x.in.index.RecordsOf(nil, key)
		}
		return nil
	}, x.rand)
	if err != nil {
		return err
	}
	for !entries.Done() {
		batch, err := entries.Next(x.link.ctx)
		if err != nil {
			return err
		}
		if err := x.link.send(&wirepb.Frame{Body: &wirepb.Frame_LabelEntries{LabelEntries: &wirepb.Chunk{Payload: batch}}}); err != nil {
			return err
		}
	}
	return nil
}

// recvReceipts learns which of our items were hit. A receipt that was not
// derived from the item itself is refused, so a hit can't be invented.
func (x *shard) recvReceipts(out *psi.Outputs) error {
	var checker *psi.ReceiptChecker
	var total uint64
	for checker == nil || !checker.Done() {
		f, err := x.link.recv(x.link.timeouts.Round)
		if err != nil {
			return err
		}
		m := f.GetReceipts()
		if m == nil {
			return refuse(CodeMessage, "the peer sent %s, want Receipts", frameName(f))
		}
		if checker == nil {
			if total = m.Total; total > math.MaxInt32 {
				return refuse(CodeMessage, "the peer announces %d receipts", total)
			}
			if checker, err = psi.NewReceiptChecker(&x.Params, out, int(total)); err != nil {
				return err
			}
			if total == 0 && len(m.Payload) == 0 {
				break
			}
		}
		if m.Total != total {
			return refuse(CodeMessage, "the peer announces %d receipts, then %d", total, m.Total)
		}
		if err := checker.Handle(x.link.ctx, m.Payload); err != nil {
			return err
		}
	}
	x.state.Count = int(total)
	for _, p := range checker.Positions() {
		key := x.key(out.Order[p])
		if key < 0 { // our own padding is random: nobody else has it
			return refuse(CodeMessage, "the peer sent a receipt for padding")
		}
		x.state.Hits = append(x.state.Hits, keptHit{Key: key})
	}
	return nil
}

// receive runs the receiver's side of a shard.
func (x *shard) receive(o psi.Options) error {
	party, err := NewReceiver(x.agreement.Engine, x.Params, x.items, o)
	if err != nil {
		return err
	}
	if err := psi.Drive(x.link.ctx, party, engineConn{x.link}); err != nil {
		return err
	}
	res := party.Result()
	x.state.Count = res.Count
	for _, h := range res.Hits {
		key := x.key(h.Item)
		if key < 0 {
			return refuse(CodeMessage, "the peer's tags match our padding")
		}
		x.state.Hits = append(x.state.Hits, keptHit{Key: key})
	}
	if x.labelled() {
		if err := x.recvEntries(res); err != nil {
			return err
		}
	}
	if x.Mode == psi.ModeMutual {
		return x.sendReceipts(res)
	}
	return nil
}

// recvEntries opens the entries of our hits.
func (x *shard) recvEntries(res *psi.Result) error {
	opener, err := psi.NewLabelOpener(x.labelParams(), x.Context(), x.SenderItems, res)
	if err != nil {
		return err
	}
	for !opener.EntriesDone() {
		f, err := x.link.recv(x.link.timeouts.Round)
		if err != nil {
			return err
		}
		if f.GetLabelEntries() == nil {
			return refuse(CodeMessage, "the peer sent %s, want LabelEntries", frameName(f))
		}
		if err := opener.Entries(x.link.ctx, f.GetLabelEntries().Payload); err != nil {
			return err
		}
	}
	for i, slots := range opener.Slots() {
		x.state.Hits[i].At = &slots
	}
	return nil
}

// sendReceipts tells the sender which of its items were hit.
func (x *shard) sendReceipts(res *psi.Result) error {
	receipts, err := psi.NewReceipts(x.Context(), res, x.rand)
	if err != nil {
		return err
	}
	total := uint64(receipts.Len())
	for first := true; first || !receipts.Done(); first = false {
		batch, err := receipts.Next(x.link.ctx)
		if err != nil {
			return err
		}
		if err := x.link.send(&wirepb.Frame{Body: &wirepb.Frame_Receipts{Receipts: &wirepb.Receipts{Total: total, Payload: batch}}}); err != nil {
			return err
		}
	}
	return nil
}

// collect puts the shards together and sends or opens the label table.
func (e *rounds) collect(states []shardState, r *attemptResult) error {
	var slots []psi.HitSlots
	for _, s := range states {
		if s.Count < 0 {
			r.count = -1
			break
		}
		r.count += s.Count
		for _, h := range s.Hits {
			if h.Key < 0 || h.Key >= e.in.index.Len() {
				return fmt.Errorf("a stored shard names key %d of %d", h.Key, e.in.index.Len())
			}
			r.hits = append(r.hits, itemHit{key: h.Key})
			if h.At != nil {
				slots = append(slots, *h.At)
			}
		}
	}
	if e.labelled() {
		if e.role == psi.RoleSender {
			if err := e.sendTable(); err != nil {
				return err
			}
		} else {
			labels, err := e.recvTable(slots)
			if err != nil {
				return err
			}
			for i := range r.hits {
				r.hits[i].labels = labels[i]
			}
		}
	}
	slices.SortFunc(r.hits, func(a, b itemHit) int { return cmp.Compare(a.key, b.key) })
	return nil
}

func (e *rounds) sendTable() error {
	for !e.table.Done() {
		batch, err := e.table.Next(e.link.ctx)
		if err != nil {
			return err
		}
		if err := e.link.send(&wirepb.Frame{Body: &wirepb.Frame_LabelTable{LabelTable: &wirepb.Chunk{Payload: batch}}}); err != nil {
			return err
		}
	}
	return nil
}

// recvTable opens the labels of our hits. Labels that don't open are kept to
// ourselves: the peer must not learn from an abort that there was a hit.
func (e *rounds) recvTable(slots []psi.HitSlots) ([]psi.HitLabels, error) {
	opener, err := psi.NewRowOpener(e.labelParams(), slots)
	if err != nil {
		return nil, err
	}
	for !opener.Done() {
		f, err := e.link.recv(e.link.timeouts.Round)
		if err != nil {
			return nil, err
		}
		if f.GetLabelTable() == nil {
			return nil, refuse(CodeMessage, "the peer sent %s, want LabelTable", frameName(f))
		}
		if err := opener.Rows(e.link.ctx, f.GetLabelTable().Payload); err != nil {
			return nil, err
		}
	}
	labels, _ := opener.Labels() // what is broken is flagged in each
	return labels, nil
}
