package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/symbolon/symbolon/internal/secret"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol"
)

// App is what a command runs with: its streams, flags, secrets and what its
// needs have opened. The same command runs with an App of its own process, or
// with one of the process that has the node open.
type App struct {
	ctx            context.Context
	stdin          *os.File
	stdout, stderr io.Writer
	asked          bool // a person may be asked at stdin
	terminal       bool // stderr is a terminal, for progress

	json       bool
	dir        string
	userName   string
	workFactor int
	files      passphraseFiles
	secrets    secrets

	store *store.Store
	node  *protocol.Node
	// lent says that store and node belong to the process that runs the node,
	// which remembers operators for a while.
	lent      bool
	operators *operators
}

// secrets are the passphrases that a command needs.
type secrets struct{ node, user, next, linkage secret.Bytes }

func (s *secrets) clear() {
	for _, b := range []secret.Bytes{s.node, s.user, s.next, s.linkage} {
		b.Clear()
	}
}

func (a *App) take(g *Globals) {
	a.dir, a.json, a.userName, a.workFactor = g.Dir, g.JSON, g.User, g.WorkFactor
	a.files = passphraseFiles{node: g.PassphraseFile, user: g.UserPassphraseFile}
}

// need says what a command must have before it runs.
type need uint

const (
	needStore      need = 1 << iota // the node's database
	needNode                        // the node, its identity unlocked
	needUser                        // the operator --user, with passphrase
	needPassphrase                  // the node's passphrase itself
	needNewNode                     // a first passphrase for the node
	needNewUser                     // a first passphrase for an operator
	needNext                        // a passphrase to change to
	needLinkage                     // the secret of CLKs
	needAlone                       // no other process may have the node open
)

// needer is a command that needs something opened.
type needer interface{ needs(app *App) need }

// dispatch gives the command what it needs and runs it, here or in the process
// that has the node open.
func (a *App) dispatch(path string, cmd command) error {
	var n need
	if c, ok := cmd.(needer); ok {
		n = c.needs(a)
	}
	defer a.secrets.clear()
	if n&(needStore|needNode) != 0 {
		forward, err := a.openStore(n&needAlone != 0)
		if err != nil {
			return err
		}
		if forward != nil {
			defer forward.Close()
			if err := a.collect(n &^ needNode); err != nil {
				return err
			}
			return a.forward(forward, path, cmd)
		}
		defer a.close()
	}
	if err := a.collect(n); err != nil {
		return err
	}
	if n&needNode != 0 {
		if err := a.openNode(nil); err != nil {
			return err
		}
	}
	return cmd.Run(a)
}

// print writes v as JSON, or lets text write it for people.
func (a *App) print(v any, text func(w io.Writer)) error {
	if !a.json {
		text(a.stdout)
		return nil
	}
	return encodeJSON(a.stdout, v)
}

// encodeJSON writes v, indented. What does not print is escaped: JSON lets control
// characters above ASCII stand as they are, and a terminal acts on them.
func encodeJSON(w io.Writer, v any) error {
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	out := make([]byte, 0, raw.Len())
	for _, r := range raw.String() {
		if r < 0x7f || unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			out = fmt.Appendf(out, "\\u%04x", unit)
		}
	}
	_, err := w.Write(out)
	return err
}

// say tells a person something that is not the command's result.
func (a *App) say(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// table writes rows in aligned columns.
func table(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush()
}

// fields writes names and values in two columns; empty values are left out.
func fields(w io.Writer, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%-14s %s\n", pairs[i], pairs[i+1])
		}
	}
}

// clean makes text from elsewhere harmless for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// stamp formats a time for people and programs; the zero time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// short cuts an id to what identifies it to people.
func short(id string) string {
	if len(id) > 16 {
		return id[:16]
	}
	return id
}

// logger writes warnings for people; serve has its own, in JSON.
func (a *App) logger() zerolog.Logger {
	return zerolog.New(zerolog.ConsoleWriter{Out: a.stderr, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}).
		Level(zerolog.WarnLevel)
}
