package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigTemplate(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(configTemplate, ":7464", "127.0.0.1:7465")
	c, err := parseConfig(text)
	if err != nil || c.Listen != ":7464" || c.OpsListen != "127.0.0.1:7465" {
		t.Fatalf("the file that init writes reads as %+v, %v", c, err)
	}
	// What stands in comments is right too.
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if s, ok := strings.CutPrefix(l, "# "); ok && (strings.Contains(s, " = ") || strings.HasPrefix(s, "[")) {
			l = s
		}
		lines = append(lines, l)
	}
	c, err = parseConfig(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sources) != 1 || c.Sources[0].Reference != referenceSource || c.MaxSessions != 8 || c.timeouts().Idle != 90*time.Second {
		t.Errorf("the template's comments read as %+v", c)
	}
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	source := func(more string) string {
		return "[[source]]\nagreement = \"0123456789\"\ncompartment = \"c\"\ndata = \"d.csv\"\n" + more
	}
	for name, row := range map[string]struct{ text, want string }{
		"unknown key":          {"listn = \"x\"", `unknown key "listn"`},
		"unknown key below":    {source("passwd = \"x\""), `unknown key "source.passwd"`},
		"wrong type":           {"listen = 5", "listen"},
		"not TOML":             {"listen", ""},
		"log level":            {`log_level = "loud"`, "log_level"},
		"negative sessions":    {"max_sessions = -1", "max_sessions"},
		"time without a unit":  {"[timeouts]\nidle = \"90\"", "unit"},
		"time of zero":         {"grace = \"0s\"", "above zero"},
		"agreement too short":  {"[[source]]\nagreement = \"0123\"\ncompartment = \"c\"\ndata = \"d\"", "agreement"},
		"agreement not hex":    {"[[source]]\nagreement = \"north-south\"\ncompartment = \"c\"\ndata = \"d\"", "agreement"},
		"no compartment":       {"[[source]]\nagreement = \"0123456789\"\ndata = \"d\"", "compartment"},
		"unknown reference":    {source("reference = \"name\""), "reference"},
		"unknown row policy":   {source("on_bad_row = \"guess\""), "on_bad_row"},
		"the second is faulty": {source("") + source("reference = \"name\""), "source 2"},
	} {
		if _, err := parseConfig(row.text); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, row.want)
		}
	}
}

func TestConfigSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "d.csv"), []byte("id,primary_name\n1,Ann Alpha\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	entry := func(agreement string) string {
		return fmt.Sprintf("[[source]]\nagreement = %q\ncompartment = \"c\"\ndata = \"d.csv\"\nreference = \"id\"\n", agreement)
	}
	c, err := parseConfig(entry("aaaaaaaa") + entry("bbbbbbbb") + entry("bbbbbbbbb"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := c.source(dir, strings.Repeat("a", 64))
	if err != nil || src.Compartment != "c" || !src.ReferenceID {
		t.Errorf("got %+v, %v", src, err)
	}
	if _, err := c.source(dir, strings.Repeat("b", 64)); err == nil || !strings.Contains(err.Error(), "two sources") {
		t.Errorf("two sources for one agreement: %v", err)
	}
	if _, err := c.source(dir, strings.Repeat("c", 64)); err == nil || !strings.Contains(err.Error(), "no source") {
		t.Errorf("no source for an agreement: %v", err)
	}
}

func TestCheckLoopback(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true,
		":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "[::]:1": false, "example.org:1": false, "127.0.0.1": false,
	} {
		if err := checkLoopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(fmt.Sprintf(configTemplate, ":7464", ""))
	f.Add("[[source]]\nagreement = \"0123456789\"\ncompartment = \"c\"\ndata = \"d\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		for _, s := range c.Sources {
			if len(s.Agreement) < minAgreementPrefix || s.Compartment == "" {
				t.Errorf("accepted the source %+v", s)
			}
		}
	})
}
