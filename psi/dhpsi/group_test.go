package dhpsi

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudflare/circl/expander"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func readVectors(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func decodeScalar(t *testing.T, s string) scalar {
	t.Helper()
	x := ristretto.NewScalar()
	if err := x.UnmarshalBinary(unhex(s)); err != nil {
		t.Fatal(err)
	}
	return scalar{x}
}

// TestHashToGroup checks hash_to_ristretto255 and multiplication. RFC 9380
// gives no vectors for this suite (its Appendix J covers curves), so the blinded
// elements of RFC 9497, which are blind · hash_to_ristretto255(input), stand in.
func TestHashToGroup(t *testing.T) {
	var file struct {
		Vectors []struct {
			DST        string `json:"dst"`
			Input      string `json:"input"`
			Blind      string `json:"blind"`
			Blinded    string `json:"blinded_element"`
			Key        string `json:"secret_key"`
			Evaluation string `json:"evaluation_element"`
		} `json:"vectors"`
	}
	readVectors(t, "rfc9497_a1.json", &file)
	if len(file.Vectors) < 8 {
		t.Fatalf("found %d vectors", len(file.Vectors))
	}
	for i, v := range file.Vectors {
		h := &hasher{dst: unhex(v.DST)}
		blind := decodeScalar(t, v.Blind)
		e := h.hash(unhex(v.Input))
		var plain, got [ElementSize]byte
		e.encode(plain[:])
		e.mul(blind)
		e.encode(got[:])
		if !bytes.Equal(got[:], unhex(v.Blinded)) {
			t.Errorf("vector %d: blinded element is %x", i, got)
		}
		if v.Key != "" {
			if err := e.decode(got[:]); err != nil {
				t.Fatal(err)
			}
			e.mul(decodeScalar(t, v.Key))
			e.encode(got[:])
			if !bytes.Equal(got[:], unhex(v.Evaluation)) {
				t.Errorf("vector %d: evaluated element is %x", i, got)
			}
			e.mul(decodeScalar(t, v.Key).inverse())
		}
		e.mul(blind.inverse())
		e.encode(got[:])
		if got != plain {
			t.Errorf("vector %d: the inverse does not undo a scalar", i)
		}
	}
}

func TestExpandMessage(t *testing.T) {
	var file struct {
		DST     string `json:"dst"`
		Vectors []struct {
			Msg     string `json:"msg"`
			Length  uint   `json:"length"`
			Uniform string `json:"uniform_bytes"`
		} `json:"vectors"`
	}
	readVectors(t, "rfc9380_k3.json", &file)
	if len(file.Vectors) < 8 {
		t.Fatalf("found %d vectors", len(file.Vectors))
	}
	for i, v := range file.Vectors {
		got := expander.NewExpanderMD(crypto.SHA512, []byte(file.DST)).Expand([]byte(v.Msg), v.Length)
		if !bytes.Equal(got, unhex(v.Uniform)) {
			t.Errorf("vector %d: got %x", i, got)
		}
	}
}

func TestInvalidEncodings(t *testing.T) {
	var file struct {
		Vectors []struct{ Why, Encoding string } `json:"vectors"`
	}
	readVectors(t, "rfc9496_a2.json", &file)
	if len(file.Vectors) != 29 {
		t.Fatalf("found %d vectors", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		if err := newElement().decode(unhex(v.Encoding)); !errors.Is(err, errNotCanonical) {
			t.Errorf("%s, %s: got error %v", v.Why, v.Encoding, err)
		}
	}
	if err := newElement().decode(make([]byte, ElementSize)); !errors.Is(err, errIdentity) {
		t.Errorf("identity: got error %v", err)
	}
}

// FuzzDecode checks that what decodes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, ElementSize))
	f.Add(unhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")) // the generator
	f.Add(unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != ElementSize {
			return
		}
		e := newElement()
		if e.decode(b) != nil {
			return
		}
		var got [ElementSize]byte
		e.encode(got[:])
		if !bytes.Equal(got[:], b) {
			t.Fatalf("%x decodes to an element that encodes to %x", b, got)
		}
	})
}

func BenchmarkHashMultiplyEncode(b *testing.B) {
	s, err := randomScalar(stream("bench"))
	if err != nil {
		b.Fatal(err)
	}
	h := newHasher(nil)
	item := make([]byte, 16)
	var out [ElementSize]byte
	b.ReportAllocs()
	for b.Loop() {
		e := h.hash(item)
		e.mul(s)
		e.encode(out[:])
		copy(item, out[:])
	}
}

func BenchmarkDecodeMultiplyEncode(b *testing.B) {
	s, err := randomScalar(stream("bench"))
	if err != nil {
		b.Fatal(err)
	}
	var out [ElementSize]byte
	e := newHasher(nil).hash(nil)
	e.encode(out[:])
	b.ReportAllocs()
	for b.Loop() {
		if err := e.decode(out[:]); err != nil {
			b.Fatal(err)
		}
		e.mul(s)
		e.encode(out[:])
	}
}
