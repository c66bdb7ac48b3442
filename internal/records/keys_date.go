package records

import "strconv"

// First and last decade that decades tells apart.
const (
	firstDecade = 1900
	lastDecade  = 2020
)

// decades adds the decades of the dates, earlier and later ones counted to the
// first and last. A record without a date has every decade: so it agrees with
// any other, while two dates of different decades don't.
func decades(births []Date, add func(string)) {
	if len(births) == 0 {
		for y := firstDecade; y <= lastDecade; y += 10 {
			add(strconv.Itoa(y))
		}
	}
	for _, d := range births {
		for y := range d.years() {
			add(strconv.Itoa(min(max(y-y%10, firstDecade), lastDecade)))
		}
	}
}

// values adds the readings of a date under a clause. A date that is known to
// less than the clause asks for has none; a range has each of its years, up to
// maxRangeYears.
func (d Date) values(c Clause, add func(string)) {
	switch c.How {
	case howDay, howRealDay:
		if d.Precision == PrecisionDay && (c.How == howDay || d.Month != 1 || d.Day != 1) {
			add(dateText('-', int(d.Year), int(d.Month), int(d.Day)))
		}
	case howUnordered:
		if d.Precision == PrecisionDay {
			add(dateText(':', int(d.Year), int(min(d.Month, d.Day)), int(max(d.Month, d.Day))))
		}
	case howMonth:
		if d.Precision <= PrecisionMonth {
			add(dateText('-', int(d.Year), int(d.Month), 0))
		}
	case howTwoParts:
		if d.Precision == PrecisionDay {
			add(dateText('-', int(d.Year), int(d.Month), 0))
			add(dateText('/', int(d.Year), int(d.Day), 0))
			add(dateText('-', int(d.Month), int(d.Day), 0))
		}
	case howHalf, howQuarter, howTwoMonths, howMonthOrYear:
		d.partsOfYear(yearParts[c.How], add)
	case howYear:
		for y := range d.years() {
			add(strconv.Itoa(y))
		}
	case howNearYear:
		// Two years at most w apart share one of the windows of w+1 years.
		for y := range d.years() {
			for first := y - c.Within; first <= y; first++ {
				add(strconv.Itoa(first) + ".." + strconv.Itoa(first+c.Within))
			}
		}
	}
}

// yearParts says into how many parts a comparison cuts the year.
var yearParts = map[string]int{howHalf: 2, howQuarter: 4, howTwoMonths: 6, howMonthOrYear: 12}

// partsOfYear adds the part of the year, of n, that holds the date, or all of
// them where no more than the year is known, which the first of January often
// stands for: so a year agrees with any date in it, while two dates agree only
// in the same part.
func (d Date) partsOfYear(n int, add func(string)) {
	if d.Month != 0 && (d.Month != 1 || d.Day != 1) {
		add(strconv.Itoa(int(d.Year)) + "." + strconv.Itoa((int(d.Month)-1)*n/12+1))
		return
	}
	if d.Precision == PrecisionRange {
		add(strconv.Itoa(int(d.Year)) + "/" + strconv.Itoa(int(d.ToYear)))
		return
	}
	for y := range d.years() {
		for part := 1; part <= n; part++ {
			add(strconv.Itoa(y) + "." + strconv.Itoa(part))
		}
	}
}

// dateText joins two or three parts of a date, each of at least two digits; a
// third part of 0 is left out.
func dateText(sep byte, first, second, third int) string {
	b := make([]byte, 0, 12)
	for i, n := range [3]int{first, second, third} {
		if i == 2 && n == 0 {
			break
		}
		if i > 0 {
			b = append(b, sep)
		}
		if n < 10 {
			b = append(b, '0')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

// maxRangeYears bounds the years of a range: a longer one tells too little.
const maxRangeYears = 5

func (d Date) years() func(yield func(int) bool) {
	last := int(d.Year)
	if d.Precision == PrecisionRange {
		last = int(d.ToYear)
	}
	if last-int(d.Year) >= maxRangeYears {
		last = int(d.Year) - 1
	}
	return func(yield func(int) bool) {
		for y := int(d.Year); y <= last; y++ {
			if !yield(y) {
				return
			}
		}
	}
}
