package records

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"golang.org/x/text/encoding/htmlindex"
)

// Mapping says how a source is read and which column feeds which field. The
// zero Mapping reads a source whose header is one of the known ones: that of
// Columns' field names, FollowTheMoney, Interpol notices or PFIF.
type Mapping struct {
	// Format is csv, jsonl, sqlite or postgres; empty decides by the location.
	Format string `toml:"format"`
	// Delimiter separates the cells of a CSV row; default a comma, a tab for
	// files named .tsv.
	Delimiter string `toml:"delimiter"`
	// Encoding is a label of the WHATWG Encoding Standard; default UTF-8.
	Encoding string `toml:"encoding"`
	// Separator separates several values in one cell; default " | ".
	Separator string `toml:"separator"`
	// Region is the default region of telephone numbers, ISO 3166-1 alpha-2.
	Region string `toml:"region"`
	// DateFormats are tried in order before the formats of ParseDate, such as
	// DD.MM.YYYY.
	DateFormats []string `toml:"date_formats"`
	// Table or Query select the rows of a SQL source.
	Table string `toml:"table"`
	Query string `toml:"query"`
	// Columns is nil to recognise a known header.
	Columns *Columns `toml:"columns"`
}

// Columns names the columns that feed each field. For JSON Lines a column is a
// path with dots. Columns not named here are not kept in memory.
type Columns struct {
	ID         columnList `toml:"id"`
	EntityType columnList `toml:"entity_type"`
	// Name is the primary name; Given and Family are its parts, which make the
	// name where there is no Name.
	Name          columnList `toml:"name"`
	Given         columnList `toml:"given"`
	Family        columnList `toml:"family"`
	Alias         columnList `toml:"alias"`
	Birth         columnList `toml:"birth"`
	PlaceOfBirth  columnList `toml:"place_of_birth"`
	Nationality   columnList `toml:"nationality"`
	DocumentType  columnList `toml:"document_type"`
	DocumentNo    columnList `toml:"document_number"`
	DocumentState columnList `toml:"document_country"`
	// Passport and NationalID are columns of numbers of one type.
	Passport   columnList `toml:"passport"`
	NationalID columnList `toml:"national_id"`
	// MRZ holds machine-readable zones (TD1, TD2, TD3).
	MRZ       columnList `toml:"mrz"`
	Phone     columnList `toml:"phone"`
	Email     columnList `toml:"email"`
	Sex       columnList `toml:"sex"`
	SourceRef columnList `toml:"source_ref"`
	Group     columnList `toml:"group"`
	// Contact and Note travel with SourceRef to a peer whose lookup hits the
	// record. No header is taken for them by itself.
	Contact columnList `toml:"contact"`
	Note    columnList `toml:"note"`
	// Identifiers maps a type of identifier to its columns.
	Identifiers map[string]columnList `toml:"identifiers"`
}

// columnList is one column or several, written as a string or a list.
type columnList []string

// UnmarshalTOML implements toml.Unmarshaler.
func (c *columnList) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		*c = columnList{v}
	case []any:
		*c = nil
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return fmt.Errorf("got a %T for the name of a column", e)
			}
			*c = append(*c, s)
		}
	default:
		return fmt.Errorf("got a %T for the name of a column", v)
	}
	return nil
}

const maxMappingBytes = 1 << 20

// LoadMapping reads a mapping file (TOML).
func LoadMapping(path string) (*Mapping, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading mapping: %w", err)
	}
	if st.Size() > maxMappingBytes {
		return nil, fmt.Errorf("reading mapping %q: %d bytes are more than %d", path, st.Size(), maxMappingBytes)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading mapping: %w", err)
	}
	m, err := ParseMapping(b)
	if err != nil {
		return nil, fmt.Errorf("reading mapping %q: %w", path, err)
	}
	return m, nil
}

// ParseMapping reads a mapping from TOML and refuses keys it does not know.
func ParseMapping(b []byte) (*Mapping, error) {
	var m Mapping
	md, err := toml.Decode(string(b), &m)
	if err != nil {
		return nil, err
	}
	if u := md.Undecoded(); len(u) > 0 {
		return nil, fmt.Errorf("%q is not a setting of a mapping", u[0].String())
	}
	return &m, m.validate()
}

func (m *Mapping) validate() error {
	switch m.Format {
	case "", formatCSV, formatJSONL, formatSQLite, formatPostgres:
	default:
		return fmt.Errorf("format %q is none of csv, jsonl, sqlite, postgres", m.Format)
	}
	if m.Delimiter != "" && utf8.RuneCountInString(m.Delimiter) != 1 {
		return fmt.Errorf("delimiter %q is not one character", m.Delimiter)
	}
	if strings.ContainsAny(m.Delimiter, "\r\n\"\ufeff\ufffd") {
		return fmt.Errorf("delimiter %q can't separate cells", m.Delimiter)
	}
	if m.Encoding != "" {
		if _, err := htmlindex.Get(m.Encoding); err != nil {
			return fmt.Errorf("encoding %q is unknown", m.Encoding)
		}
	}
	if m.Region != "" {
		if c, err := parseCountry(m.Region); err != nil || c != m.Region {
			return fmt.Errorf("region %q is not an ISO 3166-1 alpha-2 code", m.Region)
		}
	}
	for _, f := range m.DateFormats {
		if err := dateLayout(f).validate(); err != nil {
			return err
		}
	}
	if m.Table != "" && m.Query != "" {
		return errors.New("table and query exclude each other")
	}
	if m.Columns != nil {
		return m.Columns.validate()
	}
	return nil
}

func (c *Columns) validate() error {
	if len(c.ID) != 1 {
		return fmt.Errorf("columns.id names %d columns, want 1", len(c.ID))
	}
	if len(c.DocumentType) > 0 && len(c.DocumentType) != len(c.DocumentNo) ||
		len(c.DocumentState) > 0 && len(c.DocumentState) != len(c.DocumentNo) {
		return errors.New("document_type and document_country must name as many columns as document_number, or none")
	}
	for _, f := range c.fields() {
		if slices.Contains(f.columns, "") {
			return fmt.Errorf("columns.%s names an empty column", f.name)
		}
	}
	return nil
}

type fieldColumns struct {
	name    string
	columns columnList
}

// fields lists every field with its columns, in a fixed order.
func (c *Columns) fields() []fieldColumns {
	fs := []fieldColumns{
		{"id", c.ID}, {"entity_type", c.EntityType}, {"name", c.Name}, {"given", c.Given}, {"family", c.Family},
		{"alias", c.Alias}, {"birth", c.Birth}, {"place_of_birth", c.PlaceOfBirth}, {"nationality", c.Nationality},
		{"document_type", c.DocumentType}, {"document_number", c.DocumentNo}, {"document_country", c.DocumentState},
		{"passport", c.Passport}, {"national_id", c.NationalID}, {"mrz", c.MRZ}, {"phone", c.Phone}, {"email", c.Email},
		{"sex", c.Sex}, {"source_ref", c.SourceRef}, {"group", c.Group},
		{"contact", c.Contact}, {"note", c.Note},
	}
	for _, typ := range sortedKeys(c.Identifiers) {
		fs = append(fs, fieldColumns{"identifiers." + typ, c.Identifiers[typ]})
	}
	return fs
}

// presets are the headers that are recognised without a mapping, tried in
// order: the first whose id is present and which has a name.
var presets = []struct {
	name    string
	columns Columns
}{
	{"default", Columns{
		ID: one("id"), EntityType: one("entity_type"), Name: one("primary_name"), Given: one("given_names"), Family: one("family_name"),
		Alias: one("alt_names"), Birth: one("date_of_birth"), PlaceOfBirth: one("place_of_birth"), Nationality: one("nationality"),
		DocumentType: one("document_type"), DocumentNo: one("document_number"), DocumentState: one("document_country"),
		MRZ: one("mrz"), Phone: one("phone"), Email: one("email"), Sex: one("sex"), SourceRef: one("source_ref"), Group: one("group"),
	}},
	// https://followthemoney.tech/explorer/schemata/Person/, as exported in JSON.
	{"followthemoney", Columns{
		ID: one("id"), EntityType: one("schema"), Name: one("properties.name"), Given: one("properties.firstName"), Family: one("properties.lastName"),
		Alias: columnList{"properties.alias", "properties.previousName", "properties.weakAlias"}, Birth: one("properties.birthDate"),
		PlaceOfBirth: one("properties.birthPlace"), Nationality: columnList{"properties.nationality", "properties.citizenship"},
		Passport: one("properties.passportNumber"), NationalID: one("properties.idNumber"),
		Phone: one("properties.phone"), Email: one("properties.email"), Sex: one("properties.gender"),
	}},
	{"followthemoney-csv", Columns{
		ID: one("id"), EntityType: one("schema"), Name: one("name"), Given: one("firstName"), Family: one("lastName"),
		Alias: columnList{"alias", "previousName", "weakAlias"}, Birth: one("birthDate"), PlaceOfBirth: one("birthPlace"),
		Nationality: columnList{"nationality", "citizenship"}, Passport: one("passportNumber"), NationalID: one("idNumber"),
		Phone: one("phone"), Email: one("email"), Sex: one("gender"),
	}},
	// Interpol notices: "name" is the family name.
	{"interpol", Columns{
		ID: one("entity_id"), Given: one("forename"), Family: one("name"), Birth: one("date_of_birth"),
		PlaceOfBirth: one("place_of_birth"), Nationality: one("nationalities"), Sex: one("sex_id"),
	}},
	// PFIF 1.4, https://zesty.ca/pfif/1.4/.
	{"pfif", Columns{
		ID: one("person_record_id"), Name: one("full_name"), Given: one("given_name"), Family: one("family_name"),
		Alias: one("alternate_names"), Birth: one("date_of_birth"), Sex: one("sex"),
	}},
}

func one(s string) columnList { return columnList{s} }

// recognise returns the preset that fits the columns present, restricted to
// them, or nil.
func recognise(has func(string) bool) *Columns {
	for _, p := range presets {
		c := p.columns
		if !has(c.ID[0]) || !slices.ContainsFunc(slices.Concat(c.Name, c.Given, c.Family), has) {
			continue
		}
		c.restrict(has)
		if len(c.DocumentNo) == 0 {
			c.DocumentType, c.DocumentState = nil, nil
		}
		return &c
	}
	return nil
}

// restrict drops the columns that are absent.
func (c *Columns) restrict(has func(string) bool) {
	for _, l := range []*columnList{
		&c.EntityType, &c.Name, &c.Given, &c.Family, &c.Alias, &c.Birth, &c.PlaceOfBirth, &c.Nationality, &c.DocumentType,
		&c.DocumentNo, &c.DocumentState, &c.Passport, &c.NationalID, &c.MRZ, &c.Phone, &c.Email, &c.Sex, &c.SourceRef, &c.Group,
	} {
		var kept columnList
		for _, col := range *l {
			if has(col) {
				kept = append(kept, col)
			}
		}
		*l = kept
	}
}
