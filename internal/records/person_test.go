package records

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A person typed in gives the record that the same values give in a file.
func TestPersonIsARow(t *testing.T) {
	t.Parallel()
	p := Person{
		ID: "7", Names: []string{"Samir Haddad", "Abu Samir"}, Given: "Samir", Family: "Haddad", Births: []string{"1987-03-12", "~1986"},
		PlacesOfBirth: []string{"Aleppo"}, Nationalities: []string{"SYR"}, Sex: "male", Region: "NO",
		Documents: []DocumentText{{"passport", "p 4471182", "Syria"}, {Number: "998877"}},
		Phones:    []string{"21 23 45 67"}, Emails: []string{"S.Haddad@Example.org"},
	}
	got, err := p.Record()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "p.csv")
	row := "id,primary_name,given_names,family_name,alt_names,date_of_birth,place_of_birth,nationality,document_type,document_number,document_country,phone,email,sex\n" +
		"7,Samir Haddad,Samir,Haddad,Abu Samir,1987-03-12 | ~1986,Aleppo,SYR,passport | ,p 4471182 | 998877,Syria | ,+4721234567,s.haddad@example.org,M\n"
	if err := os.WriteFile(path, []byte(row), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = src.Each(t.Context(), ReadOptions{}, func(want *Record) error {
		want.Row = 0
		if !reflect.DeepEqual(normal(*got), normal(*want)) {
			t.Errorf("got  %+v\nwant %+v", *got, *want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// normal makes empty lists nil.
func normal(r Record) Record {
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
	return r
}

func TestPersonParts(t *testing.T) {
	t.Parallel()
	p := Person{ID: "q", Given: "Samir", Family: "Haddad"}
	r, err := p.Record()
	if err != nil || len(r.Names) != 1 || r.Names[0] != (Name{"Samir Haddad", "Samir", "Haddad"}) {
		t.Errorf("got %+v, %v", r, err)
	}
	p = Person{ID: "q", MRZ: []string{"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10"}}
	if r, err = p.Record(); err != nil || len(r.Documents) != 1 || len(r.Names) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestPersonRefused(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Person{
		"date_of_birth":   {ID: "q", Births: []string{"Xsecret"}},
		"phone":           {ID: "q", Phones: []string{"Xsecret"}},
		"email":           {ID: "q", Emails: []string{"Xsecret"}},
		"sex":             {ID: "q", Sex: "Xsecret"},
		"document_number": {ID: "q", Documents: []DocumentText{{Number: "---"}}},
		"country":         {ID: "q", Nationalities: []string{"Xsecret"}},
		"mrz":             {ID: "q", MRZ: []string{"Xsecret"}},
		"id":              {Names: []string{"Xsecret"}},
		"region":          {ID: "q", Region: "zz"},
	} {
		_, err := p.Record()
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
