package protocol

import (
	"io"
	"math"

	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// rounds are the engine's rounds of an attempt and what follows them: labels
// from sender to receiver, receipts the other way.
type rounds struct {
	*session
	link   *link
	params psi.Params
	in     *input
	rows   int // of the sender's label table
	rand   io.Reader
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

// send runs the sender's side.
func (e *rounds) send(items []psi.Item, o psi.Options, r *attemptResult) error {
	party, err := NewSender(e.agreement.Engine, e.params, items, o)
	if err != nil {
		return err
	}
	if err := psi.Drive(e.link.ctx, party, engineConn{e.link}); err != nil {
		return err
	}
	r.count = -1
	out := party.Outputs()
	if e.labelled() {
		if err := e.sendLabels(out); err != nil {
			return err
		}
	}
	if e.params.Mode == psi.ModeMutual {
		return e.recvReceipts(out, r)
	}
	return nil
}

// sendLabels sends an entry for each tag, then the table.
func (e *rounds) sendLabels(out *psi.Outputs) error {
	l, ctx := e.link, e.link.ctx
	table, err := psi.NewLabelTable(e.labelParams(), e.rand, e.in.index.Records(), func(record int) ([]byte, error) {
		return []byte(e.in.label(uint32(record))), nil
	})
	if err != nil {
		return err
	}
	keys := uint32(e.in.index.Len())
	entries, err := psi.NewLabelSealer(table, e.params.Context(), out, func(item uint32) []uint32 {
		if item >= keys {
			return nil // padding
		}
		return e.in.index.RecordsOf(nil, int(item))
	}, e.rand)
	if err != nil {
		return err
	}
	for !entries.Done() {
		batch, err := entries.Next(ctx)
		if err != nil {
			return err
		}
		if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_LabelEntries{LabelEntries: &wirepb.Chunk{Payload: batch}}}); err != nil {
			return err
		}
	}
	for !table.Done() {
		batch, err := table.Next(ctx)
		if err != nil {
			return err
		}
		if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_LabelTable{LabelTable: &wirepb.Chunk{Payload: batch}}}); err != nil {
			return err
		}
	}
	return nil
}

// recvReceipts learns which of our items were hit. A receipt that was not
// derived from the item itself is refused, so a hit can't be invented.
func (e *rounds) recvReceipts(out *psi.Outputs, r *attemptResult) error {
	var checker *psi.ReceiptChecker
	var total uint64
	for checker == nil || !checker.Done() {
		f, err := e.link.recv(e.link.timeouts.Round)
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
			if checker, err = psi.NewReceiptChecker(&e.params, out, int(total)); err != nil {
				return err
			}
			if total == 0 && len(m.Payload) == 0 {
				break
			}
		}
		if m.Total != total {
			return refuse(CodeMessage, "the peer announces %d receipts, then %d", total, m.Total)
		}
		if err := checker.Handle(e.link.ctx, m.Payload); err != nil {
			return err
		}
	}
	r.count = int(total)
	hit := map[int]bool{}
	for _, p := range checker.Positions() {
		hit[int(out.Order[p])] = true
	}
	for key := range e.in.index.Len() {
		if hit[key] {
			r.hits = append(r.hits, itemHit{key: key})
			delete(hit, key)
		}
	}
	if len(hit) > 0 { // our own padding is random: nobody else has it
		return refuse(CodeMessage, "the peer sent receipts for %d padding items", len(hit))
	}
	return nil
}

// receive runs the receiver's side.
func (e *rounds) receive(items []psi.Item, o psi.Options, r *attemptResult) error {
	party, err := NewReceiver(e.agreement.Engine, e.params, items, o)
	if err != nil {
		return err
	}
	if err := psi.Drive(e.link.ctx, party, engineConn{e.link}); err != nil {
		return err
	}
	res := party.Result()
	r.count = res.Count
	labels := make([]psi.HitLabels, len(res.Hits))
	if e.labelled() {
		if labels, err = e.recvLabels(res); err != nil {
			return err
		}
	}
	for i, h := range res.Hits {
		if int(h.Item) >= e.in.index.Len() {
			return refuse(CodeMessage, "the peer's tags match our padding")
		}
		r.hits = append(r.hits, itemHit{key: int(h.Item), labels: labels[i]})
	}
	if e.params.Mode == psi.ModeMutual {
		return e.sendReceipts(res)
	}
	return nil
}

// recvLabels opens the labels of our hits. Labels that don't open are kept to
// ourselves: the peer must not learn from an abort that there was a hit.
func (e *rounds) recvLabels(res *psi.Result) ([]psi.HitLabels, error) {
	opener, err := psi.NewLabelOpener(e.labelParams(), e.params.Context(), e.params.SenderItems, res)
	if err != nil {
		return nil, err
	}
	for !opener.Done() {
		f, err := e.link.recv(e.link.timeouts.Round)
		if err != nil {
			return nil, err
		}
		switch {
		case f.GetLabelEntries() != nil:
			err = opener.Entries(e.link.ctx, f.GetLabelEntries().Payload)
		case f.GetLabelTable() != nil:
			err = opener.Rows(e.link.ctx, f.GetLabelTable().Payload)
		default:
			err = refuse(CodeMessage, "the peer sent %s, want labels", frameName(f))
		}
		if err != nil {
			return nil, err
		}
	}
	labels, _ := opener.Labels() // what is broken is flagged in each
	return labels, nil
}

// sendReceipts tells the sender which of its items were hit.
func (e *rounds) sendReceipts(res *psi.Result) error {
	receipts, err := psi.NewReceipts(e.params.Context(), res, e.rand)
	if err != nil {
		return err
	}
	total := uint64(receipts.Len())
	for first := true; first || !receipts.Done(); first = false {
		batch, err := receipts.Next(e.link.ctx)
		if err != nil {
			return err
		}
		if err := e.link.send(&wirepb.Frame{Body: &wirepb.Frame_Receipts{Receipts: &wirepb.Receipts{Total: total, Payload: batch}}}); err != nil {
			return err
		}
	}
	return nil
}
