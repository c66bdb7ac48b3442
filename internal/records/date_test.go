package records

import (
	"errors"
	"testing"
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Date{
		"1980-02-29":  {Year: 1980, Month: 2, Day: 29, Precision: PrecisionDay},
		"1980-2-9":    {Year: 1980, Month: 2, Day: 9, Precision: PrecisionDay},
		"1980/12/31":  {Year: 1980, Month: 12, Day: 31, Precision: PrecisionDay},
		"19801231":    {Year: 1980, Month: 12, Day: 31, Precision: PrecisionDay},
		"1980-12":     {Year: 1980, Month: 12, Precision: PrecisionMonth},
		"1980-12-00":  {Year: 1980, Month: 12, Precision: PrecisionMonth},
		"1980-00-00":  {Year: 1980, Precision: PrecisionYear},
		"1980":        {Year: 1980, Precision: PrecisionYear},
		" ~1980 ":     {Year: 1980, Precision: PrecisionYear, About: true},
		"~1980-01-05": {Year: 1980, Month: 1, Day: 5, Precision: PrecisionDay, About: true},
		"1980/1983":   {Year: 1980, ToYear: 1983, Precision: PrecisionRange},
		"1980/1980":   {Year: 1980, Precision: PrecisionYear},
		"1980/01":     {Year: 1980, Month: 1, Precision: PrecisionMonth},
	} {
		if got, err := ParseDate(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]error{
		"": errDateFormat, "~": errDateFormat, "x": errDateFormat, "1980-02-30": errDateCalendar, "1981-02-29": errDateCalendar, "1980-13": errDateCalendar,
		"1980-00-05": errDateCalendar, "9999": errDateYear, "0000-01-01": errDateYear, "80-01-02": errDateTwoDigit, "1983/1980": errDateRange,
		"1980-1983": errDateFormat, "1980--1": errDateFormat, "1980-01-02-03": errDateFormat, "01.02.1980": errDateFormat, "1980-01-02T00": errDateFormat,
		"1٩80": errDateFormat, "1800/1980": errDateYear,
	} {
		if got, err := ParseDate(in); !errors.Is(err, want) {
			t.Errorf("%q: got %+v, %v; want %v", in, got, err, want)
		}
	}
}

func TestImpossibleDatesKeepWhatIsSound(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Date{
		"1980-02-31": {Year: 1980, Month: 2, Precision: PrecisionMonth},
		"1980-22-07": {Year: 1980, Month: 7, Day: 22, Precision: PrecisionDay},
		"1980-31-02": {Year: 1980, Precision: PrecisionYear},
		"1980-00-07": {Year: 1980, Precision: PrecisionYear},
		"1980-02-96": {Year: 1980, Month: 2, Precision: PrecisionMonth},
	} {
		if got, err := ParseDate(in); !errors.Is(err, errDateCalendar) || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestDateLayouts(t *testing.T) {
	t.Parallel()
	want := Date{Year: 1980, Month: 2, Day: 9, Precision: PrecisionDay}
	for layout, in := range map[string]string{"DD.MM.YYYY": "09.02.1980", "D.M.YYYY": "9.2.1980", "MM/DD/YYYY": "02/09/1980", "YYYYMMDD": "19800209"} {
		if err := dateLayout(layout).validate(); err != nil {
			t.Error(err)
		}
		if got, err := dateLayout(layout).parse(in); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", layout, got, err)
		}
		for _, bad := range []string{"", "9.2.80", "x", in + "1", "31.31.1980"} {
			if got, err := dateLayout(layout).parse(bad); err == nil {
				t.Errorf("%s read %q as %+v", layout, bad, got)
			}
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"1980-02-29", "~1980", "1980/1983", "19801231", "80-1-1", "1980-00-00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil {
			if !errors.Is(err, errDateCalendar) {
				if d != (Date{}) {
					t.Errorf("an error came with %+v", d)
				}
				return
			}
		}
		if d.Year < minYear || d.Year > maxYear || d.Month > 12 || d.Day > 31 || d.Precision < PrecisionDay || d.Precision > PrecisionRange {
			t.Errorf("got %+v", d)
		}
		for _, l := range []dateLayout{"DD.MM.YYYY", "D.M.YYYY"} {
			l.parse(s)
		}
	})
}

func TestCountries(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"DE": "DE", "de": "DE", "DEU": "DE", "D": "DE", "Germany": "DE", "GBR": "GB", "GBD": "GB", "UK": "GB", "Iran (Islamic Republic of)": "IR",
		"Islamic Republic of Iran": "IR", "Korea, North": "KP", "Republic of Korea": "KR", "North Macedonia, The Republic of": "MK", "Saint Kitts and Nevis": "KN",
		"Democratic Republic of the Congo": "CD", "Czech Republic": "CZ", "Côte d’Ivoire": "CI", "RKS": "XK", "Türkiye": "TR", "Burma": "MM", "Republic of Moldova": "MD",
	} {
		if got, err := parseCountry(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "XX", "EU", "150", "Atlantis", "possibly Palestinian", "9", ",", "the"} {
		if got, err := parseCountry(in); err == nil {
			t.Errorf("%q is %q", in, got)
		}
	}
}

func TestContacts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, region, want string }{
		{"+49 (221) 123-4567", "", "+492211234567"},
		{"0221 1234567", "DE", "+492211234567"},
		{"0049 221 1234567", "FR", "+492211234567"},
		{"8613188782935", "", "+8613188782935"},
		{"905537471039", "DE", "+905537471039"},
		{"12", "DE", ""}, {"call me", "DE", ""}, {"", "DE", ""}, {"0221 1234567", "", ""}, {"+999 123456789", "", ""},
	} {
		if got, err := parsePhone(tt.in, tt.region); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q in %q: got %q, %v; want %q", tt.in, tt.region, got, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		" Ada@Example.ORG ": "ada@example.org", "a|b%@x.y": "a|b%@x.y",
		"ada": "", "@x.y": "", "a@b@c.d": "", "a b@c.d": "", "a@b": "", "a@.": "", "a\x00@b.c": "", "<a@b.c>": "",
	} {
		if got, err := parseEmail(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestNormaliseNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"c01x 00-t47": "C01X00T47", "№ 12": "NO12", "１２３": "123", "АВ 12": "AB12", "٠١٢": "012", "--": "", "": "", "é1": "É1",
	} {
		if got := NormaliseNumber(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := NormaliseNumber(string(make([]byte, 1000))); got != "" {
		t.Errorf("a long number gave %q", got)
	}
	for r := range rune(10) {
		for _, zero := range []rune{'0', '٠', '۰', '०', '০', '๐', '𝟘'} {
			if got := decimalValue(zero + r); zero != '𝟘' && got != int(r) {
				t.Errorf("%c has value %d, want %d", zero+r, got, r)
			}
		}
	}
}
