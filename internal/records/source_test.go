package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const header = "id,entity_type,primary_name,given_names,family_name,alt_names,date_of_birth,place_of_birth,nationality,document_type,document_number,document_country,phone,sex,source_ref\n"

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readAll(t testing.TB, path string, m *Mapping, opts ReadOptions) ([]Record, *Report, error) {
	t.Helper()
	s, err := Open(path, m)
	if err != nil {
		return nil, nil, err
	}
	var out []Record
	report, err := s.Each(context.Background(), opts, func(r *Record) error {
		c := *r
		c.Names = append([]Name(nil), r.Names...)
		c.Births = append([]Date(nil), r.Births...)
		c.PlacesOfBirth = append([]string(nil), r.PlacesOfBirth...)
		c.Nationalities = append([]string(nil), r.Nationalities...)
		c.Documents = append([]Document(nil), r.Documents...)
		c.Phones = append([]string(nil), r.Phones...)
		c.Emails = append([]string(nil), r.Emails...)
		c.Others = append([]Identifier(nil), r.Others...)
		out = append(out, c)
		return nil
	})
	return out, report, err
}

// ada is the record that every format below spells.
func ada(row int64) Record {
	return Record{
		ID: "7", Row: row,
		Names:         []Name{{"LOVELACE, Ada Augusta", "Ada Augusta", "LOVELACE"}, {"Ada BYRON", "Ada", "BYRON"}, {"ada", "", ""}},
		Births:        []Date{{Year: 1915, Month: 12, Day: 10, Precision: PrecisionDay}, {Year: 1914, Precision: PrecisionYear, About: true}},
		PlacesOfBirth: []string{"London, England"},
		Nationalities: []string{"GB"},
		Documents:     []Document{{Type: "passport", Number: "X12", Country: "GB"}, {Type: "", Number: "99Z", Country: "IT"}},
		Phones:        []string{"+442079460000"},
		Sex:           SexFemale,
		SourceRef:     "case;1",
	}
}

func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	csvRow := `7,person,"LOVELACE, Ada Augusta",Ada Augusta,LOVELACE,Ada BYRON | ada,1915-12-10 | ~1914,"London, England",GBR,passport | ,x-12 | 99 z,GB | Italy,+44 20 7946 0000,female,case;1` + "\n"
	mapping := func(extra string) *Mapping {
		m, err := ParseMapping([]byte(extra))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	semicolon := `Nr;Nachname;Vorname;Aliase;geb;ort;nat;typ;nummer;staat;tel;sex;akte
7;LOVELACE;Ada Augusta;Ada BYRON/ada;10.12.1915/~1914;London, England;United Kingdom;passport/;X12/99Z;GB/IT;020 7946 0000;w;case;1
`
	semicolon = strings.Replace(semicolon, "case;1", `"case;1"`, 1)
	jsonl := `{"id":"7","schema":"Person","properties":{"name":["LOVELACE, Ada Augusta"],"alias":["Ada BYRON","ada"],"birthDate":["1915-12-10","~1914"],"birthPlace":["London, England"],"nationality":["gb"],"gender":["female"],"phone":["+442079460000"]},"ref":"case;1","docs":[{"t":"passport","n":"x12","c":"GB"},{"n":"99z","c":"IT"}]}` + "\n\n"
	for _, tt := range []struct {
		name, file, content string
		mapping             *Mapping
		row                 int64
		edit                func(*Record)
	}{
		{"default header", "a.csv", header + csvRow, nil, 2, nil},
		{"byte order mark and CRLF", "a.csv", "\ufeff" + strings.ReplaceAll(header+csvRow, "\n", "\r\n"), nil, 2, nil},
		{"tabs", "a.tsv", strings.ReplaceAll(header, ",", "\t") + "7\tperson\t\"LOVELACE, Ada Augusta\"\tAda Augusta\tLOVELACE\tAda BYRON|ada\t1915-12-10|~1914\tLondon, England\tGB\tpassport|\tX12|99Z\tGB|IT\t+442079460000\tF\tcase;1\n", nil, 2, nil},
		{"mapping", "b.csv", semicolon, mapping(`
			delimiter = ";"
			separator = "/"
			region = "GB"
			date_formats = ["DD.MM.YYYY"]
			[columns]
			id = "Nr"
			given = "Vorname"
			family = "Nachname"
			alias = ["Aliase"]
			birth = "geb"
			place_of_birth = "ort"
			nationality = "nat"
			document_type = "typ"
			document_number = "nummer"
			document_country = "staat"
			phone = "tel"
			sex = "sex"
			source_ref = "akte"`), 2, func(r *Record) { r.Names[0].Full = "Ada Augusta LOVELACE" }},
		{"latin-1", "c.csv", strings.Replace(header+csvRow, "BYRON", "BYR\xd6N", 1), &Mapping{Encoding: "latin1"}, 2, func(r *Record) { r.Names[1] = Name{"Ada BYRÖN", "Ada", "BYRÖN"} }},
		{"json lines of entities", "d.jsonl", jsonl, mapping(`
			[columns]
			id = "id"
			entity_type = "schema"
			name = "properties.name"
			alias = "properties.alias"
			birth = "properties.birthDate"
			place_of_birth = "properties.birthPlace"
			nationality = "properties.nationality"
			document_type = "docs.t"
			document_number = "docs.n"
			document_country = "docs.c"
			phone = "properties.phone"
			sex = "properties.gender"
			source_ref = "ref"`), 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, report, err := readAll(t, writeFile(t, tt.file, tt.content), tt.mapping, ReadOptions{})
			if err != nil {
				t.Fatalf("%v (%v)", err, report)
			}
			want := ada(tt.row)
			if tt.edit != nil {
				tt.edit(&want)
			}
			if len(got) != 1 || !sameRecord(got[0], want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func sameRecord(a, b Record) bool {
	return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

func TestPresets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, content, full string }{
		{"followthemoney", "a.jsonl", `{"id":"q1","schema":"Person","properties":{"name":["Ada Byron"],"birthDate":["1915"]}}`, "Ada Byron"},
		{"followthemoney in CSV", "a.csv", "id,schema,name,birthDate\nq1,Person,Ada Byron,1915\n", "Ada Byron"},
		{"interpol", "a.jsonl", `{"entity_id":"q1","forename":"Ada","name":"Byron","date_of_birth":"1915/12/10","nationalities":["GB","IT"]}`, "Ada Byron"},
		{"pfif", "a.csv", "person_record_id,full_name,given_name,family_name,date_of_birth\nq1,Ada Byron,Ada,Byron,1915\n", "Ada Byron"},
	} {
		got, _, err := readAll(t, writeFile(t, tt.file, tt.content), nil, ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if len(got) != 1 || got[0].ID != "q1" || got[0].Names[0].Full != tt.full || got[0].Births[0].Year != 1915 {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "people.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{
		`CREATE TABLE people (id INTEGER PRIMARY KEY, primary_name TEXT, alt_names TEXT, date_of_birth DATE, photo BLOB)`,
		`INSERT INTO people VALUES (7, 'Ada BYRON', 'ada | A.', '1915-12-10', zeroblob(5000000)), (8, 'x', NULL, NULL, x'ff')`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	for name, m := range map[string]*Mapping{
		"default table": nil,
		"query":         {Query: "SELECT id, primary_name, alt_names, date_of_birth FROM people ORDER BY id"},
	} {
		got, _, err := readAll(t, path, m, ReadOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got) != 2 || got[0].ID != "7" || len(got[0].Names) != 3 || got[0].Births[0].Day != 10 || got[1].ID != "8" || len(got[1].Births) != 0 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if _, _, err := readAll(t, path, &Mapping{Query: "DELETE FROM people RETURNING *"}, ReadOptions{}); err == nil {
		t.Error("a query that writes was run")
	}
	if _, _, err := readAll(t, path, &Mapping{Table: `nope"`}, ReadOptions{}); err == nil {
		t.Error("a missing table was read")
	}
	if _, _, err := readAll(t, filepath.Join(t.TempDir(), "none.db"), nil, ReadOptions{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: got %v", err)
	}
}

func TestPostgres(t *testing.T) {
	url := os.Getenv("SYMBOLON_POSTGRES")
	if url == "" {
		t.Skip("SYMBOLON_POSTGRES holds no URL of a server")
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{
		`DROP TABLE IF EXISTS symbolon_records_test`,
		`CREATE TABLE symbolon_records_test (id bigint PRIMARY KEY, primary_name text, date_of_birth date, photo bytea, note text)`,
		`INSERT INTO symbolon_records_test VALUES (7, 'Ada BYRON', '1915-12-10', '\x00', 'secret-note'), (8, 'x', NULL, NULL, '3')`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { db.Exec(`DROP TABLE symbolon_records_test`) })
	got, _, err := readAll(t, url, &Mapping{Table: "symbolon_records_test"}, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "7" || got[0].Births[0].Day != 10 || len(got[1].Births) != 0 {
		t.Errorf("got %+v", got)
	}
	_, _, err = readAll(t, url, &Mapping{Query: "SELECT note::int AS id, primary_name FROM symbolon_records_test"}, ReadOptions{})
	if err == nil || strings.Contains(err.Error(), "secret-note") {
		t.Errorf("a failed cast gave %v", err)
	}
	if _, _, err := readAll(t, url, &Mapping{Query: "DELETE FROM symbolon_records_test RETURNING *"}, ReadOptions{}); err == nil {
		t.Error("a query that writes was run")
	}
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	row := func(id, date string) string {
		return id + ",person,Zebedee,,,," + date + ",,,,,,,,\n"
	}
	for _, tt := range []struct {
		name, file, content string
		mapping             *Mapping
		want                string
	}{
		{"empty file", "a.csv", "", nil, "not even a header"},
		{"header only", "a.csv", header, nil, "no rows"},
		{"empty json lines", "a.jsonl", "\n", nil, "no rows"},
		{"unknown header", "a.csv", "x,y\n1,2\n", nil, "no known header"},
		{"unknown column in mapping", "a.csv", header + row("1", ""), &Mapping{Columns: &Columns{ID: one("id"), Name: one("nom")}}, `names column "nom" for name`},
		{"a person for a header", "a.csv", "1,Zebedee,1980-01-02\n", nil, "3 columns are no known header"},
		{"a person for a header, with a mapping", "a.csv", "1,Zebedee\n", &Mapping{Columns: &Columns{ID: one("id"), Name: one("nom")}}, "2 other columns"},
		{"a person of two equal values for a header", "a.csv", "1,Zebedee,Zebedee\n", nil, "columns 2 and 3"},
		{"column twice", "a.csv", "id,id,primary_name\n1,2,x\n", nil, "twice"},
		{"missing id", "a.csv", header + row("", ""), nil, `row 2, column "id": no id`},
		{"duplicate id", "a.csv", header + row("1", "") + row("2", "") + row("1", ""), nil, "row 4: its id is that of row 2"},
		{"31 February", "a.csv", header + row("1", "1980-02-31"), nil, `row 2, column "date_of_birth": no such day`},
		{"year 9999", "a.csv", header + row("1", "9999-01-01"), nil, "year outside"},
		{"two-digit year", "a.csv", header + row("1", "80-01-02"), nil, "two digits"},
		{"too few cells", "a.csv", header + "1,person\n", nil, "row 2: got 2 cells, want 15"},
		{"open quote", "a.csv", header + "1,\"person\n" + strings.Repeat("x,", 100), nil, "broken CSV"},
		{"open quote in a large file", "a.csv", header + "1,\"" + strings.Repeat("x,\n", 4<<20), nil, "is a quote left open?"},
		{"latin-1 without saying so", "a.csv", header + "1,person,J\xf6rg" + strings.Repeat(",", 12) + "\n", nil, `row 2, column "primary_name": not UTF-8`},
		{"utf-16", "a.csv", "\xff\xfei\x00d\x00", nil, "UTF-16"},
		{"not json", "a.jsonl", "{\"id\": Zebedee}\n", nil, "line 1: not a JSON object"},
		{"json array", "a.jsonl", "[1]\n", nil, "line 1: not a JSON object"},
		{"lists of different lengths", "a.csv", header + "1,person,x,,,,,,,passport | id | x,12,,,,\n", nil, `column "document_number"`},
		{"document without a digit", "a.csv", header + "1,person,x,,,,,,,passport,--,,,,\n", nil, `column "document_number"`},
		{"phone", "a.csv", header + "1,person,x,,,,,,,,,,12,,\n", nil, `column "phone"`},
		{"format untold", "people", "", nil, "tells no format"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := readAll(t, writeFile(t, tt.file, tt.content), tt.mapping, ReadOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), "Zebedee") || strings.Contains(err.Error(), "1980") {
				t.Errorf("the error holds a value: %v", err)
			}
		})
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.csv", header+
		"1,person,A B,,,,1980-02-31 | 1980-02-03,,,,,,,,\n"+
		",person,C D,,,,,,,,,,,,\n"+
		"3,organisation,E,,,,,,,,,,,,\n"+
		"4,person\n"+
		"5,person,F G,,,,,,somewhere,,,,,,\n")
	for _, tt := range []struct {
		policy                       Policy
		ids                          string
		skipped, dates, missing, few int64
	}{
		{SkipBadRow, "5", 3, 1, 1, 1},
		{KeepBadRow, "1 5", 2, 1, 1, 1},
	} {
		got, report, err := readAll(t, path, nil, ReadOptions{OnBadRow: tt.policy})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range got {
			ids = append(ids, r.ID)
		}
		if strings.Join(ids, " ") != tt.ids || report.Rows != 5 || report.Skipped != tt.skipped || report.NotPersons != 1 ||
			report.Bad[KindDate] != tt.dates || report.Bad[KindMissingID] != tt.missing || report.Bad[KindFields] != tt.few || report.Unread[KindCountry] != 1 {
			t.Errorf("%s: got ids %v, report %+v", tt.policy, ids, report)
		}
	}
	if _, _, err := readAll(t, path, nil, ReadOptions{OnBadRow: "perhaps"}); err == nil {
		t.Error("an unknown policy was accepted")
	}
}

func TestEachStops(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("id,primary_name\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "%d,x\n", i)
	}
	s, err := Open(writeFile(t, "a.csv", b.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if _, err := s.Each(t.Context(), ReadOptions{}, func(*Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Each(ctx, ReadOptions{}, func(*Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestDuplicateIDsBeyondMemory(t *testing.T) {
	t.Parallel()
	for _, n := range []int{50, 5000, 300000} {
		for _, twin := range []int{-1, 3, n - 2} {
			s, err := newIDSet(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			s.limit = 40
			h := s.hasher()
			for i := range n {
				if err = s.add(h.hash(fmt.Sprint("id-", i)), int64(i)); err != nil {
					t.Fatal(err)
				}
			}
			if twin >= 0 {
				err = s.add(h.hash(fmt.Sprint("id-", twin)), int64(n))
			}
			if err == nil {
				err = s.finish(t.Context())
			}
			s.close()
			want := ""
			if twin >= 0 {
				want = duplicateError(int64(n), int64(twin)).Error()
			}
			if got := fmt.Sprint(err); (want == "" && err != nil) || (want != "" && got != want) {
				t.Errorf("%d ids, twin %d: got %v, want %q", n, twin, err, want)
			}
		}
	}
}

func TestMappingErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ toml, want string }{
		{`colums = 1`, "not a setting"},
		{"[columns]\nid='a'\nfoo='b'", "not a setting"},
		{"[columns]\nname='b'", "columns.id"},
		{"[columns]\nid=['a','b']", "columns.id"},
		{"[columns]\nid='a'\nname=''", "empty column"},
		{"[columns]\nid=3", "name of a column"},
		{"[columns]\nid='a'\ndocument_type='t'", "as many"},
		{`format = "xml"`, "format"},
		{`delimiter = ";;"`, "one character"},
		{`encoding = "klingon"`, "encoding"},
		{`region = "Germany"`, "region"},
		{`date_formats = ["DD.MM.YY"]`, "four digits"},
		{`date_formats = ["YYYY-mm"]`, "none of Y M D"},
		{"table='a'\nquery='b'", "exclude"},
	} {
		if _, err := ParseMapping([]byte(tt.toml)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", tt.toml, err, tt.want)
		}
	}
	if _, err := LoadMapping(filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing mapping: got %v", err)
	}
	m, err := LoadMapping(writeFile(t, "m.toml", "separator = ';'\n[columns]\nid='a'\nidentifiers.iban=['x','y']"))
	if err != nil || !reflect.DeepEqual(m.Columns.Identifiers["iban"], columnList{"x", "y"}) {
		t.Errorf("got %+v, %v", m, err)
	}
}
