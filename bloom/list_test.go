package bloom

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// write returns a list in one of the two forms.
func (l *List) write(t testing.TB, csv bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewJSONWriter(&b)
	if csv {
		w = NewCSVWriter(&b)
	}
	for i, id := range l.IDs {
		if err := w.Write(id, l.CLKs.AppendBytes(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sameList(a, b *List) bool {
	if !slices.Equal(a.IDs, b.IDs) || a.CLKs.bits != b.CLKs.bits {
		return false
	}
	return slices.EqualFunc(unpack(a.CLKs), unpack(b.CLKs), bytes.Equal)
}

func TestList(t *testing.T) {
	l := &List{CLKs: randomSet(t, rand.New(rand.NewPCG(19, 20)), 128, 30)}
	for i := range 30 {
		l.IDs = append(l.IDs, fmt.Sprintf("p-%d, \"x\"", i))
	}
	raw := l.write(t, true)
	for _, mark := range []string{"", "\ufeff"} {
		got, err := ReadList(strings.NewReader(mark + string(raw)))
		if err != nil || !sameList(got, l) {
			t.Fatalf("CSV comes back otherwise: %v", err)
		}
	}
	for i := range l.IDs {
		l.IDs[i] = fmt.Sprint(i)
	}
	got, err := ReadList(bytes.NewReader(l.write(t, false)))
	if err != nil || !sameList(got, l) {
		t.Fatalf("JSON comes back otherwise: %v", err)
	}
	for _, csv := range []bool{true, false} {
		if _, err := ReadList(bytes.NewReader((&List{}).write(t, csv))); err == nil || !strings.Contains(err.Error(), "has none") {
			t.Errorf("a list of none, CSV %v: %v", csv, err)
		}
	}
}

func TestListErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "is empty"},
		{"no such columns", "a,b\n", `column "id" is missing`},
		{"a column twice", "id,clk,clk\n", `column "clk" is there twice`},
		{"a header that is not UTF-8", "id,clk,\xff\n", "not UTF-8"},
		{"an id twice", "id,clk\na,AA==\na,AA==\n", "row 3: the id is there twice"},
		{"lengths that differ", "id,clk\na,AA==\nb,AAA=\n", "row 3: bloom: wrong length of a CLK: got 2 bytes, want 1"},
		{"an empty CLK", "id,clk\na,\n", "row 2: bloom: a length of 0 bits"},
		{"no base64", "id,clk\na,?\n", "row 2: is not base64"},
		{"a short row", "id,clk\na\n", "broken CSV"},
		{"a quote that never closes", "id,clk\n\"" + strings.Repeat("a", 2*maxRow), "more than 4194304 bytes"},
		{"JSON cut short", `{"clks": ["AA=="`, "unexpected EOF"},
		{"JSON without CLKs", `{"x": [1, {"y": 2}]}`, `"clks" is missing`},
		{"CLKs twice", `{"clks": ["AA=="], "clks": []}`, `"clks" is there twice`},
		{"CLKs that are no list", `{"clks": {}}`, `"clks" is not a list`},
		{"a CLK that is no string", `{"clks": [7]}`, "clks[0]: is not a string"},
		{"text after", `{"clks": ["AA=="]} x`, "there is text after"},
		{"a huge CLK", `{"clks": ["` + strings.Repeat("A", 2*maxRow) + `"]}`, "more than 4194304 bytes"},
		{"a CLK beyond the bound", `{"clks": ["` + strings.Repeat("AAAA", MaxBits/24+1) + `"]}`, "clks[0]: bloom: a length of"},
	} {
		if _, err := ReadList(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzReadList(f *testing.F) {
	for _, s := range []string{"id,clk\na,AA==\nb,/w==\n", `{"clks": ["AA==", "/w=="], "x": {}}`, "clk,id\nAAAA,\"a\nb\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := ReadList(bytes.NewReader(raw))
		if err != nil {
			return
		}
		back, err := ReadList(bytes.NewReader(l.write(t, true)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range back.IDs { // CSV turns \r\n into \n
			l.IDs[i] = strings.ReplaceAll(l.IDs[i], "\r\n", "\n")
		}
		if !sameList(l, back) {
			t.Fatal("the list is another after writing and reading")
		}
	})
}

func TestRecordReader(t *testing.T) {
	s, err := ParseSchema([]byte(schemaOf(`"features": [`, `"features": [{"identifier": "id", "ignored": true},`)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRecordReader(strings.NewReader("\ufeffextra,x,key\n1,anna,k1\n2\n3,\"b\nc\",k3\n"), s, "key")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		row, id, record, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, ErrFields) {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %q %v", row, id, record, err))
	}
	want := []string{`2 k1 ["" "anna"] <nil>`, `3  [] bloom: wrong number of cells`, `4 k3 ["" "b\nc"] <nil>`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, c := range []struct{ text, id, want string }{
		{"", "", "not even a header"},
		{"id\n", "", `column "x" is missing`},
		{"x\n", "id", `column "id" is missing`},
		{"x,x\n", "", `column "x" is there twice`},
		{"\"x\n", "", "broken CSV"},
	} {
		if _, err := NewRecordReader(strings.NewReader(c.text), s, c.id); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}
