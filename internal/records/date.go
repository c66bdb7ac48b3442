package records

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Precision says how much of a Date is known.
type Precision uint8

// The precisions. No missing part is ever invented.
const (
	PrecisionDay Precision = iota + 1
	PrecisionMonth
	PrecisionYear
	// PrecisionRange is any year from Year to ToYear.
	PrecisionRange
)

// Date is a date of birth. Month and Day are zero where unknown. ToYear is set
// for PrecisionRange only. About marks a date that the register calls an
// estimate.
type Date struct {
	Year, ToYear int16
	Month, Day   uint8
	Precision    Precision
	About        bool
}

// Years that a date of birth may have; what lies outside is a mistake of
// typing or a placeholder such as 9999.
const (
	minYear = 1850
	maxYear = 2100
)

// Reasons why a date is refused.
var (
	errDateFormat   = errors.New("not a date")
	errDateCalendar = errors.New("no such day in the calendar")
	errDateYear     = fmt.Errorf("year outside %d to %d", minYear, maxYear)
	errDateTwoDigit = errors.New("year of two digits")
	errDateRange    = errors.New("range runs backwards")
)

// ParseDate reads YYYY-MM-DD, YYYY-MM, YYYY, the same with a leading ~
// (about), YYYY/YYYY (between), YYYY/MM/DD and YYYYMMDD. Parts written 00 are
// unknown. Its errors do not hold the value. With errDateCalendar comes what of
// the date is sound: see salvage.
func ParseDate(s string) (Date, error) {
	s = strings.TrimSpace(s)
	var d Date
	if rest, ok := strings.CutPrefix(s, "~"); ok {
		d.About = true
		s = strings.TrimSpace(rest)
	}
	parts, ok := splitDate(s)
	if !ok {
		return Date{}, errDateFormat
	}
	if len(parts[0]) == 2 {
		return Date{}, errDateTwoDigit
	}
	if len(parts[0]) != 4 {
		return Date{}, errDateFormat
	}
	if len(parts) == 2 && len(parts[1]) == 4 {
		return rangeDate(d, atoi(parts[0]), atoi(parts[1]))
	}
	month, day := 0, 0
	if len(parts) > 1 {
		month = atoi(parts[1])
	}
	if len(parts) > 2 {
		day = atoi(parts[2])
	}
	return makeDate(d, atoi(parts[0]), month, day)
}

// splitDate cuts s into one to three runs of digits. A date of eight digits is
// cut by position.
func splitDate(s string) ([]string, bool) {
	if len(s) == 8 && allDigits(s) {
		return []string{s[:4], s[4:6], s[6:]}, true
	}
	sep := "-"
	if strings.Contains(s, "/") {
		sep = "/"
	}
	if strings.Count(s, sep) > 2 {
		return nil, false
	}
	parts := strings.Split(s, sep)
	for i, p := range parts {
		if !allDigits(p) || len(p) > 4 || i == 2 && len(p) > 2 || i == 1 && len(p) > 2 && (len(p) != 4 || len(parts) != 2 || sep != "/") {
			return nil, false
		}
	}
	return parts, true
}

func rangeDate(d Date, from, to int) (Date, error) {
	if from < minYear || to > maxYear {
		return Date{}, errDateYear
	}
	if from > to {
		return Date{}, errDateRange
	}
	d.Year, d.ToYear, d.Precision = int16(from), int16(to), PrecisionRange
	if from == to {
		d.ToYear, d.Precision = 0, PrecisionYear
	}
	return d, nil
}

func makeDate(d Date, year, month, day int) (Date, error) {
	if year < minYear || year > maxYear {
		return Date{}, errDateYear
	}
	d.Year = int16(year)
	if month > 12 || day > 31 || month == 0 && day != 0 || month != 0 && day > daysIn(year, month) {
		return salvage(d, month, day), errDateCalendar
	}
	d.Month, d.Day = uint8(month), uint8(day)
	switch {
	case month == 0:
		d.Precision = PrecisionYear
	case day == 0:
		d.Precision = PrecisionMonth
	default:
		d.Precision = PrecisionDay
	}
	return d, nil
}

// salvage returns what is sound of a date that is in no calendar: with day and
// month exchanged if that makes a date, else the year and a possible month.
func salvage(d Date, month, day int) Date {
	switch {
	case 1 <= day && day <= 12 && month > 12 && month <= daysIn(int(d.Year), day):
		d.Month, d.Day, d.Precision = uint8(day), uint8(month), PrecisionDay
	case 1 <= month && month <= 12:
		d.Month, d.Precision = uint8(month), PrecisionMonth
	default:
		d.Precision = PrecisionYear
	}
	return d
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// dateLayout is a date format of a mapping, such as DD.MM.YYYY: each letter
// run is replaced by its part.
type dateLayout string

// parse reads s by the layout. Layouts have fixed widths except that D and M
// stand for one or two digits.
func (l dateLayout) parse(s string) (Date, error) {
	s = strings.TrimSpace(s)
	year, month, day := -1, 0, 0
	for i := 0; i < len(l); {
		c := l[i]
		j := i
		for j < len(l) && l[j] == c {
			j++
		}
		width := j - i
		i = j
		switch c {
		case 'Y', 'M', 'D':
			n := width
			if width == 1 {
				n = len(s) - len(strings.TrimLeft(s, "0123456789"))
				n = min(n, 2)
			}
			if n == 0 || len(s) < n || !allDigits(s[:n]) {
				return Date{}, errDateFormat
			}
			v := atoi(s[:n])
			s = s[n:]
			switch c {
			case 'Y':
				year = v
			case 'M':
				month = v
			case 'D':
				day = v
			}
		default:
			sep := strings.Repeat(string(c), width)
			rest, ok := strings.CutPrefix(s, sep)
			if !ok {
				return Date{}, errDateFormat
			}
			s = rest
		}
	}
	if s != "" || year < 0 {
		return Date{}, errDateFormat
	}
	return makeDate(Date{}, year, month, day)
}

// validate reports a layout without a four-digit year, or with a letter that
// is no part of a date.
func (l dateLayout) validate() error {
	if strings.Count(string(l), "Y") != 4 || !strings.Contains(string(l), "YYYY") {
		return fmt.Errorf("date format %q needs a year of four digits, YYYY", string(l))
	}
	for i := range len(l) {
		c := l[i]
		if strings.IndexByte("YMD./- ", c) < 0 {
			return fmt.Errorf("date format %q: %q is none of Y M D . / - and space", string(l), c)
		}
	}
	return nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// atoi reads a short run of ASCII digits that was checked before.
func atoi(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}
