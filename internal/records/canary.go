package records

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// CanaryKeys returns a digest, in hexadecimal, of the keys that a rule set
// derives from fixed test persons. Both nodes compare it before real data is
// touched: if a normaliser has drifted on one side, hits would be lost unseen.
// The test persons cover every field, precision and script.
func CanaryKeys(rs *RuleSet) (string, error) {
	d, err := NewDeriver(rs, NormalisationVersion())
	if err != nil {
		return "", err
	}
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	part("symbolon/v1/canary")
	part(NormalisationVersion())
	part(string(rs.Canonical()))
	var keys []Key
	for _, row := range canaries {
		r := row.record()
		keys, _ = d.Keys(keys[:0], &r)
		part(row.id)
		for _, k := range keys {
			part(k.Rule)
			part(k.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// canary is a test person as a register would print them, so that the parsers
// are under test too.
type canary struct {
	id, name, given, family string
	aliases, births         []string
	place, nationality      string
	docType, docNo, issuer  string
	phone, region, email    string
	sex                     string
}

// The test persons are invented.
var canaries = []canary{
	{id: "1", name: "MÜLLER-LÜDENSCHEIDT, Jörg", given: "Jörg", family: "MÜLLER-LÜDENSCHEIDT", births: []string{"1961-04-07", "1961-07-04"}, place: "Köln, Germany", nationality: "DEU",
		docType: "Reisepass", docNo: "c01x 00-T47", issuer: "D", phone: "0221 1234567", region: "DE", email: "Joerg@Example.org", sex: "male"},
	{id: "2", name: "Абдул-Хамид аль-Масри", aliases: []string{"عبد الحميد المصري", "Abd al-Hamid AL-MASRI"}, births: []string{"1975", "~1974"}, nationality: "Syria",
		docType: "passport", docNo: "007431277", phone: "+963 11 222 33 44", sex: "M"},
	{id: "3", name: "Щербакова, Юлия Александровна", aliases: []string{"Yuliia Shcherbakova", "Юлія Щербакова"}, births: []string{"1988-02"}, nationality: "UA", docType: "tax_id", docNo: "3217А12345"},
	{id: "4", name: "KIM, Chŏl-su", aliases: []string{"김철수", "金哲洙"}, births: []string{"1968/1970"}, nationality: "Korea, North"},
	{id: "5", name: "Παπαδόπουλος Γεώργιος", aliases: []string{"דוד לוי", "たなか ハルト"}, births: []string{"2001-12-31"}, email: "g|p%@example.gr", place: "Αθήνα"},
	{id: "6", name: "O’NEILL de la Cruz y Łódź, María-José 3", births: []string{"1999-01-01"}, place: "Łódź"},
	{id: "7", name: "ALKHATIB, Abu Bakr", aliases: []string{"Անի Պետրոսյան", "ნინო ბერიძე"}},
}

// record parses the test person. Its values are fixed, so it can't fail except
// by a change of the parsers, which the digest then shows.
func (c canary) record() Record {
	r := Record{ID: c.id, Names: []Name{SplitName(c.name)}}
	if c.given != "" {
		r.Names[0].Given, r.Names[0].Family = c.given, c.family
	}
	for _, a := range c.aliases {
		r.Names = append(r.Names, SplitName(a))
	}
	for _, b := range c.births {
		if d, err := ParseDate(b); err == nil {
			r.Births = append(r.Births, d)
		}
	}
	if c.place != "" {
		r.PlacesOfBirth = []string{c.place}
	}
	if n, err := parseCountry(c.nationality); err == nil {
		r.Nationalities = []string{n}
	}
	if c.docNo != "" {
		issuer, _ := parseCountry(c.issuer)
		r.Documents = []Document{{Type: documentType(c.docType), Number: NormaliseNumber(c.docNo), Country: issuer}}
		r.Others = []Identifier{{Type: "iban", Value: NormaliseNumber(c.docNo)}}
	}
	if p, err := parsePhone(c.phone, c.region); err == nil {
		r.Phones = []string{p}
	}
	if e, err := parseEmail(c.email); err == nil {
		r.Emails = []string{e}
	}
	r.Sex, _ = parseSex(c.sex)
	return r
}
