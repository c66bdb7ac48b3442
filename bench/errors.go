package bench

// ErrorModel says how often an agency's record differs from the person. All
// numbers are probabilities for one record, so that a pair differs about twice
// as often. They are assumptions in the range that the literature on registers
// reports (Christen, Data Matching, 2012, Chapter 2), not measurements.
type ErrorModel struct {
	// Respelled is a name written by another romanisation, or in another form,
	// than in the passport, name by name.
	Respelled float64
	// Marks is a record without diacritical marks.
	Marks float64
	// Native is a primary name in the native script; half of these records
	// have a Latin alias.
	Native float64
	// Alias is a further spelling among the alternative names.
	Alias float64
	// Dropped is a second given name, a father's name, a patronymic or a second
	// family name that is missing.
	Dropped float64
	// Swapped is given and family name in each other's place.
	Swapped float64
	// Typo is one slip of the keyboard in one name.
	Typo float64
	// Renamed is another family name, by marriage or otherwise.
	Renamed float64

	// Of the date of birth: missing; year alone; year and month; an estimate; a
	// range of years; day and month exchanged; another digit in the day or
	// month; the year off by one; the first of January for an unknown day; and
	// a second, wrong date beside the right one.
	DateMissing, DateYear, DateMonth, DateAbout, DateRange  float64
	DateSwapped, DateDigit, DateYearOff, DateJan, DateExtra float64

	// Known is a document, phone or e-mail address that the agency has
	// recorded, of those that the person has.
	DocumentKnown, PhoneKnown, EmailKnown float64
	// Changed is a document, phone or address replaced since.
	DocumentChanged, PhoneChanged, EmailChanged float64
	// NumberTypo is a wrong character in a document number. NumberStyle is a
	// number with spaces, hyphens or small letters. IssuerMissing is a document
	// without its country.
	NumberTypo, NumberStyle, IssuerMissing float64

	PlaceMissing, NationalityMissing, NationalityOther, SexMissing, SexWrong float64

	// Relatives is the share of the people known to the second agency alone
	// who are a twin, a sibling, a parent or child of the same name, or a
	// namesake of someone whom the first one knows; three in ten share a phone.
	Relatives float64
}

// DefaultErrors is the error model of the demo and the evaluations. Its dates
// agree in full for four pairs in five, as those of two governments' sanctions
// lists do where documents prove the pair, and its documents are known on both
// sides for three in ten.
func DefaultErrors() ErrorModel {
	return ErrorModel{
		Respelled: 0.15, Marks: 0.5, Native: 0.03, Alias: 0.3, Dropped: 0.15, Swapped: 0.02, Typo: 0.03, Renamed: 0.01,
		DateMissing: 0.02, DateYear: 0.03, DateMonth: 0.005, DateAbout: 0.005, DateRange: 0.003,
		DateSwapped: 0.01, DateDigit: 0.01, DateYearOff: 0.01, DateJan: 0.01, DateExtra: 0.02,
		DocumentKnown: 0.55, PhoneKnown: 0.45, EmailKnown: 0.3,
		DocumentChanged: 0.08, PhoneChanged: 0.1, EmailChanged: 0.1,
		NumberTypo: 0.015, NumberStyle: 0.15, IssuerMissing: 0.05,
		PlaceMissing: 0.4, NationalityMissing: 0.15, NationalityOther: 0.02, SexMissing: 0.1, SexWrong: 0.003,
		Relatives: 0.005,
	}
}
