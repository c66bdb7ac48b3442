package keys

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// NoteSigner returns the signer of log heads: the identity's Ed25519 key, which
// is the key type that notes know, over the note's bare text. A text never
// begins with a zero byte as everything signed by Sign does, so neither can
// stand for the other. A quantum computer could forge heads, but not what they
// commit to: agreements and transcripts have both signatures.
func (id *Identity) NoteSigner() note.Signer {
	return &noteSigner{Verifier: id.public.NoteVerifier(), keys: id.keys}
}

type noteSigner struct {
	note.Verifier
	keys hidden[*privateKeys]
}

// Sign refuses what is no note's text; note.Sign does not look, and the text
// may be a peer's to countersign.
func (s *noteSigner) Sign(msg []byte) ([]byte, error) {
	control := func(r rune) bool { return r < ' ' && r != '\n' }
	if !utf8.Valid(msg) || bytes.ContainsFunc(msg, control) || !bytes.HasSuffix(msg, []byte("\n")) {
		return nil, errors.New("keys: not the text of a note: want lines of UTF-8 without control characters")
	}
	return ed25519.Sign(s.keys().ed, msg), nil
}

// NoteName returns the name under which an identity signs notes, "symbolon/"
// and its fingerprint.
func NoteName(f Fingerprint) string { return "symbolon/" + f.String() }

// NoteVerifier returns the verifier of this identity's notes.
func (p *PublicIdentity) NoteVerifier() note.Verifier { return noteVerifier(p.keys) }

// NoteVerifiers returns the verifiers of this identity and, after it, of those
// it replaced, the newest first: heads from before a rotation stay verifiable.
// Heads from after it must be the new identity's own, for old keys may be in
// other hands by now.
func (p *PublicIdentity) NoteVerifiers() []note.Verifier {
	list := []note.Verifier{p.NoteVerifier()}
	for i := len(p.chain) - 1; i >= 0; i-- {
		list = append(list, noteVerifier(p.chain[i].keys))
	}
	return list
}

func noteVerifier(k *publicKeys) note.Verifier {
	name := NoteName(k.fingerprint)
	encoded, err := note.NewEd25519VerifierKey(name, k.ed)
	if err != nil {
		panic(fmt.Sprintf("keys: verifier key of %s: %v", name, err)) // the key's length is checked
	}
	v, err := note.NewVerifier(encoded)
	if err != nil {
		panic(fmt.Sprintf("keys: verifier of %s: %v", name, err)) // just encoded
	}
	return v
}
