package records

import (
	"fmt"
	"strings"
	"testing"
)

// The specimens are those of ICAO Doc 9303, Parts 4 to 6, Appendices.
const (
	specimenTD3 = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
	specimenTD2 = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6"
	specimenTD1 = "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"
)

func TestParseMRZ(t *testing.T) {
	t.Parallel()
	name := Name{"ANNA MARIA ERIKSSON", "ANNA MARIA", "ERIKSSON"}
	birth := Date{Year: 1974, Month: 8, Day: 12, Precision: PrecisionDay}
	for zone, doc := range map[string]Document{
		specimenTD3: {Type: "passport", Number: "L898902C3"},
		specimenTD2: {Type: "national_id", Number: "D23145890"},
		specimenTD1: {Type: "national_id", Number: "D23145890"},
		strings.ReplaceAll(specimenTD3, "\n", ""):                   {Type: "passport", Number: "L898902C3"},
		strings.ToLower(specimenTD3):                                {Type: "passport", Number: "L898902C3"},
		strings.Replace(specimenTD3, "L898902C36", "L898902C46", 1): {Type: "passport", Number: "L898902C4", CheckFailed: true},
		strings.Replace(specimenTD1, "D231458907", "D231458908", 1): {Type: "national_id", Number: "D23145890", CheckFailed: true},
	} {
		m, err := ParseMRZ(zone)
		if err != nil {
			t.Errorf("%q: %v", zone, err)
			continue
		}
		if m.Document != doc || m.Name != name || m.Birth != birth || m.Sex != SexFemale || m.Nationality != "" {
			t.Errorf("%q: got %+v, want %+v", zone, m, doc)
		}
	}
	// A long number goes on in the optional data of TD1.
	long := "I<DEUD23145890<7349<<<<<<<<<<<\n3407127M9507122DEU<<<<<<<<<<<2\nSTEVENSON<<PETER<JOHN<<<<<<<<<"
	m, err := ParseMRZ(long)
	if err != nil || m.Document.Number != "D23145890734" || m.Document.Country != "DE" || m.Birth.Year != 1934 {
		t.Errorf("got %+v, %v", m, err)
	}
	for _, bad := range []string{"", "P<UTO", strings.Repeat("<", 88), specimenTD3 + "<", strings.Replace(specimenTD3, "<", "é", 1), strings.Repeat("A", 1000)} {
		if m, err := ParseMRZ(bad); err == nil {
			t.Errorf("%.40q: got %+v", bad, m)
		}
	}
}

func TestMRZColumn(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.csv", "id,primary_name,mrz\n1,Anna Eriksson,\""+specimenTD3+"\"\n2,Bob,L898\n")
	got, report, err := readAll(t, path, nil, ReadOptions{OnBadRow: KeepBadRow})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || len(got[0].Names) != 2 || len(got[0].Documents) != 1 || len(got[0].Births) != 1 || got[0].Sex != SexFemale || report.Bad[KindMRZ] != 1 {
		t.Errorf("got %+v, %+v", got, report)
	}
}

func FuzzParseMRZ(f *testing.F) {
	for _, s := range []string{specimenTD1, specimenTD2, specimenTD3} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMRZ(s)
		if err != nil {
			return
		}
		if m.Document.Number == "" || m.Name.Full == "" || strings.Contains(m.Name.Full+m.Document.Number, "<") {
			t.Errorf("%q: %+v", s, m)
		}
	})
}

func TestQuality(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("id,primary_name,date_of_birth,phone,email\n")
	for i := range 2000 {
		n := string(rune('A'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		phone, date := "", "1980-05-"+string(rune('0'+i/10%3))+string(rune('1'+i%9))
		if i%20 == 0 {
			phone = "+442079460000"
		}
		if i%4 == 0 {
			date = "1970-01-01"
		}
		b.WriteString(n + "," + n + " X," + date + "," + phone + ",\n")
	}
	_, report, err := readAll(t, writeFile(t, "a.csv", b.String()), nil, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	q := report.Quality
	if q.Fill["names"] != 2000 || q.Fill["phones"] != 100 || q.Fill["emails"] != 0 || q.FullDates != 2000 || q.FirstOfJanuary != 500 {
		t.Errorf("got %+v", q)
	}
	var phones, dates int64
	for _, s := range q.Spikes {
		switch s.Field {
		case "phones":
			phones = s.Count
		case "births":
			dates = max(dates, s.Count)
		case "names":
			t.Errorf("names that differ are a spike: %+v", s)
		}
	}
	if phones != 100 || dates != 500 {
		t.Errorf("spikes of %d phones and %d dates, want 100 and 500", phones, dates)
	}
	text := q.Text(report.Records)
	for _, want := range []string{"first of January", "one value of phones stands in at least 100", "names            in 100.0 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "+44") {
		t.Error("the report holds a value")
	}
}

func TestHeavyIsBounded(t *testing.T) {
	t.Parallel()
	q := newQuality()
	var seen traces
	count := func(phone string) {
		q.trace(&seen, &Record{Phones: []string{phone}})
		q.add(&seen)
	}
	for i := range 100000 {
		count(fmt.Sprint(i))
		if i%50 == 0 {
			count("frequent")
		}
	}
	if n := len(q.frequent[spikePhone].counters); n > heavyCounters {
		t.Errorf("%d counters", n)
	}
	q.finish()
	if len(q.Spikes) != 1 || q.Spikes[0].Count < 1800 {
		t.Errorf("got %+v", q.Spikes)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	rs := mustParse(t, "set x\nphone: phone\nemail: email")
	x := NewIndex(mustDerive(t, rs))
	for _, phones := range [][]string{{"+1"}, {"+1", "+2"}, {"+1"}, {"+2"}, {"+3"}} {
		if err := x.Add(&Record{ID: strings.Join(phones, ""), Phones: phones}); err != nil {
			t.Fatal(err)
		}
	}
	if p, e, n := x.Duplicates("phone"), x.Duplicates("email"), x.Duplicates("nope"); p != 4 || e != 0 || n != 0 {
		t.Errorf("got %d, %d, %d pairs, want 4, 0, 0", p, e, n)
	}
}
