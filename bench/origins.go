package bench

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// nameFiles hold one origin of names each, in this form:
//
//	weight 5                    how common the origin is
//	script latin                of the first form of every name
//	order family-first          else given names come first
//	second 0.3                  probability of a second given name
//	surnames 0.9                probability of a second family name
//	middle father 0.6           probability of the father's given name, or of
//	                            a patronymic, between given and family name
//	country CC w Name | calling code and phone | passport | national id | cities
//	male: Native/Latin/Other Latin, ...
//
// In templates # stands for a digit and @ for a letter. Lists are male, female,
// family, patronymic-m, patronymic-f; root with end-m and end-f, which make
// further family names; syllables-m and -f, one or two of which make a given
// name.
//
//go:embed names/*.txt
var nameFiles embed.FS

// origin is where names come from, and the countries of those who bear them.
type origin struct {
	name        string
	weight      int
	script      string
	familyFirst bool
	second      float64
	surnames    float64
	middle      string
	middleRate  float64
	countries   []country
	// lists of names and parts of names, by their heading
	lists map[string][]forms
}

// forms are the forms of a name: the native one, then others.
type forms []string

type country struct {
	code, name                string
	weight                    int
	phone, passport, nationID string
	cities                    []string
}

// loadOrigins reads all origins, once.
var loadOrigins = sync.OnceValue(func() []origin {
	files, err := fs.Glob(nameFiles, "names/*.txt")
	if err != nil {
		panic("bench: " + err.Error())
	}
	slices.Sort(files)
	var out []origin
	for _, f := range files {
		text, err := nameFiles.ReadFile(f)
		if err != nil {
			panic("bench: " + err.Error())
		}
		o, err := parseOrigin(text)
		if err != nil {
			// The files are compiled in, and a test reads them.
			panic("bench: " + f + ": " + err.Error())
		}
		o.name = strings.TrimSuffix(strings.TrimPrefix(f, "names/"), ".txt")
		out = append(out, *o)
	}
	return out
})

func parseOrigin(text []byte) (*origin, error) {
	o := &origin{lists: map[string][]forms{}}
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := o.parseLine(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if o.weight == 0 || o.script == "" || len(o.countries) == 0 {
		return nil, fmt.Errorf("weight, script or country is missing")
	}
	return o, in.Err()
}

func (o *origin) parseLine(line string) error {
	if heading, list, ok := strings.Cut(line, ":"); ok && !strings.Contains(heading, " ") {
		for _, name := range strings.Split(list, ",") {
			f := forms(strings.Split(strings.TrimSpace(name), "/"))
			if slices.Contains(f, "") {
				return fmt.Errorf("an empty form under %q", heading)
			}
			o.lists[heading] = append(o.lists[heading], f)
		}
		return nil
	}
	key, rest, _ := strings.Cut(line, " ")
	var err error
	switch key {
	case "weight":
		o.weight, err = strconv.Atoi(rest)
	case "script":
		o.script = rest
	case "order":
		o.familyFirst = rest == "family-first"
	case "second":
		o.second, err = strconv.ParseFloat(rest, 64)
	case "surnames":
		o.surnames, err = strconv.ParseFloat(rest, 64)
	case "middle":
		kind, rate, _ := strings.Cut(rest, " ")
		o.middle = kind
		o.middleRate, err = strconv.ParseFloat(rate, 64)
	case "country":
		var c country
		if c, err = parseCountry(rest); err == nil {
			o.countries = append(o.countries, c)
		}
	default:
		err = fmt.Errorf("unknown key %q", key)
	}
	return err
}

func parseCountry(s string) (c country, err error) {
	parts := strings.Split(s, "|")
	head := strings.SplitN(strings.TrimSpace(parts[0]), " ", 3)
	if len(parts) != 5 || len(head) != 3 {
		return c, fmt.Errorf("a country has %d parts", len(parts))
	}
	if c.weight, err = strconv.Atoi(head[1]); err != nil {
		return c, err
	}
	c.code, c.name = head[0], head[2]
	c.phone, c.passport, c.nationID = strings.TrimSpace(parts[1]), strings.TrimSpace(parts[2]), strings.TrimSpace(parts[3])
	for _, city := range strings.Split(parts[4], "/") {
		c.cities = append(c.cities, strings.TrimSpace(city))
	}
	return c, nil
}
