package lookup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/symbolon/symbolon/psi"
)

// MaxLabel bounds the three parts of a label together, in bytes.
const MaxLabel = 256

// labelOverhead is what the encoding adds to the parts: the lengths of two.
const labelOverhead = 4

// Label is what an owner says of a record to whoever hits it.
type Label struct {
	// Reference is the owner's name for the case, Contact whom to ask about
	// it, Text anything else.
	Reference string `json:"reference"`
	Contact   string `json:"contact,omitempty"`
	Text      string `json:"text,omitempty"`
}

// encode returns the bytes that are sealed, if the parts have at most limit
// bytes together:
//
//	length of reference 2 | reference | length of contact 2 | contact | text
func (l *Label) encode(limit int) ([]byte, error) {
	parts := len(l.Reference) + len(l.Contact) + len(l.Text)
	if parts > limit {
		return nil, fmt.Errorf("label has %d bytes, at most %d fit", parts, limit)
	}
	for _, s := range []string{l.Reference, l.Contact, l.Text} {
		if !utf8.ValidString(s) {
			return nil, errors.New("label is not UTF-8")
		}
	}
	b := make([]byte, 0, labelOverhead+parts)
	for _, s := range []string{l.Reference, l.Contact} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return append(b, l.Text...), nil
}

// decodeLabel reads what encode wrote. The bytes are the peer's.
func decodeLabel(b []byte) (l Label, ok bool) {
	for _, part := range []*string{&l.Reference, &l.Contact} {
		if len(b) < 2 {
			return Label{}, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			return Label{}, false
		}
		*part, b = string(b[:n]), b[n:]
	}
	l.Text = string(b)
	for _, s := range []string{l.Reference, l.Contact, l.Text} {
		if !utf8.ValidString(s) {
			return Label{}, false
		}
	}
	return l, true
}

// labeller seals and opens the entries and rows of one epoch. They are bound to
// the agreement and the epoch, rows to their place too. Entries are not, for
// ranks shift from one serial to the next: an entry opens under its own seed's
// key alone, wherever an owner puts it.
type labeller struct {
	psi.LabelParams
	entryAD, rowAD []byte
}

// Domains of the associated data.
const (
	domainEntry = "symbolon/v1/lookup-entry"
	domainRow   = "symbolon/v1/lookup-row"
)

func newLabeller(p *Params, rows int) *labeller {
	ad := func(domain string) []byte {
		return psi.AppendPart(psi.AppendPart(nil, []byte(domain)), p.Context())
	}
	return &labeller{
		LabelParams: psi.LabelParams{
			Associated: p.Context(), LabelLen: labelOverhead + p.LabelBytes, Slots: p.Slots, Rows: rows,
		},
		entryAD: ad(domainEntry), rowAD: ad(domainRow),
	}
}

// atRow returns the associated data of a row.
func (l *labeller) atRow(row uint32) []byte {
	b := make([]byte, len(l.rowAD), len(l.rowAD)+4)
	copy(b, l.rowAD)
	return binary.BigEndian.AppendUint32(b, row)
}

// entryLen and rowLen return the lengths of an entry and a row in bytes, 0
// without labels.
func (p *Params) entryLen() int {
	if !p.Labelled() {
		return 0
	}
	return newLabeller(p, 0).EntryLen()
}

func (p *Params) rowLen() int {
	if !p.Labelled() {
		return 0
	}
	return newLabeller(p, 0).RowLen()
}
