package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// plain is what must never show up, in any spelling fmt knows.
var plain = []byte("open sesame")

func leaks(out string) bool {
	for _, s := range []string{
		string(plain), fmt.Sprintf("%x", plain), fmt.Sprintf("%X", plain), fmt.Sprintf("% x", plain),
		strings.Trim(fmt.Sprint(plain), "[]"), strings.Trim(fmt.Sprintf("%#v", plain), "[]byte{}"),
	} {
		if strings.Contains(out, s) {
			return true
		}
	}
	return false
}

type holder struct {
	Public  Bytes
	private Bytes
	pointer *Bytes
	list    []Bytes
	byName  map[string]Bytes
}

func TestPrintsNothing(t *testing.T) {
	s := New(plain)
	h := holder{Public: s, private: s, pointer: &s, list: []Bytes{s}, byName: map[string]Bytes{"a": s}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%p", "%t", "%e", "%T", "%20s", "%[1]*[1]d"} {
		for _, v := range []any{s, &s, h, &h, []any{s, h}} {
			if out := fmt.Sprintf(verb, v); leaks(out) {
				t.Errorf("%s of %T prints %s", verb, v, out)
			}
		}
		if verb == "%T" || verb == "%p" || strings.Contains(verb, "*") {
			continue
		}
		if out := fmt.Sprintf(verb, s); out != redacted {
			t.Errorf("%s prints %q, want %q", verb, out, redacted)
		}
	}
	if s.String() != redacted || s.GoString() != redacted {
		t.Error("String or GoString print something else")
	}
	if out := fmt.Errorf("wrapped: %w %v", io.EOF, s).Error(); leaks(out) {
		t.Errorf("an error prints %s", out)
	}
}

func TestEncodesNothing(t *testing.T) {
	s := New(plain)
	h := holder{Public: s, private: s}
	if out, err := json.Marshal(h); err != nil || string(out) != `{"Public":"[secret]"}` {
		t.Errorf("JSON: %s, %v", out, err)
	}
	if out, err := xml.Marshal(h); err != nil || string(out) != `<holder><Public>[secret]</Public></holder>` {
		t.Errorf("XML: %s, %v", out, err)
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(s); err == nil || leaks(buf.String()) {
		t.Error("gob encodes a secret")
	}
	buf.Reset()
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("m", "s", s, "h", h)
	slog.New(slog.NewTextHandler(&buf, nil)).Info("m", "s", s, "h", h)
	if leaks(buf.String()) || !strings.Contains(buf.String(), redacted) {
		t.Errorf("slog: %s", buf.String())
	}
	var back Bytes
	//lint:ignore SA9005 that it can't be read back is the point
	if err := json.Unmarshal([]byte(`"[secret]"`), &back); err == nil {
		t.Error("JSON reads a redacted secret back")
	}
}

func TestBytes(t *testing.T) {
	in := append([]byte(nil), plain...)
	s := New(in)
	clear(in)
	if !bytes.Equal(s.Expose(), plain) || s.Len() != len(plain) {
		t.Error("New does not copy")
	}
	for _, tt := range []struct {
		name string
		a, b Bytes
		want bool
	}{
		{"same bytes", s, New(plain), true},
		{"a prefix", s, New(plain[:3]), false},
		{"another byte", s, New([]byte("open sesamE")), false},
		{"zero values", Bytes{}, New(nil), true},
		{"zero and some", Bytes{}, s, false},
	} {
		if tt.a.Equal(tt.b) != tt.want || tt.b.Equal(tt.a) != tt.want {
			t.Errorf("%s: Equal is not %v", tt.name, tt.want)
		}
	}
	memory, copied := s.Expose(), s
	s.Clear()
	if copied.Len() != 0 || !bytes.Equal(memory, make([]byte, len(plain))) {
		t.Error("Clear leaves bytes behind")
	}
	s.Clear()
	var zero Bytes
	zero.Clear()
	if zero.Len() != 0 || zero.Expose() != nil {
		t.Error("the zero value is not empty")
	}
}

func TestRandom(t *testing.T) {
	s, err := Random(bytes.NewReader(plain), 4)
	if err != nil || string(s.Expose()) != "open" {
		t.Errorf("got %q, %v", s.Expose(), err)
	}
	if s, err := Random(bytes.NewReader(plain), len(plain)+1); !errors.Is(err, io.ErrUnexpectedEOF) || s.Len() != 0 {
		t.Errorf("a short source gives %d bytes and error %v", s.Len(), err)
	}
}
