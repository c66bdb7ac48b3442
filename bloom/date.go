package bloom

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// minYear is the least year: below it the platforms that run Python disagree
// whether to pad the year with zeros.
const minYear = 1000

// dateFormat reads dates by a format of strptime and writes them as yyyymmdd.
type dateFormat struct {
	pattern *regexp.Regexp
	format  string
}

// dateParts are the expressions of strptime in Python, in the order in which
// it tries the alternatives. Digits may be of any script. Weekdays and times of
// day are checked and dropped; a date without a year is of 1900.
var dateParts = map[rune]string{
	'd': `3[0-1]|[1-2]\p{Nd}|0[1-9]|[1-9]| [1-9]`,
	'm': `1[0-2]|0[1-9]|[1-9]`,
	'Y': `\p{Nd}{4}`,
	'y': `\p{Nd}{2}`,
	'j': `36[0-6]|3[0-5]\p{Nd}|[1-2]\p{Nd}\p{Nd}|0[1-9]\p{Nd}|00[1-9]|[1-9]\p{Nd}|0[1-9]|[1-9]`,
	'B': `september|february|november|december|january|october|august|march|april|june|july|may`,
	'b': `jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec`,
	'A': `wednesday|thursday|saturday|tuesday|monday|friday|sunday`,
	'a': `mon|tue|wed|thu|fri|sat|sun`,
	'H': `2[0-3]|[0-1]\p{Nd}|\p{Nd}`,
	'M': `[0-5]\p{Nd}|\p{Nd}`,
	'S': `6[0-1]|[0-5]\p{Nd}|\p{Nd}`,
}

var errDate = errors.New("is no date of the schema's format")

var monthNumber = map[string]time.Month{
	"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
	"jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}

func parseDateFormat(f string) (*dateFormat, error) {
	var out strings.Builder
	out.WriteString(`\A(?i:`)
	seen := make(map[rune]bool)
	percent, space := false, false
	for _, c := range f {
		switch {
		case percent && c == '%':
			out.WriteByte('%')
		case percent:
			part, ok := dateParts[c]
			if !ok {
				return nil, fmt.Errorf("%%%c is not supported", c)
			}
			if seen[c] {
				return nil, fmt.Errorf("%%%c is there twice", c)
			}
			seen[c] = true
			fmt.Fprintf(&out, `(?P<%c>%s)`, c, part)
		case c == '%':
			percent, space = true, false
			continue
		case isSpace(c):
			if !space {
				out.WriteString(`[` + spaceClass + `]+`)
			}
		default:
			out.WriteString(regexp.QuoteMeta(string(c)))
		}
		percent, space = false, !percent && isSpace(c)
	}
	if percent {
		return nil, errors.New("ends in a lone %")
	}
	for _, pair := range [][2]rune{{'Y', 'y'}, {'m', 'B'}, {'m', 'b'}, {'B', 'b'}} {
		if seen[pair[0]] && seen[pair[1]] {
			return nil, fmt.Errorf("%%%c and %%%c contradict each other", pair[0], pair[1])
		}
	}
	out.WriteByte(')')
	re, err := regexp.Compile(out.String())
	return &dateFormat{re, f}, err
}

func (f *dateFormat) canonical(value string) (string, error) {
	if f.format == "%Y-%m-%d" { // by far the most common
		if y, m, d, ok := isoDate(value); ok {
			return writeDate(y, m, d)
		}
	}
	// The leftmost match is what a backtracking matcher finds; like strptime,
	// look for nothing longer when it leaves text over.
	at := f.pattern.FindStringSubmatchIndex(value)
	if at == nil || at[1] != len(value) {
		return "", errDate
	}
	year, month, day, yearDay := 1900, time.January, 1, 0
	for i, name := range f.pattern.SubexpNames() {
		if name == "" {
			continue
		}
		text := strings.ToLower(asciiDigits(value[at[2*i]:at[2*i+1]]))
		n, _ := strconv.Atoi(strings.TrimSpace(text)) // 0 for words
		switch name {
		case "Y":
			year = n
		case "y":
			// POSIX: 69 to 99 are of the 20th century.
			if year = 2000 + n; n >= 69 {
				year = 1900 + n
			}
		case "m":
			month = time.Month(n)
		case "B", "b":
			month = monthNumber[text[:3]]
		case "d":
			day = n
		case "j":
			yearDay = n
		case "S":
			if n > 59 { // which strptime reads, but no date takes
				return "", errDate
			}
		}
	}
	if yearDay > 0 {
		t := time.Date(year, time.January, yearDay, 0, 0, 0, 0, time.UTC)
		year, month, day = t.Date()
	}
	return writeDate(year, month, day)
}

// isoDate reads yyyy-mm-dd in ASCII digits.
func isoDate(s string) (year int, month time.Month, day int, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, 0, 0, false
	}
	var n [3]int
	for i, part := range []string{s[:4], s[5:7], s[8:]} {
		for _, c := range []byte(part) {
			if c < '0' || c > '9' {
				return 0, 0, 0, false
			}
			n[i] = 10*n[i] + int(c-'0')
		}
	}
	return n[0], time.Month(n[1]), n[2], true
}

func writeDate(year int, month time.Month, day int) (string, error) {
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if t.Month() != month || t.Day() != day {
		return "", errDate
	}
	if year < minYear {
		return "", fmt.Errorf("has a year before %d", minYear)
	}
	return strconv.Itoa((year*100+int(month))*100 + day), nil
}
