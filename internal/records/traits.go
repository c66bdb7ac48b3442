package records

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// traits are what an evaluation breaks its figures down by, so that a rule set
// that serves one group of people worse than another is seen to. They are
// indices into traitNames; 0 is unknown.
type traits struct{ script, origin, sex, decade uint8 }

// scripts in which names are written, in the order of traits.script from 1.
var scripts = []struct {
	name  string
	table *unicode.RangeTable
}{
	{"Latin", unicode.Latin}, {"Cyrillic", unicode.Cyrillic}, {"Arabic", unicode.Arabic}, {"Han", unicode.Han}, {"Hangul", unicode.Hangul},
	{"Hebrew", unicode.Hebrew}, {"Greek", unicode.Greek}, {"Katakana", unicode.Katakana}, {"Hiragana", unicode.Hiragana}, {"Georgian", unicode.Georgian},
	{"Armenian", unicode.Armenian}, {"Devanagari", unicode.Devanagari}, {"Thai", unicode.Thai}, {"Ethiopic", unicode.Ethiopic},
}

// subregions are those of UN M49, to which a nationality is counted as the
// likely origin of a name, in the order of traits.origin from 1.
var subregions = []string{
	"015", "011", "014", "017", "018", "013", "021", "029", "005", "143", "030", "034", "035", "145", "039", "151", "154", "155", "053", "054", "057", "061",
}

// sexes in the order of traits.sex from 1.
var sexes = []Sex{SexFemale, SexMale, SexOther}

const firstTraitDecade = 1850

// traitsOf reads the traits of a record: the script of its primary name, the
// region of its first nationality, its sex and its first date of birth.
func traitsOf(r *Record) traits {
	var t traits
	if len(r.Names) > 0 {
		t.script = scriptOf(r.Names[0].Full)
	}
	if len(r.Nationalities) > 0 {
		t.origin = originOf(r.Nationalities[0])
	}
	t.sex = uint8(slices.Index(sexes, r.Sex) + 1)
	if len(r.Births) > 0 {
		t.decade = uint8((int(r.Births[0].Year)-firstTraitDecade)/10 + 1)
	}
	return t
}

func scriptOf(name string) uint8 {
	for _, r := range name {
		if !unicode.IsLetter(r) {
			continue
		}
		for i, s := range scripts {
			if unicode.Is(s.table, r) {
				return uint8(i + 1)
			}
		}
		return 0
	}
	return 0
}

func originOf(country string) uint8 { return origins()[country] }

// origins maps a country to its subregion.
var origins = sync.OnceValue(func() map[string]uint8 {
	m := map[string]uint8{}
	for _, country := range countryNames() {
		r, err := language.ParseRegion(country)
		if err != nil {
			continue
		}
		for i, s := range subregions {
			if language.MustParseRegion(s).Contains(r) {
				m[country] = uint8(i + 1)
				break
			}
		}
	}
	return m
})

const unknownTrait = "unknown"

// groups returns the name of each breakdown and the value of t in it.
func (t traits) groups() [4][2]string {
	g := [4][2]string{{"script", unknownTrait}, {"origin", unknownTrait}, {"sex", unknownTrait}, {"birth_decade", unknownTrait}}
	if t.script > 0 {
		g[0][1] = scripts[t.script-1].name
	}
	if t.origin > 0 {
		g[1][1] = display.English.Regions().Name(language.MustParseRegion(subregions[t.origin-1]))
	}
	if t.sex > 0 {
		g[2][1] = string(sexes[t.sex-1])
	}
	if t.decade > 0 {
		g[3][1] = strconv.Itoa(firstTraitDecade + 10*(int(t.decade)-1))
	}
	return g
}

// GroupScore counts the pairs whose record of side A belongs to a group.
type GroupScore struct {
	// Group is script, origin, sex or birth_decade.
	Group          string  `json:"group"`
	Value          string  `json:"value"`
	Recall         float64 `json:"recall"`
	Precision      float64 `json:"precision"`
	F1             float64 `json:"f1"`
	TruePositives  int     `json:"true_positives"`
	FalsePositives int     `json:"false_positives"`
	Missed         int     `json:"missed"`
}

// byGroup breaks an evaluation down by the traits of the records of side A.
// True pairs that name no record are left out.
func (e *Evaluation) byGroup(a *Index, ids map[string]uint32) []GroupScore {
	counts := map[[2]string]*GroupScore{}
	count := func(record uint32, add func(*GroupScore)) {
		for _, g := range a.traits[record].groups() {
			if counts[g] == nil {
				counts[g] = &GroupScore{Group: g[0], Value: g[1]}
			}
			add(counts[g])
		}
	}
	for i := range e.Found {
		switch f := &e.Found[i]; f.Verdict {
		case VerdictTrue:
			count(f.A, func(g *GroupScore) { g.TruePositives++ })
		case VerdictFalse:
			count(f.A, func(g *GroupScore) { g.FalsePositives++ })
		}
	}
	for _, p := range e.MissedPairs {
		if record, ok := ids[p[0]]; ok {
			count(record, func(g *GroupScore) { g.Missed++ })
		}
	}
	out := make([]GroupScore, 0, len(counts))
	for _, g := range counts {
		s := Score{TruePositives: g.TruePositives, FalsePositives: g.FalsePositives}
		s.finish(g.TruePositives + g.Missed)
		g.Recall, g.Precision, g.F1 = s.Recall, s.Precision, s.F1
		out = append(out, *g)
	}
	slices.SortFunc(out, func(x, y GroupScore) int { return cmp.Or(cmp.Compare(x.Group, y.Group), cmp.Compare(x.Value, y.Value)) })
	return out
}
