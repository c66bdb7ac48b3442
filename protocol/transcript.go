package protocol

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// transcript hashes what an attempt has said in each direction, so that the
// interleaving of the two, which no two observers see alike, does not matter.
// A frame enters by its fields, not by its encoding, which protobuf does not
// fix. Only frames from Start up to Finish count. Each shard that is finished
// is folded into a chain, so that a later attempt goes on from there.
type transcript struct {
	session  [32]byte
	proposal [32]byte
	attempt  uint32
	chain    [32]byte
	// said[0] is what the proposer has said since the last fold, said[1] the
	// acceptor.
	said [2]hash.Hash
}

func newTranscript(session, proposal [32]byte, attempt uint32, chain [32]byte) *transcript {
	return &transcript{session: session, proposal: proposal, attempt: attempt, chain: chain,
		said: [2]hash.Hash{sha256.New(), sha256.New()}}
}

// fold ends a shard.
func (t *transcript) fold(shard int) {
	t.chain = psi.HashTuple([]byte("symbolon/v1/transcript-shard"), t.chain[:], binary.BigEndian.AppendUint32(nil, uint32(shard)),
		binary.BigEndian.AppendUint32(nil, t.attempt), t.said[0].Sum(nil), t.said[1].Sum(nil))
	t.said[0].Reset()
	t.said[1].Reset()
}

// add hashes a frame said by the proposer or by the acceptor.
func (t *transcript) add(byProposer bool, f *wirepb.Frame) {
	h := t.said[1]
	if byProposer {
		h = t.said[0]
	}
	part := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	number := func(n uint64) {
		part(binary.BigEndian.AppendUint64(nil, n))
	}
	// The first number is the field's in the message Frame.
	switch b := f.Body.(type) {
	case *wirepb.Frame_Start:
		number(7)
		part(b.Start.Session)
		number(uint64(b.Start.Attempt))
		number(b.Start.Items)
		number(b.Start.Records)
		part(b.Start.Commitment)
		number(uint64(b.Start.FinishedShards))
	case *wirepb.Frame_Engine:
		number(8)
		number(uint64(b.Engine.Kind))
		part(b.Engine.Payload)
	case *wirepb.Frame_LabelEntries:
		number(9)
		part(b.LabelEntries.Payload)
	case *wirepb.Frame_LabelTable:
		number(10)
		part(b.LabelTable.Payload)
	case *wirepb.Frame_Receipts:
		number(11)
		number(b.Receipts.Total)
		part(b.Receipts.Payload)
	}
}

// sum returns the hash that both sides sign.
func (t *transcript) sum() [32]byte {
	return psi.HashTuple([]byte("symbolon/v1/transcript"), t.session[:], t.proposal[:],
		binary.BigEndian.AppendUint32(nil, t.attempt), t.chain[:], t.said[0].Sum(nil), t.said[1].Sum(nil))
}
