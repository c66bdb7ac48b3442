package psi

import "encoding/binary"

// LabelSlot points to a row and opens it.
type LabelSlot struct {
	Row uint32
	Key [recordKeyLen]byte
}

// HitSlots is what the entry of one hit says, enough to open its labels later.
type HitSlots struct {
	Slots []LabelSlot
	// More and Broken are as in HitLabels.
	More, Broken bool
}

// SealEntry seals an entry of at most p.Slots slots into box, EntryLen bytes
// that hold randomness: it overwrites all of box but the nonce it finds there.
// More says that there are records beyond the slots. Entries and rows of a
// session are bound to their place; who seals them for something else chooses
// other associated data.
func (p *LabelParams) SealEntry(box []byte, key [32]byte, slots []LabelSlot, more bool, ad []byte) {
	if len(box) != p.EntryLen() || len(slots) > p.Slots {
		panic("psi: label entry has the wrong size")
	}
	plain := make([]byte, 1, 1+p.Slots*slotLen)
	if more {
		plain[0] = flagMore
	}
	for _, s := range slots {
		plain = binary.BigEndian.AppendUint32(plain, s.Row)
		plain = append(plain, s.Key[:]...)
	}
	var unused [slotLen]byte
	binary.BigEndian.PutUint32(unused[:], noRow)
	for len(plain) < cap(plain) {
		plain = append(plain, unused[:]...)
	}
	seal(box, key, plain, ad)
}

// OpenEntry returns what an entry of EntryLen bytes says. It is Broken, and
// nothing else, if it does not open or is not well formed.
func (p *LabelParams) OpenEntry(box []byte, key [32]byte, ad []byte) HitSlots {
	broken := HitSlots{Broken: true}
	plain, ok := open(box, key, ad)
	if !ok || plain[0] > flagMore {
		return broken
	}
	out := HitSlots{More: plain[0] == flagMore}
	used := true
	for s := plain[1:]; len(s) > 0; s = s[slotLen:] {
		row := binary.BigEndian.Uint32(s)
		if row == noRow {
			used = false
			continue
		}
		// Used slots come first, and there is at least one.
		if !used || int64(row) >= int64(p.Rows) {
			return broken
		}
		out.Slots = append(out.Slots, LabelSlot{row, [recordKeyLen]byte(s[4:])})
	}
	if len(out.Slots) == 0 {
		return broken
	}
	return out
}

// SealRow seals a label of at most p.LabelLen bytes into box, RowLen bytes that
// hold randomness: it overwrites all of box but the nonce it finds there.
func (p *LabelParams) SealRow(box []byte, key [32]byte, label, ad []byte) {
	if len(box) != p.RowLen() || len(label) > p.LabelLen {
		panic("psi: label row has the wrong size")
	}
	plain := make([]byte, 2+p.LabelLen)
	binary.BigEndian.PutUint16(plain, uint16(len(label)))
	copy(plain[2:], label)
	seal(box, key, plain, ad)
}

// OpenRow returns the label in a row of RowLen bytes, and whether it opened.
func (p *LabelParams) OpenRow(box []byte, key [32]byte, ad []byte) ([]byte, bool) {
	plain, ok := open(box, key, ad)
	if !ok || int(binary.BigEndian.Uint16(plain)) > p.LabelLen {
		return nil, false
	}
	return plain[2:][:binary.BigEndian.Uint16(plain)], true
}

// seal overwrites all of box but its nonce, which it finds there.
func seal(box []byte, key [32]byte, plain, ad []byte) {
	nonce := box[:nonceLen]
	sealer(key).Seal(nonce, nonce, plain, ad)
}

// open returns the plaintext of a box that starts with its nonce.
func open(box []byte, key [32]byte, ad []byte) ([]byte, bool) {
	plain, err := sealer(key).Open(nil, box[:nonceLen], box[nonceLen:], ad)
	return plain, err == nil
}
