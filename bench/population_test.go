package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"github.com/symbolon/symbolon/internal/records"
)

func newTestPopulation(t testing.TB, c PopulationConfig) *Population {
	t.Helper()
	p, err := NewPopulation(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	origins := loadOrigins()
	if len(origins) < 25 {
		t.Fatalf("found %d origins", len(origins))
	}
	for _, o := range origins {
		for _, sex := range [][]string{{"male", "syllables-m"}, {"female", "syllables-f"}} {
			if n := len(o.lists[sex[0]]) + len(o.lists[sex[1]]); n < 20 {
				t.Errorf("%s has %d names under %s", o.name, n, sex)
			}
		}
		if len(o.lists["family"])+len(o.lists["root"]) < 30 {
			t.Errorf("%s has few family names", o.name)
		}
		if len(o.lists["root"]) > 0 && (len(o.lists["end-m"]) == 0 || len(o.lists["end-m"]) != len(o.lists["end-f"])) {
			t.Errorf("%s: roots without endings for both sexes", o.name)
		}
		if o.middle == "patronymic" && (len(o.lists["patronymic-m"]) == 0 || len(o.lists["patronymic-f"]) == 0) {
			t.Errorf("%s has no patronymics", o.name)
		}
		for heading, list := range o.lists {
			for _, f := range list {
				if (o.script == "latin") == hasOtherScript(f[0]) {
					t.Errorf("%s: first form of %q under %s is of another script than %s", o.name, f[0], heading, o.script)
				}
				for _, form := range f[1:] {
					if hasOtherScript(form) {
						t.Errorf("%s: %q under %s is not Latin", o.name, form, heading)
					}
				}
				if o.script != "latin" && !strings.HasPrefix(o.script, "cyrillic") && len(f) < 2 {
					t.Errorf("%s: %q under %s has no romanisation", o.name, f[0], heading)
				}
			}
		}
	}
}

func hasOtherScript(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) && !unicode.Is(unicode.Latin, r) })
}

func TestPhonesAreValid(t *testing.T) {
	t.Parallel()
	for _, o := range loadOrigins() {
		for i := range o.countries {
			c := &o.countries[i]
			bad := 0
			for n := range 50 {
				number, err := phonenumbers.Parse(newPhone(newDraw(1, "phone", n), c), "")
				if err != nil || !phonenumbers.IsValidNumber(number) || phonenumbers.GetRegionCodeForNumber(number) != c.code {
					bad++
				}
			}
			if bad > 5 {
				t.Errorf("%s: %d of 50 numbers like %s are not valid in %s", o.name, bad, c.phone, c.code)
			}
		}
	}
}

func TestRomanisations(t *testing.T) {
	for _, tt := range []struct {
		script, name string
		want         []string
	}{
		{"cyrillic", "Щербаков", []string{"Shcherbakov", "Shcherbakov", "Chtcherbakov", "Schtscherbakow"}},
		{"cyrillic", "Юлия", []string{"Iuliia", "Yuliya", "Iouliia", "Julija"}},
		{"cyrillic-uk", "Сергій", []string{"Serhii", "Serhiy", "Serhii", "Serhij"}},
		{"cyrillic-sr", "Ђорђевић", []string{"Đorđević", "Dordevic", "Djordjevic"}},
	} {
		got := romanisations(tt.script, tt.name)
		for i, w := range tt.want {
			if i >= len(got) || got[i] != w {
				t.Errorf("%s: %s becomes %v, want %v", tt.script, tt.name, got, tt.want)
				break
			}
		}
	}
	for in, want := range map[string]string{
		"Łukasz Żółć": "Lukasz Zolc", "Nguyễn Đức": "Nguyen Duc", "Weiß": "Weiss", "İbrahim Yıldız": "Ibrahim Yildiz", "plain": "plain",
	} {
		if got := foldMarks(in); got != want {
			t.Errorf("foldMarks(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPopulation(t *testing.T) {
	t.Parallel()
	c := PopulationConfig{Seed: 7, SizeA: 3000, SizeB: 2000, Shared: 500}
	p := newTestPopulation(t, c)
	rows := map[Side]map[string][]string{}
	for side, size := range map[Side]int{SideA: 3000, SideB: 2000} {
		rows[side] = map[string][]string{}
		for row := range p.Rows(side) {
			if len(row) != len(Header) || rows[side][row[0]] != nil {
				t.Fatalf("row %s has %d cells or is there twice", row[0], len(row))
			}
			for i, cell := range row {
				if Header[i] == "document_country" {
					continue // a part may be empty
				}
				if strings.TrimSpace(cell) != cell || strings.Contains(cell, "  ") || strings.ContainsAny(cell, "#@/\n") &&
					!slices.Contains([]string{"email", "source_ref", "date_of_birth"}, Header[i]) {
					t.Errorf("%s of %s is %q", Header[i], row[0], cell)
				}
			}
			if row[2] == "" || row[3] == "" {
				t.Errorf("%s has no name", row[0])
			}
			k, n, i := strings.Count(row[9], "|"), strings.Count(row[10], "|"), strings.Count(row[11], "|")
			if k != n || k != i {
				t.Errorf("%s has %d kinds, %d numbers, %d issuers of documents", row[0], k, n, i)
			}
			rows[side][row[0]] = row
		}
		if len(rows[side]) != size {
			t.Fatalf("%s has %d rows", side, len(rows[side]))
		}
	}
	pairs, sameDay, sameName := 0, 0, 0
	seenA := map[string]bool{}
	for pair := range p.Truth() {
		a, b := rows[SideA][pair.A], rows[SideB][pair.B]
		if a == nil || b == nil || seenA[pair.A] || pair.Flaws == "" {
			t.Fatalf("pair %v", pair)
		}
		seenA[pair.A] = true
		pairs++
		if a[6] == b[6] && a[6] != "" {
			sameDay++
		}
		if strings.EqualFold(a[4], b[4]) {
			sameName++
		}
	}
	// Dates differ by the error model, and by little more.
	if pairs != 500 || sameDay < 300 || sameDay > 420 || sameName < 250 || sameName > 430 {
		t.Errorf("%d pairs, %d with equal dates, %d with equal family names", pairs, sameDay, sameName)
	}
	// Strangers agree rarely.
	strangers := 0
	for pair := range p.Truth() {
		for _, b := range rows[SideB] {
			if a := rows[SideA][pair.A]; b[0] != pair.B && a[6] == b[6] && a[6] != "" && strings.EqualFold(a[2], b[2]) {
				strangers++
			}
		}
	}
	if strangers > 3 {
		t.Errorf("%d strangers share name and date", strangers)
	}
}

func TestPopulationIsReproducible(t *testing.T) {
	t.Parallel()
	c := PopulationConfig{Seed: 1, SizeA: 300, SizeB: 200, Shared: 100}
	write := func(c PopulationConfig) string {
		var b bytes.Buffer
		p := newTestPopulation(t, c)
		for _, side := range []Side{SideA, SideB} {
			if err := p.WriteCSV(side, &b); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.WriteTruth(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := write(c)
	if write(c) != first {
		t.Error("equal seeds give other files")
	}
	c.Seed++
	if write(c) == first {
		t.Error("another seed gives the same files")
	}
}

// TestErrorModelOff writes people down as they are: pairs then differ in style
// alone.
func TestErrorModelOff(t *testing.T) {
	t.Parallel()
	p := newTestPopulation(t, PopulationConfig{Seed: 3, SizeA: 200, SizeB: 200, Shared: 200, Errors: &ErrorModel{
		DocumentKnown: 1, PhoneKnown: 1, EmailKnown: 1,
	}})
	rowsB := map[string][]string{}
	for row := range p.Rows(SideB) {
		rowsB[row[0]] = row
	}
	rowsA := map[string][]string{}
	for row := range p.Rows(SideA) {
		rowsA[row[0]] = row
	}
	for pair := range p.Truth() {
		a, b := rowsA[pair.A], rowsB[pair.B]
		for i, column := range Header {
			switch column {
			case "id", "primary_name", "source_ref", "phone":
				continue
			}
			if a[i] != b[i] {
				t.Errorf("%s of %s and %s: %q and %q", column, pair.A, pair.B, a[i], b[i])
			}
		}
		if pair.Flaws != "clean" && pair.Flaws != "no-document" {
			t.Errorf("pair %v has flaws", pair)
		}
	}
}

func TestPopulationLimits(t *testing.T) {
	for _, c := range []PopulationConfig{
		{SizeA: -1}, {SizeB: MaxPopulation + 1}, {SizeA: 5, SizeB: 5, Shared: 6}, {SizeA: 5, SizeB: 5, Shared: -1},
	} {
		if _, err := NewPopulation(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	for _, c := range []PopulationConfig{{}, {SizeA: 1, SizeB: 1, Shared: 1}, {SizeA: 2, SizeB: 0}, {SizeA: 0, SizeB: 3}} {
		p := newTestPopulation(t, c)
		n := 0
		for range p.Truth() {
			n++
		}
		if n != c.Shared {
			t.Errorf("%+v: %d pairs", c, n)
		}
	}
}

func TestOrder(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 97, 1000, 4096} {
		o := newOrder(newDraw(5, "test", n), n)
		seen := make([]bool, n)
		for i := range n {
			at := o.at(i)
			if seen[at] || o.place(at) != i {
				t.Fatalf("order of %d: place %d gives %d, back to %d", n, i, at, o.place(at))
			}
			seen[at] = true
		}
	}
}

func TestWriteFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := newTestPopulation(t, PopulationConfig{Seed: 1, SizeA: 50, SizeB: 40, Shared: 10})
	if err := p.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string]int{FileA: 51, FileB: 41, FileTruth: 11} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := csv.NewReader(f).ReadAll()
		if err != nil || len(got) != rows {
			t.Errorf("%s has %d rows, error %v", name, len(got), err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, FileA)); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteFiles(dir); err == nil {
		t.Fatal("a file is overwritten")
	}
	if _, err := os.Stat(filepath.Join(dir, FileA)); !os.IsNotExist(err) {
		t.Error("a failed write leaves a file behind")
	}
	if _, err := os.Stat(filepath.Join(dir, FileB)); err != nil {
		t.Error("a failed write removes a file that was there before")
	}
}

func TestWriteFilesStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newTestPopulation(t, PopulationConfig{Seed: 1, SizeA: 50, SizeB: 40, Shared: 10})
	if err := p.WriteFilesContext(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%d files are left behind, error %v", len(left), err)
	}
}

func BenchmarkPopulation(b *testing.B) {
	p := newTestPopulation(b, PopulationConfig{Seed: 1, SizeA: 100000, SizeB: 100000, Shared: 10000})
	row := 0
	for b.Loop() {
		p.row(SideA, row%100000)
		row++
	}
}

// TestPopulationIsReadable reads the files as an agency would, refusing every
// bad row, and finds the shared people by the exact rules and no one else.
func TestPopulationIsReadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newTestPopulation(t, PopulationConfig{Seed: 9, SizeA: 3000, SizeB: 3000, Shared: 600}).WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	rules, err := records.Shipped("exact")
	if err != nil {
		t.Fatal(err)
	}
	index := func(name string) *records.Index {
		d, err := records.NewDeriver(rules, records.NormalisationVersion())
		if err != nil {
			t.Fatal(err)
		}
		source, err := records.Open(filepath.Join(dir, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		x, report, err := records.BuildIndex(t.Context(), source, d, records.ReadOptions{OnBadRow: records.FailOnBadRow})
		if err != nil {
			t.Fatalf("%v (%v)", err, report)
		}
		return x
	}
	truth, err := records.ReadPairs(filepath.Join(dir, FileTruth))
	if err != nil {
		t.Fatal(err)
	}
	e, err := records.Evaluate(index(FileA), index(FileB), truth, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if e.Truth != 600 || e.Recall < 0.5 || e.Recall > 0.9 || e.Precision < 0.98 {
		t.Errorf("%d true pairs, recall %.3f, precision %.3f", e.Truth, e.Recall, e.Precision)
	}
	for _, r := range e.Rules {
		if r.TruePositives == 0 {
			t.Errorf("rule %s finds no one", r.ID)
		}
	}
}
