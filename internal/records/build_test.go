package records

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// documentsFile is a register of n people with eight documents each and nothing
// else.
func documentsFile(t testing.TB, n int) string {
	var b strings.Builder
	b.WriteString("id,primary_name,document_type,document_number,document_country,source_ref\n")
	for i := range n {
		fmt.Fprintf(&b, "O-%d,Nobody,passport,", i)
		for k := range 8 {
			if k > 0 {
				b.WriteByte('|')
			}
			fmt.Fprintf(&b, "%010d", 8*i+k)
		}
		fmt.Fprintf(&b, ",NO,REF-%d\n", i)
	}
	return writeFile(t, "documents.csv", b.String())
}

// peopleFile is a register of n people of every field, in several scripts, one in
// eight of them with a value that can't be right.
func peopleFile(t testing.TB, n int) string {
	var b strings.Builder
	b.WriteString(header)
	rng := rand.New(rand.NewPCG(7, 7))
	given := strings.Fields("Ada Mohammed Abdul-Rahman Иван Светлана Γιώργος François Zoë محمد فاطمة 明 José Maria Karim Olu Ngozi Søren Jürgen Min-jun Fatma")
	family := strings.Fields("Lovelace Al-Hussein Okonkwo Иванов Παπαδόπουλος Müller Łukasiewicz عبدالله 王 Kim Nguyen da-Silva Šarić Öztürk van-Dijk Haddad")
	places := []string{"London, England", "Kraków", "Москва", "دمشق", "New York City", ""}
	states := []string{"GBR", "Poland", "RU", "Syria", "Korea, Republic of", "US"}
	pick := func(of []string) string { return of[rng.IntN(len(of))] }
	for i := range n {
		born := fmt.Sprintf("%d-%02d-%02d", 1930+rng.IntN(80), 1+rng.IntN(12), 1+rng.IntN(28))
		phone := fmt.Sprintf("+4420794%05d", rng.IntN(100_000))
		switch rng.IntN(24) {
		case 0:
			born = "1987-02-30"
		case 1:
			born = "yesterday"
		case 2:
			phone = "12"
		}
		g, f := pick(given), pick(family)
		fmt.Fprintf(&b, "p%d,person,\"%s, %s\",%s,%s,%s %s | %s,%s,\"%s\",\"%s\",passport,X%07d,\"%s\",%s,%s,ref%d\n",
			i, f, g, g, f, pick(given), f, pick(family), born, pick(places), pick(states), rng.IntN(9_999_999), pick(states), phone, pick([]string{"F", "M", ""}), i)
	}
	return writeFile(t, "people.csv", b.String())
}

// oneByOne builds an index from what Each yields.
func oneByOne(t testing.TB, ctx context.Context, s *Source, rs *RuleSet, opts ReadOptions) (*Index, *Report, error) {
	x := NewIndex(mustDerive(t, rs))
	report, err := s.Each(ctx, opts, x.Add)
	return x, report, err
}

// sameBuild compares two ways to build an index.
func sameBuild(t *testing.T, got, want *Index, gotReport, wantReport *Report, gotErr, wantErr error) {
	t.Helper()
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Errorf("error %v, want %v", gotErr, wantErr)
	}
	for _, r := range []*Report{gotReport, wantReport} {
		r.Quality.seed = maphash.Seed{}
	}
	if !reflect.DeepEqual(gotReport, wantReport) {
		t.Errorf("report %+v, want %+v", gotReport, wantReport)
	}
	if wantErr != nil {
		return
	}
	for name, same := range map[string]bool{
		"ids": reflect.DeepEqual(got.ids, want.ids), "references": reflect.DeepEqual(got.refs, want.refs), "keys": reflect.DeepEqual(got.keys, want.keys),
		"rules": slices.Equal(got.rules, want.rules), "first": slices.Equal(got.first, want.first), "record": slices.Equal(got.record, want.record),
		"before": slices.Equal(got.before, want.before), "traits": slices.Equal(got.traits, want.traits), "notes": reflect.DeepEqual(got.notes, want.notes), "cut": got.cut == want.cut,
	} {
		if !same {
			t.Errorf("%s differ", name)
		}
	}
}

// TestBuildIndexWorkers builds what adding records one by one does, whatever the
// format, the policy and the number of workers.
func TestBuildIndexWorkers(t *testing.T) {
	t.Parallel()
	rs, err := Shipped("standard")
	if err != nil {
		t.Fatal(err)
	}
	people := peopleFile(t, 700)
	noted, err := ParseMapping([]byte("[columns]\nid='id'\nname='primary_name'\nbirth='date_of_birth'\nphone='phone'\ncontact='alt_names'\nnote='place_of_birth'"))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		path    string
		mapping *Mapping
	}{{people, nil}, {people, noted}, {asJSON(t, people), nil}, {asSQLite(t, people), nil}} {
		s, err := Open(of.path, of.mapping)
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range []Policy{KeepBadRow, SkipBadRow, FailOnBadRow} {
			opts := ReadOptions{OnBadRow: policy}
			want, wantReport, wantErr := oneByOne(t, t.Context(), s, rs, opts)
			if policy == KeepBadRow && (wantErr != nil || want.Len() < 1500 || wantReport.Bad[KindDate] == 0 || wantReport.Bad[KindPhone] == 0) {
				t.Fatalf("%s: %d keys, report %v, error %v", s.Name(), want.Len(), wantReport, wantErr)
			}
			for _, workers := range []int{1, 2, 7} {
				opts.Workers = workers
				got, report, err := BuildIndex(t.Context(), s, mustDerive(t, rs), opts)
				sameBuild(t, got, want, report, wantReport, err, wantErr)
			}
		}
	}
}

// readCells returns the rows of a CSV file.
func readCells(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// eachCell calls fn with the header and the rows of a CSV file, cells as text.
func eachCell(t *testing.T, path string, fn func(columns, cells []string)) {
	t.Helper()
	rows := readCells(t, path)
	for _, r := range rows[1:] {
		fn(rows[0], r)
	}
}

// asJSON writes a CSV file's rows as JSON Lines.
func asJSON(t *testing.T, path string) string {
	var b strings.Builder
	eachCell(t, path, func(columns, cells []string) {
		for i, c := range columns {
			fmt.Fprintf(&b, "%c%q:%q", "{,"[min(i, 1)], c, cells[i])
		}
		b.WriteString("}\n")
	})
	return writeFile(t, "people.jsonl", b.String())
}

// asSQLite writes a CSV file's rows into a database.
func asSQLite(t *testing.T, path string) string {
	out := filepath.Join(t.TempDir(), "people.db")
	db, err := sql.Open("sqlite", out)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	made := false
	eachCell(t, path, func(columns, cells []string) {
		if !made {
			if _, err := tx.Exec("CREATE TABLE people (" + strings.Join(columns, ",") + ")"); err != nil {
				t.Fatal(err)
			}
			made = true
		}
		values := make([]any, len(cells))
		for i, c := range cells {
			values[i] = c
		}
		if _, err := tx.Exec("INSERT INTO people VALUES (?"+strings.Repeat(",?", len(cells)-1)+")", values...); err != nil {
			t.Fatal(err)
		}
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBuildIndexStops ends at the same place for the same reason, whatever the
// number of workers.
func TestBuildIndexStops(t *testing.T) {
	t.Parallel()
	rs := mustParse(t, "set x\na: all names exact, birth year")
	const good = "%d,Ada Byron,1915\n"
	rows := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, good, i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"bad row before broken CSV":      rows(0, 600) + "x,Bob,1915-13\n" + rows(600, 700) + "a\"b\n",
		"broken CSV before bad row":      rows(0, 600) + "a\"b\n" + rows(600, 700) + "x,Bob,1915-13\n",
		"too few cells":                  rows(0, 300) + "x,Bob\n" + rows(300, 2000),
		"not UTF-8":                      rows(0, 900) + "x,B\xffob,1915\n" + rows(900, 901),
		"bad row before what no text is": rows(0, 3) + "x,Bob,never\n" + rows(3, 500) + "x,B\xffob,1915\n",
		"duplicate id":                   rows(0, 1500) + rows(1499, 3000),
		"no id":                          rows(0, 10) + ",Bob,1915\n",
		"row without end":                rows(0, 800) + "x,\"" + strings.Repeat("Bob ", 3<<20),
		"no rows":                        "",
		"long rows":                      strings.Repeat("x,"+strings.Repeat("Bob ", 1<<16)+",1915\n", 3),
	} {
		s, err := Open(writeFile(t, "a.csv", "id,primary_name,date_of_birth\n"+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range []Policy{KeepBadRow, SkipBadRow, FailOnBadRow} {
			opts := ReadOptions{OnBadRow: policy}
			want, wantReport, wantErr := oneByOne(t, t.Context(), s, rs, opts)
			if wantErr == nil && policy == FailOnBadRow {
				t.Errorf("%s: no error", name)
			}
			for _, workers := range []int{1, 3} {
				opts.Workers = workers
				got, report, err := BuildIndex(t.Context(), s, mustDerive(t, rs), opts)
				if wantErr != nil && got != nil {
					t.Errorf("%s: an index in spite of an error", name)
				}
				sameBuild(t, got, want, report, wantReport, err, wantErr)
			}
		}
	}
}

// TestBuildIndexCancelled stops at the next look at the context.
func TestBuildIndexCancelled(t *testing.T) {
	t.Parallel()
	s, err := Open(documentsFile(t, 3*progressEvery), nil)
	if err != nil {
		t.Fatal(err)
	}
	rs := mustParse(t, "set x\na: document exact")
	for _, workers := range []int{1, 2, 8} {
		ctx, cancel := context.WithCancel(t.Context())
		var heard []int64
		x, report, err := BuildIndex(ctx, s, mustDerive(t, rs), ReadOptions{Workers: workers, Progress: func(rows int64) {
			heard = append(heard, rows)
			cancel()
		}})
		if x != nil || !errors.Is(err, context.Canceled) || report.Rows != 2*progressEvery || report.Records != 2*progressEvery-1 ||
			!slices.Equal(heard, []int64{progressEvery}) {
			t.Errorf("%d workers: error %v after %d rows, heard of %v", workers, err, report.Rows, heard)
		}
	}
}

func BenchmarkBuildIndex(b *testing.B) {
	const n = 20_000
	documents := mustParse(b, "set bench\nmax keys 64\nmeant for 10000000 x 10000000\ndocument: document exact")
	standard, err := Shipped("standard")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		rules      *RuleSet
	}{{"documents", documentsFile(b, n), documents}, {"people", peopleFile(b, n), standard}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := Open(c.path, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := BuildIndex(context.Background(), s, mustDerive(b, c.rules), ReadOptions{OnBadRow: KeepBadRow}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
